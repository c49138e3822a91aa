//! Alias: where mail for an address goes when it does not just go into the mailbox of that address.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, conditions};
use crate::mailbox::default_server;

/// Sends the mail of an address, or of all other names of a domain, to mailboxes, addresses and webhooks, or refuses it.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealpost.dev",
    version = "v1alpha1",
    kind = "Alias",
    plural = "aliases",
    shortname = "mal",
    category = "sealpost",
    namespaced,
    status = "AliasStatus",
    derive = "PartialEq",
    doc = "Sends the mail of an address to mailboxes, addresses and webhooks, or refuses it.",
    selectable = ".spec.address"
)]
#[x_kube(validation = Rule::new("has(self.targets) != has(self.reject)")
    .message("an alias has targets or reject, one of them"))]
#[serde(rename_all = "camelCase")]
pub struct AliasSpec {
    /// An exact address, or `*@domain` for all other names of a domain.
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the address cannot change: make another Alias"))]
    #[x_kube(validation = Rule::new("self == self.lowerAscii() && self.matches('^[^@ ]+@[a-z0-9.-]+$')")
        .message("an address is local@domain in lower case, the domain as A-label"))]
    pub address: String,
    /// The MailServer it belongs to.
    #[serde(default = "default_server")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("an alias does not move to another server"))]
    pub server_ref: LocalRef,
    /// Mail goes to all of them. One that is not ready holds the mail for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50))]
    pub targets: Option<Vec<AliasTarget>>,
    /// Mail is refused with this reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<Reject>,
}

/// One target: exactly one of its fields.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.mailboxRef), has(self.address), has(self.webhook)].filter(x, x).size() == 1")
    .message("a target is one of mailboxRef, address, webhook"))]
#[serde(rename_all = "camelCase")]
pub struct AliasTarget {
    /// A Mailbox of the same MailServer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox_ref: Option<LocalRef>,
    /// An address elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new("self.matches('^[^@ ]+@[^@ ]+$') && !self.startsWith('*@')")
        .message("a target is one address, local@domain"))]
    pub address: Option<String>,
    /// An HTTPS endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// An HTTPS endpoint that gets each message as signed JSON.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its address.
    #[schemars(length(min = 9, max = 2048))]
    #[x_kube(validation = Rule::new("self.startsWith('https://')").message("webhooks are https only"))]
    pub url: String,
    /// Secret with the key that signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// The reply that refuses mail.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// 4yz = try again, 5yz = never.
    #[serde(default = "never")]
    #[schemars(range(min = 400, max = 599))]
    pub code: i32,
    /// One line for the sender.
    #[schemars(length(min = 1, max = 400))]
    #[x_kube(validation = Rule::new("self.matches('^[ -~]+$')").message("the message is one line of printable ASCII"))]
    pub message: String,
}

/// What the operator knows of an Alias.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AliasStatus {
    /// The `metadata.generation` last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// See the condition types in the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

fn never() -> i32 {
    550
}
