use std::pin::Pin;
use std::task::Poll;

use model::verbs::*;
use model::{Keywords, ModSeq, Uid};

use crate::fixture::*;

async fn filled(n: u32) -> (Fixture, Session, Session) {
    let f = fixture().await;
    let (a, b) = (f.session(1), f.session(2));
    for i in 0..n {
        a.append("INBOX", format!("Subject: {i}\r\n\r\n{i}")).await.unwrap();
    }
    (f, a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_learns_what_another_one_did_and_nothing_twice() {
    let (_f, a, b) = filled(3).await;
    let (mine, theirs) = (view(&a.select("INBOX").await), view(&b.select("INBOX").await));
    assert_eq!(b.sync(&theirs).await, Delta { modseq: theirs.since, uidnext: Uid(4), ..Delta::default() });
    let stored = a.store(&mine, "2", StoreMode::Add, &["\\Seen", "Work"]).await;
    assert!(stored.delta.changed.is_empty() && stored.rows.len() == 1);
    a.append("INBOX", "Subject: new\r\n\r\n").await.unwrap();
    let delta = b.sync(&theirs).await;
    assert_eq!((delta.changed.uids.clone(), delta.changed.flags.clone()), (vec![2], vec![8 | 32]));
    assert_eq!((delta.appeared.clone(), delta.keywords.clone()), (uids("4"), Some(Keywords(vec!["Work".into()]))));
    let theirs = View { keywords: 1, ..moved_on(&theirs, &delta) };
    assert_eq!(b.sync(&theirs).await, Delta { modseq: theirs.since, uidnext: Uid(5), ..Delta::default() });
    // What comes with the store of one session is what the other did before.
    b.store(&theirs, "1", StoreMode::Add, &["\\Flagged"]).await;
    let view = View { since: stored.modseq, keywords: 1, ..mine };
    let stored = a.store(&view, "1,3", StoreMode::Add, &["\\Deleted"]).await;
    assert_eq!((stored.delta.changed.uids, stored.delta.appeared), (vec![1], uids("4")));
    assert_eq!(stored.rows.flags, [2 | 4, 4]);
    let expunged = a.expunge(&View { since: stored.modseq, uidnext: Uid(5), ..view }, None).await;
    assert_eq!(expunged.uids, uids("1,3"));
    assert!(expunged.delta.vanished.is_empty());
    assert_eq!(b.sync(&theirs).await.vanished, uids("1,3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_set_added_and_removed() {
    let (_f, a, _) = filled(2).await;
    let inbox = view(&a.select("INBOX").await);
    let row = |stored: Stored| (stored.rows.flags, stored.modseq);
    let (flags, first) = row(a.store(&inbox, "1:2", StoreMode::Replace, &["\\Draft", "\\recent"]).await);
    assert_eq!(flags, [16, 16]);
    let (flags, second) = row(a.store(&inbox, "1", StoreMode::Add, &["$Forwarded"]).await);
    assert!(flags == [16 | 32] && second > first);
    let (flags, third) = row(a.store(&inbox, "1", StoreMode::Add, &["$forwarded"]).await);
    assert!(flags == [16 | 32] && third == second, "nothing changed, nothing counted");
    assert_eq!(row(a.store(&inbox, "1", StoreMode::Remove, &["\\Draft", "never"]).await).0, [32]);
    assert_eq!(a.select("INBOX").await.keywords.0, ["$Forwarded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_room_for_58_keywords() {
    let (_f, a, _) = filled(1).await;
    let inbox = view(&a.select("INBOX").await);
    let names: Vec<_> = (0..58).map(|n| format!("k{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let stored = a.store(&inbox, "1", StoreMode::Add, &names).await;
    assert_eq!(stored.rows.flags, [u64::MAX >> 1 & !31]);
    let store = Store {
        seq: a.next(),
        view: inbox,
        uids: uids("1"),
        mode: StoreMode::Add,
        flags: vec!["\\Seen".into(), "one-more".into()],
        unchanged_since: None,
    };
    assert_eq!(a.ask(Request::Store(store)).await.unwrap_err().code, Code::Limit);
    assert_eq!(a.store(&inbox, "1", StoreMode::Remove, &[]).await.rows.flags, [u64::MAX >> 1 & !31]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_store_leaves_what_changed_and_repeats_its_answer() {
    let (_f, a, b) = filled(3).await;
    let inbox = view(&a.select("INBOX").await);
    b.store(&inbox, "2", StoreMode::Add, &["\\Seen"]).await;
    let store = Store {
        seq: a.next(),
        view: inbox,
        uids: uids("1:3"),
        mode: StoreMode::Add,
        flags: vec!["\\Flagged".into()],
        unchanged_since: Some(inbox.since),
    };
    let first = a.ask(Request::Store(store.clone())).await.unwrap();
    let Answer::Stored(stored) = &first else { panic!("{first:?}") };
    assert_eq!((stored.modified.clone(), stored.rows.uids.clone()), (uids("2"), vec![1, 3]));
    assert_eq!(stored.delta.changed.uids, [2]);
    assert_eq!(a.ask(Request::Store(store)).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_share_content_and_a_move_leaves_nothing_behind() {
    let (f, a, b) = filled(4).await;
    let (inbox, theirs) = (view(&a.select("INBOX").await), view(&b.select("INBOX").await));
    a.store(&inbox, "2", StoreMode::Add, &["\\Answered"]).await;
    let copied = a.copy(&inbox, "2,4,9", "Archive", false).await.unwrap();
    assert_eq!((copied.from, copied.to), (vec![2, 4], vec![1, 2]));
    assert_eq!(f.sql("SELECT count(*) FROM mail"), 4);
    let moved = a.copy(&inbox, "1:2", "Archive", true).await.unwrap();
    assert_eq!((moved.from, moved.to), (vec![1, 2], vec![3, 4]));
    assert_eq!(b.sync(&theirs).await.vanished, uids("1:2"));
    assert_eq!(a.bodies("Archive").await.len(), 4);
    assert_eq!(a.bodies("INBOX").await, [b"Subject: 2\r\n\r\n2", b"Subject: 3\r\n\r\n3"]);
    let archive = view(&a.select("Archive").await);
    let flags = a.store(&archive, "1:4", StoreMode::Add, &[]).await.rows.flags;
    assert_eq!(flags, [1, 0, 0, 1], "flags go along");
    assert_eq!(a.quota().await.messages, 6);
    assert_eq!(a.copy(&inbox, "3", "nowhere", false).await.unwrap_err().code, Code::TryCreate);
    // Into itself.
    let moved = a.copy(&archive, "1", "Archive", true).await.unwrap();
    assert_eq!((moved.to, moved.appeared), (vec![5], uids("5")));
    assert_eq!(a.select("Archive").await.uids, uids("2:5"));
    assert_eq!(a.quota().await.messages, 6);
    assert_eq!(f.sql("SELECT sum(msgs) FROM folder"), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn uid_expunge_removes_only_what_it_names() {
    let (f, a, _) = filled(4).await;
    let inbox = view(&a.select("INBOX").await);
    a.store(&inbox, "1:3", StoreMode::Add, &["\\Deleted"]).await;
    assert_eq!(a.expunge(&inbox, Some("2:9")).await.uids, uids("2:3"));
    assert_eq!(a.select("INBOX").await.uids, uids("1,4"));
    assert_eq!(f.sql("SELECT count(*) FROM grave"), 2);
    assert_eq!(f.sql("SELECT count(*) FROM mail"), 4, "content rests for a while");
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_marks_seen_and_tells_others_but_not_itself() {
    let (_f, a, b) = filled(2).await;
    let (mine, theirs) = (view(&a.select("INBOX").await), view(&b.select("INBOX").await));
    b.store(&theirs, "2", StoreMode::Add, &["\\Flagged"]).await;
    let events = a.fetch(Fetch { uids: uids("1"), mark_seen: true, ..fetching(&mine, Vec::new()) }).await;
    let [FetchEvent::Head { delta, modseq, .. }, FetchEvent::Rows(rows)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((delta.changed.uids.clone(), rows.flags.clone(), rows.modseqs[0]), (vec![2], vec![8], modseq.0));
    let read = view(&b.select("INBOX").await);
    let again = a.fetch(Fetch { mark_seen: true, uids: uids("1"), ..fetching(&read, Vec::new()) }).await;
    assert!(matches!(&again[0], FetchEvent::Head { modseq, .. } if *modseq == read.since), "nothing was written");
    let since = Some(ModSeq(mine.since.0));
    let events = a.fetch(Fetch { changed_since: since, ..fetching(&mine, Vec::new()) }).await;
    assert!(matches!(&events[1], FetchEvent::Rows(rows) if rows.uids == [1, 2]));
    let events = a.fetch(Fetch { changed_since: Some(read.since), ..fetching(&read, Vec::new()) }).await;
    assert_eq!(events.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_name_the_folders_that_changed() {
    let (f, a, _) = filled(0).await;
    let mut hints = f.mailbox.hints();
    a.append("Sent", "a: b\r\n\r\n").await.unwrap();
    let sent = a.select("Sent").await;
    let hint = soon(hints.recv()).await.unwrap();
    assert_eq!(hint, Hint { modseq: sent.modseq, folders: vec![sent.folder] });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_knows_nothing_gets_everything() {
    let (_f, a, _) = filled(3).await;
    let selected = a.select("INBOX").await;
    let delta = a.sync(&blank(selected.folder)).await;
    assert_eq!((delta.appeared, delta.uidnext), (uids("1:3"), Uid(4)));
}

#[test]
fn what_is_short_is_done_while_every_thread_is_busy_and_what_is_long_waits() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (_f, a, _) = filled(20).await;
        let inbox = view(&a.select("INBOX").await);
        // The first flag is synced, which takes a thread.
        a.store(&inbox, "1", StoreMode::Add, &["\\Flagged"]).await;
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        let stored = a.store(&inbox, "1:3", StoreMode::Add, &["\\Seen"]).await;
        assert_eq!(stored.rows.flags, [2 | 8, 8, 8]);
        assert_eq!(a.search(&inbox, SearchKey::Flag("\\Seen".into())).await, uids("1:3"));
        let inbox = moved_on(&inbox, &a.sync(&inbox).await);
        let fetch = Fetch { uids: uids("2"), ..fetching(&inbox, vec![section(&[], Part::All)]) };
        assert_eq!(a.fetch(fetch).await.len(), 2);
        let mut long = Box::pin(a.store(&inbox, "1:20", StoreMode::Add, &["\\Answered"]));
        assert!(is_pending(long.as_mut()).await);
        // Behind what waits it waits, too.
        let mut behind = Box::pin(a.store(&inbox, "1", StoreMode::Remove, &["\\Seen"]));
        assert!(is_pending(behind.as_mut()).await);
        drop(go_on);
        let (long, behind) = (long.await, behind.await);
        assert!(long.rows.len() == 20 && behind.modseq > long.modseq);
        assert!(busy.await.unwrap().is_err());
    });
}

#[test]
fn what_has_much_to_tell_of_a_large_folder_is_not_short() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (_f, a, _) = filled(4).await;
        let mut inbox = view(&a.select("INBOX").await);
        while inbox.uidnext.0 <= 5000 {
            a.copy(&inbox, "1:8192", "INBOX", false).await.unwrap();
            inbox = view(&a.select("INBOX").await);
        }
        let stored = a.store(&inbox, "1", StoreMode::Add, &["\\Flagged"]).await;
        let inbox = View { since: stored.modseq, ..inbox };
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        assert!(a.sync(&inbox).await.appeared.is_empty(), "nothing is new, which takes no time");
        let stored = a.store(&inbox, "2", StoreMode::Add, &["\\Flagged"]).await;
        let blank = blank(inbox.folder);
        let mut sync = Box::pin(a.sync(&blank));
        let mut store = Box::pin(a.store(&blank, "3", StoreMode::Add, &["\\Flagged"]));
        let mut search = Box::pin(a.search(&inbox, SearchKey::Flag("\\Flagged".into())));
        assert!(is_pending(sync.as_mut()).await && is_pending(store.as_mut()).await);
        assert!(is_pending(search.as_mut()).await);
        drop(go_on);
        let many = u64::from(inbox.uidnext.0 - 1);
        assert_eq!((sync.await.appeared.len(), stored.rows.len()), (many, 1));
        let stored = store.await;
        assert_eq!((stored.delta.appeared.len(), stored.rows.uids), (many, vec![3]));
        let found = search.await;
        assert!(found == uids("1:3") || found == uids("1:2"), "{found}");
        assert!(busy.await.unwrap().is_err());
    });
}

async fn is_pending(mut future: Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}
