//! What thousands of idle mailboxes cost: processor, memory, requests. A measurement; docs/benchmarks.md has its figures.
//!
//! ```sh
//! cargo test --release -p sealpost-sidecar --test idle -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

extern crate sealpost_sidecar as sidecar;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use control::{DirtyBatch, PolicyBatch, Refusal, Shard, VERSION};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use model::backup::{Destination, Policies, Policy, Retention};
use model::{BootId, MailboxId, ServerId, ShardId, Term};
use probes::Health;
use rusqlite::Connection;
use sidecar::process::{Config, Tuning};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

const MAILBOXES: u32 = 10_000;
/// How long nothing happens.
const QUIET: Duration = Duration::from_mins(3);

/// A mailbox whose mail waits, as a primary leaves it.
fn template(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("keys.json"), r#"{"format":1,"version":1}"#).unwrap();
    let connection = Connection::open(folder.join("spool.sqlite")).unwrap();
    let sql = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        CREATE TABLE usage(commits INTEGER); INSERT INTO usage VALUES (1); CREATE TABLE waiting(sealed BLOB);
        INSERT INTO waiting VALUES (randomblob(4000));";
    connection.execute_batch(sql).unwrap();
    for name in ["spool.sqlite", "spool.sqlite-wal"] {
        std::fs::copy(folder.join(name), folder.join(name).with_extension(format!("{}.kept", name.len()))).unwrap();
    }
    drop(connection);
    let _ = std::fs::remove_file(folder.join("spool.sqlite-shm"));
    for (name, kept) in [("spool.sqlite", "spool.12.kept"), ("spool.sqlite-wal", "spool.16.kept")] {
        std::fs::rename(folder.join(kept), folder.join(name)).unwrap();
    }
}

fn volume(data: &Path) {
    let first = data.join("template");
    template(&first);
    for n in 0..MAILBOXES {
        let mut seed = [0; 17];
        seed[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_le_bytes());
        let id = MailboxId::from_random(seed);
        let folder = data.join("mailboxes").join(id.prefix()).join(id.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(&first).unwrap().flatten() {
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
}

fn policies(bucket: &Path) -> Policies {
    let policy = Policy {
        destination: Destination::Folder { path: bucket.display().to_string() },
        max_lag_seconds: 10,
        snapshots: None,
        retention: Retention { window_days: 30, keep_last: 1, daily: 0, weekly: 0, monthly: 0 },
        verify: None,
    };
    Policies {
        root: "local.mail.0123abcd".to_owned(),
        policies: BTreeMap::from([("daily".to_owned(), policy)]),
        mailboxes: BTreeMap::new(),
        default: Some("daily".to_owned()),
    }
}

/// A primary to which nothing happens.
async fn answer(request: Request<Incoming>, policies: Policies) -> Result<Response<Full<Bytes>>, Infallible> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let _ = request.into_body().collect().await;
    let boot = BootId([7; 16]);
    let poll = || tokio::time::sleep(Duration::from_secs(20));
    let (status, json) = match path.as_str() {
        "/v1/hello" => {
            let (server, volume) = (ServerId("0123abcd".to_owned()), "volume".to_owned());
            let shard = Shard { version: VERSION, server, shard: ShardId(0), volume, term: Term(1), boot };
            (StatusCode::OK, serde_json::to_vec(&shard))
        }
        "/v1/dirty" => {
            if !query.ends_with("after=0") {
                poll().await;
            }
            (StatusCode::OK, serde_json::to_vec(&DirtyBatch { boot, cursor: 1, dirty: Vec::new() }))
        }
        "/v1/policies" => {
            if query.ends_with("after=1") {
                poll().await;
            }
            let batch = PolicyBatch { cursor: 1, policies: Some(policies), pushed: true, runs: Vec::new() };
            (StatusCode::OK, serde_json::to_vec(&batch))
        }
        "/v1/hold" => (StatusCode::NOT_FOUND, serde_json::to_vec(&Refusal { error: "nothing to hold".to_owned() })),
        _ => (StatusCode::OK, Ok(b"null".to_vec())),
    };
    let mut answer = Response::new(Full::new(Bytes::from(json.unwrap())));
    *answer.status_mut() = status;
    Ok(answer)
}

/// Seconds of processor time of this process.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

/// MiB that are resident.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn ten_thousand_idle_mailboxes_cost_next_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, bucket) = (dir.path().join("data"), dir.path().join("bucket"));
    volume(&data);
    let socket = dir.path().join("sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let wanted = policies(&bucket);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let wanted = wanted.clone();
            let serve = service_fn(move |request| answer(request, wanted.clone()));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
        }
    });
    let config = Config {
        server: ServerId("0123abcd".to_owned()),
        shard: ShardId(0),
        data,
        socket,
        credentials: dir.path().join("credentials"),
        tuning: Tuning::default(),
    };
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let running = tokio::spawn(sidecar::run(config, Health::starting(), stop.clone()));
    // keys, base, segment, manifest, and one owner marker.
    let all = 4 * MAILBOXES as usize + 1;
    while files(&bucket) < all {
        assert!(!running.is_finished() && begun.elapsed() < Duration::from_mins(30), "{} objects", files(&bucket));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    println!("{MAILBOXES} mailboxes are archived after {:.0?}, {:.0} MiB resident", begun.elapsed(), resident());
    // What is remembered of mailboxes is written down and forgotten, retention has come to each.
    tokio::time::sleep(QUIET).await;
    let (before, from) = (processor(), Timestamp::now());
    tokio::time::sleep(QUIET).await;
    let share = (processor() - before) / Timestamp::now().duration_since(from).as_secs_f64() * 100.0;
    println!("idle: {share:.2} % of a core, {:.0} MiB resident", resident());
    assert_eq!(files(&bucket), all, "nothing more was written");
    stop.cancel();
    running.await.unwrap().unwrap();
}
