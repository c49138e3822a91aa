use super::*;

fn id(n: u8) -> MailboxId {
    MailboxId::from_random([n; 17])
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

fn due(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn all(_: MailboxId) -> bool {
    true
}

#[test]
fn what_comes_within_the_lag_is_one_turn() {
    let mut agenda = Agenda::default();
    for n in 0..5 {
        agenda.note(id(1), Some(at(n)), due(n as u64 + 100));
    }
    assert_eq!((agenda.next(due(99), 8, all), agenda.wakes(all)), (None, Some(due(100))));
    assert_eq!(agenda.next(due(100), 8, all), Some(id(1)));
    assert_eq!(agenda.next(due(500), 8, all), None);
    assert_eq!(agenda.oldest(all), (Some(at(0)), 1));
    agenda.done(id(1), None);
    assert_eq!((agenda.oldest(all), agenda.wakes(all)), ((None, 0), None));
}

#[test]
fn what_comes_during_a_turn_makes_another_one() {
    let mut agenda = Agenda::default();
    agenda.note(id(1), Some(at(0)), due(10));
    assert_eq!(agenda.next(due(10), 8, all), Some(id(1)));
    agenda.note(id(1), Some(at(12)), due(22));
    assert_eq!(agenda.next(due(30), 8, all), None, "a mailbox has one turn at a time");
    agenda.done(id(1), None);
    assert_eq!(agenda.oldest(all), (Some(at(12)), 1));
    assert_eq!(agenda.next(due(30), 8, all), Some(id(1)));
}

#[test]
fn failures_wait_longer_and_longer_and_the_age_is_not_forgotten() {
    let mut agenda = Agenda::default();
    agenda.note(id(1), Some(at(0)), due(0));
    let mut now = due(0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(agenda.next(now, 8, all), Some(id(1)));
        agenda.note(id(1), Some(at(5)), now);
        agenda.failed(id(1), now);
        let next = agenda.wakes(all).unwrap();
        waits.push(next.saturating_sub(now).as_millis());
        now = next;
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
    assert_eq!(agenda.oldest(all).0, Some(at(0)));
    agenda.retry(due(0));
    assert_eq!(agenda.next(due(0), 8, all), Some(id(1)));
    agenda.done(id(1), None);
    assert_eq!(agenda.oldest(all), (None, 0));
}

#[test]
fn no_more_turns_run_than_may_and_the_oldest_goes_first() {
    let mut agenda = Agenda::default();
    for n in 1..=3 {
        agenda.note(id(n), None, due(100 - u64::from(n)));
    }
    assert_eq!(agenda.next(due(200), 2, |mailbox| mailbox != id(3)), Some(id(2)));
    assert_eq!(agenda.next(due(200), 2, all), Some(id(3)));
    assert_eq!(agenda.next(due(200), 2, all), None);
    agenda.done(id(2), Some(due(900)));
    assert_eq!(agenda.next(due(200), 2, all), Some(id(1)));
    agenda.done(id(3), None);
    assert_eq!((agenda.wakes(all), agenda.running()), (Some(due(900)), 1));
}
