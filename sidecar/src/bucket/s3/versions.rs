//! Versions: what a bucket with versioning, or with object lock, keeps of objects that were removed.
//!
//! A removal there only puts a marker before the versions. To remove an object for good, each version is removed by its name, and
//! then its markers; those of an object of which a version stays stay too, so that it does not come back into listings.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use model::Class;

use super::refusal::{failed, sent, status};
use super::{DELETES, S3, time};
use crate::bucket::{BucketError, Entry, Kept, PAGE, Refusal, check_key};

/// A version, or a marker.
struct Version {
    entry: Entry,
    name: String,
    is_marker: bool,
}

impl S3 {
    /// Removes every version and marker below a prefix; answers what stays.
    pub(super) async fn forget_versions(&self, prefix: &str) -> Result<Kept, BucketError> {
        let client = self.client().await?;
        let all = match self.versions(&client, prefix).await {
            Ok(all) => all,
            Err(error @ BucketError::Refused { refusal: Refusal::Denied, .. }) => {
                return Ok(Kept { why: Some(error.to_string()), ..Kept::default() });
            }
            Err(error) => return Err(error),
        };
        let (mut markers, versions): (Vec<Version>, Vec<Version>) =
            all.into_iter().partition(|version| version.is_marker);
        let (mut kept, mut left) = (Kept::default(), BTreeMap::new());
        self.remove_versions(&client, versions, &mut kept, &mut left).await?;
        markers.retain(|marker| !left.contains_key(&marker.entry.key));
        self.remove_versions(&client, markers, &mut kept, &mut left).await?;
        kept.left = left.into_values().collect();
        Ok(kept)
    }

    /// All of them; none where the server knows no versions.
    async fn versions(&self, client: &Client, prefix: &str) -> Result<Vec<Version>, BucketError> {
        let own = self.full("");
        let (mut all, mut key, mut version) = (Vec::new(), None, None);
        loop {
            let request = client.list_object_versions().bucket(self.bucket()).max_keys(PAGE as i32);
            let request = request.prefix(self.full(prefix)).set_key_marker(key).set_version_id_marker(version);
            let found = match sent(|| request.clone().send()).await {
                Ok(found) => found,
                Err(error) if matches!(status(&error), Some(405 | 501)) => return Ok(all),
                Err(error) => return Err(failed("list the versions of", prefix, &error)),
            };
            let mut add = |key: Option<String>, name: Option<String>, size, modified, is_marker| {
                let key = key.and_then(|key| key.strip_prefix(&own).map(str::to_owned));
                if let (Some(key), Some(name)) = (key.filter(|key| check_key(key).is_ok()), name) {
                    all.push(Version { entry: Entry { key, size, modified: time(modified) }, name, is_marker });
                }
            };
            for it in found.versions.into_iter().flatten() {
                add(it.key, it.version_id, it.size.unwrap_or_default().unsigned_abs(), it.last_modified, false);
            }
            for it in found.delete_markers.into_iter().flatten() {
                add(it.key, it.version_id, 0, it.last_modified, true);
            }
            (key, version) = (found.next_key_marker, found.next_version_id_marker);
            if !found.is_truncated.unwrap_or_default() || key.is_none() {
                return Ok(all);
            }
        }
    }

    async fn remove_versions(
        &self,
        client: &Client,
        versions: Vec<Version>,
        kept: &mut Kept,
        left: &mut BTreeMap<String, Entry>,
    ) -> Result<(), BucketError> {
        let mut removals = Vec::with_capacity(versions.len());
        for Version { entry, name, .. } in versions {
            let request = client.delete_object().bucket(self.bucket()).key(self.full(&entry.key)).version_id(name);
            removals.push(async move {
                match sent(|| request.clone().send()).await {
                    Err(error) if status(&error) != Some(404) => {
                        let error = failed("delete a version of", &entry.key, &error);
                        if error.class() == Class::Blocked { Ok(Err((entry, error.to_string()))) } else { Err(error) }
                    }
                    _ => Ok(Ok(())),
                }
            });
        }
        let done: Vec<Result<(), (Entry, String)>> =
            stream::iter(removals).buffer_unordered(DELETES).try_collect().await?;
        for removed in done {
            match removed {
                Ok(()) => kept.removed += 1,
                Err((entry, why)) => {
                    kept.why = Some(why);
                    let known = left.entry(entry.key.clone()).or_insert_with(|| entry.clone());
                    known.size = known.size.max(entry.size);
                }
            }
        }
        Ok(())
    }
}
