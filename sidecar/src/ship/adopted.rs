//! Whose files these are: `adopted.json` says which restore put them into a mailbox's place.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use control::{AdoptRecord, AdoptStep};
use files::FilesError;

use super::ShipError;

/// The restore that was last put into this place; none where there never was one.
pub fn adopted(folder: &Path) -> Result<Option<AdoptRecord>, ShipError> {
    let path = folder.join("adopted.json");
    let json = match fs::read(&path) {
        Ok(json) => json,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FilesError::Io { action: "read", path, source }.into()),
    };
    match serde_json::from_slice::<AdoptRecord>(&json) {
        Ok(record) if record.format == 1 => Ok(Some(record)),
        _ => Err(ShipError::Record { path }),
    }
}

/// The same, for whoever reads the files as those of that restore: an error where they are others, or are being replaced.
pub fn still(folder: &Path, restored: Option<&str>) -> Result<Option<AdoptRecord>, ShipError> {
    let record = adopted(folder)?;
    let ours = |record: &AdoptRecord| record.step == AdoptStep::Done && restored == Some(record.asked.run.as_str());
    match record {
        // A volume from before that restore: what the WALs say decides.
        None => Ok(None),
        Some(record) if ours(&record) => Ok(Some(record)),
        Some(_) => Err(ShipError::Replaced { folder: folder.to_owned() }),
    }
}
