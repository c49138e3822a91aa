//! Writes that are there after a power failure, or were never there.
//!
//! Contract:
//! * When a function here returns `Ok`, its effect survives a crash of the machine: file contents, names and folders are
//!   fsynced in the order that makes this true.
//! * [`write`] replaces a file in one step: a reader, or a crash at any moment, sees the whole old or the whole new file.
//! * Files are made with mode 0600, folders with 0700.
//!
//! What a crash leaves: at most a temporary file `.<name>.<pid>-<n>.tmp` beside the target, which no reader looks at.
//! [`remove_leftovers`] deletes them; the owner of a folder calls it when it takes the folder over.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{FilesError, fault};

/// Only the user Sealpost runs as reads a file of the volume.
const FILE_MODE: u32 = 0o600;
/// Only that user lists a folder of the volume.
const DIR_MODE: u32 = 0o700;
/// Octets that [`rewrite`] holds at a time.
const REWRITTEN: usize = 1 << 20;
/// Ends every temporary name.
const TEMPORARY: &str = ".tmp";

/// Makes `path` hold exactly `contents`, replacing what was there in one step.
pub fn write(path: &Path, contents: &[u8]) -> Result<(), FilesError> {
    let temporary = temporary_beside(path)?;
    write_new(&temporary, contents).and_then(|()| rename(&temporary, path)).inspect_err(|_| {
        // The write has failed already and says why; a temporary file that stays is removed later.
        let _ = fs::remove_file(&temporary);
    })
}

/// Makes `path` hold `contents` unless it exists: then nothing changes, and the answer is `false`.
pub fn create(path: &Path, contents: &[u8]) -> Result<bool, FilesError> {
    let temporary = temporary_beside(path)?;
    write_new(&temporary, contents)?;
    // A hard link, unlike a rename, never replaces its target.
    fault::point("file.link.before");
    let linked = match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(FilesError::io("create", path)(e)),
    };
    fault::point("file.link.after");
    fs::remove_file(&temporary).map_err(FilesError::io("remove", &temporary))?;
    sync_dir(folder_of(path)?)?;
    linked
}

/// Moves `from` to `to` within a file system, replacing `to`, and syncs both folders. The contents of `from` must have
/// been synced before.
pub fn rename(from: &Path, to: &Path) -> Result<(), FilesError> {
    fault::io("file.rename.before").and_then(|()| fs::rename(from, to)).map_err(FilesError::io("rename", from))?;
    fault::point("file.rename.after");
    let (source, target) = (folder_of(from)?, folder_of(to)?);
    // The target first: after a crash the file may have both names, but never none.
    sync_dir(target)?;
    if source != target {
        sync_dir(source)?;
    }
    Ok(())
}

/// Makes one folder; one that exists already is as good.
pub fn create_dir(path: &Path) -> Result<(), FilesError> {
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(e) => return Err(FilesError::io("create", path)(e)),
    }
    // Also where it existed: whoever made it may have crashed before its sync.
    sync_dir(folder_of(path)?)
}

/// Makes a folder and those above it that are missing.
pub fn create_dir_all(path: &Path) -> Result<(), FilesError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dir_all(parent)?;
    }
    create_dir(path)
}

/// Removes a file; one that is not there is as good.
pub fn remove(path: &Path) -> Result<(), FilesError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(FilesError::io("remove", path)(e)),
    }
    sync_dir(folder_of(path)?)
}

/// Removes a folder with all that is in it; one that is not there is as good.
pub fn remove_dir_all(path: &Path) -> Result<(), FilesError> {
    match fs::remove_dir_all(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(FilesError::io("remove", path)(e)),
    }
    sync_dir(folder_of(path)?)
}

/// Makes the names in a folder durable.
pub fn sync_dir(path: &Path) -> Result<(), FilesError> {
    let folder = File::open(path).map_err(FilesError::io("open", path))?;
    sync("dir", &folder).map_err(FilesError::io("sync", path))
}

/// Makes the contents of a file that something else wrote durable.
pub fn sync_file(path: &Path) -> Result<(), FilesError> {
    let file = File::open(path).map_err(FilesError::io("open", path))?;
    sync("file", &file).map_err(FilesError::io("sync", path))
}

fn sync(what: &str, file: &File) -> io::Result<()> {
    let (before, after) = match what {
        "dir" => ("dir.sync.before", "dir.sync.after"),
        _ => ("file.sync.before", "file.sync.after"),
    };
    fault::io(before)?;
    file.sync_all()?;
    fault::io(after)
}

/// Makes the contents of a file durable that a process before this one wrote, and may have failed to sync: the system takes
/// what it could not write for clean from then on, so a sync alone would do nothing. Writes everything once more, in place;
/// nobody may change the file meanwhile. One that is not there is as good.
pub fn rewrite(path: &Path) -> Result<(), FilesError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(FilesError::io("open", path)(e)),
    };
    let (mut piece, mut at) = (vec![0; REWRITTEN], 0);
    loop {
        let read = file.read_at(&mut piece, at).map_err(FilesError::io("read", path))?;
        if read == 0 {
            break;
        }
        file.write_all_at(&piece[..read], at).map_err(FilesError::io("write", path))?;
        at += read as u64;
    }
    if at == 0 {
        return Ok(());
    }
    sync("file", &file).map_err(FilesError::io("sync", path))
}

/// Removes the temporary files that a crash left in a folder; answers how many. Only for whoever owns the folder: a
/// write that is running would lose its file.
pub fn remove_leftovers(folder: &Path) -> Result<usize, FilesError> {
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(FilesError::io("list", folder))? {
        let entry = entry.map_err(FilesError::io("list", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(TEMPORARY) {
            let path = entry.path();
            fs::remove_file(&path).map_err(FilesError::io("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn write_new(path: &Path, contents: &[u8]) -> Result<(), FilesError> {
    let options = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    let mut file = options.map_err(FilesError::io("create", path))?;
    file.write_all(contents).map_err(FilesError::io("write", path))?;
    sync("file", &file).map_err(FilesError::io("sync", path))
}

/// The folder whose entry `path` is; `.` for a bare name.
fn folder_of(path: &Path) -> Result<&Path, FilesError> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(folder) => Ok(folder),
        None => Err(FilesError::NotAFile { path: path.to_owned() }),
    }
}

/// A name beside `path` that no other write of this or another process uses.
fn temporary_beside(path: &Path) -> Result<PathBuf, FilesError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| FilesError::NotAFile { path: path.to_owned() })?;
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = format!(".{}.{}-{n}{TEMPORARY}", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests;
