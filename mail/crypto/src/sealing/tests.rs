use proptest::prelude::*;

use super::*;

const DELIVERY: DeliveryId = DeliveryId([7; 16]);

fn pair() -> (SealingPublic, SealingKey) {
    let secret = HybridSecret::from_seed(&[1; 32]).unwrap();
    let (keyset, key_id) = (KeysetId([2; 16]), 1);
    (SealingPublic { keyset, key_id, public: secret.public() }, SealingKey { keyset, key_id, secret })
}

/// Mail-like: compressible text with stretches that are not.
fn body(len: usize) -> Vec<u8> {
    let noise: Vec<u8> = (0..=len / 32).flat_map(|n: usize| crate::sha256(&n.to_le_bytes())).collect();
    (0..len).map(|at| if at / 30_000 % 2 == 0 { b"Subject: hello\r\n"[at % 16] } else { noise[at] }).collect()
}

#[test]
fn bodies_of_every_size_come_back_byte_for_byte() {
    let (public, key) = pair();
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 17] {
        let body = body(len);
        let sealed = seal(&public, DELIVERY, b"meta", &body).unwrap();
        let opened = open(&key, DELIVERY, &sealed).unwrap();
        assert!(opened.body == body && opened.meta == b"meta", "{len} bytes");
        assert!(sealed.len() < len + 2_000);
    }
}

#[test]
fn neither_body_nor_metadata_shows() {
    let (public, _) = pair();
    let sealed = seal(&public, DELIVERY, b"ann@example.org", b"the secret word is xyzzy").unwrap();
    for needle in [b"ann@".as_slice(), b"secret", b"xyzzy"] {
        assert!(!sealed.windows(needle.len()).any(|w| w == needle));
    }
}

#[test]
fn text_is_compressed_and_noise_is_not_grown() {
    let (public, _) = pair();
    let text = seal(&public, DELIVERY, b"", &b"all work and no play\r\n".repeat(10_000)).unwrap();
    assert!(text.len() < 10_000, "{}", text.len());
    let noise: Vec<u8> = (0..2_048_u64).flat_map(|n| crate::sha256(&n.to_le_bytes())).collect();
    assert!(seal(&public, DELIVERY, b"", &noise).unwrap().len() < noise.len() + 1_300);
}

#[test]
fn every_byte_counts() {
    let (public, key) = pair();
    let sealed = seal(&public, DELIVERY, b"meta", &body(CHUNK + 100)).unwrap();
    let chunks = sealed.len().min(1_400);
    // The whole header and head, then a sample of the chunks; all of them would take minutes of X-Wing.
    for at in (0..chunks).step_by(13).chain((chunks..sealed.len()).step_by(997)).chain(0..13) {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(open(&key, DELIVERY, &damaged).is_err(), "byte {at}");
    }
}

#[test]
fn a_message_that_was_cut_extended_or_reordered_does_not_open() {
    let (public, key) = pair();
    let body: Vec<u8> = (0..3 * CHUNK as u64 / 32).flat_map(|n| crate::sha256(&n.to_le_bytes())).collect();
    let sealed = seal(&public, DELIVERY, b"", &body).unwrap();
    let chunk = 4 + 1 + CHUNK + TAG;
    let (head, chunks) = sealed.split_at(sealed.len() - 3 * chunk);
    let parts: Vec<&[u8]> = chunks.chunks(chunk).collect();
    let arrange = |order: &[usize]| {
        let chosen = order.iter().flat_map(|n| parts[*n].iter().copied());
        open(&key, DELIVERY, &head.iter().copied().chain(chosen).collect::<Vec<u8>>())
    };
    assert!(arrange(&[0, 1, 2]).unwrap().body == body);
    for order in [&[][..], &[0], &[0, 1], &[2], &[0, 2], &[1, 0, 2], &[0, 1, 2, 2], &[0, 1, 1, 2]] {
        assert!(arrange(order).is_err(), "{order:?}");
    }
    assert!(open(&key, DELIVERY, &sealed[..sealed.len() - 1]).is_err());
    assert!(open(&key, DELIVERY, &[&sealed[..], b"\0"].concat()).is_err());
}

#[test]
fn a_message_opens_only_in_its_row_and_with_its_key() {
    let (public, key) = pair();
    let sealed = seal(&public, DELIVERY, b"meta", b"body").unwrap();
    assert!(open(&key, DeliveryId([8; 16]), &sealed).is_err());
    let secret = || HybridSecret::from_seed(&[1; 32]).unwrap();
    let elsewhere = SealingKey { keyset: KeysetId([9; 16]), key_id: 1, secret: secret() };
    assert!(open(&elsewhere, DELIVERY, &sealed).is_err());
    let numbered = SealingKey { keyset: KeysetId([2; 16]), key_id: 2, secret: secret() };
    assert!(open(&numbered, DELIVERY, &sealed).is_err());
    let other = SealingKey { secret: HybridSecret::from_seed(&[3; 32]).unwrap(), ..key };
    assert!(open(&other, DELIVERY, &sealed).is_err());
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let (public, key) = pair();
    let mut sealed = seal(&public, DELIVERY, b"meta", b"body").unwrap();
    sealed[4] = 2;
    assert!(matches!(open(&key, DELIVERY, &sealed), Err(CryptoError::Format { found: 2, .. })));
}

#[test]
fn the_same_message_never_seals_alike() {
    let (public, _) = pair();
    assert_ne!(seal(&public, DELIVERY, b"", b"x").unwrap(), seal(&public, DELIVERY, b"", b"x").unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn pieces_and_takes_make_no_difference(sizes in prop::collection::vec((0_usize..100_000, any::<bool>()), 0..6)) {
        let (public, key) = pair();
        let whole = body(sizes.iter().map(|(size, _)| size).sum());
        let mut sealer = Sealer::new(&public, DELIVERY, b"meta").unwrap();
        let (mut rest, mut sealed) = (whole.as_slice(), Vec::new());
        for (size, takes) in sizes {
            let (piece, later) = rest.split_at(size);
            sealer.push(piece).unwrap();
            rest = later;
            if takes {
                sealed.extend(sealer.take());
            }
        }
        sealed.extend(sealer.finish().unwrap());
        prop_assert!(open(&key, DELIVERY, &sealed).unwrap().body == whole);
    }

    #[test]
    fn no_bytes_are_too_strange_to_refuse(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, key) = pair();
        prop_assert!(open(&key, DELIVERY, &bytes).is_err());
        prop_assert!(open(&key, DELIVERY, &[b"SPSM\x01".as_slice(), &bytes].concat()).is_err());
    }
}
