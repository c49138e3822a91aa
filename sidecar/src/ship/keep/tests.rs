use jiff::tz;
use proptest::prelude::*;

use super::*;

fn retention(keep_last: u32, daily: u32, weekly: u32, monthly: u32) -> Retention {
    Retention { window_days: 30, keep_last, daily, weekly, monthly }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The days of those that stay.
fn days(times: &[Timestamp], retention: &Retention, now: &str) -> Vec<String> {
    let flags = kept(times, retention, &TimeZone::UTC, time(now));
    let stay = times.iter().zip(flags).filter(|(_, stays)| *stays);
    stay.map(|(time, _)| time.to_string()[..10].to_owned()).collect()
}

/// A snapshot at three in the morning of each of so many days, the last of them on the 31st of March 2026, a Tuesday.
fn nightly(count: i64) -> Vec<Timestamp> {
    let last = time("2026-03-31T03:00:00Z");
    (0..count).rev().map(|back| last - jiff::SignedDuration::from_hours(24 * back)).collect()
}

#[test]
fn the_last_of_each_day_week_and_month_stays() {
    let all = nightly(400);
    let now = "2026-03-31T12:00:00Z";
    assert_eq!(days(&all, &retention(3, 0, 0, 0), now), ["2026-03-29", "2026-03-30", "2026-03-31"]);
    assert_eq!(days(&all, &retention(0, 2, 0, 0), now), ["2026-03-30", "2026-03-31"]);
    assert_eq!(days(&all, &retention(0, 0, 3, 0), now), ["2026-03-22", "2026-03-29", "2026-03-31"]);
    assert_eq!(days(&all, &retention(0, 0, 0, 3), now), ["2026-01-31", "2026-02-28", "2026-03-31"]);
    assert_eq!(days(&all, &retention(0, 0, 0, 0), now), ["2026-03-31"], "the newest one always");
    assert_eq!(kept(&[], &retention(1, 1, 1, 1), &TimeZone::UTC, time(now)), Vec::<bool>::new());
}

#[test]
fn a_snapshot_stands_for_the_days_on_which_nothing_changed() {
    let all = [time("2026-03-02T03:00:00Z"), time("2026-03-20T03:00:00Z")];
    // Of the seven days up to the 21st five had the older one in force.
    assert_eq!(days(&all, &retention(1, 7, 0, 0), "2026-03-21T12:00:00Z"), ["2026-03-02", "2026-03-20"]);
    assert_eq!(days(&all, &retention(1, 7, 0, 0), "2026-03-25T12:00:00Z"), ["2026-03-02", "2026-03-20"]);
    // And then it has stood for none: what was deleted on the 20th is gone for good.
    assert_eq!(days(&all, &retention(1, 7, 0, 0), "2026-03-26T12:00:00Z"), ["2026-03-20"]);
}

#[test]
fn a_day_ends_at_midnight_of_the_policys_zone() {
    let zone = TimeZone::fixed(tz::offset(2));
    let (late, early) = (time("2026-03-30T21:59:59Z"), time("2026-03-30T22:00:00Z"));
    let now = time("2026-03-31T10:00:00Z");
    assert_eq!(kept(&[late, early], &retention(1, 2, 0, 0), &zone, now), [true, true]);
    assert_eq!(kept(&[late, early], &retention(1, 2, 0, 0), &TimeZone::UTC, now), [false, true], "one day there");
}

const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/Santiago", "Pacific/Apia"];

fn zone(name: &str) -> TimeZone {
    model::cron::Cron::parse("0 0 * * *", name).unwrap().zone().clone()
}

fn any_retention() -> impl Strategy<Value = Retention> {
    (0_u32..4, 0_u32..10, 0_u32..6, 0_u32..6)
        .prop_map(|(last, daily, weekly, monthly)| retention(last, daily, weekly, monthly))
}

fn any_times() -> impl Strategy<Value = Vec<Timestamp>> {
    let seconds = prop::collection::btree_set(1_700_000_000_i64..1_720_000_000, 0..60);
    seconds.prop_map(|all| all.into_iter().map(|second| Timestamp::from_second(second).unwrap()).collect())
}

fn stay(times: &[Timestamp], retention: &Retention, zone: &TimeZone, now: Timestamp) -> Vec<Timestamp> {
    times.iter().zip(kept(times, retention, zone, now)).filter(|(_, stays)| *stays).map(|(time, _)| *time).collect()
}

proptest! {
    #[test]
    fn the_newest_stay_and_a_second_look_removes_nothing(
        times in any_times(), retention in any_retention(), zone_name in prop::sample::select(&ZONES[..]), later in 0_i64..10_000_000,
    ) {
        let (zone, now) = (zone(zone_name), Timestamp::from_second(1_715_000_000 + later).unwrap());
        let left = stay(&times, &retention, &zone, now);
        let newest = times.len() - times.len().min(retention.keep_last.max(1) as usize);
        prop_assert!(times[newest..].iter().all(|time| left.contains(time)));
        prop_assert_eq!(&stay(&left, &retention, &zone, now), &left);
    }

    #[test]
    fn what_has_gone_is_never_wanted_later(
        times in any_times(), retention in any_retention(), zone_name in prop::sample::select(&ZONES[..]), later in 0_i64..20_000_000,
    ) {
        let zone = zone(zone_name);
        let now = times.last().copied().unwrap_or(Timestamp::UNIX_EPOCH);
        let then = now + jiff::SignedDuration::from_secs(later);
        let left = stay(&times, &retention, &zone, now);
        prop_assert_eq!(stay(&left, &retention, &zone, then), stay(&times, &retention, &zone, then));
    }

    #[test]
    fn every_day_of_so_many_can_be_had(
        times in any_times(), daily in 1_u32..40, zone_name in prop::sample::select(&ZONES[..]),
    ) {
        let (zone, now) = (zone(zone_name), Timestamp::from_second(1_720_000_000).unwrap());
        let left = stay(&times, &retention(1, daily, 0, 0), &zone, now);
        let today = zone.to_datetime(now).date();
        for back in 0..i64::from(daily) {
            let end = today.checked_sub(back.days()).unwrap().tomorrow().unwrap().to_zoned(zone.clone()).unwrap().timestamp();
            let of = |all: &[Timestamp]| all.iter().rfind(|time| **time < end).copied();
            prop_assert_eq!(of(&left), of(&times));
        }
    }
}
