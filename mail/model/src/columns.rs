//! Packed number columns: listings travel as delta-encoded variable-length integers, 4 times smaller than numbers in
//! MessagePack.
//!
//! A column is a byte string: for each value the zigzag of its difference to the one before (the first to 0), in
//! LEB128 groups of 7 bits, least significant first. Values wrap at 64 bits, so every `u64` has exactly one form.

use serde::de::Error;
use serde::{Deserializer, Serializer};

/// Appends one value to a column.
fn push(out: &mut Vec<u8>, previous: u64, value: u64) {
    let delta = value.wrapping_sub(previous) as i64;
    let mut zigzag = ((delta << 1) ^ (delta >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// The column that holds these values.
pub fn pack(values: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.size_hint().0 * 2);
    let mut previous = 0;
    for value in values {
        push(&mut out, previous, value);
        previous = value;
    }
    out
}

/// The values of a column; none if it is cut off or a value is longer than 64 bits.
pub fn unpack(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut values = Vec::with_capacity(bytes.len());
    let (mut previous, mut zigzag, mut shift) = (0_u64, 0_u64, 0_u32);
    for &byte in bytes {
        if shift > 63 || (shift == 63 && byte > 1) {
            return None;
        }
        zigzag |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            previous = previous.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
            values.push(previous);
            (zigzag, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(values)
}

/// Reads bytes in any form a MessagePack or JSON peer may give them.
struct Bytes;

impl<'de> serde::de::Visitor<'de> for Bytes {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a packed column")
    }

    fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        unpack(v).ok_or_else(|| E::custom("malformed column"))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}

fn read<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u64>, D::Error> {
    d.deserialize_bytes(Bytes)
}

/// `#[serde(with)]` for columns of `u32`.
pub mod u32s {
    use super::{Deserializer, Error, Serializer, pack, read};

    /// Writes the column.
    pub fn serialize<S: Serializer>(values: &[u32], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&pack(values.iter().map(|&v| u64::from(v))))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u32>, D::Error> {
        read(d)?.into_iter().map(|v| u32::try_from(v).map_err(D::Error::custom)).collect()
    }
}

/// `#[serde(with)]` for columns of `u64`.
pub mod u64s {
    use super::{Deserializer, Serializer, pack, read};

    /// Writes the column.
    pub fn serialize<S: Serializer>(values: &[u64], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&pack(values.iter().copied()))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u64>, D::Error> {
        read(d)
    }
}

/// `#[serde(with)]` for columns of `i64`.
pub mod i64s {
    use super::{Deserializer, Serializer, pack, read};

    /// Writes the column.
    pub fn serialize<S: Serializer>(values: &[i64], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&pack(values.iter().map(|&v| v as u64)))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<i64>, D::Error> {
        Ok(read(d)?.into_iter().map(|v| v as i64).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_column_reads_back(values in prop::collection::vec(any::<u64>(), 0..200)) {
            prop_assert_eq!(unpack(&pack(values.iter().copied())), Some(values));
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
        }
    }

    #[test]
    fn consecutive_numbers_take_one_byte_each() {
        assert!(pack(1000..3000).len() < 2010);
    }
}
