use proptest::prelude::*;

use super::*;

const MAILBOX: &str = "abcdefghijklmnopqrstuvwxyz";

fn mailbox() -> MailboxId {
    MAILBOX.parse().unwrap()
}

#[test]
fn names_are_as_the_grammar_says() {
    let (mailbox, timeline, file) = (mailbox(), 1, DataFile::Mailbox);
    let time: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let part = SnapshotPart::Database;
    let names = [
        (Name::Owner { shard: ShardId(0), term: Term(1) }, "shard-0/owner/0000000001.json".to_owned()),
        (Name::Keys { mailbox, version: 3 }, format!("{MAILBOX}/keys/0000000003.json")),
        (
            Name::OtherKeys { mailbox, keyset: [0xab; 16], version: 1 },
            format!("{MAILBOX}/keys/abababababababababababababababab/0000000001.json"),
        ),
        (
            Name::Base { mailbox, timeline, file, epoch: 2, frame: 17, commit: 5 },
            format!("{MAILBOX}/t0001/mailbox/base/0000000002-0000000017.0000000005.base"),
        ),
        (
            Name::Segment { mailbox, timeline, file: DataFile::Spool, epoch: 2, first: 18, last: 20, commit: 6 },
            format!("{MAILBOX}/t0001/spool/wal/0000000002/0000000018-0000000020.0000000006.seg"),
        ),
        (
            Name::Snapshot { mailbox, timeline, commit: 6, time, part },
            format!("{MAILBOX}/t0001/snapshots/0000000006-20260102T030405Z.sqlite"),
        ),
        (Name::Manifest { mailbox, timeline, number: 4 }, format!("{MAILBOX}/t0001/manifest/0000000004.json")),
    ];
    for (name, text) in names {
        assert_eq!(name.to_string(), text);
        assert_eq!(Name::of_key("mail.example.u1", &name.key("mail.example.u1")), Some(name));
        assert_eq!(Name::of_key("mail.example", &name.key("mail.example.u1")), None);
    }
}

#[test]
fn a_name_has_one_spelling() {
    for text in [
        "shard-00/owner/0000000001.json",
        "shard-0/owner/1.json",
        "shard-0/owner/00000000001.json",
        "shard-0/owner/+000000001.json",
        "shard-0/owner/0000000001.JSON",
        "abcdefghijklmnopqrstuvwxyz/keys/ABababababababababababababababab/0000000001.json",
        "abcdefghijklmnopqrstuvwxyz/keys/abab/0000000001.json",
        "abcdefghijklmnopqrstuvwxyz/t1/manifest/0000000001.json",
        "abcdefghijklmnopqrstuvwxyz/t0001/keys/base/0000000001-0000000001.0000000001.base",
        "abcdefghijklmnopqrstuvwxyz/t0001/manifest/../0000000001.json",
        "abcdefghijklmnopqrstuvwxyz/t0001/snapshots/0000000001-20261302T030405Z.sqlite",
        "",
    ] {
        assert!(text.parse::<Name>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn every_name_is_read_back(timeline: u32, epoch: u64, first: u32, last: u32, commit: u64, seconds in 0i64..4_000_000_000) {
        let (mailbox, time) = (mailbox(), Timestamp::from_second(seconds).unwrap());
        for file in DataFile::ALL {
            let names = [
                Name::Base { mailbox, timeline, file, epoch, frame: first, commit },
                Name::Segment { mailbox, timeline, file, epoch, first, last, commit },
                Name::Snapshot { mailbox, timeline, commit, time, part: SnapshotPart::Record },
                Name::Manifest { mailbox, timeline, number: commit },
                Name::Keys { mailbox, version: epoch },
                Name::OtherKeys { mailbox, keyset: [first as u8; 16], version: epoch },
                Name::Owner { shard: ShardId(first), term: Term(commit) },
            ];
            for name in names {
                prop_assert_eq!(name.to_string().parse::<Name>().unwrap(), name);
            }
        }
    }

    #[test]
    fn a_listing_is_in_the_order_of_frames(a in 1u32.., b in 1u32..) {
        let name = |first| {
            let (mailbox, file) = (mailbox(), DataFile::Mailbox);
            Name::Segment { mailbox, timeline: 1, file, epoch: 1, first, last: first, commit: 1 }.to_string()
        };
        prop_assert_eq!(a.cmp(&b), name(a).cmp(&name(b)));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z0-9/.t-]{0,120}") {
        if let Ok(name) = text.parse::<Name>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
