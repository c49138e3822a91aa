use super::*;

const ANN: [u8; 17] = [1; 17];
const BOB: [u8; 17] = [2; 17];

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn mailbox(address: &str, keyed: bool, state: MailboxState) -> MailboxEntry {
    let address = address.parse().unwrap();
    MailboxEntry { address, shard: ShardId(0), state, access: BTreeSet::new(), quota: None, keyed, fenced: false }
}

fn directory() -> Directory {
    let (ann, bob) = (MailboxId::from_random(ANN), MailboxId::from_random(BOB));
    let own = |id| Entry { mailbox: Some(id), alias: None };
    let alias = |targets| Entry { mailbox: None, alias: Some(AliasEntry::Targets(targets)) };
    let entries = [
        ("ann@example.org", own(ann)),
        ("bob@example.org", own(bob)),
        ("both@example.org", alias(vec![Target::Mailbox(ann), Target::Mailbox(bob)])),
        ("team@example.org", alias(vec![Target::Mailbox(ann), Target::Mailbox(ann)])),
        ("away@example.org", alias(vec![Target::Mailbox(ann), Target::Outward])),
        ("*@catch.example", own(ann)),
    ];
    Directory {
        server: ServerId("s".into()),
        hostname: "mx.example.org".into(),
        generation: Generation::default(),
        domains: ["example.org", "catch.example"].map(|d| d.parse().unwrap()).into(),
        max_message_size: 1 << 20,
        entries: entries.into_iter().map(|(name, entry)| (address(name), entry)).collect(),
        mailboxes: [
            (ann, mailbox("ann@example.org", true, MailboxState::Active)),
            (bob, mailbox("bob@example.org", false, MailboxState::Active)),
        ]
        .into(),
        removed: [(address("gone@example.org"), Timestamp::from_second(100).unwrap())].into(),
    }
}

fn route(name: &str) -> Route {
    directory().route(&address(name), Timestamp::from_second(50).unwrap())
}

#[test]
fn mail_goes_to_the_exact_name_then_without_tag_then_to_the_catch_all() {
    let ann = Route::Mailboxes(vec![MailboxId::from_random(ANN)]);
    assert_eq!(route("Ann@example.org"), ann);
    assert_eq!(route("ann+shop@example.org"), ann);
    assert_eq!(route("whoever@catch.example"), ann);
    assert_eq!(route("nobody@example.org"), Route::Unknown);
    assert_eq!(route("ann@elsewhere.example"), Route::DomainNotServed);
}

#[test]
fn one_unready_target_holds_the_whole_alias() {
    assert_eq!(route("both@example.org"), Route::Unready(Unready::AwaitingOwner));
    assert_eq!(route("away@example.org"), Route::Unready(Unready::NotSupported));
}

#[test]
fn a_mailbox_named_twice_gets_mail_once() {
    assert_eq!(route("team@example.org"), Route::Mailboxes(vec![MailboxId::from_random(ANN)]));
}

#[test]
fn a_removed_name_is_unready_until_its_grace_is_over() {
    assert_eq!(route("gone@example.org"), Route::Unready(Unready::Removed));
    let late = directory().route(&address("gone@example.org"), Timestamp::from_second(100).unwrap());
    assert_eq!(late, Route::Unknown);
}

#[test]
fn it_reads_back_from_json() {
    let text = serde_json::to_string(&directory()).unwrap();
    assert_eq!(serde_json::from_str::<Directory>(&text).unwrap(), directory());
}
