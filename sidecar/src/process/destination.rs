//! From a policy to its bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::backup::Destination;

use crate::bucket::{Bucket, Folder, S3, Settings};

/// The bucket of a policy's destination. What opens it is in files of `credentials`: `<policy>.accessKeyId`,
/// `<policy>.secretAccessKey`, maybe `<policy>.sessionToken`, maybe `<policy>.ca.crt`, as a Secret with the credentials of all
/// policies is mounted. They are read for every request, so they may be renewed, and may come later than the policy.
pub fn open(policy: &str, destination: &Destination, credentials: &Path) -> Arc<dyn Bucket> {
    match destination {
        Destination::Folder { path } => Arc::new(Folder::new(PathBuf::from(path))),
        Destination::S3(bucket) => {
            let (credentials, named) = (Some(credentials.to_owned()), format!("{policy}."));
            Arc::new(S3::new(Settings { bucket: bucket.clone(), credentials, named, ca: None }))
        }
    }
}
