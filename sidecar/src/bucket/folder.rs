//! A folder as a bucket: `sealpost up`, tests, a mounted disk.
//!
//! An object is a file at `<folder>/<key>`. A write goes to `<folder>/.writing/<pid>-<n>`, is fsynced, and gets its name by a
//! hard link, which never replaces anything; then its folder is fsynced, and each folder that was made for it.
//!
//! What a crash leaves: files in `.writing/`, which no listing shows and [`Bucket::sweep`] removes; and an object whose name
//! may not be durable yet, which the repeated write finds, compares and syncs again.
//!
//! Who wrote an object is not kept: a [`BucketError::Conflict`] here has no run.

use std::cmp::Ordering;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use files::{FilesError, durable};
use jiff::Timestamp;

use super::{Answer, Bucket, BucketError, Entry, Fencing, Kept, Object, PAGE, Page, Put, check_key};
use crate::format::{Hashing, Sha256};

/// Objects on their way, inside the folder so that a link can name them. No key begins with a dot.
const WRITING: &str = ".writing";
/// A folder for an object is made so often, where it is removed again each time.
const ATTEMPTS: u32 = 8;
/// Bytes copied at a time.
const BUFFER: usize = 256 << 10;

/// A folder as a bucket.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The bucket in `root`, which is made with the first object.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        work: impl FnOnce(&Self) -> Result<T, BucketError> + Send + 'static,
    ) -> Result<T, BucketError> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        // The work was abandoned at the end of the process, or it panicked: nobody knows whether it was done.
        let lost = |error: tokio::task::JoinError| BucketError::Unavailable {
            action,
            key: key.to_owned(),
            reason: error.to_string(),
        };
        done.map_err(lost)?
    }

    fn path(&self, key: &str) -> Result<PathBuf, BucketError> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    fn write_object(&self, key: &str, object: &Object) -> Result<Put, BucketError> {
        let path = self.path(key)?;
        let writing = self.root.join(WRITING);
        durable::create_dir_all(&writing)?;
        let temporary = writing.join(unique());
        let linked = write(&temporary, object).map_err(io_error("write", &temporary)).and_then(|have| {
            if have != object.sha256 {
                return Err(BucketError::Changed { key: key.to_owned(), have, want: object.sha256 });
            }
            self.link(&temporary, &path)
        });
        // The link keeps the object; a temporary file that stays is swept later.
        let _ = fs::remove_file(&temporary);
        if linked? {
            return Ok(Put::Stored);
        }
        let theirs = hash(&path).map_err(io_error("read", &path))?;
        if theirs != object.sha256 {
            return Err(BucketError::Conflict { key: key.to_owned(), theirs, run: None });
        }
        // Whoever linked it may have crashed before the sync.
        self.sync(&path)?;
        Ok(Put::Same)
    }

    /// True if `path` is the new file now, durably; false if it was there.
    fn link(&self, temporary: &Path, path: &Path) -> Result<bool, BucketError> {
        let mut attempts = 1;
        loop {
            let made = path.parent().map_or(Ok(()), durable::create_dir_all);
            match made.map(|()| fs::hard_link(temporary, path)) {
                Ok(Ok(())) => {
                    self.sync(path)?;
                    return Ok(true);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                // Whoever removed the last object of a folder has just removed the folder.
                Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => attempts += 1,
                Err(FilesError::Io { source, .. }) if is_absent(&source) && attempts < ATTEMPTS => attempts += 1,
                Ok(Err(error)) => return Err(io_error("create", path)(error)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Syncs the folders from the object's up to the root: another process may have made one and not synced it yet.
    fn sync(&self, path: &Path) -> Result<(), BucketError> {
        for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)) {
            durable::sync_dir(folder)?;
        }
        Ok(())
    }

    fn read_range(&self, key: &str, range: &Range<u64>) -> Result<Bytes, BucketError> {
        let path = self.path(key)?;
        let file = match File::open(&path) {
            Err(error) if is_absent(&error) => return Err(BucketError::NotFound { key: key.to_owned() }),
            file => file.map_err(io_error("open", &path))?,
        };
        let meta = file.metadata().map_err(io_error("read", &path))?;
        if !meta.is_file() {
            return Err(BucketError::NotFound { key: key.to_owned() });
        }
        let start = range.start.min(meta.len());
        let end = range.end.min(meta.len()).max(start);
        let mut bytes = vec![0; (end - start) as usize];
        file.read_exact_at(&mut bytes, start).map_err(io_error("read", &path))?;
        Ok(bytes.into())
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>, BucketError> {
        let path = self.path(key)?;
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => entry(key.to_owned(), &meta, &path).map(Some),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        let mut listing = Listing { prefix, after, page: Page::default() };
        listing.walk(&self.root, "")?;
        Ok(listing.page)
    }

    fn remove(&self, keys: &[String]) -> Result<(), BucketError> {
        for key in keys {
            let path = self.path(key)?;
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(io_error("remove", &path)(error)),
            }
            self.prune(&path)?;
        }
        Ok(())
    }

    /// Removes the folders above a removed object that have become empty: a bucket has objects, and nothing else.
    fn prune(&self, path: &Path) -> Result<(), BucketError> {
        for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)) {
            if folder != self.root && fs::remove_dir(folder).is_ok() {
                continue;
            }
            // It has other objects, or somebody has just put one there; or it went before, and then the one above counts.
            match durable::sync_dir(folder) {
                Err(FilesError::Io { source, .. }) if is_absent(&source) => {}
                synced => return Ok(synced?),
            }
        }
        Ok(())
    }

    /// There is one version of everything; what a removal that was broken off leaves are empty folders.
    fn remove_empty(&self, prefix: &str) -> Result<Kept, BucketError> {
        if let Some(folder) = prefix.strip_suffix('/') {
            let path = self.path(folder)?;
            remove_empty_folders(&path)?;
            self.prune(&path)?;
        }
        Ok(Kept::default())
    }

    fn remove_unfinished(&self, before: Timestamp) -> Result<usize, BucketError> {
        let writing = self.root.join(WRITING);
        let mut removed = 0;
        for (_, path, meta) in read_dir(&writing)? {
            if meta.is_file() && modified(&meta, &path)? < before {
                durable::remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Bucket for Folder {
    fn describe(&self) -> String {
        format!("folder {}", self.root.display())
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, object: &'a Object) -> Answer<'a, Put> {
        let (name, object) = (key.to_owned(), object.clone());
        Box::pin(self.blocking("put", key, move |folder| folder.write_object(&name, &object)))
    }

    fn get<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        let name = key.to_owned();
        Box::pin(self.blocking("get", key, move |folder| folder.read_range(&name, &range)))
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        let name = key.to_owned();
        Box::pin(self.blocking("head", key, move |folder| folder.stat(&name)))
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> Answer<'a, Page> {
        let (begin, behind) = (prefix.to_owned(), after.map(str::to_owned));
        Box::pin(self.blocking("list", prefix, move |folder| folder.page(&begin, behind.as_deref())))
    }

    fn delete<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()> {
        let names = keys.to_vec();
        let first = keys.first().map(String::as_str).unwrap_or_default();
        Box::pin(self.blocking("delete", first, move |folder| folder.remove(&names)))
    }

    fn forget<'a>(&'a self, prefix: &'a str) -> Answer<'a, Kept> {
        let below = prefix.to_owned();
        Box::pin(self.blocking("forget", prefix, move |folder| folder.remove_empty(&below)))
    }

    fn fencing(&self) -> Answer<'_, Fencing> {
        Box::pin(async { Ok(Fencing::Strong) })
    }

    fn sweep(&self, before: Timestamp) -> Answer<'_, usize> {
        Box::pin(self.blocking("sweep", WRITING, move |folder| folder.remove_unfinished(before)))
    }
}

/// A walk through the folder in the order of keys, that ends when the page is full.
struct Listing<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    page: Page,
}

impl Listing<'_> {
    /// True when there is no more to look for.
    fn walk(&mut self, folder: &Path, at: &str) -> Result<bool, BucketError> {
        let mut children = read_dir(folder)?;
        // A folder's keys go on with a slash, which is not the least of the characters in names.
        children.sort_by(|(a, _, a_meta), (b, _, b_meta)| key_order((a, a_meta.is_dir()), (b, b_meta.is_dir())));
        for (name, path, meta) in children {
            let key = format!("{at}{name}");
            let done = if meta.is_dir() {
                let below = format!("{key}/");
                self.may_hold(&below) && self.walk(&path, &below)?
            } else {
                self.file(key, &meta, &path)?
            };
            if done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if keys that begin with `below` may be wanted.
    fn may_hold(&self, below: &str) -> bool {
        let inside = below.starts_with(self.prefix) || self.prefix.starts_with(below);
        inside && self.after.is_none_or(|after| below > after || after.starts_with(below))
    }

    fn file(&mut self, key: String, meta: &fs::Metadata, path: &Path) -> Result<bool, BucketError> {
        let wanted = key.starts_with(self.prefix) && self.after.is_none_or(|after| key.as_str() > after);
        if !wanted || !meta.is_file() {
            return Ok(false);
        }
        if self.page.entries.len() == PAGE {
            self.page.more = true;
            return Ok(true);
        }
        self.page.entries.push(entry(key, meta, path)?);
        Ok(false)
    }
}

/// Those below `folder`, and itself.
fn remove_empty_folders(folder: &Path) -> Result<(), BucketError> {
    for (_, path, meta) in read_dir(folder)? {
        if meta.is_dir() {
            remove_empty_folders(&path)?;
        }
    }
    // It has objects, or it is not there.
    let _ = fs::remove_dir(folder);
    Ok(())
}

fn key_order(a: (&str, bool), b: (&str, bool)) -> Ordering {
    let end = |folder: bool| if folder { "/" } else { "" };
    a.0.bytes().chain(end(a.1).bytes()).cmp(b.0.bytes().chain(end(b.1).bytes()))
}

/// What is in a folder, and can be a key or a part of one; nothing where the folder is not there.
fn read_dir(folder: &Path) -> Result<Vec<(String, PathBuf, fs::Metadata)>, BucketError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        entries => entries.map_err(io_error("list", folder))?,
    };
    let mut children = Vec::new();
    for child in entries {
        let child = child.map_err(io_error("list", folder))?;
        let Ok(name) = child.file_name().into_string() else { continue };
        if check_key(&name).is_err() {
            continue;
        }
        match child.metadata() {
            Ok(meta) => children.push((name, child.path(), meta)),
            // Deleted since it was listed.
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(io_error("read", &child.path())(error)),
        }
    }
    Ok(children)
}

fn entry(key: String, meta: &fs::Metadata, path: &Path) -> Result<Entry, BucketError> {
    Ok(Entry { key, size: meta.len(), modified: modified(meta, path)? })
}

fn modified(meta: &fs::Metadata, path: &Path) -> Result<Timestamp, BucketError> {
    let time = meta.modified().map_err(io_error("read", path))?;
    // A file from beyond the year 9999 is as good as one from the year 1.
    Ok(Timestamp::try_from(time).unwrap_or(Timestamp::MIN))
}

/// Writes and syncs; answers the hash of what was written.
fn write(path: &Path, object: &Object) -> io::Result<Sha256> {
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut hashing = Hashing::default();
    hashing.update(&object.front);
    target.write_all(&object.front)?;
    if let Some(part) = &object.file {
        let mut source = File::open(&part.path)?;
        source.seek(SeekFrom::Start(part.offset))?;
        copy(source.take(part.length), |bytes| {
            hashing.update(bytes);
            target.write_all(bytes)
        })?;
    }
    target.sync_all()?;
    Ok(hashing.finish())
}

fn hash(path: &Path) -> io::Result<Sha256> {
    let mut hashing = Hashing::default();
    copy(File::open(path)?, |bytes| {
        hashing.update(bytes);
        Ok(())
    })?;
    Ok(hashing.finish())
}

fn copy(mut source: impl Read, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A name that no other write of this or another process has. Keys begin with a letter or digit; so does this, and a sweep
/// lists it.
fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let started = Timestamp::now().as_nanosecond();
    format!("{}-{started}-{}", std::process::id(), COUNTER.fetch_add(1, Relaxed))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BucketError {
    move |source| FilesError::Io { action, path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod tests;
