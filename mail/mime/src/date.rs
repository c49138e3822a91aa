//! Dates of headers (RFC 5322 section 3.3 with its obsolete forms), read leniently.

use crate::header::header_value;
use crate::lex::Lexer;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// When a message says it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentDate {
    /// The instant.
    pub utc: Timestamp,
    /// The calendar day as written, whatever its time zone: what SENTON, SENTBEFORE and SENTSINCE compare.
    pub day: Date,
}

/// The Date of a header block; `None` if there is none or it makes no sense.
pub fn sent_date(block: &[u8]) -> Option<SentDate> {
    parse_date(&header_value(block, "date")?)
}

/// Parses one date: day, month and year in that order (or as `asctime` writes them), with or without time and zone.
pub fn parse_date(value: &[u8]) -> Option<SentDate> {
    let mut found = Fields::default();
    let mut lexer = Lexer::new(value);
    loop {
        lexer.skip();
        let sign = match lexer.peek() {
            None => break,
            Some(byte) if !byte.is_ascii_alphanumeric() => lexer.bump(),
            Some(_) => None,
        };
        // Separators end a word, so that `1-Jan-2020` and `Mon,1 Jan` come apart.
        found.word(sign, lexer.word(b"-+,;/\"()"));
    }
    found.finish()
}

#[derive(Default)]
struct Fields {
    day: Option<i8>,
    month: Option<i8>,
    year: Option<i16>,
    time: Option<Time>,
    /// Seconds east of UTC.
    zone: Option<i32>,
}

impl Fields {
    fn word(&mut self, sign: Option<u8>, word: &[u8]) {
        let Ok(word) = std::str::from_utf8(word) else { return };
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if word.contains(':') {
            self.time = self.time.or_else(|| time(word));
        } else if digits && self.time.is_some() && word.len() == 4 && matches!(sign, Some(b'+' | b'-')) {
            self.zone = self.zone.or_else(|| offset(sign, word));
        } else if digits {
            self.number(word);
        } else if self.month.is_none() && month(word).is_some() {
            self.month = month(word);
        } else if self.zone.is_none() && self.time.is_some() {
            self.zone = zone(word);
        }
    }

    fn number(&mut self, word: &str) {
        if self.day.is_none() && word.len() <= 2 {
            self.day = word.parse().ok();
        } else if self.year.is_none() && word.len() <= 4 {
            self.year = word.parse().ok().map(|year: i16| match (word.len(), year) {
                // RFC 5322 section 4.3.
                (..=2, ..50) => year + 2000,
                (..=3, _) => year + 1900,
                _ => year,
            });
        }
    }

    fn finish(self) -> Option<SentDate> {
        let day = Date::new(self.year?, self.month?, self.day?).ok()?;
        let local = DateTime::from_parts(day, self.time.unwrap_or(Time::midnight()));
        let utc = Offset::UTC.to_timestamp(local).ok()?;
        let utc = utc.checked_sub(SignedDuration::from_secs(i64::from(self.zone.unwrap_or(0)))).ok()?;
        Some(SentDate { utc, day })
    }
}

/// `hh:mm` or `hh:mm:ss`; a leap second counts as the second before it.
fn time(word: &str) -> Option<Time> {
    let mut parts = word.splitn(3, ':').map(|part| part.split('.').next().unwrap_or_default().parse::<i8>());
    let (hour, minute) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let second = parts.next().and_then(Result::ok).unwrap_or(0);
    Time::new(hour, minute, second.min(59), 0).ok()
}

fn offset(sign: Option<u8>, word: &str) -> Option<i32> {
    let number: i32 = word.parse().ok()?;
    let seconds = (number / 100 * 60 + number % 100) * 60;
    Some(if sign == Some(b'-') { -seconds } else { seconds })
}

fn month(word: &str) -> Option<i8> {
    const NAMES: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let head = word.get(..3)?;
    NAMES.iter().position(|name| head.eq_ignore_ascii_case(name)).map(|at| at as i8 + 1)
}

/// Named zones of RFC 5322 section 4.3; any other name is UTC, as it says.
fn zone(word: &str) -> Option<i32> {
    let hours = match word.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        "CET" => 1,
        "CEST" | "EET" => 2,
        "" | "AM" | "PM" => return None,
        _ => 0,
    };
    Some(hours * 3600)
}

#[cfg(test)]
mod tests;
