//! The schedules of all policies, read once.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use model::backup::{Policies, Policy, Schedule};
use model::cron::Cron;

/// By policy.
#[derive(Debug, Default)]
pub struct Schedules {
    snapshots: HashMap<String, Cron>,
    verify: HashMap<String, Cron>,
}

impl Schedules {
    /// Those of the policies. One that cannot be read never comes: whoever declared it has been told.
    pub fn of(policies: &Policies) -> Self {
        let all = |pick: fn(&Policy) -> Option<&Schedule>| {
            let all = policies.policies.iter().filter_map(|(name, policy)| Some((name, pick(policy)?)));
            let read = all.filter_map(|(name, schedule)| match schedule.times() {
                Ok(cron) => Some((name.clone(), cron)),
                Err(error) => {
                    tracing::warn!(policy = name, %error, "a schedule cannot be read");
                    None
                }
            });
            read.collect()
        };
        Self { snapshots: all(|policy| policy.snapshots.as_ref()), verify: all(|policy| policy.verify.as_ref()) }
    }

    /// When a policy's snapshots are made.
    pub fn snapshots(&self, policy: &str) -> Option<&Cron> {
        self.snapshots.get(policy)
    }

    /// When its restores are tried out.
    pub fn verify(&self, policy: &str) -> Option<&Cron> {
        self.verify.get(policy)
    }

    /// In which zone a policy counts days.
    pub fn zone(&self, policy: &str) -> TimeZone {
        self.snapshots(policy).map_or(TimeZone::UTC, |cron| cron.zone().clone())
    }
}
