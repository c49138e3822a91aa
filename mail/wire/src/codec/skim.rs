//! Walks over a MessagePack value without recursion, to learn how deep it nests.
//!
//! `rmp-serde` counts arrays and maps of its own reading but not the maps that enums are, so a megabyte of nested search
//! keys would end the stack, and with it the process.

/// True where the message is made of whole values that nest no deeper than `limit`.
pub fn is_shallow(message: &[u8], limit: usize) -> bool {
    let mut reader = Reader(message);
    // How many values are still to come in each open array or map.
    let mut open: Vec<u64> = Vec::new();
    while !reader.0.is_empty() {
        let Some(values) = reader.value() else { return false };
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if values > 0 {
            open.push(values);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > limit {
            return false;
        }
    }
    open.is_empty()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Steps over one value, or over the head of an array or map: how many values follow inside. None at a cut.
    fn value(&mut self) -> Option<u64> {
        let marker = self.number(1)?;
        let (skip, inside) = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0),
            0x80..=0x8f => (0, 2 * (marker & 0x0f)),
            0x90..=0x9f => (0, marker & 0x0f),
            0xa0..=0xbf => (marker & 0x1f, 0),
            0xc4 | 0xd9 => (self.number(1)?, 0),
            0xc5 | 0xda => (self.number(2)?, 0),
            0xc6 | 0xdb => (self.number(4)?, 0),
            0xc7 => (self.number(1)? + 1, 0),
            0xc8 => (self.number(2)? + 1, 0),
            0xc9 => (self.number(4)? + 1, 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 => (2, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xd4..=0xd8 => ((1 << (marker - 0xd4)) + 1, 0),
            0xdc => (0, self.number(2)?),
            0xdd => (0, self.number(4)?),
            0xde => (0, 2 * self.number(2)?),
            0xdf => (0, 2 * self.number(4)?),
            _ => return None,
        };
        self.0 = self.0.get(usize::try_from(skip).ok()?..)?;
        Some(inside)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let (head, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(head.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}
