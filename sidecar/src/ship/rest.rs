//! What a database on the volume is, where all of it is in its main file: something to compare a restore with.

use std::path::Path;

use super::look::main_of;
use super::{ShipError, look, make};
use crate::format::{DataFile, Sha256};

/// Bytes and hash of the main file, if it is exactly what that commit left and nobody touched it meanwhile. Blocking.
pub fn at_rest(folder: &Path, file: DataFile, commit: u64) -> Result<Option<(u64, Sha256)>, ShipError> {
    let Some((before, wal)) = look(folder, file, None)? else { return Ok(None) };
    let folded_in = before.record.is_some_and(|record| record.commit == commit);
    let rests = match wal {
        Some(wal) => wal.commits_after(&wal.start(), 1)?.is_empty(),
        None => true,
    };
    if !folded_in || !rests {
        return Ok(None);
    }
    let found = make::digest(&main_of(folder, file))?;
    let after = look(folder, file, None)?;
    Ok(after.filter(|(after, _)| *after == before).map(|_| found))
}
