use proptest::prelude::*;

use super::*;

fn cron(expression: &str, zone: &str) -> Cron {
    Cron::parse(expression, zone).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next times after a moment, with their local hours.
fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = cron(expression, zone);
    let times = std::iter::successors(cron.next(time(after)), |time| cron.next(*time)).take(count);
    times.map(|time| cron.zone.to_datetime(time).to_string() + " " + &time.to_string()).collect()
}

/// Local parts only.
fn local(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let both = next(expression, zone, after, count);
    both.into_iter().map(|both| both.split(' ').next().unwrap().strip_suffix(":00").unwrap().to_owned()).collect()
}

#[test]
fn the_usual_expressions_give_the_usual_times() {
    let cases: [(&str, [&str; 3]); 12] = [
        ("0 3 * * *", ["2026-01-02T03:00", "2026-01-03T03:00", "2026-01-04T03:00"]),
        ("*/20 * * * *", ["2026-01-01T12:20", "2026-01-01T12:40", "2026-01-01T13:00"]),
        ("5/25 * * * *", ["2026-01-01T12:05", "2026-01-01T12:30", "2026-01-01T12:55"]),
        ("30 6,18 * * *", ["2026-01-01T18:30", "2026-01-02T06:30", "2026-01-02T18:30"]),
        ("0 5 * * 0", ["2026-01-04T05:00", "2026-01-11T05:00", "2026-01-18T05:00"]),
        ("0 5 * * 7", ["2026-01-04T05:00", "2026-01-11T05:00", "2026-01-18T05:00"]),
        ("0 5 * * Sun", ["2026-01-04T05:00", "2026-01-11T05:00", "2026-01-18T05:00"]),
        ("0 9 * * MON-FRI", ["2026-01-02T09:00", "2026-01-05T09:00", "2026-01-06T09:00"]),
        ("0 0 1 jan,jul *", ["2026-07-01T00:00", "2027-01-01T00:00", "2027-07-01T00:00"]),
        ("0 0 31 * *", ["2026-01-31T00:00", "2026-03-31T00:00", "2026-05-31T00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"]),
        ("  0   0 */10  *  * ", ["2026-01-11T00:00", "2026-01-21T00:00", "2026-01-31T00:00"]),
    ];
    for (expression, expected) in cases {
        assert_eq!(local(expression, "Etc/UTC", "2026-01-01T12:00:00Z", 3), expected, "{expression}");
    }
}

#[test]
fn a_day_that_fits_either_of_two_restricted_day_fields_fits() {
    let friday_or_thirteenth = local("0 0 13 * fri", "UTC", "2026-01-01T12:00:00Z", 4);
    assert_eq!(friday_or_thirteenth, ["2026-01-02T00:00", "2026-01-09T00:00", "2026-01-13T00:00", "2026-01-16T00:00"]);
}

#[test]
fn a_time_that_is_skipped_comes_an_hour_later_and_once() {
    let nights = next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
    assert_eq!(
        nights,
        [
            "2026-03-28T02:30:00 2026-03-28T01:30:00Z",
            "2026-03-29T03:30:00 2026-03-29T01:30:00Z",
            "2026-03-30T02:30:00 2026-03-30T00:30:00Z"
        ]
    );
    let quarters = local("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:29:00Z", 4);
    assert_eq!(quarters, ["2026-03-29T01:30", "2026-03-29T03:00", "2026-03-29T03:30", "2026-03-29T04:00"]);
}

#[test]
fn a_time_that_comes_twice_counts_once_but_every_hour_counts() {
    let nights = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(nights, ["2026-10-25T02:30:00 2026-10-25T00:30:00Z", "2026-10-26T02:30:00 2026-10-26T01:30:00Z"]);
    let hours = next("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3);
    assert_eq!(
        hours,
        [
            "2026-10-25T02:00:00 2026-10-25T00:00:00Z",
            "2026-10-25T02:00:00 2026-10-25T01:00:00Z",
            "2026-10-25T03:00:00 2026-10-25T02:00:00Z"
        ]
    );
}

#[test]
fn a_day_that_a_zone_left_out_does_not_stop_a_schedule() {
    let samoa = local("0 3 * * *", "Pacific/Apia", "2011-12-29T14:00:00Z", 2);
    assert_eq!(samoa, ["2011-12-31T03:00", "2012-01-01T03:00"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let wrong = |expression: &str| Cron::parse(expression, "Etc/UTC").unwrap_err().to_string();
    assert_eq!(wrong("0 3 * *"), "has 4 fields, not five: minute, hour, day of month, month, day of week");
    assert_eq!(wrong("@daily"), "has 1 fields, not five: minute, hour, day of month, month, day of week");
    assert_eq!(wrong("60 3 * * *"), "`60` cannot stand in the field `minute`");
    assert_eq!(wrong("0 24 * * *"), "`24` cannot stand in the field `hour`");
    assert_eq!(wrong("0 3 0 * *"), "`0` cannot stand in the field `day of month`");
    assert_eq!(wrong("0 3 * foo *"), "`foo` cannot stand in the field `month`");
    assert_eq!(wrong("0 3 * * 8"), "`8` cannot stand in the field `day of week`");
    assert_eq!(wrong("0 3 * * 5-1"), "`5-1` cannot stand in the field `day of week`");
    assert_eq!(wrong("*/0 3 * * *"), "`*/0` cannot stand in the field `minute`");
    assert_eq!(wrong("0, 3 * * *"), "`` cannot stand in the field `minute`");
    assert_eq!(wrong("0 +3 * * *"), "`+3` cannot stand in the field `hour`");
    assert_eq!(wrong("0 3 30 2 *"), "never comes: no date fits");
    assert_eq!(
        Cron::parse("0 3 * * *", "Mars/Olympus").unwrap_err().to_string(),
        "there is no time zone `Mars/Olympus`"
    );
}

const ZONES: [&str; 6] =
    ["Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca"];

proptest! {
    #[test]
    fn times_are_after_and_nothing_lies_between(
        zone in prop::sample::select(&ZONES[..]),
        expression in prop::sample::select(&["0 3 * * *", "30 2 * * *", "*/15 * * * *", "0 0 1 * *", "59 23 * * 6", "10 1,2 * * *"][..]),
        second in 1_700_000_000_i64..1_900_000_000,
        back in 1_i64..90_000,
    ) {
        let cron = cron(expression, zone);
        let after = Timestamp::from_second(second).unwrap();
        let found = cron.next(after).unwrap();
        prop_assert!(found > after);
        // Asked from any moment in between, or from a little before, the answer agrees.
        let between = Timestamp::from_second((found.as_second() - back).max(second)).unwrap();
        prop_assert_eq!(cron.next(between), Some(found));
        let before = Timestamp::from_second(second - back).unwrap();
        let earlier = cron.next(before).unwrap();
        prop_assert!(earlier <= found);
        prop_assert!(earlier > after || cron.next(earlier).unwrap() <= found);
    }

    #[test]
    fn a_daily_job_runs_once_on_every_local_day(
        zone in prop::sample::select(&ZONES[..]), hour in 0_u8..24, minute in 0_u8..60, second in 1_700_000_000_i64..1_900_000_000,
    ) {
        let cron = cron(&format!("{minute} {hour} * * *"), zone);
        let mut time = cron.next(Timestamp::from_second(second).unwrap()).unwrap();
        for _ in 0..400 {
            let next = cron.next(time).unwrap();
            let (day, next_day) = (cron.zone.to_datetime(time).date(), cron.zone.to_datetime(next).date());
            prop_assert_eq!(day.tomorrow().unwrap(), next_day);
            time = next;
        }
    }

    #[test]
    fn every_mailbox_gets_every_time_once_within_the_spread(bytes in any::<[u8; 17]>(), second in 1_700_000_000_i64..1_900_000_000) {
        let (cron, mailbox) = (cron("0 */6 * * *", "Europe/Berlin"), MailboxId::from_random(bytes));
        let mut after = Timestamp::from_second(second).unwrap();
        let mut due = cron.next_for(&mailbox, after).unwrap();
        prop_assert!(due > after);
        for _ in 0..8 {
            after = due;
            due = cron.next_for(&mailbox, after).unwrap();
            let own = cron.next(due - SPREAD).unwrap();
            prop_assert!(own <= due && cron.next(own).unwrap() > due, "{} {}", own, due);
            prop_assert_eq!(cron.next_for(&mailbox, after).unwrap(), due);
        }
    }
}

#[test]
fn mailboxes_are_spread_evenly() {
    let mut quarters = [0_u32; 4];
    for number in 0..4000_u32 {
        let mut bytes = [0; 17];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let offset = offset(&MailboxId::from_random(bytes)).as_secs();
        quarters[usize::try_from(offset / 900).unwrap()] += 1;
    }
    assert!(quarters.iter().all(|count| (850..1150).contains(count)), "{quarters:?}");
}
