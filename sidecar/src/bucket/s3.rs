//! A bucket of an S3 server: AWS, R2, MinIO, and whatever else speaks the protocol.
//!
//! * A write is `If-None-Match: *`, for a large object at its end. A key that is taken is compared: by the hash that every
//!   object of ours carries in its metadata (`sha256`, `run`), or, where that is missing, by reading it. Whether the server
//!   knows such conditions is tried out once, with an object `.fencing`, which no listing of ours shows and which stays. One
//!   that does not is asked before each write: [`Fencing::Weak`].
//! * Objects of more than [`PART`] go in parts. The hash of all of them is known before the server is told to put them
//!   together. An upload that broke off goes on where it was when the same object is put again by this process; one that
//!   cannot go on is aborted.
//! * Requests are signed with the hash of their body, which the server checks. Beside that there is Content-MD5, which every
//!   server knows and buckets with object lock want; other checksums are sent only where the protocol asks for them
//!   (`when_required`), as servers exist that take no others.
//! * Nothing is retried in here or in the libraries below, but for a request whose connection ended before its answer.
//! * Credentials and certificate authorities are files that are read before every request, so whoever renews them restarts
//!   nothing. What comes from the machine itself (an instance's or pod's role, the environment) is renewed as it expires.
//!
//! What a crash leaves: uploads without an end, invisible in listings. [`Bucket::sweep`] aborts them, where the server lists
//! them by prefix; MinIO does not, and removes them by itself after a day.

mod client;
mod multipart;
mod refusal;
mod versions;

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use md5::{Digest as _, Md5};

use super::{Answer, Bucket, BucketError, Entry, Fencing, Kept, Object, PAGE, Page, Put, check_key};
use crate::format::{Hashing, Sha256};

use client::{Connection, patience};
use multipart::Upload;
use refusal::{failed, sent, status};

/// Larger objects go in parts of so many bytes, or of more where there would be too many parts.
pub const PART: u64 = 8 << 20;
/// Removals on their way at a time. One by one they need no checksum that a server may not know, and cost nothing.
const DELETES: usize = 16;
/// Read at a time where an object has to be hashed.
const PIECE: u64 = 8 << 20;
/// The object that conditions are tried out with. No key begins with a dot.
const FENCING: &str = ".fencing";
/// Names of our metadata.
const SHA256: &str = "sha256";
const RUN: &str = "run";

/// Where a bucket is, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which bucket.
    pub bucket: model::backup::S3,
    /// Folder with `accessKeyId`, `secretAccessKey`, `sessionToken` (if any) and `ca.crt` (if any). With
    /// [`model::backup::S3::ambient`] only `ca.crt` counts.
    pub credentials: Option<PathBuf>,
    /// What the names of those files begin with: several buckets may share a folder.
    pub named: String,
    /// PEM file with the authorities that are trusted, and no others; instead of `ca.crt`.
    pub ca: Option<PathBuf>,
}

/// A bucket of an S3 server.
#[derive(Debug)]
pub struct S3 {
    settings: Settings,
    connection: tokio::sync::Mutex<Option<Connection>>,
    fencing: OnceLock<Fencing>,
    /// The server knows no conditions at the end of an upload in parts.
    no_final_condition: AtomicBool,
    /// Uploads that broke off, by key.
    uploads: Mutex<HashMap<String, Upload>>,
    #[cfg(test)]
    pub(crate) resolve: Option<std::net::IpAddr>,
}

impl S3 {
    /// The bucket; nothing is asked of it yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            connection: tokio::sync::Mutex::default(),
            fencing: OnceLock::new(),
            no_final_condition: AtomicBool::new(false),
            uploads: Mutex::default(),
            #[cfg(test)]
            resolve: None,
        }
    }

    fn bucket(&self) -> &str {
        &self.settings.bucket.bucket
    }

    /// The key as the server knows it.
    fn full(&self, key: &str) -> String {
        let prefix = &self.settings.bucket.prefix;
        if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
    }

    async fn put(&self, key: &str, object: &Object) -> Result<Put, BucketError> {
        check_key(key)?;
        // Where the server does not refuse a second write, it has to be known before the first.
        let fencing = self.known_fencing().await?;
        let client = self.client().await?;
        if object.size() > PART {
            return Box::pin(self.put_parts(&client, key, object, fencing)).await;
        }
        let bytes = read(key, object, 0..object.size()).await?;
        let have = Sha256::of(&bytes);
        if have != object.sha256 {
            return Err(BucketError::Changed { key: key.to_owned(), have, want: object.sha256 });
        }
        if fencing == Fencing::Weak
            && let Some(there) = self.look(&client, key).await?
        {
            return self.compare(&client, key, object, &there).await;
        }
        let size = bytes.len() as u64;
        let checksum = md5(&bytes);
        let send = || {
            let request = client.put_object().bucket(self.bucket()).key(self.full(key));
            let request = request.metadata(SHA256, object.sha256.to_string()).metadata(RUN, &object.run);
            let request = request.set_if_none_match(condition(fencing)).content_md5(&checksum);
            let request = request.body(ByteStream::from(bytes.clone()));
            request.customize().config_override(patience(size)).send()
        };
        // Only with a condition can a second attempt do no harm.
        let answer = if fencing == Fencing::Strong { sent(send).await } else { send().await };
        match answer {
            Ok(_) => Ok(Put::Stored),
            Err(error) if status(&error) == Some(412) => self.compare_now(&client, key, object).await,
            // It may have been stored, or refused before all of it was sent: some servers hang up then.
            Err(error) if refusal::is_cut(&error) => match self.look(&client, key).await {
                Ok(Some(there)) => self.compare(&client, key, object, &there).await,
                _ => Err(failed("put", key, &error)),
            },
            Err(error) => Err(failed("put", key, &error)),
        }
    }

    /// What became of a write whose key is taken.
    async fn compare_now(&self, client: &Client, key: &str, object: &Object) -> Result<Put, BucketError> {
        match self.look(client, key).await? {
            Some(there) => self.compare(client, key, object, &there).await,
            None => Err(BucketError::Unavailable {
                action: "put",
                key: key.to_owned(),
                reason: "it was there, and is not there any more".to_owned(),
            }),
        }
    }

    async fn compare(
        &self,
        client: &Client,
        key: &str,
        object: &Object,
        there: &HeadObjectOutput,
    ) -> Result<Put, BucketError> {
        let noted = |name: &str| there.metadata().and_then(|all| all.get(name)).cloned();
        let theirs = match noted(SHA256).and_then(|text| text.parse().ok()) {
            Some(hash) => hash,
            None => self.hash(client, key, there.content_length().unwrap_or_default().unsigned_abs()).await?,
        };
        if theirs == object.sha256 {
            return Ok(Put::Same);
        }
        Err(BucketError::Conflict { key: key.to_owned(), theirs, run: noted(RUN) })
    }

    async fn hash(&self, client: &Client, key: &str, size: u64) -> Result<Sha256, BucketError> {
        let (mut hashing, mut at) = (Hashing::default(), 0);
        while at < size {
            let piece = self.fetch(client, key, at..size.min(at + PIECE)).await?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            hashing.update(&piece);
        }
        Ok(hashing.finish())
    }

    async fn fetch(&self, client: &Client, key: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        if range.is_empty() {
            return match self.look(client, key).await? {
                Some(_) => Ok(Bytes::new()),
                None => Err(BucketError::NotFound { key: key.to_owned() }),
            };
        }
        let last = if range.end > i64::MAX as u64 { String::new() } else { (range.end - 1).to_string() };
        let request = client.get_object().bucket(self.bucket()).key(self.full(key));
        let request = request.range(format!("bytes={}-{last}", range.start));
        match sent(|| request.clone().send()).await {
            Ok(found) => {
                let body = found.body.collect().await;
                Ok(body.map_err(|error| refusal::cut("get", key, &error))?.into_bytes())
            }
            // The range begins behind the end.
            Err(error) if status(&error) == Some(416) => Ok(Bytes::new()),
            Err(error) if refusal::is_absent(&error) => Err(BucketError::NotFound { key: key.to_owned() }),
            Err(error) => Err(failed("get", key, &error)),
        }
    }

    async fn look(&self, client: &Client, key: &str) -> Result<Option<HeadObjectOutput>, BucketError> {
        let request = client.head_object().bucket(self.bucket()).key(self.full(key));
        match sent(|| request.clone().send()).await {
            Ok(found) => Ok(Some(found)),
            // An answer to HEAD has no text, so a bucket that is not there looks the same. Writes and listings tell.
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed("head", key, &error)),
        }
    }

    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        let client = self.client().await?;
        let own = self.full("");
        let mut after = after.map(|after| self.full(after));
        loop {
            let request = client.list_objects_v2().bucket(self.bucket()).max_keys(PAGE as i32);
            let request = request.prefix(self.full(prefix)).set_start_after(after);
            let found = sent(|| request.clone().send()).await.map_err(|error| failed("list", prefix, &error))?;
            let more = found.is_truncated().unwrap_or_default();
            after = found.contents().last().and_then(|object| object.key.clone());
            let entries = found.contents.into_iter().flatten().filter_map(|object| {
                let key = object.key?.strip_prefix(&own)?.to_owned();
                let size = object.size.unwrap_or_default().unsigned_abs();
                check_key(&key).is_ok().then(|| Entry { key, size, modified: time(object.last_modified) })
            });
            let entries: Vec<Entry> = entries.collect();
            // Where strangers fill a page, what is behind them still counts.
            if !entries.is_empty() || !more || after.is_none() {
                return Ok(Page { entries, more });
            }
        }
    }

    async fn remove(&self, keys: &[String]) -> Result<(), BucketError> {
        keys.iter().try_for_each(|key| check_key(key))?;
        let client = self.client().await?;
        // Not by `map`: the compiler does not see that such a closure's future may be sent.
        let mut removals = Vec::with_capacity(keys.len());
        for key in keys {
            let request = client.delete_object().bucket(self.bucket()).key(self.full(key));
            removals.push(async move {
                match sent(|| request.clone().send()).await {
                    Err(error) if !refusal::is_absent(&error) => Err(failed("delete", key, &error)),
                    _ => Ok(()),
                }
            });
        }
        stream::iter(removals).buffer_unordered(DELETES).try_collect().await
    }

    /// Looks whether the second of two writes of a key is refused.
    async fn probe(&self) -> Result<Fencing, BucketError> {
        let client = self.client().await?;
        for _ in 0..2 {
            let send = || {
                let request = client.put_object().bucket(self.bucket()).key(self.full(FENCING)).if_none_match("*");
                request.content_md5(md5(b"probe")).body(ByteStream::from_static(b"probe")).send()
            };
            match sent(send).await {
                Ok(_) => {}
                Err(error) if status(&error) == Some(412) => return Ok(Fencing::Strong),
                Err(error) if status(&error) == Some(501) => return Ok(Fencing::Weak),
                Err(error) => return Err(failed("put", FENCING, &error)),
            }
        }
        Ok(Fencing::Weak)
    }

    async fn known_fencing(&self) -> Result<Fencing, BucketError> {
        if let Some(known) = self.fencing.get() {
            return Ok(*known);
        }
        let found = self.probe().await?;
        Ok(*self.fencing.get_or_init(|| found))
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket for S3 {
    fn describe(&self) -> String {
        let s3 = &self.settings.bucket;
        let at = s3.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        format!("s3://{}{at}", self.full_name())
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, object: &'a Object) -> Answer<'a, Put> {
        Box::pin(self.put(key, object))
    }

    fn get<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        Box::pin(async move {
            check_key(key)?;
            self.fetch(&self.client().await?, key, range).await
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            check_key(key)?;
            let found = self.look(&self.client().await?, key).await?;
            Ok(found.map(|found| Entry {
                key: key.to_owned(),
                size: found.content_length.unwrap_or_default().unsigned_abs(),
                modified: time(found.last_modified),
            }))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(self.page(prefix, after))
    }

    fn delete<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()> {
        Box::pin(self.remove(keys))
    }

    fn forget<'a>(&'a self, prefix: &'a str) -> Answer<'a, Kept> {
        Box::pin(self.forget_versions(prefix))
    }

    fn fencing(&self) -> Answer<'_, Fencing> {
        Box::pin(self.known_fencing())
    }

    fn sweep(&self, before: Timestamp) -> Answer<'_, usize> {
        Box::pin(self.abort_unfinished(before))
    }
}

impl S3 {
    fn full_name(&self) -> String {
        let s3 = &self.settings.bucket;
        if s3.prefix.is_empty() { s3.bucket.clone() } else { format!("{}/{}", s3.bucket, s3.prefix) }
    }
}

/// Buckets that lock their objects take no body without it; all others do not mind.
fn md5(bytes: &[u8]) -> String {
    BASE64.encode(&Md5::digest(bytes))
}

/// The condition of a write.
fn condition(fencing: Fencing) -> Option<String> {
    (fencing == Fencing::Strong).then(|| "*".to_owned())
}

/// A part of an object's bytes.
async fn read(key: &str, object: &Object, range: Range<u64>) -> Result<Bytes, BucketError> {
    let (name, object) = (key.to_owned(), object.clone());
    let work = tokio::task::spawn_blocking(move || object.read(&range));
    let lost = |reason: String| BucketError::Unavailable { action: "put", key: name, reason };
    match work.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(error),
        Err(error) => Err(lost(error.to_string())),
    }
}

fn time(time: Option<DateTime>) -> Timestamp {
    // A server that does not tell may mean any time; one that is long gone makes nothing look young.
    time.and_then(|time| Timestamp::new(time.secs(), 0).ok()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;
