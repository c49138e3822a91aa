//! Who leads: one operator at a time, fenced.
//!
//! * Every update of the Lease is conditional on the version that was read: of two that want it, one gets it.
//! * A Lease is taken over only after it was *seen* unchanged for its whole duration, by our own monotonic clock: other
//!   machines' clocks play no part.
//! * A leader that could not renew for [`RENEW_DEADLINE`] stops, before anybody may take over ([`DURATION`]).
//!
//! What a leader does after it lost the Lease is fenced again by the directory's epoch.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::OperatorError;
use crate::error::code;

/// Name of the Lease.
const NAME: &str = "sealpost-operator";
/// How long a Lease is good that nobody renews.
const DURATION: Duration = Duration::from_secs(15);
/// How often a leader renews.
const RENEW: Duration = Duration::from_secs(5);
/// How long a leader goes on without having renewed.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often others look.
const LOOK: Duration = Duration::from_secs(2);

/// What a candidate does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no Lease.
    Create,
    /// It is ours, or free, or its holder is gone.
    Take,
    /// Somebody holds it.
    Wait,
}

/// A Lease as last seen, and since when it looks like that.
#[derive(Debug)]
pub struct Seen {
    version: String,
    holder: String,
    since: Instant,
}

impl Seen {
    /// Takes note of a Lease; the clock starts again where it has changed.
    pub fn note(before: Option<Self>, lease: &Lease, now: Instant) -> Self {
        let version = lease.resource_version().unwrap_or_default();
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        let since = before.filter(|seen| seen.version == version).map_or(now, |seen| seen.since);
        Self { version, holder, since }
    }
}

/// Decides what `me` does about it.
pub fn step(me: &str, seen: Option<&Seen>, now: Instant) -> Step {
    match seen {
        None => Step::Create,
        Some(seen) if seen.holder.is_empty() || seen.holder == me => Step::Take,
        Some(seen) if now.duration_since(seen.since) >= DURATION => Step::Take,
        Some(_) => Step::Wait,
    }
}

/// The Lease of the operators of a namespace.
pub struct Election {
    leases: Api<Lease>,
    me: String,
}

impl Election {
    /// For the candidate of that name, which no other process has.
    pub fn new(client: Client, namespace: &str, me: &str) -> Self {
        Self { leases: Api::namespaced(client, namespace), me: me.to_owned() }
    }

    /// Waits until the Lease is ours.
    pub async fn win(&self) -> Result<(), OperatorError> {
        let mut seen: Option<Seen> = None;
        loop {
            let found = self.leases.get_opt(NAME).await.map_err(OperatorError::api("read the Lease"))?;
            let now = Instant::now();
            seen = found.as_ref().map(|lease| Seen::note(seen.take(), lease, now));
            let won = match step(&self.me, seen.as_ref(), now) {
                Step::Create => self.write(None).await?,
                Step::Take => self.write(found).await?,
                Step::Wait => false,
            };
            if won {
                tracing::info!(me = self.me, "this operator leads");
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Renews until `stop`, then lets go; an error means that the Lease is lost, and everything must stop.
    pub async fn hold(&self, stop: CancellationToken) -> Result<(), OperatorError> {
        let mut renewed = Instant::now();
        loop {
            if stop.run_until_cancelled(tokio::time::sleep(RENEW)).await.is_none() {
                self.release().await;
                return Ok(());
            }
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            let began = Instant::now();
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = began,
                Ok(Ok(false)) => return Err(OperatorError::LeaseLost),
                Ok(Err(error)) if renewed.elapsed() < RENEW_DEADLINE => {
                    tracing::warn!(error = error.to_string(), "the Lease could not be renewed; trying again");
                }
                Ok(Err(_)) | Err(_) => return Err(OperatorError::LeaseLost),
            }
        }
    }

    /// False where it is another's.
    async fn renew(&self) -> Result<bool, OperatorError> {
        let found = self.leases.get_opt(NAME).await.map_err(OperatorError::api("read the Lease"))?;
        let ours = |lease: &Lease| lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()) == Some(&self.me);
        match found {
            Some(lease) if ours(&lease) => self.write(Some(lease)).await,
            _ => Ok(false),
        }
    }

    /// Makes the Lease ours if it is still as it was read.
    async fn write(&self, found: Option<Lease>) -> Result<bool, OperatorError> {
        let now = MicroTime(jiff::Timestamp::now());
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
            spec: None,
        });
        let old = lease.spec.take().unwrap_or_default();
        let same = old.holder_identity.as_deref() == Some(&self.me);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if same { old.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!same)),
            ..LeaseSpec::default()
        });
        let written = match lease.resource_version() {
            None => self.leases.create(&PostParams::default(), &lease).await,
            Some(_) => self.leases.replace(NAME, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some(409) => Ok(false),
            Err(error) => Err(OperatorError::api("write the Lease")(error)),
        }
    }

    /// So that the next one need not wait. Whoever is too slow here waits instead.
    async fn release(&self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(NAME).await else { return };
        let Some(spec) = lease.spec.as_mut().filter(|s| s.holder_identity.as_deref() == Some(&self.me)) else { return };
        spec.holder_identity = None;
        let _ = self.leases.replace(NAME, &PostParams::default(), &lease).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str, holder: &str) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec { holder_identity: Some(holder.to_owned()), ..LeaseSpec::default() }),
        }
    }

    #[test]
    fn a_lease_is_taken_over_only_after_it_was_seen_unchanged_for_its_whole_duration() {
        let start = Instant::now();
        let seen = Seen::note(None, &lease("1", "other"), start);
        assert_eq!(step("me", Some(&seen), start), Step::Wait);
        // Renewed at the last moment: the clock starts again.
        let late = start + DURATION.checked_sub(Duration::from_millis(1)).unwrap();
        let seen = Seen::note(Some(seen), &lease("2", "other"), late);
        assert_eq!(step("me", Some(&seen), start + DURATION), Step::Wait);
        let seen = Seen::note(Some(seen), &lease("2", "other"), start + DURATION);
        assert_eq!(step("me", Some(&seen), late + DURATION), Step::Take);
    }

    #[test]
    fn a_lease_that_is_free_or_ours_is_taken_at_once() {
        let now = Instant::now();
        assert_eq!(step("me", None, now), Step::Create);
        assert_eq!(step("me", Some(&Seen::note(None, &lease("1", ""), now)), now), Step::Take);
        assert_eq!(step("me", Some(&Seen::note(None, &lease("1", "me"), now)), now), Step::Take);
    }

    #[test]
    fn a_leader_stops_before_anybody_may_take_over() {
        assert!(RENEW < RENEW_DEADLINE && RENEW_DEADLINE < DURATION);
    }
}
