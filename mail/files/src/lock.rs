//! One process per folder: an exclusive `flock` on a file in it.
//!
//! The lock lives as long as its holder: the kernel drops it when the process ends, however it ends. The file stays and
//! names the last holder, so that an error can say who is to be stopped.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::FilesError;

/// Enough for the description of a holder; a longer one is cut.
const MAX_HOLDER: u64 = 256;

/// A held lock; dropping it lets the next one in.
#[derive(Debug)]
pub struct LockFile {
    // Closing the descriptor is what unlocks; the file is never removed, because a waiter may have it open.
    _file: File,
}

/// Takes the lock at `path` (the file is made if it is missing) or says at once which process has it.
pub fn lock_exclusive(path: &Path) -> Result<LockFile, FilesError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(FilesError::io("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(FilesError::Locked { path: path.to_owned(), holder: read_holder(&mut file) });
        }
        Err(e) => return Err(FilesError::io("lock", path)(e.into())),
    }
    // Only for the message to others: on a full disk the owner still has to get in.
    let _ = write_holder(&mut file);
    Ok(LockFile { _file: file })
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", std::process::id())
}

fn read_holder(file: &mut File) -> String {
    let mut text = Vec::new();
    // Only for the message: what cannot be read is a holder without a name.
    let _ = file.take(MAX_HOLDER).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() { "another process".to_owned() } else { line.to_owned() }
}

#[cfg(test)]
mod tests;
