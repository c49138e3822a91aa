//! A running system and an S3 bucket behind TLS (`sealpost up --buckets s3`), and what can go wrong between them.
//!
//! The S3 server runs in the process of the tests. It keeps objects as plain files, so what is in the bucket can be looked at
//! also while the way to it is bad; what is restored comes by the way that everybody goes, unless a test says otherwise.

mod faults;
mod figures;
mod kills;
mod load;
mod losses;
mod opened;
mod owners;
mod purge;
mod restores;
mod secrets;
mod ship;

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use model::backup::ArchiveId;
use serde_json::Value;
use sidecar::assemble::{AssembleError, Assembled, Source, Target, archives, assemble, roots};
use sidecar::bucket::{Bucket, Folder, S3, Settings};
use tempfile::TempDir;

use crate::harness::s3::{self, BUCKET, ID, SECRET};
use crate::harness::{Options, Server, wait_until};
use crate::up::Manifests;

/// Everything is below it. Short: the server makes names of files out of keys, and of keys of uploads in parts longer ones.
pub const PREFIX: &str = "p";
/// Of all mailboxes.
pub const PASSWORD: &str = "pass";

/// An S3 server, and what it runs on.
pub struct Remote {
    runtime: tokio::runtime::Runtime,
    pub server: s3::Server,
}

impl Remote {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = runtime.block_on(s3::Server::start());
        Self { runtime, server }
    }

    /// MinIO, once it answers.
    pub fn minio(executable: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let remote = Self { runtime, server: s3::Server::minio(executable) };
        wait_until("MinIO answers", || remote.run(remote.bucket().list("", None)).is_ok());
        remote
    }

    /// A BackupPolicy with that lag, and the Secrets it names.
    pub fn policy(&self, lag: u32, secret: &str) -> String {
        let ca = std::fs::read_to_string(self.server.credentials().join("ca.crt")).unwrap();
        let text = |value: &str| serde_json::to_string(value).unwrap();
        format!(
            "apiVersion: sealpost.dev/v1alpha1\nkind: BackupPolicy\nmetadata: {{name: daily}}\nspec:\n  destination:\n    s3:\n      \
             endpoint: {}\n      bucket: {BUCKET}\n      prefix: {PREFIX}\n      credentialsSecretRef: {{name: daily-bucket}}\n      \
             caSecretRef: {{name: daily-ca}}\n  archive: {{maxLagSeconds: {lag}}}\n  retention: {{windowDays: 1, keepLast: 1, daily: \
             0, weekly: 0, monthly: 0}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: daily-bucket}}\nstringData: \
             {{accessKeyId: {}, secretAccessKey: {}}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: daily-ca}}\nstringData: \
             {{ca.crt: {}}}\n",
            self.server.endpoint(),
            text(ID),
            text(secret),
            text(&ca)
        )
    }

    /// A server's manifests: mailboxes `u0@example.org` and so on, and a policy with that lag.
    pub fn manifests(&self, mailboxes: usize, lag: u32) -> Manifests {
        let manifests = Manifests::empty();
        manifests.write("mailserver.yaml", &Manifests::samples().read("mailserver.yaml"));
        manifests.write("policy.yaml", &self.policy(lag, SECRET));
        let mut text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: password}}\nstringData: {{password: {PASSWORD}}}\n"
        );
        for n in 0..mailboxes {
            text += &format!(
                "---\napiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {{name: u{n}}}\nspec: {{address: {}, \
                 passwordSecretRef: {{name: password}}}}\n",
                address(n)
            );
        }
        manifests.write("mailboxes.yaml", &text);
        manifests
    }

    /// The bucket, by the way that everybody goes.
    pub fn bucket(&self) -> S3 {
        let bucket = model::backup::S3 {
            endpoint: Some(self.server.endpoint()),
            bucket: BUCKET.to_owned(),
            region: "auto".to_owned(),
            prefix: PREFIX.to_owned(),
            path_style: true,
            ambient: false,
        };
        S3::new(Settings { bucket, credentials: Some(self.server.credentials()), named: String::new(), ca: None })
    }

    /// The bucket's files.
    pub fn folder(&self) -> PathBuf {
        self.server.folder().join(PREFIX)
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The newest archive of every mailbox, as the files of the bucket say.
    pub fn newest(&self) -> Vec<ArchiveId> {
        let folder = Folder::new(self.folder());
        self.run(async {
            let Some(root) = roots(&folder).await.unwrap().pop() else { return Vec::new() };
            let all = archives(&folder, &root).await.unwrap();
            let later =
                |one: &ArchiveId| all.iter().any(|other| other.mailbox == one.mailbox && other.timeline > one.timeline);
            all.iter().filter(|one| !later(one)).cloned().collect()
        })
    }

    /// The files of an archive at some point.
    pub fn assemble(
        &self,
        bucket: &dyn Bucket,
        archive: &ArchiveId,
        target: Target,
    ) -> Result<(TempDir, Assembled), AssembleError> {
        let dir = tempfile::tempdir().unwrap();
        let assembled = self.run(async {
            let root = roots(bucket).await?.remove(0);
            let source = Source::open(bucket, &root).await?;
            assemble(&source, archive, target, dir.path(), &mut |_| {}).await
        })?;
        Ok((dir, assembled))
    }
}

/// The address of a mailbox.
pub fn address(n: usize) -> String {
    format!("u{n}@example.org")
}

/// The id of a mailbox, once it has keys.
pub fn mailbox(server: &Server, n: usize) -> String {
    server.status()["mailboxes"][address(n)]["id"].as_str().unwrap().to_owned()
}

/// A server on those manifests.
pub fn start(manifests: &Manifests) -> Server {
    Options::manifests(manifests.path()).s3().start()
}

pub fn backup(server: &Server) -> Value {
    server.status()["backups"]["daily"].clone()
}

/// What is to be known of the copies.
pub fn findings(server: &Server) -> Vec<String> {
    let status = server.status();
    status["findings"].as_array().unwrap().iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
}

/// Waits until a finding has all of these words.
pub fn wait_finding(server: &Server, words: &[&str]) -> String {
    let mut found = None;
    wait_until(&format!("a finding says {words:?}"), || {
        found = findings(server).into_iter().find(|finding| words.iter().all(|word| finding.contains(word)));
        found.is_some()
    });
    found.unwrap()
}

/// Waits until the sidecar says, a lag and more after now, that nothing waits and nothing is wrong.
pub fn wait_archived(server: &Server) {
    let since = Timestamp::now() + SignedDuration::from_secs(3);
    wait_until("everything is archived", || {
        let backup = backup(server);
        let time = backup["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let well = backup["reachable"]["status"] == true && backup["withinRpo"]["status"] == true;
        time.is_some_and(|time| time > since) && backup["lagSeconds"] == 0 && well
    });
}

/// Files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = entries.flat_map(|at| if at.is_dir() { files(&at) } else { vec![at] }).collect();
    // Sockets are none.
    all.retain(|path| path.is_file());
    all.sort();
    all
}
