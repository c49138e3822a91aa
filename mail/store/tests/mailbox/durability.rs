use std::fs;
use std::sync::Arc;
use std::time::Duration;

use model::SessionId;
use model::verbs::*;
use store::{Body, Delivered, Layout, Limits, Mailboxes, StoreError};

use crate::fixture::*;

const MAIL: &str = "Message-ID: <a@b>\r\nSubject: x\r\n\r\nbody";

#[tokio::test(flavor = "multi_thread")]
async fn another_key_opens_nothing_whether_the_mailbox_is_open_or_not() {
    let f = fixture().await;
    let wrong = || crypto::Dek::from_bytes(&[1; 32]);
    assert!(matches!(f.mailboxes.attach(id(), wrong()).await, Err(StoreError::WrongKey)));
    f.mailboxes.detach(id()).await;
    assert!(matches!(f.mailboxes.attach(id(), wrong()).await, Err(StoreError::WrongKey)));
    f.mailboxes.attach(id(), dek()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_a_copy_of_the_files_taken_at_that_moment() {
    let f = fixture().await;
    let s = f.session(1);
    for n in 0..5 {
        s.append("INBOX", format!("Subject: {n}\r\n\r\nbody {n}")).await.unwrap();
    }
    let old = view(&s.select("INBOX").await);
    let stored = s.store(&old, "2", StoreMode::Add, &["\\Seen", "work"]).await;
    // As a power cut would leave them: nothing was closed.
    let copy = tempfile::tempdir().unwrap();
    let layout = Layout::new(copy.path());
    fs::create_dir_all(layout.mailbox_dir(id())).unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("mailbox.sqlite{suffix}");
        fs::copy(f.path().with_file_name(&name), layout.mailbox_dir(id()).join(&name)).unwrap();
    }
    let again = Mailboxes::new(layout, patient());
    let mailbox = again.attach(id(), dek()).await.unwrap();
    let t = Session::new(mailbox, 9);
    assert_eq!(t.bodies("INBOX").await, s.bodies("INBOX").await);
    let selected = t.select("INBOX").await;
    assert!(selected.modseq > stored.modseq, "modseqs that may have been lost are not given again");
    // A client of before is told everything.
    let delta = t.sync(&View { since: stored.modseq, ..old }).await;
    assert_eq!(delta.changed.len(), 5);
    assert_eq!(delta.changed.flags[1] & 8, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_close_nothing_is_told_again() {
    let f = fixture().await;
    let s = f.session(1);
    s.append("INBOX", MAIL).await.unwrap();
    let old = view(&s.select("INBOX").await);
    let stored = s.store(&old, "1", StoreMode::Add, &["\\Flagged"]).await;
    drop(s);
    f.mailboxes.detach(id()).await;
    let mailbox = f.mailboxes.attach(id(), dek()).await.unwrap();
    let delta = Session::new(mailbox, 1).sync(&View { since: stored.modseq, ..old }).await;
    assert!(delta.changed.is_empty());
    assert_eq!(delta.modseq, stored.modseq);
    assert_eq!(fs::metadata(f.path().with_file_name("mailbox.sqlite-wal")).map_or(0, |m| m.len()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_close_when_idle_flags_are_synced_and_the_mailbox_goes_on() {
    let limits = Limits { close_after: Duration::from_millis(100), ..patient() };
    let f = with_limits(limits, true).await;
    let s = f.session(1);
    s.append("INBOX", MAIL).await.unwrap();
    let view = view(&s.select("INBOX").await);
    s.store(&view, "1", StoreMode::Add, &["\\Seen"]).await;
    eventually(async || f.sql("SELECT unsynced FROM state") == 0).await;
    eventually(async || open_files(f.folder.path()) == 0).await;
    assert_eq!(s.bodies("INBOX").await, [MAIL.as_bytes()]);
}

/// Descriptors of this process under a folder.
fn open_files(folder: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|target| target.starts_with(folder)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_nobody_holds_is_forgotten() {
    let limits = Limits { forget_after: Duration::from_millis(50), ..patient() };
    let mut f = with_limits(limits, true).await;
    let held = f.mailbox.clone();
    let weak = Arc::downgrade(&held);
    f.mailbox =
        Mailboxes::new(Layout::new(f.folder.path().join("other")), patient()).attach(id(), dek()).await.unwrap();
    drop(held);
    eventually(async || weak.upgrade().is_none()).await;
    assert!(f.mailboxes.get(id()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_first_answer_and_changes_nothing() {
    let f = fixture().await;
    let s = f.session(1);
    let (append, _) = s.appending("INBOX", &["\\Deleted"], MAIL);
    let send = || s.mailbox.append(s.id, append.clone(), Body::Whole(MAIL.into()));
    let first = send().await.unwrap();
    assert_eq!(send().await.unwrap(), first);
    let selected = s.select("INBOX").await;
    assert_eq!(selected.uids.len(), 1);

    let copy = Copy { seq: s.next(), view: view(&selected), uids: uids("1"), target: "Trash".into(), remove: false };
    let first = s.ask(Request::Copy(copy.clone())).await.unwrap();
    assert_eq!(s.ask(Request::Copy(copy)).await.unwrap(), first);
    assert_eq!(s.select("Trash").await.uids.len(), 1);

    let expunge = Request::Expunge { seq: s.next(), view: view(&selected), only: None, silent: false };
    let first = s.ask(expunge.clone()).await.unwrap();
    assert_eq!(s.ask(expunge).await.unwrap(), first);
    assert!(matches!(first, Answer::Expunged(e) if e.uids == uids("1")));

    let create =
        Request::FolderChange { seq: s.next(), change: FolderChange::Create { name: "n".into(), special: None } };
    assert_eq!(s.ask(create.clone()).await.unwrap(), Answer::Done);
    assert_eq!(s.ask(create.clone()).await.unwrap(), Answer::Done);
    let other = Session { id: SessionId([77; 16]), ..s.clone() };
    assert_eq!(other.ask(create).await.unwrap_err().code, Code::AlreadyExists, "numbers are per session");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_member_of_a_group_leaves_the_others_alone() {
    let f = fixture().await;
    let s = f.session(1);
    let appends = (0..60).map(|n| {
        let (append, body) = s.appending(if n % 7 == 3 { "nowhere" } else { "INBOX" }, &[], format!("n: {n}\r\n\r\n"));
        (n, tokio::spawn(s.mailbox.append(s.id, append, body)))
    });
    let appends: Vec<_> = appends.collect();
    let mut last = 0;
    for (n, append) in appends {
        match append.await.unwrap() {
            Ok(appended) => {
                assert!(n % 7 != 3 && appended.uid.0 == last + 1, "in the order of calls");
                last = appended.uid.0;
            }
            Err(failure) => assert!(n % 7 == 3 && failure.code == Code::TryCreate),
        }
    }
    assert_eq!(s.select("INBOX").await.uids.len(), 51);
    let commits = f.sql("SELECT commits FROM state");
    assert!(commits < 50, "60 appends at once took {commits} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_is_exact_and_only_reserved_mail_goes_over_it() {
    let f = fixture().await;
    let s = f.session(1);
    f.mailbox.set_policy(Some(100), false);
    s.append("INBOX", format!("a: b\r\n\r\n{}", "x".repeat(92))).await.unwrap();
    assert_eq!(s.append("INBOX", "a").await.unwrap_err().code, Code::OverQuota);
    let inbox = view(&s.select("INBOX").await);
    assert_eq!(s.copy(&inbox, "1", "Sent", false).await.unwrap_err().code, Code::OverQuota);
    s.copy(&inbox, "1", "Sent", true).await.unwrap();
    assert_eq!(f.mailbox.deliver(delivery(1, MAIL)).await.unwrap_err().code, Code::OverQuota);
    let reserved = store::Delivery { room: store::Room::Reserved, ..delivery(1, MAIL) };
    assert!(matches!(f.mailbox.deliver(reserved).await.unwrap(), Delivered::Stored(_)));
    let used = s.quota().await;
    assert_eq!((used.messages, used.limit), (2, Some(100)));
    let sent = view(&s.select("Sent").await);
    s.store(&sent, "1", StoreMode::Add, &["\\Deleted"]).await;
    s.expunge(&sent, None).await;
    assert_eq!(s.quota().await.bytes, used.bytes - 100);
    // Mail that waits has its room already.
    f.mailbox.set_policy(Some(1000), false);
    f.mailbox.reserve(1000);
    assert_eq!(s.append("INBOX", "a").await.unwrap_err().code, Code::OverQuota);
    f.mailbox.reserve(0);
    s.append("INBOX", "a").await.unwrap();
    f.mailbox.set_policy(None, true);
    assert_eq!(s.append("INBOX", "a").await.unwrap_err().code, Code::NoPerm);
    assert!(s.select("INBOX").await.read_only);
    assert!(matches!(f.mailbox.deliver(delivery(2, MAIL)).await.unwrap(), Delivered::Stored(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_taken_once_also_after_expunge_and_an_equal_one_after_settling() {
    let f = fixture().await;
    let s = f.session(1);
    let first = store::Delivery { fp: Some([5; 32]), ..delivery(1, MAIL) };
    let resend = store::Delivery { fp: Some([5; 32]), ..delivery(2, MAIL) };
    assert!(matches!(f.mailbox.deliver(first.clone()).await.unwrap(), Delivered::Stored(_)));
    let results = f.mailbox.deliver_many(vec![first.clone(), resend.clone(), delivery(3, "b: c\r\n\r\n")]).await;
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results[..2], [Delivered::Duplicate; 2]);
    let trace = "Return-Path: <x@example.org>\r\n";
    assert_eq!(s.bodies("INBOX").await, [format!("{trace}{MAIL}").into_bytes(), format!("{trace}b: c\r\n\r\n").into()]);
    let inbox = view(&s.select("INBOX").await);
    s.store(&inbox, "1:*".replace('*', "9").as_str(), StoreMode::Add, &["\\Deleted"]).await;
    s.expunge(&inbox, None).await;
    f.mailbox.settle(vec![resend.txid]).await.unwrap();
    assert_eq!(f.mailbox.deliver(first).await.unwrap(), Delivered::Duplicate);
    assert_eq!(f.mailbox.deliver(resend).await.unwrap(), Delivered::Duplicate);
    let repeat = store::Delivery { fp: Some([5; 32]), ..delivery(4, MAIL) };
    assert!(matches!(f.mailbox.deliver(repeat).await.unwrap(), Delivered::Stored(uid) if uid.0 == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_sender_was_told_to_try_again_does_not_come_in_later() {
    let f = fixture().await;
    let late = store::Delivery { until: Some(std::time::Instant::now()), ..delivery(1, MAIL) };
    assert_eq!(f.mailbox.deliver(late.clone()).await.unwrap_err().code, Code::Unavailable);
    assert!(f.session(1).bodies("INBOX").await.is_empty());
    assert!(matches!(f.mailbox.deliver(delivery(1, MAIL)).await.unwrap(), Delivered::Stored(_)));
    assert_eq!(f.mailbox.deliver(late).await.unwrap(), Delivered::Duplicate, "it came in time after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_readable_is_on_disk() {
    let f = fixture().await;
    let s = f.session(1);
    s.create("Secretfoldername").await.unwrap();
    s.append("Secretfoldername", "Subject: Needlesubject\r\n\r\nNeedlebody").await.unwrap();
    for entry in fs::read_dir(f.path().parent().unwrap()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for needle in ["Secretfoldername", "Needlesubject", "Needlebody", "SQLite format"] {
            assert!(memchr::memmem::find(&bytes, needle.as_bytes()).is_none(), "{needle}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprint_belongs_to_the_last_transaction_that_brought_the_message() {
    let f = fixture().await;
    let with_fp = |n: u8, settled| store::Delivery { fp: Some([5; 32]), settled, ..delivery(n, MAIL) };
    let is_stored = async |n, settled| match f.mailbox.deliver(with_fp(n, settled)).await.unwrap() {
        Delivered::Stored(_) => true,
        Delivered::Duplicate => false,
    };
    assert!(is_stored(1, false).await);
    // The first 250 was never read; the second one was.
    assert!(!is_stored(2, false).await);
    f.mailbox.settle(vec![model::TxId([2; 16])]).await.unwrap();
    assert!(is_stored(3, false).await, "a repeat that is meant");
    // A resend that waited in the spool, of which the sender knows that we have it.
    assert!(!is_stored(4, true).await);
    assert!(is_stored(5, true).await, "a repeat that is meant");
    assert!(is_stored(6, false).await, "a settled one suppresses nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_began_before_a_later_one_is_a_duplicate_whenever_it_comes_and_takes_nothing_over() {
    let f = fixture().await;
    let attempt = |n: u8| {
        let began = jiff::Timestamp::from_second(1_700_000_000 + i64::from(n)).unwrap();
        store::Delivery { fp: Some([5; 32]), began, ..delivery(n, MAIL) }
    };
    let is_stored = async |n| matches!(f.mailbox.deliver(attempt(n)).await.unwrap(), Delivered::Stored(_));
    assert!(is_stored(2).await);
    assert!(!is_stored(1).await, "it comes before the settlement of the other one");
    f.mailbox.settle(vec![model::TxId([2; 16])]).await.unwrap();
    assert!(!is_stored(0).await, "it comes after that");
    assert!(is_stored(3).await, "a repeat that is meant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_brought_the_message_is_a_duplicate_whenever_it_comes_again() {
    let f = fixture().await;
    let with_fp = |n: u8, settled| store::Delivery { fp: Some([5; 32]), settled, ..delivery(n, MAIL) };
    let is_stored = async |n, settled| {
        let delivered = f.mailbox.deliver(with_fp(n, settled)).await.unwrap();
        matches!(delivered, Delivered::Stored(_))
    };
    assert!(is_stored(1, false).await);
    // The answer to the second was lost between us and the MX, which brings it again; its sender reads that 250 before it
    // comes out of the spool.
    assert!(!is_stored(2, false).await);
    f.mailbox.settle(vec![model::TxId([2; 16])]).await.unwrap();
    assert!(!is_stored(2, true).await);
    assert!(!is_stored(2, false).await);
    assert!(is_stored(3, false).await, "a repeat that is meant");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_committed_together_that_need_more_memory_than_there_is_take_turns() {
    let limits = Limits { memory: 4 << 20, ..patient() };
    let f = with_limits(limits, false).await;
    let s = f.session(1);
    let large = format!("Subject: x\r\n\r\n{}", "x".repeat(3 << 20));
    let deliveries = || (1..4).map(|n| delivery(n, &large)).collect();
    let (one, other) =
        soon(async { tokio::join!(f.mailbox.deliver_many(deliveries()), f.mailbox.deliver_many(deliveries())) }).await;
    let stored = one.into_iter().chain(other).filter(|result| matches!(result, Ok(Delivered::Stored(_)))).count();
    assert_eq!(stored, 3);
    let batch = (0..3).map(|_| s.appending("Sent", &[], large.clone())).collect();
    assert_eq!(soon(s.mailbox.append_many(s.id, batch)).await.unwrap().len(), 3);
    assert!(s.bodies("Sent").await.iter().all(|body| *body == large.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_notes_go_at_the_next_attach_also_where_nothing_is_ever_expunged() {
    let f = fixture().await;
    for sql in ["INSERT INTO done VALUES(x'01', 1, 1, x'00')", "INSERT INTO fp VALUES(x'01', x'01', 1, 1, 0)"] {
        f.sql(&format!("{sql} RETURNING 1"));
    }
    f.session(1).append("INBOX", MAIL).await.unwrap();
    f.mailboxes.detach(id()).await;
    f.mailboxes.attach(id(), dek()).await.unwrap();
    assert_eq!(f.sql("SELECT (SELECT count(*) FROM done) * 10 + (SELECT count(*) FROM fp)"), 10, "the append's answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_main_file_is_an_error_and_not_an_empty_mailbox() {
    let f = fixture().await;
    let other = tempfile::tempdir().unwrap();
    let layout = Layout::new(other.path());
    fs::create_dir_all(layout.mailbox_dir(id())).unwrap();
    fs::copy(f.path().with_file_name("mailbox.sqlite-wal"), layout.mailbox_dir(id()).join("mailbox.sqlite-wal"))
        .unwrap();
    let refused = Mailboxes::new(layout.clone(), patient()).attach(id(), dek()).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))));
}
