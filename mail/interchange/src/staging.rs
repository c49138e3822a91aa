//! A result that is there whole or not at all.
//!
//! It is made in `<out>.incomplete/`, which also holds whatever is needed on the way, and is renamed to `<out>` when
//! everything is on disk. What a crash, a full disk or Ctrl-C leaves is `<out>.incomplete/`; the next run removes it and
//! begins again. A file `sealpost-incomplete` in it, locked while somebody works there, tells it from a folder of somebody
//! else, which is refused and left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use files::{LockFile, durable, lock_exclusive};

use crate::{InterchangeError, output};

const MARK: &str = "sealpost-incomplete";

/// A result being made.
#[derive(Debug)]
pub struct Staging {
    out: PathBuf,
    folder: PathBuf,
    _lock: LockFile,
}

impl Staging {
    /// Looks whether the place is free, without touching anything: it does not exist, or is an empty folder.
    pub fn check(out: &Path) -> Result<(), InterchangeError> {
        let occupied = || InterchangeError::Occupied { path: out.to_owned() };
        match fs::read_dir(out) {
            Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(occupied())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(occupied()),
            Err(error) => Err(InterchangeError::io("look at", out)(error)),
        }
    }

    /// Begins: removes what an earlier run left, and makes the folders.
    pub fn begin(out: &Path) -> Result<Self, InterchangeError> {
        Self::check(out)?;
        // So that `.` and paths that end in a slash have a name to put something behind.
        let out = match fs::canonicalize(out) {
            Ok(out) => out,
            Err(_) => out.components().collect(),
        };
        let name = out.file_name().ok_or_else(|| InterchangeError::Occupied { path: out.clone() })?;
        let mut incomplete = name.to_owned();
        incomplete.push(".incomplete");
        let folder = out.with_file_name(incomplete);
        if folder.exists() {
            if !folder.join(MARK).is_file() && fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(InterchangeError::Occupied { path: folder });
            }
            let _others = lock_exclusive(&folder.join(MARK))?;
            durable::remove_dir_all(&folder)?;
        }
        output::create_dir_all(&folder)?;
        let lock = lock_exclusive(&folder.join(MARK))?;
        let staging = Self { out, folder, _lock: lock };
        output::create_dir_all(&staging.result())?;
        output::create_dir_all(&staging.aside())?;
        Ok(staging)
    }

    /// Where the result is to be made.
    pub fn result(&self) -> PathBuf {
        self.folder.join("result")
    }

    /// A folder for what is needed on the way and goes at the end.
    pub fn aside(&self) -> PathBuf {
        self.folder.join("aside")
    }

    /// Removes what was made: it will not become a result.
    pub fn discard(self) -> Result<(), InterchangeError> {
        durable::remove_dir_all(&self.folder)?;
        Ok(())
    }

    /// Makes the result durable and gives it its name.
    pub fn finish(self) -> Result<(), InterchangeError> {
        let result = self.result();
        let root = fs::File::open(&result).map_err(InterchangeError::io("open", &result))?;
        rustix::fs::syncfs(&root).map_err(|e| InterchangeError::io("sync", &result)(e.into()))?;
        fs::rename(&result, &self.out).map_err(InterchangeError::io("rename to", &self.out))?;
        durable::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_its_name_only_when_it_is_whole_and_leftovers_go() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let first = Staging::begin(&out).unwrap();
        fs::write(first.result().join("half"), b"x").unwrap();
        assert!(matches!(Staging::begin(&out), Err(InterchangeError::Files(_))), "somebody works there");
        drop(first);
        assert!(!out.exists() && folder.path().join("out.incomplete/result/half").exists());
        let second = Staging::begin(&out).unwrap();
        assert!(!second.result().join("half").exists());
        fs::write(second.result().join("whole"), b"x").unwrap();
        second.discard().unwrap();
        assert!(!out.exists() && !folder.path().join("out.incomplete").exists());
        let third = Staging::begin(&out).unwrap();
        fs::write(third.result().join("whole"), b"x").unwrap();
        third.finish().unwrap();
        assert!(out.join("whole").exists() && !folder.path().join("out.incomplete").exists());
        assert!(matches!(Staging::begin(&out), Err(InterchangeError::Occupied { .. })));
    }

    #[test]
    fn an_empty_folder_is_filled_and_what_is_somebody_elses_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::create_dir_all(folder.path().join("out.incomplete")).unwrap();
        fs::write(folder.path().join("out.incomplete/thesis"), b"x").unwrap();
        assert!(matches!(Staging::begin(&out), Err(InterchangeError::Occupied { .. })));
        fs::remove_file(folder.path().join("out.incomplete/thesis")).unwrap();
        Staging::begin(&out).unwrap().finish().unwrap();
        fs::write(folder.path().join("file"), b"x").unwrap();
        assert!(matches!(Staging::check(&folder.path().join("file")), Err(InterchangeError::Occupied { .. })));
    }
}
