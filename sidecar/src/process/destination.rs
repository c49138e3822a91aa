//! From a policy to its bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::backup::Destination;

use crate::bucket::{Bucket, Folder, S3, Settings};

/// The bucket of a policy's destination. What opens it is in a folder with the policy's name below `credentials`:
/// `accessKeyId`, `secretAccessKey`, maybe `sessionToken`, maybe `ca.crt`. They are read for every request, so they may be
/// renewed, and may come later than the policy.
pub fn open(policy: &str, destination: &Destination, credentials: &Path) -> Arc<dyn Bucket> {
    match destination {
        Destination::Folder { path } => Arc::new(Folder::new(PathBuf::from(path))),
        Destination::S3(bucket) => {
            let credentials = Some(credentials.join(policy));
            Arc::new(S3::new(Settings { bucket: bucket.clone(), credentials, ca: None }))
        }
    }
}
