use super::{Peer, PeerError, Role};
use model::{ServerId, ShardId};

#[test]
fn every_role_reads_back_from_its_uri() {
    for role in [
        Role::Operator,
        Role::Primary(ShardId(0)),
        Role::Primary(ShardId(41)),
        Role::Imap,
        Role::Mx,
        Role::Submission,
        Role::Courier,
    ] {
        let peer = Peer::new(ServerId("6f1c-a.b_c".to_owned()), role);
        assert_eq!(peer.to_string().parse(), Ok(peer));
    }
    let peer = Peer::new(ServerId("s1".to_owned()), Role::Primary(ShardId(3)));
    assert_eq!(peer.to_string(), "sealpost://s1/primary/3");
}

#[test]
fn other_spellings_name_nobody() {
    for role in ["primary", "primary/", "primary/07", "primary/+7", "primary/4294967296", "IMAP", "imap/", "imap/0", ""]
    {
        assert!(matches!(role.parse::<Role>(), Err(PeerError::Role(_))), "{role}");
    }
    for uri in ["https://s1/imap", "sealpost://s1", "sealpost:///imap", "sealpost://a b/imap", "sealpost://s1/x/imap"] {
        assert!(uri.parse::<Peer>().is_err(), "{uri}");
    }
}
