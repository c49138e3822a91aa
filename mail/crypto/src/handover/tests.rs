use super::*;

fn aad() -> HandoverAad {
    HandoverAad {
        shard: ShardId(1),
        term: Term(2),
        boot: BootId([3; 16]),
        mailbox: MailboxId::from_random([4; 17]),
        session: SessionId([5; 16]),
        nonce: [6; 16],
    }
}

#[test]
fn a_dek_reaches_the_process_it_was_sealed_to() {
    let key = HandoverKey::generate().unwrap();
    let public = HandoverPublic::from_bytes(key.public().as_bytes()).unwrap();
    let dek = Dek::from_bytes(&[7; 32]);
    let sealed = public.seal_dek(&dek, &aad()).unwrap();
    assert!(key.open_dek(&sealed, &aad()).unwrap().is_same(&dek));
    assert!(HandoverKey::generate().unwrap().open_dek(&sealed, &aad()).is_err());
    assert!(HandoverPublic::from_bytes(&[0; 32]).is_err());
}

#[test]
fn a_hand_over_is_good_for_one_attach_only() {
    let key = HandoverKey::generate().unwrap();
    let sealed = key.public().seal_dek(&Dek::from_bytes(&[7; 32]), &aad()).unwrap();
    let others = [
        HandoverAad { shard: ShardId(2), ..aad() },
        HandoverAad { term: Term(3), ..aad() },
        HandoverAad { boot: BootId([0; 16]), ..aad() },
        HandoverAad { mailbox: MailboxId::from_random([0; 17]), ..aad() },
        HandoverAad { session: SessionId([0; 16]), ..aad() },
        HandoverAad { nonce: [0; 16], ..aad() },
    ];
    for other in others {
        assert!(key.open_dek(&sealed, &other).is_err(), "{other:?}");
    }
    let mut damaged = sealed.clone();
    damaged[1130] ^= 1;
    assert!(key.open_dek(&damaged, &aad()).is_err());
    assert!(key.open_dek(&sealed[..100], &aad()).is_err());
}
