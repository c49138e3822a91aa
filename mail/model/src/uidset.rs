//! Sets of UIDs as sorted, disjoint, non-adjacent ranges.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Uid, columns};

/// A text that is not a set of numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a set like 1:3,7")]
pub struct UidSetError(String);

/// A set of UIDs. Iterates in ascending order; displays as IMAP's `sequence-set` (`1:3,7`), empty as nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UidSet {
    runs: Vec<(u32, u32)>,
}

impl UidSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// All UIDs from `first` to `last`, both included; empty where `first > last`.
    pub fn range(first: Uid, last: Uid) -> Self {
        Self { runs: if first.0 <= last.0 { vec![(first.0, last.0)] } else { Vec::new() } }
    }

    /// The ranges, ascending, both ends included.
    pub fn runs(&self) -> &[(u32, u32)] {
        &self.runs
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many UIDs the set holds.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|(a, b)| u64::from(b - a) + 1).sum()
    }

    /// The lowest.
    pub fn first(&self) -> Option<Uid> {
        self.runs.first().map(|r| Uid(r.0))
    }

    /// The highest.
    pub fn last(&self) -> Option<Uid> {
        self.runs.last().map(|r| Uid(r.1))
    }

    /// True where the set holds `uid`.
    pub fn contains(&self, uid: Uid) -> bool {
        let at = self.runs.partition_point(|r| r.1 < uid.0);
        self.runs.get(at).is_some_and(|r| r.0 <= uid.0)
    }

    /// How many UIDs of the set are lower than `uid`.
    pub fn rank(&self, uid: Uid) -> u64 {
        self.runs.iter().take_while(|r| r.0 < uid.0).map(|r| u64::from(r.1.min(uid.0 - 1) - r.0) + 1).sum()
    }

    /// The `n`-th UID, counted from 0.
    pub fn nth(&self, n: u64) -> Option<Uid> {
        let mut left = n;
        for &(a, b) in &self.runs {
            let size = u64::from(b - a) + 1;
            if left < size {
                return Some(Uid(a + left as u32));
            }
            left -= size;
        }
        None
    }

    /// Adds one UID. Ascending insertion is cheap.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid, uid);
    }

    /// Adds a range, both ends included.
    pub fn insert_range(&mut self, first: Uid, last: Uid) {
        let (mut a, mut b) = (first.0, last.0);
        if a > b {
            return;
        }
        // Runs that touch or overlap [a, b] are melted into it.
        let from = self.runs.partition_point(|r| r.1.saturating_add(1) < a);
        let to = self.runs.partition_point(|r| r.0 <= b.saturating_add(1));
        if from < to {
            a = a.min(self.runs[from].0);
            b = b.max(self.runs[to - 1].1);
        }
        self.runs.splice(from..to, [(a, b)]);
    }

    /// Removes one UID; true where it was there.
    pub fn remove(&mut self, uid: Uid) -> bool {
        let had = self.contains(uid);
        if had {
            *self = self.minus(&Self::range(uid, uid));
        }
        had
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (mut i, mut j, mut runs) = (0, 0, Vec::new());
        while let (Some(x), Some(y)) = (self.runs.get(i), other.runs.get(j)) {
            let (a, b) = (x.0.max(y.0), x.1.min(y.1));
            if a <= b {
                runs.push((a, b));
            }
            if x.1 < y.1 { i += 1 } else { j += 1 }
        }
        Self { runs }
    }

    /// What is in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut all: Vec<_> = self.runs.iter().chain(&other.runs).copied().collect();
        all.sort_unstable();
        let mut runs: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (a, b) in all {
            match runs.last_mut() {
                Some(last) if a <= last.1.saturating_add(1) => last.1 = last.1.max(b),
                _ => runs.push((a, b)),
            }
        }
        Self { runs }
    }

    /// What is in this and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let (mut j, mut runs) = (0, Vec::new());
        for &(mut a, b) in &self.runs {
            while other.runs.get(j).is_some_and(|r| r.1 < a) {
                j += 1;
            }
            let mut k = j;
            let mut open = true;
            while let Some(&(c, d)) = other.runs.get(k).filter(|r| r.0 <= b) {
                if a < c {
                    runs.push((a, c - 1));
                }
                if d >= b {
                    open = false;
                    break;
                }
                a = d + 1;
                k += 1;
            }
            if open && a <= b {
                runs.push((a, b));
            }
        }
        Self { runs }
    }

    /// The UIDs, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Uid> + '_ {
        self.runs.iter().flat_map(|&(a, b)| (a..=b).map(Uid))
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut set = Self::new();
        for uid in uids {
            set.insert(uid);
        }
        set
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (a, b)) in self.runs.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            if a == b { write!(f, "{comma}{a}")? } else { write!(f, "{comma}{a}:{b}")? }
        }
        Ok(())
    }
}

impl FromStr for UidSet {
    type Err = UidSetError;

    fn from_str(text: &str) -> Result<Self, UidSetError> {
        let mut set = Self::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (a, b) = part.split_once(':').unwrap_or((part, part));
            match (a.parse(), b.parse()) {
                (Ok(a), Ok(b)) => set.insert_range(Uid(a), Uid(b)),
                _ => return Err(UidSetError(text.to_owned())),
            }
        }
        Ok(set)
    }
}

/// As a packed column of alternating run starts and lengths, see `columns`.
impl Serialize for UidSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let ends: Vec<u32> = self.runs.iter().flat_map(|&(a, b)| [a, b]).collect();
        columns::u32s::serialize(&ends, s)
    }
}

impl<'de> Deserialize<'de> for UidSet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let ends = columns::u32s::deserialize(d)?;
        let mut set = Self::new();
        for pair in ends.chunks(2) {
            let &[a, b] = pair else { return Err(serde::de::Error::custom("odd number of range ends")) };
            set.insert_range(Uid(a), Uid(b));
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests;
