use super::*;

fn mailbox(n: u8) -> MailboxId {
    MailboxId::from_random([n; 17])
}

fn commit(n: u64) -> Commit {
    Commit { frame: n as u32, commit: n, time: Timestamp::UNIX_EPOCH }
}

fn numbers(dirty: &Dirty) -> Vec<u64> {
    dirty.commits.iter().map(|commit| commit.commit).collect()
}

#[test]
fn a_cursor_acknowledges_what_came_before_it() {
    let notices = Notices::default();
    let (cursor, dirty) = notices.after(0);
    assert!(dirty.is_empty());
    notices.note(mailbox(1), Database::Mailbox, Some([1, 1]), commit(1));
    notices.note(mailbox(1), Database::Spool, Some([2, 2]), commit(7));
    let (cursor, dirty) = notices.after(cursor);
    assert_eq!(dirty.iter().map(|dirty| dirty.database).collect::<Vec<_>>(), [Database::Mailbox, Database::Spool]);
    assert_eq!(notices.after(0).1.len(), 2, "an answer that was lost comes again");
    notices.note(mailbox(1), Database::Mailbox, Some([1, 1]), commit(2));
    let (cursor, dirty) = notices.after(cursor);
    assert_eq!(dirty.iter().map(numbers).collect::<Vec<_>>(), [[2]]);
    assert!(notices.after(cursor).1.is_empty() && notices.known().databases.is_empty());
}

#[test]
fn many_commits_are_thinned_out_and_the_last_is_always_there() {
    let notices = Notices::default();
    for n in 1..=1000 {
        notices.note(mailbox(1), Database::Mailbox, Some([1, 1]), commit(n));
        let (_, dirty) = notices.after(0);
        let numbers = numbers(&dirty[0]);
        assert!(numbers.len() <= MOST && numbers.is_sorted() && numbers.last() == Some(&n));
    }
    let kept = numbers(&notices.after(0).1[0]).len();
    assert_eq!(notices.known().commits, kept);
}

#[test]
fn a_reset_begins_a_list_of_its_own_and_two_of_them_are_kept() {
    let notices = Notices::default();
    for n in 1..=3 {
        notices.note(mailbox(1), Database::Mailbox, Some([n, n]), commit(u64::from(n)));
    }
    let (_, dirty) = notices.after(0);
    assert_eq!(dirty.iter().map(|dirty| dirty.salts.unwrap()).collect::<Vec<_>>(), [[2, 2], [3, 3]]);
    assert_eq!(notices.known().commits, 2);
}

#[test]
fn all_databases_together_are_bounded() {
    let notices = Notices::default();
    for n in 0..4 * MOST_IN_ALL as u64 {
        let id = MailboxId::from_random(std::array::from_fn(|at| ((n % 5000) >> (8 * at.min(7))) as u8));
        notices.note(id, Database::Mailbox, Some([1, 1]), commit(n));
    }
    let known = notices.known();
    assert!(known.commits <= MOST_IN_ALL);
    let lasts: Vec<_> = known.databases.values().map(|lives| lives[0].commits.last().unwrap().1.commit).collect();
    assert!(lasts.len() == 5000 && lasts.iter().all(|last| *last >= 4 * MOST_IN_ALL as u64 - 5000));
}

#[tokio::test]
async fn waiting_ends_with_a_commit_or_with_the_patience() {
    let notices = Arc::new(Notices::default());
    let (cursor, dirty) = notices.wait_after(0, Duration::from_millis(1)).await;
    assert!(cursor == 0 && dirty.is_empty());
    let waiting = tokio::spawn({
        let notices = notices.clone();
        async move { notices.wait_after(0, Duration::from_hours(1)).await }
    });
    tokio::task::yield_now().await;
    notices.note(mailbox(1), Database::Keys, None, commit(1));
    assert_eq!(waiting.await.unwrap().1.len(), 1);
}
