//! Files and folders that only their owner reads.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::InterchangeError;

/// A new file.
pub(crate) fn create(path: &Path) -> Result<File, InterchangeError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(InterchangeError::io("create", path))
}

/// A new file with these bytes, last changed at that time.
pub(crate) fn write(path: &Path, bytes: &[u8], changed: Option<Timestamp>) -> Result<(), InterchangeError> {
    let mut file = create(path)?;
    file.write_all(bytes).map_err(InterchangeError::io("write", path))?;
    if let Some(time) = changed.and_then(system_time) {
        file.set_modified(time).map_err(InterchangeError::io("set the time of", path))?;
    }
    Ok(())
}

/// A folder and those above it.
pub(crate) fn create_dir_all(path: &Path) -> Result<(), InterchangeError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(InterchangeError::io("create", path))
}

/// When a file was last changed, to the second.
pub(crate) fn changed(path: &Path) -> Result<Option<Timestamp>, InterchangeError> {
    let found = fs::metadata(path).map_err(InterchangeError::io("look at", path))?;
    let Ok(time) = found.modified() else { return Ok(None) };
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok(),
        Err(before) => i64::try_from(before.duration().as_secs()).ok().map(|seconds| -seconds),
    };
    Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

/// Entries of a folder, by name. Names that are not UTF-8 cannot be ours and are an error.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, InterchangeError> {
    let failed = || InterchangeError::io("list", path);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        let name = name.into_string().map_err(|name| {
            InterchangeError::malformed(&path.join(&name), "a mail folder", "its name is not UTF-8: rename it")
        })?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// The bytes of a file; none where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, InterchangeError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(InterchangeError::io("read", path)(error)),
    }
}

fn system_time(time: Timestamp) -> Option<SystemTime> {
    let apart = Duration::from_secs(time.as_second().unsigned_abs());
    if time.as_second() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(apart)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(apart)
    }
}
