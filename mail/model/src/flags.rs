//! Flags of a message: five system bits and up to 58 keywords of its mailbox, in one integer.

use serde::{Deserialize, Serialize};

/// The flags a client may set (RFC 9051 section 2.3.2); `\Recent` is no stored flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum SystemFlag {
    /// `\Answered`
    Answered = 0,
    /// `\Flagged`
    Flagged = 1,
    /// `\Deleted`
    Deleted = 2,
    /// `\Seen`
    Seen = 3,
    /// `\Draft`
    Draft = 4,
}

impl SystemFlag {
    /// All of them, in bit order.
    pub const ALL: [SystemFlag; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// As IMAP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Seen => "\\Seen",
            Self::Draft => "\\Draft",
        }
    }

    /// The flag of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name().eq_ignore_ascii_case(name))
    }

    /// Its bit in a [`FlagSet`].
    pub fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Flags of one message. Bits 0 to 4 are [`SystemFlag`]s; bit `5 + n` is the mailbox's keyword `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlagSet(pub u64);

impl FlagSet {
    /// True where the system flag is set.
    pub fn has(self, flag: SystemFlag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// With the flag set.
    #[must_use]
    pub fn with(self, flag: SystemFlag) -> Self {
        Self(self.0 | flag.bit())
    }
}

/// The keywords of a mailbox by bit: index `n` is bit `5 + n`. Names keep the case of their first use and compare
/// without it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keywords(pub Vec<String>);

impl Keywords {
    /// As many as fit beside the system flags.
    pub const MAX: usize = 58;

    /// The bit of a keyword that is in use.
    pub fn bit(&self, name: &str) -> Option<u64> {
        let n = self.0.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(1 << (n + SystemFlag::ALL.len()))
    }

    /// The names of all flags in the set: system flags first, then keywords by bit.
    pub fn names(&self, set: FlagSet) -> impl Iterator<Item = &str> {
        let system = SystemFlag::ALL.into_iter().filter(move |flag| set.has(*flag)).map(|flag| -> &str { flag.name() });
        let first = SystemFlag::ALL.len();
        let keywords = self.0.iter().enumerate().filter(move |(n, _)| set.0 & (1 << (n + first)) != 0);
        system.chain(keywords.map(|(_, name)| name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_bit_order_and_unknown_bits_are_silent() {
        let keywords = Keywords(vec!["$Forwarded".into(), "Work".into()]);
        let set = FlagSet(SystemFlag::Seen.bit() | keywords.bit("work").unwrap() | 1 << 60);
        assert_eq!(keywords.names(set).collect::<Vec<_>>(), ["\\Seen", "Work"]);
        assert_eq!(keywords.bit("none"), None);
    }
}
