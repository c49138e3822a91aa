//! What archiving costs, measured. `docs/benchmarks.md` has the figures and says how they are made.

use std::time::{Duration, Instant};

use sidecar::assemble::Target;

use super::faults::large;
use super::load::numbered;
use super::opened::Keys;
use super::ship::archive_of;
use super::*;

/// Bytes of segments in the bucket, of both databases.
fn segments(remote: &Remote) -> u64 {
    let segment = |path: &&PathBuf| path.extension().is_some_and(|end| end == "seg");
    files(&remote.folder()).iter().filter(segment).map(|path| path.metadata().unwrap().len()).sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Messages a second from four connections, each to a mailbox of its own whose owner is here.
fn deliver_all(server: &Server, messages: &[Vec<u8>]) -> f64 {
    let _sessions: Vec<_> = (0..4).map(|n| server.imap(&address(n), PASSWORD)).collect();
    let mx = server.endpoint("mx");
    let begun = Instant::now();
    std::thread::scope(|threads| {
        for to in 0..4 {
            threads.spawn(move || {
                let mut smtp = crate::harness::smtp::Client::connect(mx);
                for message in messages.iter().skip(to).step_by(4) {
                    smtp.deliver("a@elsewhere.example", &[&address(to)], message);
                }
            });
        }
    });
    messages.len() as f64 / begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement"]
fn deliveries_with_and_without_an_archive() {
    let remote = Remote::start();
    let manifests = remote.manifests(4, 10);
    let with = manifests.read("mailserver.yaml");
    let without = with.replace("  backupPolicyRef:\n    name: daily\n", "");
    assert_ne!(with, without);
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let messages: Vec<Vec<u8>> = (0..1000).map(|n| numbered(round, n)).collect();
        for (manifest, rates) in [(&without, &mut off), (&with, &mut on)] {
            manifests.write("mailserver.yaml", manifest);
            let server = start(&manifests);
            rates.push(deliver_all(&server, &messages));
        }
    }
    println!("deliveries a second without an archive {off:.0?}, with one {on:.0?}");
    let (on, off) = (median(on), median(off));
    println!("medians: {off:.0} without, {on:.0} with: {:.2}x", on / off);
}

#[test]
#[ignore = "a measurement"]
fn how_long_writers_wait_for_a_wal_of_16_megabytes() {
    let remote = Remote::start();
    let manifests = remote.manifests(1, 1);
    let server = Options::manifests(manifests.path()).s3().log("info,sealpost_sidecar=debug").start();
    let mut open = server.imap(&address(0), PASSWORD);
    let log = server.state().join("log/sidecar-0.log");
    let held = || -> Vec<f64> {
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let micros = lines.filter_map(|line| line["fields"]["held_us"].as_u64());
        micros.map(|micros| micros as f64 / 1000.0).collect()
    };
    for n in 0..180 {
        open.append("INBOX", &large(n));
    }
    wait_archived(&server);
    let mut held = held();
    held.sort_by(f64::total_cmp);
    let at = |share: f64| held[((held.len() - 1) as f64 * share) as usize];
    println!(
        "{} checkpoints: writers waited p50 {:.1}, p99 {:.1}, max {:.1} ms",
        held.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Messages as `bench/run` makes them.
fn bench_corpus(many: usize) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let (folder, mbox) = (dir.path().join("corpus"), dir.path().join("mbox"));
    let generator = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/gen_corpus.py");
    let made =
        std::process::Command::new("python3").arg(generator).arg(many.to_string()).arg(&folder).arg(&mbox).status();
    assert!(made.unwrap().success());
    files(&folder).iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
#[ignore = "a measurement"]
fn bytes_and_requests_for_mail_that_comes_one_by_one_and_in_batches() {
    let messages = bench_corpus(400);
    let mail: usize = messages.iter().map(Vec::len).sum();
    for (name, batch) in [("one by one", 1), ("in batches of 16", 16)] {
        let remote = Remote::start();
        let manifests = remote.manifests(1, 1);
        let server = start(&manifests);
        let mut open = server.imap(&address(0), PASSWORD);
        open.append("INBOX", &numbered(0, 0));
        wait_archived(&server);
        let before = segments(&remote);
        for lot in messages.chunks(batch) {
            let tags: Vec<String> = lot.iter().map(|message| open.start_append("INBOX", message)).collect();
            for tag in tags {
                open.finish(&tag);
            }
        }
        wait_archived(&server);
        let bytes = segments(&remote) - before;
        println!("{name}: {bytes} bytes of segments for {mail} of mail: {:.2}x", bytes as f64 / mail as f64);
    }
}

#[test]
#[ignore = "a measurement"]
fn requests_for_a_message() {
    let remote = Remote::start();
    let manifests = remote.manifests(1, 1);
    let server = start(&manifests);
    let _open = server.imap(&address(0), PASSWORD);
    let mut smtp = server.smtp();
    smtp.deliver("a@elsewhere.example", &[&address(0)], &numbered(0, 0));
    wait_archived(&server);
    let (mut spent, rounds) = (0, 20);
    // Markers are looked at by their own clock, once for all mailboxes.
    let markers = || remote.server.way.markers();
    for n in 0..rounds {
        let (before, looked) = (remote.server.way.asked(), markers());
        let objects = files(&remote.folder()).len();
        smtp.deliver("a@elsewhere.example", &[&address(0)], &numbered(0, 1 + n));
        wait_until("it is archived", || files(&remote.folder()).len() > objects);
        wait_archived(&server);
        spent += remote.server.way.asked() - before - (markers() - looked);
    }
    let each = spent as f64 / rounds as f64;
    println!("{each:.2} requests a message; {:.0} an hour for one that gets a message a minute", each * 60.0);
}

#[test]
#[ignore = "a measurement"]
fn how_fast_a_mailbox_is_copied_and_restored() {
    let remote = Remote::start();
    let manifests = remote.manifests(1, 1);
    let server = start(&manifests);
    let mut open = server.imap(&address(0), PASSWORD);
    for n in 0..34 {
        open.append("INBOX", &large(n));
    }
    wait_archived(&server);
    let begun = Instant::now();
    assert!(server.sealpost(&["backup", &address(0)]).status.success());
    let whole = begun.elapsed();
    let archive = archive_of(&remote, &mailbox(&server, 0));
    let mut restores = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let (dir, _) = remote.assemble(&remote.bucket(), &archive, Target::Latest).unwrap();
        let size = dir.path().join("mailbox.sqlite").metadata().unwrap().len() as f64;
        restores.push(size / 1e6 / begun.elapsed().as_secs_f64());
    }
    let (dir, _) = remote.assemble(&remote.bucket(), &archive, Target::Latest).unwrap();
    let size = dir.path().join("mailbox.sqlite").metadata().unwrap().len() as f64 / 1e6;
    let bare = bare_vacuum(dir.path(), &Keys::of(dir.path()));
    let rate = |time: Duration| size / time.as_secs_f64();
    println!("{size:.0} MB: restored with {:.0} MB/s from S3 (median of 3)", median(restores));
    println!("copied, verified and uploaded with {:.0} MB/s; bare VACUUM INTO {:.0} MB/s", rate(whole), rate(bare));
}

fn bare_vacuum(folder: &Path, keys: &Keys) -> Duration {
    let connection = rusqlite::Connection::open(folder.join("mailbox.sqlite")).unwrap();
    connection.pragma_update(None, "key", format!("x'{}'", data_encoding::HEXLOWER.encode(keys.dek()))).unwrap();
    let begun = Instant::now();
    connection.execute("VACUUM INTO ?", [folder.join("copy.sqlite").to_str().unwrap()]).unwrap();
    std::fs::File::open(folder.join("copy.sqlite")).unwrap().sync_all().unwrap();
    begun.elapsed()
}
