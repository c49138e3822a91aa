//! Real mail under continuous load, and every mailbox restored at random commits, out of the bucket.

use std::collections::HashMap;
use std::time::Instant;

use jiff::SignedDuration;
use model::MailboxId;
use sidecar::assemble::{Inventory, Target};
use sidecar::format::{DataFile, Sha256};

use super::load::{Load, Sent, hashes};
use super::opened::Keys;
use super::*;
use crate::harness::corpus::Corpus;
use crate::soak::Rng;

/// A commit whose notice comes late has the time of its upload.
const LATE: SignedDuration = SignedDuration::from_secs(2);

/// How much of it.
struct Size {
    mailboxes: usize,
    messages: usize,
    points: usize,
    rate: usize,
}

/// What was restored, in numbers.
#[derive(Default)]
struct Figures {
    restores: usize,
    messages: usize,
    bytes: u64,
    seconds: f64,
}

struct Round<'a> {
    remote: &'a Remote,
    load: &'a Load,
    ids: HashMap<MailboxId, usize>,
    keys: HashMap<MailboxId, Keys>,
    rng: Rng,
    figures: Figures,
}

impl Round<'_> {
    /// Every mailbox, each at a commit of its own.
    fn restore_all(&mut self) {
        for archive in self.remote.newest() {
            let bucket = self.remote.bucket();
            let inventory = self.remote.run(async {
                let root = roots(&bucket).await.unwrap().remove(0);
                Source::open(&bucket, &root).await.unwrap().inventory(&archive).await.unwrap()
            });
            let begun = Instant::now();
            let target = self.target(&archive, &inventory);
            let restored = self.remote.assemble(&bucket, &archive, target);
            let (dir, assembled) = restored.unwrap_or_else(|error| panic!("{archive} at {target:?}: {error}"));
            self.figures.seconds += begun.elapsed().as_secs_f64();
            self.figures.restores += 1;
            self.figures.bytes += files(dir.path()).iter().map(|path| path.metadata().unwrap().len()).sum::<u64>();
            self.check(&archive, target, &dir, &assembled);
        }
    }

    /// A random commit of the mailbox; where nobody ever logged in, a random moment of the spool.
    fn target(&mut self, archive: &ArchiveId, inventory: &Inventory) -> Target {
        if let Some(names) = inventory.databases.get(&DataFile::Mailbox) {
            let first = names.bases.iter().map(|base| base.commit).min().unwrap();
            let last = names.last_commit().unwrap();
            return Target::Commit(first + self.rng.below(usize::try_from(last - first + 1).unwrap()) as u64);
        }
        let sent = self.load.sent(self.ids[&archive.mailbox]);
        let archived: Vec<Timestamp> = sent.iter().filter_map(|sent| sent.acknowledged).collect();
        // The first ones are what the first base began with.
        let skip = archived.len().min(3);
        let some = skip + self.rng.below((archived.len() - skip).max(1));
        archived.get(some).map_or(Target::Latest, |time| Target::Time(*time))
    }

    /// What is there is what had come by then, each message once and with its bytes.
    fn check(&mut self, archive: &ArchiveId, target: Target, dir: &TempDir, assembled: &Assembled) {
        let place = format!("{archive} at {target:?}: {assembled:?}");
        if let Target::Commit(commit) = target {
            assert_eq!(assembled.mailbox.unwrap().commit, commit, "{place}");
        }
        let keys = self.keys.entry(archive.mailbox).or_insert_with(|| Keys::of(dir.path()));
        let bodies = keys.open(dir.path(), assembled);
        let sent = self.load.sent(self.ids[&archive.mailbox]);
        let (there, later) = sent.split_at(bodies.len());
        let mut expected: HashMap<Sha256, usize> = HashMap::new();
        for sent in there {
            *expected.entry(sent.hash).or_default() += 1;
        }
        assert_eq!(hashes(&bodies), expected, "{place}");
        let reached = match target {
            Target::Time(time) => time,
            _ => assembled.mailbox.or(assembled.spool).unwrap().time,
        };
        assert!(there.iter().all(|sent| sent.begun <= reached), "{place}: later mail");
        let missing = |sent: &&Sent| sent.acknowledged.is_some_and(|time| time < reached - LATE);
        assert_eq!(later.iter().filter(missing).count(), 0, "{place}: mail is missing");
        self.figures.messages += bodies.len();
    }
}

fn everything_at_random_commits(size: &Size) {
    let Some(corpus) = Corpus::fetch() else { return };
    let messages: Vec<Vec<u8>> = corpus.messages(6046 / size.messages).take(size.messages).collect();
    let remote = Remote::start();
    let manifests = remote.manifests(size.mailboxes, 1);
    let server = start(&manifests);
    // Every other one is here, the rest never was.
    let _sessions: Vec<_> = (0..size.mailboxes).step_by(2).map(|n| server.imap(&address(n), PASSWORD)).collect();
    let load = Load::new(size.mailboxes);
    let mx = server.endpoint("mx");
    std::thread::scope(|threads| {
        threads.spawn(|| load.run(mx, 4, size.rate, |n| messages[n % messages.len()].clone()));
        let _end = End(&load);
        let patience = Instant::now() + std::time::Duration::from_secs((size.messages / size.rate * 20 + 60) as u64);
        while load.count() < size.messages {
            assert!(Instant::now() < patience, "{} of {} messages", load.count(), size.messages);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let ids = (0..size.mailboxes).map(|n| (mailbox(&server, n).parse().unwrap(), n)).collect();
        let (keys, figures) = (HashMap::new(), Figures::default());
        let mut round = Round { remote: &remote, load: &load, ids, keys, rng: Rng(5), figures };
        for _ in 0..size.points {
            round.restore_all();
        }
        let Figures { restores, messages, bytes, seconds } = round.figures;
        println!(
            "{} messages to {} mailboxes; {restores} restores, {messages} messages in them, {:.1} MB, {:.1} MB/s",
            load.count(),
            size.mailboxes,
            bytes as f64 / 1e6,
            bytes as f64 / 1e6 / seconds
        );
        assert_eq!(restores, size.points * size.mailboxes);
    });
    let bad: Vec<String> =
        findings(&server).into_iter().filter(|it| it.contains("Gap") || it.contains("Fork")).collect();
    assert_eq!(bad, Vec::<String>::new());
}

/// Ends the load, also where a check failed.
pub struct End<'a>(pub &'a Load);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[test]
fn every_mailbox_comes_back_from_the_bucket_at_random_commits_of_continuous_load() {
    everything_at_random_commits(&Size { mailboxes: 4, messages: 80, points: 2, rate: 20 });
}

/// docs/testing.md says how it is run.
#[test]
#[ignore = "takes minutes"]
fn two_thousand_messages_to_fifty_mailboxes_come_back_at_twenty_random_commits() {
    everything_at_random_commits(&Size { mailboxes: 50, messages: 2000, points: 20, rate: 40 });
}
