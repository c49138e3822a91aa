use super::*;
use crate::append::prepare;

#[test]
fn pieces_cover_the_message_and_their_lengths_agree() {
    let body: String = format!("{}\r\n", "QUJD".repeat(19)).repeat(1000);
    let part = format!("--b\r\nContent-Transfer-Encoding: BASE64\r\n\r\n{body}\r\n");
    let mail = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{part}{part}--b--\r\n");
    let prepared = prepare(mail.as_bytes(), b"key").unwrap();
    assert_eq!(prepared.attachments.len(), 2);
    assert_eq!(prepared.attachments[0].sha, prepared.attachments[1].sha);
    assert_ne!(prepare(mail.as_bytes(), b"other").unwrap().attachments[0].sha, prepared.attachments[0].sha);
    let pieces = prepared.pieces(&[7, 7]).unwrap();
    assert_eq!(pieces.iter().map(Piece::len).sum::<u64>(), mail.len() as u64);
    let own: u64 = pieces.iter().map(|p| if let Piece::Own(len) = p { *len } else { 0 }).sum();
    let stored = prepared.head.len + prepared.chunks.iter().map(|chunk| chunk.len).sum::<usize>();
    assert_eq!(own, stored as u64);
}

#[test]
fn what_is_not_uniform_base64_stays_as_it_is() {
    let lines: String = format!("{}\r\n{}\r\n", "QUJD".repeat(19), "QUJD".repeat(18)).repeat(500);
    for (encoding, body) in [("base64", lines.clone()), ("7bit", "QUJD".repeat(20_000)), ("base64", "*".repeat(40_000))]
    {
        let mail = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{body}");
        let prepared = prepare(mail.as_bytes(), b"key").unwrap();
        assert!(prepared.attachments.is_empty() && prepared.pieces(&[]).is_none());
    }
}

#[test]
fn meta_reads_back() {
    let mail = b"Subject: x\r\n\r\nsome text";
    let prepared = prepare(mail, b"key").unwrap();
    let meta = Meta::read(&prepared.meta).unwrap();
    assert_eq!((meta.preview, meta.skeleton), ("some text", mime::parse(mail)));
    assert!(Meta::read(b"nonsense").is_err());
}
