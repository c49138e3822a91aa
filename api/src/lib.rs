//! The objects people write, and what follows from them.
//!
//! * [`MailServer`], [`Mailbox`], [`Alias`], [`BackupPolicy`], [`MailboxBackup`], [`MailboxRestore`]: the custom resources
//!   of group `sealpost.dev`; [`crds`] renders them.
//! * [`load`] reads manifests from files, with errors that name file, line, field and remedy.
//! * [`validate`] is the authority on what an object may say; the schema's CEL rules say the same where they can.
//! * [`world`] reduces objects to what routing needs; [`compile`] turns that and the bindings into a plan. Both are pure.
//! * [`policies`] and [`runs`] tell each shard what becomes of its mailboxes in the bucket; [`run_status`] what became of a run.
//!   Pure too.
//! * [`conditions`] is the vocabulary of status.
//!
//! Start with [`load`] and [`compile`]: `sealpost up` and the operator do nothing else to decide.

mod alias;
mod backup;
mod common;
mod compile;
pub mod conditions;
mod error;
pub mod fence;
mod mailbox;
mod manifest;
mod object;
mod policy;
mod run;
mod schema;
mod server;
mod size;
mod validate;
mod world;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use alias::{Alias, AliasSpec, AliasStatus, AliasTarget, Reject, Webhook};
pub use backup::{Backups, Heard, Runs, Unassigned, policies, run_id, run_status, runs};
pub use common::{LocalRef, condition};
pub use compile::compile;
pub use error::{Invalid, ManifestError};
pub use mailbox::{Access, Adopt, DeletionPolicy, Mailbox, MailboxSpec, MailboxStatus, State};
pub use manifest::{Manifests, load};
pub use object::{KINDS, KeySource, Object, Secret, key_source};
pub use policy::{Archive, BackupPolicy, BackupPolicySpec, BackupPolicyStatus, Destination, Retention, S3, Schedule};
pub use run::{
    Executor, MailboxBackup, MailboxBackupSpec, MailboxBackupStatus, MailboxRestore, MailboxRestoreSpec,
    MailboxRestoreStatus, RestoreMode, RestoreSource, RestoreTarget,
};
pub use server::{
    AccessMode, Amount, DirectoryStatus, Dkim, FrontEnd, Limits, MailServer, MailServerSpec, MailServerStatus,
    Outbound, Primary, ProxyProtocol, Relay, Resources, ScaleStatus, ServedDomain, Service, ServiceType, ShardStatus,
    Sidecar, Storage, Tls,
};
pub use size::Size;
pub use validate::{Problem, validate, validate_change};
pub use world::{Seen, references, world};

/// The API group of our kinds.
pub const GROUP: &str = "sealpost.dev";
/// The `apiVersion` of our kinds.
pub const API_VERSION: &str = "sealpost.dev/v1alpha1";

/// The custom resource definitions, in the order of the documentation.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let derived = [
        MailServer::crd(),
        Mailbox::crd(),
        Alias::crd(),
        BackupPolicy::crd(),
        MailboxBackup::crd(),
        MailboxRestore::crd(),
    ];
    derived.into_iter().map(schema::finish).collect()
}
