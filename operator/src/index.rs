//! What the watches have told: a plain struct, fed with events and asked for objects.
//!
//! * Nothing is answered before every watch has listed what there is ([`Index::is_synced`]): absence would look like
//!   removal.
//! * An object that cannot be decoded keeps its last value; one that never could is named by its uid, so that nobody takes
//!   it for deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Alias, BackupPolicy, MailServer, Mailbox, MailboxBackup, MailboxRestore};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;

use crate::names;

/// Namespace and name.
pub type Key = (String, String);

/// The objects of one kind.
#[derive(Debug)]
pub struct Kind<K> {
    objects: BTreeMap<Key, Entry<K>>,
    /// A list that is still being received.
    listing: Option<BTreeMap<Key, Entry<K>>>,
    synced: bool,
}

/// One object.
#[derive(Debug, Clone)]
struct Entry<K> {
    /// Its last value that could be decoded.
    value: Option<Arc<K>>,
    uid: String,
    /// Why the present value could not be.
    broken: Option<String>,
}

impl<K> Default for Kind<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listing: None, synced: false }
    }
}

impl<K: Resource> Kind<K> {
    /// Takes an event; the answer is whose objects it touches.
    pub fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<ObjectMeta> {
        match event {
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let (key, entry, meta) = self.entry(object);
                if let Some(listing) = &mut self.listing {
                    listing.insert(key, entry);
                }
                vec![meta]
            }
            Event::InitDone => {
                let gone = self.listing.take().map(|listing| std::mem::replace(&mut self.objects, listing));
                self.synced = true;
                let lost = gone.into_iter().flatten().filter(|(key, _)| !self.objects.contains_key(key));
                lost.filter_map(|(_, entry)| entry.value.map(|value| value.meta().clone())).collect()
            }
            Event::Apply(object) => {
                let (key, entry, meta) = self.entry(object);
                self.objects.insert(key, entry);
                vec![meta]
            }
            Event::Delete(object) => {
                let meta = object.meta().clone();
                self.objects.remove(&key(&meta));
                vec![meta]
            }
        }
    }

    fn entry(&self, object: DeserializeGuard<K>) -> (Key, Entry<K>, ObjectMeta) {
        let meta = object.meta().clone();
        let (key, uid) = (key(&meta), meta.uid.clone().unwrap_or_default());
        let entry = match object.0 {
            Ok(mut value) => {
                // Nobody reads them, and they are the larger half of an object.
                value.meta_mut().managed_fields = None;
                if let Some(notes) = &mut value.meta_mut().annotations {
                    notes.remove("kubectl.kubernetes.io/last-applied-configuration");
                }
                Entry { value: Some(Arc::new(value)), uid, broken: None }
            }
            Err(invalid) => {
                let before = self.objects.get(&key).filter(|before| before.uid == uid);
                Entry { value: before.and_then(|before| before.value.clone()), uid, broken: Some(invalid.error) }
            }
        };
        (key, entry, meta)
    }

    /// The object of that name.
    pub fn get(&self, key: &Key) -> Option<&Arc<K>> {
        self.objects.get(key).and_then(|entry| entry.value.as_ref())
    }

    /// All objects of a namespace that are not being deleted.
    pub fn of(&self, namespace: &str) -> impl Iterator<Item = &Arc<K>> {
        self.entries(namespace).filter_map(|(_, entry)| entry.value.as_ref()).filter(|o| is_live(o.meta()))
    }

    /// Objects of a namespace whose present value cannot be decoded: name, uid, why, and whether an older value stands in.
    pub fn broken(&self, namespace: &str) -> Vec<Broken> {
        let broken = |(key, entry): (&Key, &Entry<K>)| {
            let why = entry.broken.clone()?;
            Some(Broken { name: key.1.clone(), uid: entry.uid.clone(), why, known: entry.value.is_some() })
        };
        self.entries(namespace).filter_map(broken).collect()
    }

    /// Every object there is.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<K>)> {
        self.objects.iter().filter_map(|(key, entry)| Some((key, entry.value.as_ref()?)))
    }

    fn entries(&self, namespace: &str) -> impl Iterator<Item = (&Key, &Entry<K>)> {
        self.objects.range((namespace.to_owned(), String::new())..).take_while(move |(key, _)| key.0 == *namespace)
    }
}

/// An object that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// What is wrong with it.
    pub why: String,
    /// An older value is used in its place.
    pub known: bool,
}

/// Namespace and name of an object.
pub fn key(meta: &ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// False once somebody has asked for its deletion.
pub fn is_live(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_none()
}

/// All kinds that are watched.
#[derive(Debug, Default)]
pub struct Index {
    /// Deployments of the data plane.
    pub servers: Kind<MailServer>,
    /// Mail stores.
    pub mailboxes: Kind<Mailbox>,
    /// Routes.
    pub aliases: Kind<Alias>,
    /// Where copies go.
    pub policies: Kind<BackupPolicy>,
    /// Copies to make now.
    pub backups: Kind<MailboxBackup>,
    /// Mailboxes to bring back.
    pub restores: Kind<MailboxRestore>,
    /// Ours: shards.
    pub sets: Kind<StatefulSet>,
    /// Ours: front ends.
    pub deployments: Kind<Deployment>,
    /// Ours: volumes.
    pub claims: Kind<PersistentVolumeClaim>,
    /// Ours: what runs.
    pub pods: Kind<Pod>,
    /// Namespaces in which something changed since they were last asked for.
    changed: BTreeSet<String>,
}

/// Kinds in the index, so that one function feeds it from any watch.
pub trait Indexed: Resource + Sized {
    /// Its place.
    fn place(index: &mut Index) -> &mut Kind<Self>;
}

macro_rules! indexed {
    ($($kind:ty: $field:ident),* $(,)?) => {
        $(impl Indexed for $kind {
            fn place(index: &mut Index) -> &mut Kind<Self> {
                &mut index.$field
            }
        })*

        impl Index {
            /// True once every watch has listed what there is.
            pub fn is_synced(&self) -> bool {
                $(self.$field.synced)&&*
            }
        }
    };
}

indexed! {
    MailServer: servers, Mailbox: mailboxes, Alias: aliases, BackupPolicy: policies, MailboxBackup: backups,
    MailboxRestore: restores, StatefulSet: sets, Deployment: deployments,
    PersistentVolumeClaim: claims, Pod: pods,
}

impl Index {
    /// Takes an event of a watch.
    pub fn take<K: Indexed>(&mut self, event: Event<DeserializeGuard<K>>) {
        let touched = K::place(self).take(event);
        self.changed.extend(touched.into_iter().filter_map(|meta| meta.namespace));
    }

    /// Where something changed since the last call.
    pub fn changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// Our pods of a MailServer's component.
    pub fn pods_of(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<&Arc<Pod>> {
        let wanted = names::selector(labels);
        let fits = |pod: &&Arc<Pod>| {
            let found = pod.metadata.labels.as_ref();
            wanted.iter().all(|(key, value)| found.is_some_and(|labels| labels.get(key) == Some(value)))
        };
        self.pods.of(namespace).filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mailbox(name: &str, address: &serde_json::Value) -> DeserializeGuard<Mailbox> {
        let object = json!({
            "apiVersion": "sealpost.dev/v1alpha1", "kind": "Mailbox",
            "metadata": {"namespace": "post", "name": name, "uid": name}, "spec": {"address": address},
        });
        serde_json::from_value(object).unwrap()
    }

    fn names(kind: &Kind<Mailbox>) -> Vec<String> {
        kind.of("post").map(|mailbox| mailbox.spec.address.clone()).collect()
    }

    #[test]
    fn a_broken_object_keeps_its_last_value_and_an_unknown_one_is_named() {
        let mut kind = Kind::default();
        kind.take(Event::Apply(mailbox("ann", &json!("ann@example.org"))));
        kind.take(Event::Apply(mailbox("ann", &json!(7))));
        kind.take(Event::Apply(mailbox("bob", &json!(7))));
        assert_eq!(names(&kind), ["ann@example.org"]);
        let broken: Vec<_> = kind.broken("post").into_iter().map(|b| (b.uid, b.known)).collect();
        assert_eq!(broken, [("ann".into(), true), ("bob".into(), false)]);
        kind.take(Event::Apply(mailbox("ann", &json!("ann@example.org"))));
        assert_eq!(kind.broken("post").len(), 1);
    }

    #[test]
    fn a_list_replaces_what_was_known_only_once_it_is_complete() {
        let mut kind = Kind::default();
        kind.take(Event::Apply(mailbox("ann", &json!("ann@example.org"))));
        kind.take(Event::Init);
        kind.take(Event::InitApply(mailbox("bob", &json!("bob@example.org"))));
        assert_eq!((names(&kind), kind.synced), (vec!["ann@example.org".to_owned()], false));
        let gone = kind.take(Event::InitDone);
        assert_eq!((names(&kind), kind.synced), (vec!["bob@example.org".to_owned()], true));
        assert_eq!(gone[0].name.as_deref(), Some("ann"));
    }
}
