//! SQLite's running checksum.

/// The two words of a running checksum.
pub type Checksum = [u32; 2];

/// In which order the words of a log are summed; the writer's own, and named by the header's magic number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// The checksum behind `bytes`, a multiple of 8 of them, that follow what `before` stands for.
    pub fn sum(self, before: Checksum, bytes: &[u8]) -> Checksum {
        match self {
            Self::Little => sum(before, bytes, u32::from_le_bytes),
            Self::Big => sum(before, bytes, u32::from_be_bytes),
        }
    }
}

fn sum(before: Checksum, bytes: &[u8], word: impl Fn([u8; 4]) -> u32) -> Checksum {
    let [mut first, mut second] = before;
    let (pairs, _) = bytes.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in pairs {
        first = first.wrapping_add(word([a, b, c, d])).wrapping_add(second);
        second = second.wrapping_add(word([e, f, g, h])).wrapping_add(first);
    }
    [first, second]
}
