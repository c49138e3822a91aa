//! Where archives are kept: the seam behind which a bucket of any kind stands.
//!
//! * Objects are immutable. A key is written once; a second write of the same bytes is a success (the answer of the first
//!   may have been lost), of other bytes a [`BucketError::Conflict`].
//! * A write that was answered is durable, and every later read and listing sees it.
//! * Keys are safe as they are in any store, a folder included: see [`check_key`]. Listings are in byte order of keys.
//! * Nothing retries in here. Whoever calls knows what a delay costs.
//!
//! [`Memory`] and [`Unreliable`] are for tests, [`Folder`] is the bucket of `sealpost up`, [`S3`] what the rest of the world
//! has. Every one of them passes the same tests (`conformance`).

mod error;
mod folder;
mod memory;
mod s3;
mod unreliable;

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use files::FilesError;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

pub use error::{BucketError, Refusal};
pub use folder::Folder;
pub use memory::Memory;
pub use s3::{S3, Settings};
pub use unreliable::{Fault, Operation, Unreliable};

use crate::format::Sha256;

/// Keys of one answer to [`Bucket::list`] at most.
pub const PAGE: usize = 1000;
/// Bytes of a key at most; S3 takes 1024, and a prefix comes before it.
pub const KEY_MOST: usize = 700;

/// The answer of a bucket.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, BucketError>>;

/// A place for immutable objects.
pub trait Bucket: fmt::Debug + Send + Sync {
    /// What it is, for people: `folder /var/...`.
    fn describe(&self) -> String;

    /// Stores an object unless its key is taken.
    fn put_if_absent<'a>(&'a self, key: &'a str, object: &'a Object) -> Answer<'a, Put>;

    /// The bytes of a range, as many of them as there are; none of a range behind the end.
    fn get<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes>;

    /// What is known of an object without reading it; none where there is none.
    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>>;

    /// The next objects whose keys begin with `prefix`, in order, behind the key `after`.
    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> Answer<'a, Page>;

    /// Removes objects; one that is not there is as good. After an error some may be gone.
    fn delete<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()>;

    /// Removes what no listing shows of objects whose keys begin with `prefix`: their versions, where the bucket keeps such. What is
    /// listed goes as well. Answers what stays.
    fn forget<'a>(&'a self, prefix: &'a str) -> Answer<'a, Kept>;

    /// Whether [`Bucket::put_if_absent`] keeps its promise against a second writer.
    fn fencing(&self) -> Answer<'_, Fencing>;

    /// Removes what writes left behind that never ended, if they began before `before`; answers how many.
    fn sweep(&self, before: Timestamp) -> Answer<'_, usize>;
}

/// What is to be stored: bytes, and a part of a file behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The first bytes.
    pub front: Bytes,
    /// Those behind them. The file must not change while it is written.
    pub file: Option<FilePart>,
    /// Hash of all of them: what is stored is this or nothing.
    pub sha256: Sha256,
    /// The start of the process that writes; kept beside the object where the bucket can.
    pub run: String,
}

impl Object {
    /// An object of bytes alone.
    pub fn of_bytes(bytes: impl Into<Bytes>, run: &str) -> Self {
        let front = bytes.into();
        let sha256 = Sha256::of(&front);
        Self { front, file: None, sha256, run: run.to_owned() }
    }

    /// Bytes of all of it.
    pub fn size(&self) -> u64 {
        self.front.len() as u64 + self.file.as_ref().map_or(0, |part| part.length)
    }

    /// A part of its bytes, which has to lie inside. Blocking.
    pub fn read(&self, range: &Range<u64>) -> Result<Bytes, BucketError> {
        let front = self.front.len() as u64;
        let inside = |at: u64| at.min(front) as usize;
        let first = self.front.slice(inside(range.start)..inside(range.end));
        let Some(part) = self.file.as_ref().filter(|_| range.end > front) else { return Ok(first) };
        let from = range.start.saturating_sub(front);
        let mut bytes = first.to_vec();
        bytes.resize((range.end - range.start) as usize, 0);
        let read =
            File::open(&part.path).and_then(|file| file.read_exact_at(&mut bytes[first.len()..], part.offset + from));
        read.map_err(|source| FilesError::Io { action: "read", path: part.path.clone(), source })?;
        Ok(bytes.into())
    }
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// The file.
    pub path: PathBuf,
    /// Where the part begins.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Stored,
    /// It was there already, with the same bytes.
    Same,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the bucket's clock.
    pub modified: Timestamp,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Objects, in order.
    pub entries: Vec<Entry>,
    /// True where there are more behind the last.
    pub more: bool,
}

/// What a bucket did about versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Versions that are gone.
    pub removed: u64,
    /// Objects of which versions stay, each once, with their largest size.
    pub left: Vec<Entry>,
    /// Why they stay; where none are left, why the bucket does not tell which there are.
    pub why: Option<String>,
}

/// What keeps two writers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// The bucket itself refuses the second of two writes of a key.
    Strong,
    /// It does not: only that names are unique keeps writers from each other.
    Weak,
}

/// Every object whose key begins with `prefix`.
pub async fn list_all(bucket: &dyn Bucket, prefix: &str) -> Result<Vec<Entry>, BucketError> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map(|entry| entry.key.clone());
        let page = bucket.list(prefix, after.as_deref()).await?;
        let more = page.more && !page.entries.is_empty();
        all.extend(page.entries);
        if !more {
            return Ok(all);
        }
    }
}

/// Refuses keys that are not the same everywhere: a key is parts between slashes, each of letters, digits, `-`, `_` and
/// `.`, 1 to 200 bytes, and none begins with a dot.
pub fn check_key(key: &str) -> Result<(), BucketError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let sound = |part: &str| (1..=200).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(plain);
    if key.len() <= KEY_MOST && key.split('/').all(sound) {
        return Ok(());
    }
    Err(BucketError::Key { key: key.chars().take(KEY_MOST).collect() })
}

#[cfg(test)]
pub(crate) mod conformance;
