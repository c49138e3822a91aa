//! Mail addresses as Sealpost compares them: lower case, the domain as A-labels (RFC 5890).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest address SMTP can carry in a path (RFC 5321 section 4.5.3.1.3), in octets.
const MAX_ADDRESS: usize = 254;
/// Longest local part (RFC 5321 section 4.5.3.1.1), in octets.
const MAX_LOCAL: usize = 64;

/// Why a text is not an address of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@`, or nothing on one side of it.
    #[error("`{0}` is not of the form local@domain")]
    Form(String),
    /// The local part is too long, or has a character that is neither an RFC 5321 atom nor UTF-8 (RFC 6531).
    #[error("`{0}` is not a usable local part")]
    Local(String),
    /// Not a host name, also not after IDNA processing.
    #[error("`{0}` is not a valid domain")]
    Domain(String),
}

/// A domain in lower-case A-label form: `bücher.example` and `XN--BCHER-KVA.example` are one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// The A-label form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Domain(text.to_owned());
        let ascii = idna::domain_to_ascii_strict(text.trim_end_matches('.')).map_err(|_| wrong())?;
        if ascii.is_empty() || ascii.len() > 253 {
            return Err(wrong());
        }
        Ok(Self(ascii))
    }
}

/// A mailbox or alias address. Local parts compare without case (ours always do, though RFC 5321 lets others differ).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: String,
    domain: Domain,
}

impl Address {
    /// The part before the last `@`, lower case, never quoted.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after it.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// True for `*@domain`, the catch-all of a domain.
    pub fn is_catch_all(&self) -> bool {
        self.local == "*"
    }

    /// The catch-all address of this address's domain.
    #[must_use]
    pub fn catch_all(&self) -> Self {
        Self { local: "*".into(), domain: self.domain.clone() }
    }

    /// `user+tag@domain` without its tag; none where there is no tag or nothing before it.
    pub fn without_tag(&self) -> Option<Self> {
        let (user, _) = self.local.split_once('+').filter(|(user, _)| !user.is_empty())?;
        Some(Self { local: user.to_owned(), domain: self.domain.clone() })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or_else(|| AddressError::Form(text.to_owned()))?;
        if local.is_empty() || domain.is_empty() || text.len() > MAX_ADDRESS {
            return Err(AddressError::Form(text.to_owned()));
        }
        let local = unquote(local).ok_or_else(|| AddressError::Local(local.to_owned()))?.to_lowercase();
        if local.is_empty() || local.len() > MAX_LOCAL || !local.chars().all(is_local_char) {
            return Err(AddressError::Local(local));
        }
        Ok(Self { local, domain: domain.parse()? })
    }
}

/// A quoted local part (RFC 5321 section 4.1.2) that needs no quotes means the same without them.
fn unquote(local: &str) -> Option<String> {
    let Some(inner) = local.strip_prefix('"') else { return Some(local.to_owned()) };
    let inner = inner.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(plain)
}

/// `atext` and `.` of RFC 5322, and what RFC 6532 adds.
fn is_local_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~.".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain.0)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Address);
as_text!(Domain);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn case_idna_and_needless_quotes_do_not_make_another_address() {
        assert_eq!(address("Ann@Example.ORG"), address("ann@example.org."));
        assert_eq!(address("ann@bücher.example"), address("ann@XN--BCHER-KVA.example"));
        assert_eq!(address("\"ann\"@example.org"), address("ann@example.org"));
        assert_eq!(address("JÜRGEN@example.org").to_string(), "jürgen@example.org");
    }

    #[test]
    fn what_cannot_be_delivered_is_refused() {
        for text in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "a b@example.org",
            "ann@exa mple.org",
            "\"ann@example.org",
            "a\u{0}b@x.org",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!(format!("{}@example.org", "x".repeat(65)).parse::<Address>().is_err());
    }

    #[test]
    fn a_tag_is_removed_once_and_only_with_a_user_before_it() {
        assert_eq!(address("ann+lists+x@example.org").without_tag(), Some(address("ann@example.org")));
        assert_eq!(address("+x@example.org").without_tag(), None);
        assert_eq!(address("ann@example.org").without_tag(), None);
    }
}
