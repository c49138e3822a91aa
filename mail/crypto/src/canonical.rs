//! The one encoding of what a ciphertext, a MAC or a derived key is bound to.
//!
//! Format: the domain, then every field, each as its length (u32, little endian) followed by its bytes. Integers are 8
//! bytes, little endian; ids are their raw bytes. The domain names purpose and version, for example
//! `sealpost/slot-wrap/v1`. Two different lists of fields never encode alike.

/// Builds an encoding field by field.
#[derive(Debug, Clone)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// Starts with the domain.
    pub fn new(domain: &str) -> Self {
        Self(Vec::with_capacity(128)).bytes(domain.as_bytes())
    }

    /// Appends a byte string.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&(field.len() as u32).to_le_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Appends an integer.
    #[must_use]
    pub fn number(self, field: u64) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    /// The encoding so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The encoding, for a caller that wipes it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_fields_never_encode_alike() {
        let one = Canonical::new("d").bytes(b"ab").bytes(b"c");
        assert_ne!(one.as_bytes(), Canonical::new("d").bytes(b"a").bytes(b"bc").as_bytes());
        assert_ne!(one.as_bytes(), Canonical::new("d").bytes(b"abc").as_bytes());
        assert_ne!(one.as_bytes(), Canonical::new("dab").bytes(b"c").as_bytes());
    }

    #[test]
    fn the_encoding_is_as_documented() {
        let encoding = Canonical::new("d").bytes(b"ab").number(258);
        let expected = b"\x01\0\0\0d\x02\0\0\0ab\x08\0\0\0\x02\x01\0\0\0\0\0\0";
        assert_eq!(encoding.as_bytes(), expected);
    }
}
