//! Randomness: the operating system's, or a stream that is a function of a seed (fake keysets, test vectors).

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use crate::hash::hmac_sha256;

/// `N` bytes of the operating system's randomness.
#[expect(clippy::expect_used, reason = "a system without randomness can neither start nor go on safely")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Where the random parts of what is made come from.
pub(crate) enum Entropy {
    /// The operating system.
    System,
    /// HMAC(seed, counter), block by block: the same seed makes the same.
    Seeded { seed: Zeroizing<[u8; 32]>, counter: u64 },
}

impl Entropy {
    pub(crate) fn seeded(seed: Zeroizing<[u8; 32]>) -> Self {
        Self::Seeded { seed, counter: 0 }
    }

    #[expect(clippy::expect_used, reason = "a system without randomness can neither start nor go on safely")]
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        match self {
            Self::System => getrandom::fill(bytes).expect("the system has randomness"),
            Self::Seeded { seed, counter } => {
                for chunk in bytes.chunks_mut(32) {
                    let block = Zeroizing::new(hmac_sha256(seed.as_slice(), &counter.to_le_bytes()));
                    chunk.copy_from_slice(&block[..chunk.len()]);
                    *counter += 1;
                }
            }
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.array()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Entropy {}
