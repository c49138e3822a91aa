//! Leaderships over shards that forget, lag, and disagree.

use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn server(shards: u32) -> MailServer {
    let spec = json!({"hostname": "mx.example.org", "domains": [{"name": "example.org"}], "shards": shards});
    MailServer::new("mail", serde_json::from_value(spec).unwrap())
}

fn mailbox(name: &str) -> Object {
    let object = json!({
        "apiVersion": "sealpost.dev/v1alpha1", "kind": "Mailbox", "metadata": {"name": name, "uid": format!("uid-{name}")},
        "spec": {"address": format!("{name}@example.org")},
    });
    Object::Mailbox(Box::new(serde_json::from_value(object).unwrap()))
}

/// Shards that take what is pushed.
struct Cluster {
    server: MailServer,
    shards: BTreeMap<ShardId, Option<Push>>,
    away: BTreeSet<ShardId>,
    minted: std::cell::Cell<u8>,
    allowed: usize,
    broken: Vec<(&'static str, Broken)>,
}

impl Cluster {
    fn new(shards: u32) -> Self {
        let blank = (0..shards).map(|shard| (ShardId(shard), None)).collect();
        Self {
            server: server(shards),
            shards: blank,
            away: BTreeSet::new(),
            minted: std::cell::Cell::new(0),
            allowed: 0,
            broken: Vec::new(),
        }
    }

    fn reports(&self) -> BTreeMap<ShardId, Status> {
        let here = self.shards.iter().filter(|(shard, _)| !self.away.contains(shard));
        let report = |(shard, push): (&ShardId, &Option<Push>)| {
            let status = Status {
                server: ServerId("s".into()),
                shard: *shard,
                term: model::Term(1),
                boot: model::BootId([0; 16]),
                generation: push.as_ref().map(|push| push.directory.generation),
                sessions: 0,
                secondaries: 0,
                mailboxes: Vec::new(),
                findings: Vec::new(),
                sidecar: control::operator::SidecarStatus::default(),
            };
            (*shard, status)
        };
        here.map(report).collect()
    }

    /// Passes until nothing is left to push; the last decision.
    fn settle(&mut self, desk: &mut Desk, objects: &[Object]) -> Decision {
        loop {
            let reports = self.reports();
            for shard in reports.keys().filter(|shard| !desk.has_heard(**shard)).copied().collect::<Vec<_>>() {
                desk.learn(shard, self.shards[&shard].clone());
            }
            if let Some(epoch) = desk.wants_epoch(0, &reports) {
                desk.open(epoch);
            }
            let id = ServerId("s".into());
            let (server, allowed) = (&self.server, self.allowed);
            let input = Input { server, id: &id, objects, broken: &self.broken, reports: &reports, allowed, now: NOW };
            let decision = desk.decide(&input, || {
                self.minted.set(self.minted.get() + 1);
                MailboxId::from_random([self.minted.get(); 17])
            });
            if decision.to.is_empty() {
                return decision;
            }
            for shard in &decision.to {
                self.shards.insert(*shard, decision.push.clone());
            }
        }
    }
}

fn bound(decision: &Decision) -> BTreeMap<String, (MailboxId, ShardId)> {
    let bindings = &decision.push.as_ref().unwrap().bindings;
    bindings.mailboxes.iter().map(|(id, b)| (b.address.to_string(), (*id, b.shard))).collect()
}

#[test]
fn another_leader_reads_the_bindings_back_and_raises_the_epoch() {
    let mut cluster = Cluster::new(1);
    let objects = [mailbox("ann"), mailbox("bob")];
    let first = cluster.settle(&mut Desk::default(), &objects);
    assert_eq!(bound(&first).len(), 2);
    let mut desk = Desk::default();
    let second = cluster.settle(&mut desk, &objects);
    assert_eq!(bound(&second), bound(&first));
    let epochs = [&first, &second].map(|d| d.push.as_ref().unwrap().directory.generation.epoch);
    assert_eq!(epochs, [1, 2]);
}

#[test]
fn nothing_is_placed_before_every_shard_was_heard_and_follows() {
    let mut cluster = Cluster::new(2);
    cluster.away.insert(ShardId(1));
    let mut desk = Desk::default();
    let early = cluster.settle(&mut desk, &[mailbox("ann")]);
    assert!(bound(&early).is_empty());
    assert!(early.findings.iter().any(|finding| finding.reason == api::conditions::reason::AWAITING_SHARD));
    cluster.away.clear();
    // Until the second shard follows too, the first one gets all.
    cluster.settle(&mut desk, &[]);
    let decision = cluster.settle(&mut desk, &[mailbox("ann"), mailbox("bob")]);
    let shards: BTreeSet<ShardId> = bound(&decision).values().map(|(_, shard)| *shard).collect();
    assert_eq!(shards.len(), 2, "both shards are used");
}

#[test]
fn what_only_one_shard_has_heard_of_is_not_made_again() {
    let mut cluster = Cluster::new(2);
    let mut desk = Desk::default();
    cluster.settle(&mut desk, &[]);
    // The leader dies after the push to shard 0 and before the one to shard 1.
    cluster.away.insert(ShardId(1));
    let last = cluster.settle(&mut desk, &[mailbox("ann")]);
    let made = if bound(&last).is_empty() { BTreeMap::new() } else { bound(&last) };
    cluster.away = [ShardId(0)].into();
    let mut desk = Desk::default();
    let early = cluster.settle(&mut desk, &[mailbox("ann")]);
    assert!(bound(&early).is_empty(), "shard 0 may know of it");
    cluster.away.clear();
    let decision = cluster.settle(&mut desk, &[mailbox("ann")]);
    assert_eq!(bound(&decision), made);
}

#[test]
fn a_leader_that_finds_another_epoch_raises_its_own() {
    let mut cluster = Cluster::new(1);
    let mut old = Desk::default();
    cluster.settle(&mut old, &[mailbox("ann")]);
    let mut new = Desk::default();
    cluster.settle(&mut new, &[mailbox("ann")]);
    assert_eq!(old.wants_epoch(2, &cluster.reports()), Some(3));
    assert_eq!(new.wants_epoch(2, &cluster.reports()), None);
}

#[test]
fn a_push_that_removes_much_is_held_until_somebody_allows_it() {
    let mut cluster = Cluster::new(1);
    let all: Vec<Object> = (0..20).map(|n| mailbox(&format!("m{n}"))).collect();
    let mut desk = Desk::default();
    let full = cluster.settle(&mut desk, &all);
    let held = cluster.settle(&mut desk, &all[..5]);
    assert_eq!((held.held, held.push), (Some(15), full.push.clone()));
    // Another leader holds it as well.
    let mut next = Desk::default();
    assert_eq!(cluster.settle(&mut next, &all[..5]).held, Some(15));
    cluster.allowed = 15;
    let allowed = cluster.settle(&mut next, &all[..5]);
    assert_eq!(allowed.held, None);
    let directory = allowed.push.unwrap().directory;
    assert_eq!((directory.entries.len(), directory.removed.len(), directory.mailboxes.len()), (5, 15, 20));
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_mailbox() {
    let mut cluster = Cluster::new(1);
    let before = cluster.settle(&mut Desk::default(), &[mailbox("ann")]);
    let broken = Broken { name: "ann".into(), uid: "uid-ann".into(), why: "x".into(), known: false };
    cluster.broken = vec![("Mailbox", broken)];
    let mut desk = Desk::default();
    let after = cluster.settle(&mut desk, &[]);
    let entries = |decision: &Decision| decision.push.as_ref().unwrap().directory.entries.clone();
    assert_eq!(entries(&after), entries(&before));
    cluster.broken.clear();
    let gone = cluster.settle(&mut desk, &[]);
    assert!(entries(&gone).is_empty() && gone.push.unwrap().directory.removed.len() == 1);
}

#[test]
fn a_volume_that_is_emptied_under_a_leader_is_lost_and_a_fresh_one_is_not() {
    let mut cluster = Cluster::new(2);
    let mut desk = Desk::default();
    assert!(lost(&cluster.reports(), |shard| desk.binds(shard)).is_empty(), "nothing was there");
    let decision = cluster.settle(&mut desk, &[mailbox("ann"), mailbox("bob")]);
    let full = bound(&decision)["ann@example.org"].1;
    cluster.shards.insert(full, None);
    assert_eq!(lost(&cluster.reports(), |shard| desk.binds(shard)), [full]);
}
