//! The sidecar is killed at every named point of its work, one after the other: it goes on where it was, skips nothing,
//! doubles nothing, and begins no other timeline.

use files::fault::SIDECAR_POINTS;

use super::faults::large;
use super::ship::{archive_of, deliver};
use super::*;
use crate::harness::imap;

/// What makes the sidecar come by a point.
enum Way {
    /// It starts.
    Start,
    /// It has forgotten where archives stand.
    Forgotten,
    /// Mail comes.
    Mail,
    /// A copy of a mailbox that nobody has opened is asked for.
    Base,
    /// A WAL has grown large.
    Fold,
    /// The same, and mail comes just before it is folded in.
    Tail,
    /// A snapshot is asked for.
    Snapshot,
    /// Two snapshots are there, one is kept, and it is time to look.
    Retention,
    /// It is time to try restores out.
    Rehearsal,
}

/// Which test comes by it: each has a server of its own, because a process that dies again and again waits longer and longer
/// until it is started anew.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Ship,
    Fold,
    Keep,
}

impl Way {
    fn part(&self) -> Part {
        match self {
            Way::Start | Way::Forgotten | Way::Mail | Way::Base => Part::Ship,
            Way::Fold | Way::Tail => Part::Fold,
            Way::Snapshot | Way::Retention | Way::Rehearsal => Part::Keep,
        }
    }
}

fn way(point: &str) -> Way {
    match point.split_once('.').unwrap().0 {
        "claim" => Way::Start,
        "fold" => Way::Fold,
        "snapshot" => Way::Snapshot,
        "retain" => Way::Retention,
        "verify" => Way::Rehearsal,
        _ if point.starts_with("ship.keys") => Way::Forgotten,
        _ if point.starts_with("ship.tail") => Way::Tail,
        _ if point.starts_with("ship.segment") || point.starts_with("ship.told") => Way::Mail,
        _ => Way::Base,
    }
}

struct Story {
    remote: Remote,
    server: Server,
    open: imap::Client,
    /// Messages to each of the two mailboxes.
    sent: usize,
    larges: usize,
    kills: usize,
}

impl Story {
    /// One message to each.
    fn mail(&mut self) {
        for to in 0..2 {
            deliver(&self.server, to, 1, self.sent..self.sent + 1);
        }
        self.sent += 1;
    }

    /// Lets a WAL grow until it is to be folded in. Where all of it is archived the primary may do so first.
    fn grow(&mut self, point: &str) {
        for _ in 0..16 {
            if self.server.faults.hit(point) {
                return;
            }
            self.open.append("INBOX", &large(self.larges));
            self.larges += 1;
        }
    }

    fn snapshot(&self, of: usize) {
        let done = self.server.sealpost(&["backup", &address(of)]);
        assert!(done.status.success(), "{done:?}\n{}", self.server.complaints());
    }

    /// The sidecar starts again, after something happened to its files while it stood still.
    fn start_without(&self, gone: &str) {
        let pid = self.server.pid("sidecar-0").unwrap();
        crate::harness::signal(pid, "STOP");
        let path = self.server.state().join("shard-0/sidecar").join(gone);
        for file in if path.is_dir() { files(&path) } else { vec![path] } {
            let _ = std::fs::remove_file(file);
        }
        crate::harness::signal(pid, "KILL");
    }

    fn go(&mut self, point: &str) {
        match way(point) {
            Way::Start => self.server.kill("sidecar-0"),
            Way::Forgotten => self.start_without("mailboxes"),
            Way::Mail => self.mail(),
            Way::Base => {
                self.mail();
                self.snapshot(0);
            }
            Way::Fold => self.grow(point),
            Way::Tail => {
                self.server.faults.arm("sidecar", "fold.asked.before", "pause");
                self.grow("fold.asked.before");
                wait_until("a WAL is about to be folded in", || self.server.faults.hit("fold.asked.before"));
                self.mail();
                self.server.faults.disarm("fold.asked.before");
            }
            Way::Snapshot => {
                self.mail();
                self.snapshot(1);
            }
            Way::Retention => {
                self.server.faults.disarm(point);
                for _ in 0..2 {
                    self.mail();
                    self.snapshot(1);
                }
                wait_archived(&self.server);
                self.server.faults.arm("sidecar", point, "kill@1");
                self.start_without("mailboxes");
            }
            Way::Rehearsal => self.start_without("verified.json"),
        }
    }
}

#[test]
fn a_sidecar_killed_at_any_point_of_shipping_goes_on_and_skips_and_doubles_nothing() {
    kill_at_each_of(&Part::Ship);
}

#[test]
fn a_sidecar_killed_at_any_point_of_folding_goes_on_and_skips_and_doubles_nothing() {
    kill_at_each_of(&Part::Fold);
}

#[test]
fn a_sidecar_killed_at_any_point_of_keeping_goes_on_and_skips_and_doubles_nothing() {
    kill_at_each_of(&Part::Keep);
}

fn kill_at_each_of(part: &Part) {
    let remote = Remote::start();
    let manifests = remote.manifests(2, 1);
    let policy = manifests.read("policy.yaml");
    let verify = "  archive: {maxLagSeconds: 1}\n  verify: {schedule: 0 5 1 1 *}\n";
    manifests.write("policy.yaml", &policy.replace("  archive: {maxLagSeconds: 1}\n", verify));
    let server = Options::manifests(manifests.path()).s3().faults().start();
    let open = server.imap(&address(1), PASSWORD);
    let mut story = Story { remote, server, open, sent: 0, larges: 0, kills: 0 };
    story.mail();
    wait_archived(&story.server);
    let points: Vec<_> = SIDECAR_POINTS.iter().filter(|point| way(point.name).part() == *part).collect();
    assert!(points.len() > 2, "{points:?}");
    for point in &points {
        story.server.faults.arm("sidecar", point.name, "kill@1");
        story.go(point.name);
        wait_until(&format!("{} is passed", point.name), || story.server.faults.hit(point.name));
        story.kills += 1;
        wait_archived(&story.server);
        let bad = findings(&story.server);
        let bad: Vec<&String> = bad.iter().filter(|it| it.contains("Policy") || it.contains("mailbox ")).collect();
        assert!(bad.is_empty(), "{}: {bad:?}", point.name);
    }
    assert_eq!(story.kills, points.len());
    // What a crash leaves on the volume is gone.
    let data = story.server.state().join("shard-0");
    wait_until("staging and outbox are empty", || {
        files(&data.join("staging")).is_empty()
            && files(&data.join("outbox")).iter().all(|it| it.extension().is_none_or(|end| end != "seg"))
    });
    let expected = [story.sent, story.sent + story.larges];
    let ids = [0, 1].map(|n| mailbox(&story.server, n));
    for (id, count) in ids.iter().zip(expected) {
        let archive = archive_of(&story.remote, id);
        assert_eq!(archive.timeline, 1);
        let (dir, assembled) = story.remote.assemble(&story.remote.bucket(), &archive, Target::Latest).unwrap();
        let bodies = super::opened::Keys::of(dir.path()).open(dir.path(), &assembled);
        assert_eq!(bodies.len(), count, "{archive}");
    }
    let mut verify = crate::harness::sealpost();
    verify.args(["bucket", "verify", "--url", &format!("file://{}", story.remote.folder().display())]);
    let verified = verify.output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}
