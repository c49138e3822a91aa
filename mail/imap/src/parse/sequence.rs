//! Sequence sets: `1,3:5,7:*` (RFC 3501 section 9).

use super::cursor::{Cursor, Parsed};

/// A set of numbers as the client wrote it. `*` is [`STAR`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence(pub Vec<(u32, u32)>);

/// The highest number there is.
pub const STAR: u32 = u32::MAX;

impl Sequence {
    /// The ranges with `*` put in, each ascending.
    pub fn ranges(&self, star: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let value = move |n: u32| if n == STAR { star } else { n };
        self.0.iter().map(move |&(a, b)| (value(a).min(value(b)), value(a).max(value(b))))
    }
}

pub(crate) fn sequence(cursor: &mut Cursor) -> Parsed<Sequence> {
    let mut ranges = Vec::new();
    loop {
        let first = number(cursor)?;
        let last = if cursor.eat(b':') { number(cursor)? } else { first };
        ranges.push((first, last));
        if !cursor.eat(b',') {
            return Ok(Sequence(ranges));
        }
    }
}

fn number(cursor: &mut Cursor) -> Parsed<u32> {
    if cursor.eat(b'*') {
        return Ok(STAR);
    }
    let number = cursor.number().map_err(|_| "Invalid message set")?;
    u32::try_from(number).ok().filter(|&n| n > 0).ok_or("Invalid message set")
}
