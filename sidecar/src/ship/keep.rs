//! Which snapshots stay: a decision about times alone.
//!
//! * The newest one always stays, and so many before it as `keepLast` says.
//! * Of each of the last `daily` days, `weekly` weeks and `monthly` months (the present one counts) the snapshot that was in
//!   force at its end: the newest one that was there then. None is made of what did not change, so one may stand for many
//!   days. Weeks begin on Monday; days are those of the policy's zone.
//! * So a snapshot goes once it is older than every period that it stood for: mail that was deleted leaves the bucket.
//! * What goes is never wanted later: see the properties in the tests.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};
use model::backup::Retention;

/// Which of the snapshots made at these times, oldest first, stay.
pub fn kept(times: &[Timestamp], retention: &Retention, zone: &TimeZone, now: Timestamp) -> Vec<bool> {
    let mut kept = vec![false; times.len()];
    let last = times.len().saturating_sub(retention.keep_last.max(1) as usize);
    kept[last..].fill(true);
    let today = zone.to_datetime(now).date();
    let monday = today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days()).unwrap_or(today);
    let periods = [
        (today, 1.day(), retention.daily),
        (monday, 1.week(), retention.weekly),
        (today.first_of_month(), 1.month(), retention.monthly),
    ];
    for (current, length, count) in periods {
        for end in ends(current, length, count, zone) {
            // Made before the period ended; those that come later stand for later ones.
            let before = times.partition_point(|time| *time < end);
            if let Some(in_force) = before.checked_sub(1) {
                kept[in_force] = true;
            }
        }
    }
    kept
}

/// The ends of the last `count` periods; the present one begins with `current`.
fn ends(current: Date, length: Span, count: u32, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
    (0..i64::from(count)).map_while(move |back| {
        let end = current.checked_add(length.checked_mul(1 - back).ok()?).ok()?;
        // A midnight that does not exist is the moment at which clocks go forward.
        zone.to_ambiguous_timestamp(end.at(0, 0, 0, 0)).compatible().ok()
    })
}

#[cfg(test)]
mod tests;
