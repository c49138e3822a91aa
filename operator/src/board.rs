//! BackupPolicies that several MailServers share: each loop says here how they fare under its own, and whoever writes their
//! status reads what all say.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::index::Key;
use crate::status::policy::View;

/// Words that change while their reason stays are told so often.
const WORDS: Duration = Duration::from_mins(1);

/// What all loops say.
#[derive(Debug, Default)]
pub struct Board {
    /// By MailServer, then by the policy's name.
    views: BTreeMap<Key, BTreeMap<String, View>>,
    /// When words were told last, by policy.
    told: BTreeMap<Key, Instant>,
}

impl Board {
    /// How policies fare under a MailServer; those that are missing are not in force there.
    pub fn put(&mut self, server: &Key, views: BTreeMap<String, View>) {
        self.views.insert(server.clone(), views);
    }

    /// A MailServer is gone.
    pub fn remove(&mut self, server: &Key) {
        self.views.remove(server);
    }

    /// How a policy fares under all of them.
    pub fn of(&self, policy: &Key) -> Vec<View> {
        let here = self.views.iter().filter(|((namespace, _), _)| *namespace == policy.0);
        here.filter_map(|(_, views)| views.get(&policy.1).cloned()).collect()
    }

    /// True where words were told a moment ago.
    pub fn is_calm(&self, policy: &Key) -> bool {
        self.told.get(policy).is_some_and(|told| told.elapsed() < WORDS)
    }

    /// Something was told.
    pub fn told(&mut self, policy: &Key) {
        self.told.insert(policy.clone(), Instant::now());
    }
}
