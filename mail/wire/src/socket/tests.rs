use tokio::io::DuplexStream;

use super::*;

const SOON: Duration = Duration::from_secs(10);

type Ends = (MessageWriter<WriteHalf<DuplexStream>>, MessageReader<ReadHalf<DuplexStream>>);

/// Both ends of a socket whose network takes so many octets at a time.
fn pair(step: usize) -> (Ends, Ends) {
    let (client, server) = tokio::io::duplex(step);
    (messages(client, End::Client, 1 << 20), messages(server, End::Server, 1 << 20))
}

/// A socket, and the bare stream at its other end.
fn bare() -> (Ends, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    (messages(ours, End::Server, 1000), theirs)
}

fn message(size: usize) -> Bytes {
    (0..size).map(|n| (n * 7 + size) as u8 | 1).collect()
}

const SIZES: [usize; 12] =
    [0, 1, 125, 126, READ - 4, READ, READ + 1, WRITE - 8, WRITE, 0xffff, 0x1_0000, (1 << 20) - 1];

#[tokio::test]
async fn messages_of_every_size_arrive_whole_however_the_network_cuts_them() {
    for step in [1009, 4096, READ + 5, 1 << 20] {
        let ((mut to, _), (_, mut from)) = pair(step);
        let sending = async {
            for size in SIZES {
                to.feed(message(size)).await.unwrap();
                to.feed(message(3)).await.unwrap();
            }
            to.scrub().await.unwrap();
            to.send(message(5)).await.unwrap();
        };
        let receiving = async {
            for size in SIZES {
                assert!(from.next(SOON).await.unwrap() == message(size), "{size} octets, {step} at a time");
                assert!(from.next(SOON).await.unwrap() == message(3), "after {size} octets, {step} at a time");
            }
            assert_eq!(from.next(SOON).await.unwrap(), message(5));
        };
        tokio::join!(sending, receiving);
    }
}

#[tokio::test]
async fn nothing_of_a_message_stays_in_the_buffers_of_a_socket() {
    let ((mut to, _), (_, mut from)) = pair(1 << 20);
    for size in [1, 20, 5000, READ / 2 + 10, READ / 2 + 10, READ, 2 * READ] {
        to.send(message(size)).await.unwrap();
        assert_eq!(from.next(SOON).await.unwrap().len(), size);
        assert!(from.buffer.iter().all(|octet| *octet == 0), "what was read, {size} octets");
        assert!(to.buffer.iter().all(|octet| *octet == 0), "what was written, {size} octets");
    }
}

#[tokio::test]
async fn foreign_masks_are_taken_off() {
    let ((_, mut from), mut peer) = bare();
    peer.write_all(&[0x82, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3]).await.unwrap();
    assert_eq!(from.next(SOON).await.unwrap(), "abc");
}

#[tokio::test]
async fn what_is_no_whole_binary_message_ends_the_socket() {
    let cases: [(&str, &[u8]); 6] = [
        ("text", &[0x81, 1, b'x']),
        ("a first fragment", &[0x02, 1, b'x']),
        ("a further fragment", &[0x80, 1, b'x']),
        ("a large pong", &[0x8a, 126, 0, 126]),
        ("an unknown kind", &[0x83, 0]),
        ("over the limit", &[0x82, 126, 3, 233]),
    ];
    for (what, frame) in cases {
        let ((_, mut from), mut peer) = bare();
        peer.write_all(frame).await.unwrap();
        let error = from.next(SOON).await.unwrap_err();
        assert!(matches!(error, WireError::Protocol(_) | WireError::TooBig { size: 1001, limit: 1000 }), "{what}");
    }
    for frame in [&[0x88, 0][..], &[0x82, 5, b'x'], &[]] {
        let ((_, mut from), mut peer) = bare();
        peer.write_all(frame).await.unwrap();
        drop(peer);
        assert!(matches!(from.next(SOON).await, Err(WireError::Closed)));
    }
}
