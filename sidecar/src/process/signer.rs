//! The key that signs, made once for a volume: `<data>/sidecar/signer.json`.

use std::path::Path;

use data_encoding::BASE64;
use files::{FilesError, durable};
use serde::{Deserialize, Serialize};

use super::ProcessError;
use crate::format::Signer;

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    seed: String,
}

/// Reads it, or makes it.
pub fn signer(folder: &Path) -> Result<Signer, ProcessError> {
    let path = folder.join("signer.json");
    let made = Stored { format: 1, seed: BASE64.encode(&random::<32>()?) };
    // What is there stays: a second key would cut the archives in two.
    durable::create(&path, &serde_json::to_vec(&made).unwrap_or_default())?;
    let read = |source| FilesError::Io { action: "read", path: path.clone(), source };
    let json = std::fs::read(&path).map_err(read)?;
    let stored: Option<Stored> = serde_json::from_slice(&json).ok().filter(|stored: &Stored| stored.format == 1);
    let seed = stored.and_then(|stored| BASE64.decode(stored.seed.as_bytes()).ok()?.try_into().ok());
    seed.map(|seed: [u8; 32]| Signer::from_seed(&seed)).ok_or(ProcessError::Signer { path })
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> Result<[u8; N], ProcessError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ProcessError::Random)?;
    Ok(bytes)
}
