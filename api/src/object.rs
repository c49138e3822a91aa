//! The objects that Sealpost reads.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use model::ObjectRef;
use model::plan::Declared;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{Alias, BackupPolicy, MailServer, Mailbox, MailboxBackup, MailboxRestore};

/// One object, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A deployment of the data plane.
    MailServer(Box<MailServer>),
    /// An encrypted mail store.
    Mailbox(Box<Mailbox>),
    /// Where mail goes.
    Alias(Box<Alias>),
    /// Where copies go.
    BackupPolicy(Box<BackupPolicy>),
    /// A copy to make now.
    MailboxBackup(Box<MailboxBackup>),
    /// A mailbox to bring back.
    MailboxRestore(Box<MailboxRestore>),
    /// A `v1 Secret` that others name.
    Secret(Secret),
}

/// A `v1 Secret`: its data is wiped when dropped and never printed.
#[derive(Clone, PartialEq)]
pub struct Secret {
    /// `metadata.name`.
    pub name: String,
    /// Its bytes by key; `stringData` wins over `data`, as in a cluster.
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).field("keys", &self.data.keys()).finish_non_exhaustive()
    }
}

/// The kinds of our group, in the order of the documentation.
pub const KINDS: [&str; 6] = ["MailServer", "Mailbox", "Alias", "BackupPolicy", "MailboxBackup", "MailboxRestore"];

impl Object {
    /// Reads an object of one of our [`KINDS`] from its JSON form; none for any other kind.
    pub fn decode(kind: &str, value: &Value) -> Option<Result<Self, serde_json::Error>> {
        Some(match kind {
            "MailServer" => Deserialize::deserialize(value).map(Object::MailServer),
            "Mailbox" => Deserialize::deserialize(value).map(Object::Mailbox),
            "Alias" => Deserialize::deserialize(value).map(Object::Alias),
            "BackupPolicy" => Deserialize::deserialize(value).map(Object::BackupPolicy),
            "MailboxBackup" => Deserialize::deserialize(value).map(Object::MailboxBackup),
            "MailboxRestore" => Deserialize::deserialize(value).map(Object::MailboxRestore),
            _ => return None,
        })
    }

    /// Its JSON form; none for a Secret, which is never written.
    pub fn encode(&self) -> Option<Result<Value, serde_json::Error>> {
        Some(match self {
            Object::MailServer(o) => serde_json::to_value(o),
            Object::Mailbox(o) => serde_json::to_value(o),
            Object::Alias(o) => serde_json::to_value(o),
            Object::BackupPolicy(o) => serde_json::to_value(o),
            Object::MailboxBackup(o) => serde_json::to_value(o),
            Object::MailboxRestore(o) => serde_json::to_value(o),
            Object::Secret(_) => return None,
        })
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Object::MailServer(_) => "MailServer",
            Object::Mailbox(_) => "Mailbox",
            Object::Alias(_) => "Alias",
            Object::BackupPolicy(_) => "BackupPolicy",
            Object::MailboxBackup(_) => "MailboxBackup",
            Object::MailboxRestore(_) => "MailboxRestore",
            Object::Secret(_) => "Secret",
        }
    }

    /// `metadata.name`; empty where the object has none.
    pub fn name(&self) -> &str {
        match self {
            Object::MailServer(o) => name_of(&o.metadata),
            Object::Mailbox(o) => name_of(&o.metadata),
            Object::Alias(o) => name_of(&o.metadata),
            Object::BackupPolicy(o) => name_of(&o.metadata),
            Object::MailboxBackup(o) => name_of(&o.metadata),
            Object::MailboxRestore(o) => name_of(&o.metadata),
            Object::Secret(o) => &o.name,
        }
    }

    /// Names it for people.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.kind(), self.name())
    }
}

fn name_of(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// Name, identity and age of an object. Manifests carry neither uid nor creation time: there, kind and name identify
/// an object, and all are equally old.
pub(crate) fn declared(kind: &str, meta: &ObjectMeta) -> Declared {
    let name = name_of(meta).to_owned();
    Declared {
        uid: meta.uid.clone().unwrap_or_else(|| format!("{kind}/{name}")),
        created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        name,
    }
}

/// Where the first keys of a Mailbox come from.
#[derive(Debug, Clone, PartialEq)]
pub enum KeySource {
    /// Its owner has yet to set a password.
    AwaitingOwner,
    /// Make keys that this password opens.
    Password(Zeroizing<Vec<u8>>),
    /// A bundle of wrapped keys (`keys.json`).
    Bundle(Zeroizing<Vec<u8>>),
    /// The Secret is missing, or lacks that key.
    Missing {
        /// The Secret's name.
        secret: String,
        /// The key it should have.
        key: &'static str,
    },
}

/// Where the first keys of `mailbox` come from, among these objects.
pub fn key_source(mailbox: &Mailbox, objects: &[Object]) -> KeySource {
    let find = |secret: &str, key: &'static str, wrap: fn(Zeroizing<Vec<u8>>) -> KeySource| {
        let found = objects.iter().find_map(|object| match object {
            Object::Secret(s) if s.name == secret => s.data.get(key).filter(|value| !value.is_empty()).cloned(),
            _ => None,
        });
        found.map_or_else(|| KeySource::Missing { secret: secret.to_owned(), key }, wrap)
    };
    let spec = &mailbox.spec;
    match (&spec.keys_secret_ref, &spec.password_secret_ref) {
        (Some(secret), _) => find(&secret.name, "keys.json", KeySource::Bundle),
        (None, Some(secret)) => find(&secret.name, "password", KeySource::Password),
        (None, None) => KeySource::AwaitingOwner,
    }
}
