//! Large objects, in parts.
//!
//! An [`Upload`] is what one has come to. It leaves the map of uploads when somebody goes on with it, and comes back when
//! that breaks off, also where the caller gave up waiting. Parts that are there already are read and hashed again, and
//! sent again only if they are not what they were.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use jiff::Timestamp;
use model::Class;
use std::sync::atomic::Ordering::Relaxed;

use super::client::patience;
use super::refusal::{failed, is_expired, sent, status};
use super::{PART, RUN, S3, SHA256, condition, md5, read};
use crate::bucket::{BucketError, Fencing, Object, Put};
use crate::format::{Hashing, Sha256};

/// S3 takes 10,000.
const PARTS_MOST: u64 = 9_000;

/// An upload in parts that has begun.
#[derive(Debug)]
pub struct Upload {
    id: String,
    /// Of the whole object.
    sha256: Sha256,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    sha256: Sha256,
    etag: Option<String>,
}

/// An upload somebody works on; it goes back into the map with this.
struct Working<'a> {
    bucket: &'a S3,
    key: &'a str,
    upload: Option<Upload>,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.bucket.uploads().insert(self.key.to_owned(), upload);
        }
    }
}

impl Working<'_> {
    /// What a request that failed means. An upload that the server has forgotten is not gone on with.
    fn broke_off(&mut self, expired: bool, error: BucketError) -> BucketError {
        if !expired {
            return error;
        }
        self.upload = None;
        let reason = "the server has forgotten what was uploaded so far".to_owned();
        BucketError::Unavailable { action: "put", key: self.key.to_owned(), reason }
    }
}

impl S3 {
    /// Stores an object in parts unless its key is taken.
    pub(super) async fn put_parts(
        &self,
        client: &Client,
        key: &str,
        object: &Object,
        fencing: Fencing,
    ) -> Result<Put, BucketError> {
        // The condition is looked at only at the end, after all bytes have been sent.
        if let Some(there) = self.look(client, key).await? {
            self.forget(client, key).await;
            return self.compare(client, key, object, &there).await;
        }
        let known = self.uploads().remove(key);
        let upload = match known {
            Some(known) if known.sha256 == object.sha256 => known,
            other => {
                if let Some(other) = other {
                    self.abort(client, key, &other.id).await;
                }
                self.begin(client, key, object).await?
            }
        };
        let mut working = Working { bucket: self, key, upload: Some(upload) };
        let done = self.go_on(client, key, object, fencing, &mut working).await;
        if !matches!(&done, Err(error) if error.class() == Class::Transient)
            && let Some(upload) = working.upload.take()
        {
            self.abort(client, key, &upload.id).await;
        }
        done
    }

    async fn begin(&self, client: &Client, key: &str, object: &Object) -> Result<Upload, BucketError> {
        let request = client.create_multipart_upload().bucket(self.bucket()).key(self.full(key));
        let request = request.metadata(SHA256, object.sha256.to_string()).metadata(RUN, &object.run);
        // One that was begun unheard is swept.
        let begun = sent(|| request.clone().send()).await.map_err(|error| failed("put", key, &error))?;
        let id = begun.upload_id.unwrap_or_default();
        Ok(Upload { id, sha256: object.sha256, parts: Vec::new() })
    }

    async fn go_on(
        &self,
        client: &Client,
        key: &str,
        object: &Object,
        fencing: Fencing,
        working: &mut Working<'_>,
    ) -> Result<Put, BucketError> {
        let have = self.send_parts(client, key, object, working).await?;
        if have != object.sha256 {
            return Err(BucketError::Changed { key: key.to_owned(), have, want: object.sha256 });
        }
        self.complete(client, key, object, fencing, working).await
    }

    /// Sends what is missing; answers the hash of all bytes.
    async fn send_parts(
        &self,
        client: &Client,
        key: &str,
        object: &Object,
        working: &mut Working<'_>,
    ) -> Result<Sha256, BucketError> {
        let (size, part) = (object.size(), part_size(object.size()));
        let mut hashing = Hashing::default();
        for index in 0..size.div_ceil(part) {
            let bytes = read(key, object, index * part..size.min((index + 1) * part)).await?;
            hashing.update(&bytes);
            let sha256 = Sha256::of(&bytes);
            let Some(upload) = &mut working.upload else { break };
            let index = index as usize;
            if upload.parts.get(index).is_some_and(|known| known.sha256 == sha256) {
                continue;
            }
            upload.parts.truncate(index);
            let size = bytes.len() as u64;
            let (id, checksum) = (&upload.id, md5(&bytes));
            let send = || {
                let request = client.upload_part().bucket(self.bucket()).key(self.full(key)).upload_id(id);
                let request = request.part_number(index as i32 + 1).content_md5(&checksum);
                let request = request.body(ByteStream::from(bytes.clone()));
                request.customize().config_override(patience(size)).send()
            };
            match sent(send).await {
                Ok(answer) => upload.parts.push(Part { sha256, etag: answer.e_tag }),
                Err(error) => return Err(working.broke_off(is_expired(&error), failed("put", key, &error))),
            }
        }
        Ok(hashing.finish())
    }

    async fn complete(
        &self,
        client: &Client,
        key: &str,
        object: &Object,
        fencing: Fencing,
        working: &mut Working<'_>,
    ) -> Result<Put, BucketError> {
        let Some(upload) = &working.upload else { return self.compare_now(client, key, object).await };
        let numbered = (1..).zip(&upload.parts);
        let parts = numbered
            .map(|(number, part)| CompletedPart::builder().part_number(number).set_e_tag(part.etag.clone()).build());
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        // The object was not there when this began. Servers that know conditions may not know them here.
        let conditional = condition(fencing).filter(|_| !self.no_final_condition.load(Relaxed));
        let tried = conditional.is_some();
        let request = client.complete_multipart_upload().bucket(self.bucket()).key(self.full(key));
        let request = request.upload_id(&upload.id).multipart_upload(parts).set_if_none_match(conditional);
        // It may copy all of it before it answers, which is faster than any line.
        match request.customize().config_override(patience(object.size() >> 8)).send().await {
            Ok(_) => {
                working.upload = None;
                Ok(Put::Stored)
            }
            Err(error) if status(&error) == Some(412) => {
                self.abort_working(client, key, working).await;
                self.compare_now(client, key, object).await
            }
            Err(error) if tried && status(&error) == Some(501) => {
                self.no_final_condition.store(true, Relaxed);
                Err(BucketError::Unavailable {
                    action: "put",
                    key: key.to_owned(),
                    reason: "the server knows no conditions at the end of an upload; none is sent from now on"
                        .to_owned(),
                })
            }
            // It may have been put together, and only the answer was lost: the next attempt looks.
            Err(error) => Err(working.broke_off(is_expired(&error), failed("put", key, &error))),
        }
    }

    async fn abort_working(&self, client: &Client, key: &str, working: &mut Working<'_>) {
        if let Some(upload) = working.upload.take() {
            self.abort(client, key, &upload.id).await;
        }
    }

    async fn forget(&self, client: &Client, key: &str) {
        let known = self.uploads().remove(key);
        if let Some(known) = known {
            self.abort(client, key, &known.id).await;
        }
    }

    /// One that cannot be aborted now is swept later.
    async fn abort(&self, client: &Client, key: &str, id: &str) {
        let request = client.abort_multipart_upload().bucket(self.bucket()).key(self.full(key));
        let _ = request.upload_id(id).send().await;
    }

    /// Aborts uploads that began before `before` and that nobody here will go on with.
    pub(super) async fn abort_unfinished(&self, before: Timestamp) -> Result<usize, BucketError> {
        let client = self.client().await?;
        let (own, mut aborted) = (self.full(""), 0);
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = client.list_multipart_uploads().bucket(self.bucket()).prefix(&own);
            let request = request.set_key_marker(key_marker).set_upload_id_marker(id_marker);
            let found = sent(|| request.clone().send()).await.map_err(|error| failed("sweep", &own, &error))?;
            for upload in found.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                let Some(key) = key.strip_prefix(&own) else { continue };
                let old = upload.initiated().is_some_and(|began| began.secs() < before.as_second());
                let ours = self.uploads().values().any(|known| known.id == id);
                if old && !ours {
                    let request = client.abort_multipart_upload().bucket(self.bucket()).key(self.full(key));
                    match request.upload_id(id).send().await {
                        Err(error) if !is_expired(&error) => return Err(failed("sweep", key, &error)),
                        _ => aborted += 1,
                    }
                }
            }
            if !found.is_truncated().unwrap_or_default() {
                return Ok(aborted);
            }
            (key_marker, id_marker) = (found.next_key_marker, found.next_upload_id_marker);
        }
    }
}

/// Bytes of a part: whole mebibytes, so that an object has parts of one size whoever uploads it.
fn part_size(size: u64) -> u64 {
    size.div_ceil(PARTS_MOST).next_multiple_of(1 << 20).max(PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_object_has_not_too_many_parts() {
        assert_eq!(part_size(PART + 1), PART);
        assert_eq!(part_size(9_000 * PART), PART);
        let most = 5 << 40;
        assert!(most / part_size(most) <= 10_000 && part_size(most).is_multiple_of(1 << 20));
    }
}
