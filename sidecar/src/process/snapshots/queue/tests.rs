use super::*;

fn id(n: u8) -> MailboxId {
    MailboxId::from_random([n; 17])
}

fn daily() -> Cron {
    Cron::parse("0 3 * * *", "UTC").unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn all(_: MailboxId) -> bool {
    true
}

fn met(at: Timestamp) -> Met {
    Met { at, owed: false }
}

/// A queue whose mailboxes 1 to 3 never had a snapshot.
fn fresh() -> Queue {
    let mut queue = Queue::default();
    for n in 1..=3 {
        queue.learn(id(n), Met::default(), Some(&daily()), time("2026-03-10T12:00:00Z"));
    }
    queue
}

#[test]
fn one_is_made_at_a_time_and_the_others_wait_in_order() {
    let (mut queue, now) = (fresh(), time("2026-03-10T12:00:00Z"));
    let order: Vec<MailboxId> = queue.waiting(now).collect();
    assert_eq!(order.len(), 3);
    for (index, mailbox) in order.iter().enumerate() {
        assert_eq!(queue.next(now, all), Some(*mailbox));
        queue.start(*mailbox);
        assert_eq!(queue.next(now, all), None, "the place is taken");
        assert_eq!(queue.waiting(now).collect::<Vec<_>>(), order[index..], "the one being made first");
        queue.learn(*mailbox, met(now), Some(&daily()), now);
        queue.done(*mailbox, Some(&daily()), now);
    }
    assert_eq!((queue.next(now, all), queue.waiting(now).count()), (None, 0));
}

#[test]
fn times_that_were_missed_run_once_and_mailboxes_are_spread() {
    let mut queue = Queue::default();
    let last = time("2026-03-01T03:30:00Z");
    for n in 1..=100 {
        queue.learn(id(n), met(last), Some(&daily()), last);
    }
    // Ten days away.
    let now = time("2026-03-11T12:00:00Z");
    assert_eq!(queue.waiting(now).count(), 100);
    while let Some(mailbox) = queue.next(now, all) {
        queue.start(mailbox);
        queue.learn(mailbox, met(now), Some(&daily()), now);
        queue.done(mailbox, Some(&daily()), now);
    }
    let first = queue.upcoming(all).unwrap();
    assert!(first >= time("2026-03-12T03:00:00Z"), "nothing is made up for twice: {first}");
    let half = time("2026-03-12T03:30:00Z");
    assert!((20..80).contains(&queue.waiting(half).count()), "they do not come all at once");
    assert_eq!(queue.waiting(time("2026-03-12T04:00:00Z")).count(), 100);
}

#[test]
fn a_locked_mailbox_is_due_when_its_owner_comes_and_only_if_one_is_owed() {
    let (mut queue, now) = (Queue::default(), time("2026-03-10T12:00:00Z"));
    queue.learn(id(1), met(now), Some(&daily()), now);
    queue.learn(id(2), Met { at: now, owed: true }, Some(&daily()), now);
    queue.unlocked(id(1), now);
    queue.unlocked(id(2), now);
    assert_eq!(queue.waiting(now).collect::<Vec<_>>(), [id(2)]);
    queue.start(id(2));
    queue.unlocked(id(2), now);
    queue.learn(id(2), met(now), Some(&daily()), now);
    queue.done(id(2), Some(&daily()), now);
    assert_eq!(queue.waiting(now).count(), 0);
}

#[test]
fn what_fails_waits_longer_and_longer_and_lets_others_pass() {
    let (mut queue, mut now) = (fresh(), time("2026-03-10T12:00:00Z"));
    let first = queue.next(now, all).unwrap();
    let mut waits = Vec::new();
    for _ in 0..8 {
        queue.start(first);
        queue.failed(first, now, false);
        assert!(queue.next(now, all).is_some_and(|next| next != first));
        let next = queue.upcoming(|mailbox| mailbox == first).unwrap();
        waits.push(next.duration_since(now).as_mins());
        // What a turn says meanwhile does not hurry it.
        queue.learn(first, Met::default(), Some(&daily()), now);
        now = next;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    queue.start(first);
    queue.failed(first, now, true);
    assert_eq!(queue.upcoming(|mailbox| mailbox == first).unwrap().duration_since(now), SOON);
}

#[test]
fn what_a_turn_is_to_do_is_known_until_it_is_done() {
    let (mut queue, now) = (fresh(), time("2026-03-10T12:00:00Z"));
    queue.start(id(2));
    assert_eq!(queue.wish(id(2)), None);
    queue.want(id(2), Wish::Base);
    queue.want(id(1), Wish::Base);
    assert_eq!((queue.wish(id(2)), queue.wish(id(1))), (Some(Wish::Base), None));
    queue.learn(id(2), met(now), None, now);
    queue.done(id(2), None, now);
    assert_eq!((queue.wish(id(2)), queue.upcoming(|mailbox| mailbox == id(2))), (None, None));
}

#[test]
fn who_asks_comes_first_with_a_schedule_or_without_and_gets_one_that_began_later() {
    let (mut queue, now) = (fresh(), time("2026-03-10T12:00:00Z"));
    queue.learn(id(9), met(now), None, now);
    queue.ask(id(9));
    assert_eq!(queue.next(now, all), Some(id(9)));
    queue.start(id(9));
    // Somebody else asks while it is being made.
    queue.ask(id(9));
    queue.done(id(9), None, now);
    assert_eq!(queue.next(now, all), Some(id(9)));
    queue.start(id(9));
    queue.done(id(9), None, now);
    assert!(queue.next(now, all).is_some_and(|next| next != id(9)), "the others had to wait");
}

#[test]
fn a_policy_without_a_schedule_makes_none_and_a_destination_that_is_away_holds_nobody_up() {
    let (mut queue, now) = (fresh(), time("2026-03-10T12:00:00Z"));
    let second = queue.waiting(now).nth(1).unwrap();
    assert_eq!(queue.next(now, |mailbox| mailbox == second), Some(second));
    let cron = daily();
    queue.reschedule(|mailbox| (mailbox == second).then_some(&cron), now);
    assert_eq!(queue.waiting(now).collect::<Vec<_>>(), [second]);
    queue.start(second);
    queue.forget(second);
    assert_eq!((queue.running(), queue.waiting(now).count()), (None, 0));
}
