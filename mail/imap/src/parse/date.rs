//! Dates and times (RFC 3501 section 9: `date`, `date-time`).

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use super::cursor::{Cursor, Parsed};

/// By number, from January.
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const WRONG: &str = "Invalid date";

/// `1-Feb-1994`, quoted or not.
pub(crate) fn date(cursor: &mut Cursor) -> Parsed<Date> {
    let quoted = cursor.eat(b'"');
    let date = day(cursor)?;
    if quoted {
        cursor.expect(b'"', WRONG)?;
    }
    Ok(date)
}

/// `" 7-Feb-1994 21:52:25 -0800"`.
pub(crate) fn date_time(cursor: &mut Cursor) -> Parsed<Timestamp> {
    cursor.expect(b'"', WRONG)?;
    cursor.eat(b' ');
    let date = day(cursor)?;
    cursor.expect(b' ', WRONG)?;
    let hour = small(cursor)?;
    cursor.expect(b':', WRONG)?;
    let minute = small(cursor)?;
    cursor.expect(b':', WRONG)?;
    // A leap second is the second before it to us.
    let second = small(cursor)?.min(59);
    cursor.expect(b' ', WRONG)?;
    let offset = offset(cursor)?;
    cursor.expect(b'"', WRONG)?;
    let time = Time::new(hour, minute, second, 0).map_err(|_| WRONG)?;
    let zoned = date.to_datetime(time).to_zoned(TimeZone::fixed(offset)).map_err(|_| WRONG)?;
    Ok(zoned.timestamp())
}

fn day(cursor: &mut Cursor) -> Parsed<Date> {
    let day = small(cursor)?;
    cursor.expect(b'-', WRONG)?;
    let name = cursor.take_while(|b| b.is_ascii_alphabetic());
    let month = MONTHS.iter().position(|m| m.as_bytes().eq_ignore_ascii_case(name)).ok_or(WRONG)?;
    cursor.expect(b'-', WRONG)?;
    let year = i16::try_from(cursor.number().map_err(|_| WRONG)?).map_err(|_| WRONG)?;
    Date::new(year, month as i8 + 1, day).map_err(|_| WRONG)
}

fn small(cursor: &mut Cursor) -> Parsed<i8> {
    i8::try_from(cursor.number().map_err(|_| WRONG)?).map_err(|_| WRONG)
}

fn offset(cursor: &mut Cursor) -> Parsed<Offset> {
    let east = if cursor.eat(b'+') { 1 } else { cursor.expect(b'-', WRONG).map(|()| -1)? };
    let zone = i32::try_from(cursor.number().map_err(|_| WRONG)?).map_err(|_| WRONG)?;
    if zone % 100 > 59 {
        return Err(WRONG);
    }
    Offset::from_seconds(east * (zone / 100 * 3600 + zone % 100 * 60)).map_err(|_| WRONG)
}
