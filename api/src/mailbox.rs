//! Mailbox: an encrypted mail store and its address.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, conditions};
use crate::size::Size;

/// An encrypted mail store that only its owner's password opens, and the address it stands at.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealpost.dev",
    version = "v1alpha1",
    kind = "Mailbox",
    plural = "mailboxes",
    shortname = "mbx",
    category = "sealpost",
    namespaced,
    status = "MailboxStatus",
    derive = "PartialEq",
    doc = "An encrypted mail store that only its owner's password opens, and the address it stands at.",
    selectable = ".spec.address"
)]
#[x_kube(validation = Rule::new("!(has(self.keysSecretRef) && has(self.passwordSecretRef))")
    .message("name keysSecretRef or passwordSecretRef, not both"))]
#[serde(rename_all = "camelCase")]
pub struct MailboxSpec {
    /// Its address: lower case, the domain as A-label. To rename, make another Mailbox that adopts this one.
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the address cannot change: make another Mailbox with adopt.mailboxId"))]
    #[x_kube(validation = Rule::new("self == self.lowerAscii() && self.matches('^[^@ ]+@[a-z0-9.-]+$')")
        .message("an address is local@domain in lower case, the domain as A-label"))]
    #[x_kube(validation = Rule::new("!self.startsWith('*@')").message("a catch-all is an Alias"))]
    pub address: String,
    /// The MailServer that keeps it.
    #[serde(default = "default_server")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("a mailbox does not move to another server"))]
    pub server_ref: LocalRef,
    /// What it accepts.
    #[serde(default)]
    pub state: State,
    /// Most it may hold; absent = the server's `limits.mailboxQuota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
    /// Protocols its owner may use.
    #[serde(default = "all_access")]
    #[schemars(length(max = 3))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub access: Vec<Access>,
    /// What happens to the mail when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Secret with wrapped keys (`keys.json`), made by `sealpost password --offline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_secret_ref: Option<LocalRef>,
    /// Secret with the first `password`. Whoever reads that Secret can open the mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<LocalRef>,
    /// Take over a retained mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Backup policy; absent = the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_policy_ref: Option<LocalRef>,
}

/// What a mailbox accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Reads and writes.
    #[default]
    Active,
    /// Accepts mail, refuses changes by clients.
    ReadOnly,
    /// Accepts nothing for now; nobody logs in.
    Suspended,
}

/// A protocol its owner may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
    /// SMTP submission.
    Submission,
}

/// What happens to the mail when the object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is kept; a Mailbox with the same address takes it over.
    #[default]
    Retain,
    /// Meant to be purged; so far it is kept as well, until somebody purges it.
    Delete,
}

/// A retained mailbox to take over.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Its id: see `status.mailboxId`, or the folder name on the volume.
    #[schemars(length(min = 26, max = 26))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z2-7]{26}$')").message("a mailbox id is 26 characters of a-z and 2-7"))]
    pub mailbox_id: String,
}

/// What the operator knows of a Mailbox.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxStatus {
    /// The `metadata.generation` last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Its opaque id, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 26))]
    pub mailbox_id: Option<String>,
    /// Which primary owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub shard: Option<i32>,
    /// See the condition types in the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// The MailServer of objects that name none.
pub(crate) fn default_server() -> LocalRef {
    LocalRef::new("mail")
}

fn all_access() -> Vec<Access> {
    vec![Access::Imap, Access::Pop3, Access::Submission]
}
