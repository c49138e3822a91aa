//! Argon2id: what a chosen secret costs, and the caps on what a file may ask for.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::format::Blob;
use crate::{CryptoError, Secret};

/// Caps: a login must not be made to cost more memory or time than the pool was sized for.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 10;
const MAX_LANES: u32 = 4;

/// Cost of one Argon2id run. The default takes about 140 ms and 64 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Parallelism.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl Argon2Cost {
    /// The cheapest that Argon2id allows: for tests, and only there.
    pub const CHEAPEST: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };

    pub(super) fn check(self) -> Result<(), CryptoError> {
        let Self { memory_kib, passes, lanes } = self;
        let within = memory_kib <= MAX_MEMORY_KIB && passes <= MAX_PASSES && lanes <= MAX_LANES;
        if within { Ok(()) } else { Err(CryptoError::CostTooHigh { memory_kib, passes, lanes }) }
    }
}

/// As they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Argon2Params {
    pub(super) salt: Blob,
    pub(super) m: u32,
    pub(super) t: u32,
    pub(super) p: u32,
}

impl Argon2Params {
    pub(super) fn new(cost: Argon2Cost, salt: [u8; 32]) -> Self {
        Self { salt: salt.into(), m: cost.memory_kib, t: cost.passes, p: cost.lanes }
    }

    pub(super) fn cost(&self) -> Argon2Cost {
        Argon2Cost { memory_kib: self.m, passes: self.t, lanes: self.p }
    }

    /// The one expensive step of a login with a chosen secret.
    pub(super) fn stretch(&self, secret: &Secret) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        self.cost().check()?;
        let failed = |e: argon2::Error| CryptoError::Argon2(e.to_string());
        let params = Params::new(self.m, self.t, self.p, Some(32)).map_err(failed)?;
        let mut stretched = Zeroizing::new([0; 32]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(secret.bytes(), &self.salt.0, stretched.as_mut_slice()).map_err(failed)?;
        #[cfg(test)]
        super::tests::count_argon2_run();
        Ok(stretched)
    }
}
