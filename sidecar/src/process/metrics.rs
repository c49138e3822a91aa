//! What a sidecar counts. No names of objects: a shard has thousands of mailboxes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use probes::{Health, gauge};

/// Numbers of one process, as of the last report.
#[derive(Debug, Default)]
pub struct Numbers {
    lag: AtomicU64,
    pending: AtomicU64,
    mailboxes: AtomicU64,
    waiting: AtomicU64,
    unreachable: AtomicU64,
    troubles: AtomicU64,
    uploaded: AtomicU64,
    turns: AtomicU64,
    failures: AtomicU64,
    folded: AtomicU64,
    last_upload: AtomicU64,
    queued: AtomicU64,
    overdue: AtomicU64,
    made: AtomicU64,
    based: AtomicU64,
    skipped: AtomicU64,
    not_made: AtomicU64,
    last_snapshot: AtomicU64,
    removed: AtomicU64,
    last_retention: AtomicU64,
    rehearsed: AtomicU64,
    not_restored: AtomicU64,
    unrehearsed: AtomicU64,
    last_rehearsal: AtomicU64,
}

/// Counters and gauges; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Numbers>);

/// What is measured at every report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Seconds.
    pub lag: u64,
    /// Bytes.
    pub pending: u64,
    /// Under any policy.
    pub mailboxes: u64,
    /// With something that is not archived.
    pub waiting: u64,
    /// Destinations that cannot be written to.
    pub unreachable: u64,
    /// Gaps, forks and failed snapshots of the last day.
    pub troubles: u64,
    /// Snapshots that are due.
    pub queued: u64,
    /// Seconds for which one of them has been.
    pub overdue: u64,
    /// Seconds for which a rehearsal has been.
    pub unrehearsed: u64,
}

impl Metrics {
    /// Counts from zero.
    pub fn register(health: &Health) -> Self {
        let numbers = Arc::new(Numbers::default());
        let read = numbers.clone();
        health.collect(move |out| {
            let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
            let it = &read;
            gauge(out, "sidecar_lag_seconds", "Age of the oldest commit that is not archived", get(&it.lag))?;
            gauge(out, "sidecar_pending_bytes", "Bytes of WALs and tails that wait for a bucket", get(&it.pending))?;
            gauge(out, "sidecar_mailboxes", "Mailboxes under a policy", get(&it.mailboxes))?;
            gauge(out, "sidecar_mailboxes_waiting", "Mailboxes with commits that are not archived", get(&it.waiting))?;
            gauge(out, "sidecar_destinations_failing", "Destinations that cannot be written to", get(&it.unreachable))?;
            gauge(out, "sidecar_troubles", "Gaps, forks and failed snapshots of the last day", get(&it.troubles))?;
            gauge(out, "sidecar_uploaded_bytes", "Bytes uploaded since the start", get(&it.uploaded))?;
            gauge(out, "sidecar_turns", "Turns of mailboxes since the start", get(&it.turns))?;
            gauge(out, "sidecar_turns_failed", "Turns that failed since the start", get(&it.failures))?;
            gauge(out, "sidecar_folds", "WALs folded in since the start", get(&it.folded))?;
            gauge(
                out,
                "sidecar_last_upload_seconds",
                "When an upload went well last, since 1970; 0 = never",
                get(&it.last_upload),
            )?;
            gauge(out, "sidecar_snapshots_queued", "Snapshots that are due", get(&it.queued))?;
            gauge(out, "sidecar_snapshot_overdue_seconds", "How long one of them has been due", get(&it.overdue))?;
            gauge(out, "sidecar_snapshots", "Snapshots made since the start", get(&it.made))?;
            let based = "Snapshots of locked mailboxes since the start, for which a base was made";
            gauge(out, "sidecar_snapshots_locked", based, get(&it.based))?;
            let skipped = "Snapshots not made since the start because nothing had changed";
            gauge(out, "sidecar_snapshots_skipped", skipped, get(&it.skipped))?;
            gauge(out, "sidecar_snapshots_failed", "Snapshots that failed since the start", get(&it.not_made))?;
            let last = "When a snapshot went well last, since 1970; 0 = not since the start";
            gauge(out, "sidecar_last_snapshot_seconds", last, get(&it.last_snapshot))?;
            gauge(out, "sidecar_removed_objects", "Objects that retention removed since the start", get(&it.removed))?;
            let last = "When retention went well last, since 1970; 0 = not since the start";
            gauge(out, "sidecar_last_retention_seconds", last, get(&it.last_retention))?;
            gauge(
                out,
                "sidecar_verified",
                "Restores that went well when tried out, since the start",
                get(&it.rehearsed),
            )?;
            let failed = "Restores that failed when tried out, since the start";
            gauge(out, "sidecar_verify_failed", failed, get(&it.not_restored))?;
            let overdue = "How long it has been time to try restores out";
            gauge(out, "sidecar_verify_overdue_seconds", overdue, get(&it.unrehearsed))?;
            let last = "When a restore that was tried out went well last, since 1970; 0 = not since the start";
            gauge(out, "sidecar_last_verify_seconds", last, get(&it.last_rehearsal))
        });
        Self(numbers)
    }

    /// A snapshot is in the bucket.
    pub fn snapshot_made(&self, time: Timestamp) {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        self.0.last_snapshot.store(seconds(time), Ordering::Relaxed);
    }

    /// A locked mailbox was due.
    pub fn snapshot_based(&self) {
        self.0.based.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing had changed.
    pub fn snapshot_skipped(&self) {
        self.0.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// None was made.
    pub fn snapshot_failed(&self) {
        self.0.not_made.fetch_add(1, Ordering::Relaxed);
    }

    /// A restore was tried out and went well.
    pub fn rehearsed(&self, now: Timestamp) {
        self.0.rehearsed.fetch_add(1, Ordering::Relaxed);
        self.0.last_rehearsal.store(seconds(now), Ordering::Relaxed);
    }

    /// It failed.
    pub fn rehearsal_failed(&self) {
        self.0.not_restored.fetch_add(1, Ordering::Relaxed);
    }

    /// A mailbox was looked through for what is kept no longer.
    pub fn retained(&self, objects: u64, now: Timestamp) {
        self.0.removed.fetch_add(objects, Ordering::Relaxed);
        self.0.last_retention.store(seconds(now), Ordering::Relaxed);
    }

    /// A turn went well.
    pub fn turned(&self, uploaded: u64, folded: u64, now: Timestamp) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
        self.0.uploaded.fetch_add(uploaded, Ordering::Relaxed);
        self.0.folded.fetch_add(folded, Ordering::Relaxed);
        if uploaded > 0 {
            self.0.last_upload.store(seconds(now), Ordering::Relaxed);
        }
    }

    /// A turn failed.
    pub fn failed(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How things are.
    pub fn sample(&self, sample: Sample) {
        let set = |number: &AtomicU64, value| number.store(value, Ordering::Relaxed);
        set(&self.0.lag, sample.lag);
        set(&self.0.pending, sample.pending);
        set(&self.0.mailboxes, sample.mailboxes);
        set(&self.0.waiting, sample.waiting);
        set(&self.0.unreachable, sample.unreachable);
        set(&self.0.troubles, sample.troubles);
        set(&self.0.queued, sample.queued);
        set(&self.0.overdue, sample.overdue);
        set(&self.0.unrehearsed, sample.unrehearsed);
    }
}

fn seconds(time: Timestamp) -> u64 {
    time.as_second().max(0) as u64
}
