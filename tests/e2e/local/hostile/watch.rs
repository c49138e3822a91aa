//! What everybody else notices while a server is attacked: nothing.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::Server;

/// Another session must have its answer within this time, whatever goes on ...
const CANARY: Duration = Duration::from_secs(1);
/// ... but for one time, because the machine that runs the tests may have other things to do.
const HICCUP: Duration = Duration::from_secs(5);
/// Pause between two questions of the canary.
const PACE: Duration = Duration::from_millis(20);
/// Most memory that a process may have taken at any time, in MiB.
const MEMORY: u64 = 512;

/// Watches a server until [`Watch::end`].
pub struct Watch<'a> {
    server: &'a Server,
    pids: Value,
    stop: Sender<()>,
    canary: JoinHandle<Vec<Duration>>,
}

impl<'a> Watch<'a> {
    /// Begins: notes which processes run, and lets a session ask NOOP again and again.
    pub fn begin(server: &'a Server) -> Self {
        let mut client = server.imap("ud@example.test", "pass");
        client.ok("SELECT INBOX");
        let pids = server.status()["pids"].clone();
        for pid in each_pid(&pids).values() {
            // Best effort: the peak that counts is the one from here on.
            let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
        let (stop, stopped) = channel();
        let canary = std::thread::spawn(move || {
            let mut times = Vec::new();
            while stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
                let asked = Instant::now();
                client.ok("NOOP");
                times.push(asked.elapsed());
            }
            times
        });
        Self { server, pids, stop, canary }
    }

    /// The most memory any process had since the beginning, in MiB, by name.
    pub fn peaks(&self) -> BTreeMap<String, u64> {
        each_pid(&self.pids).into_iter().map(|(name, pid)| (name, peak(pid))).collect()
    }

    /// Ends, and asserts that nobody else noticed anything.
    pub fn end(self) {
        let peaks = self.peaks();
        drop(self.stop);
        let mut times = self.canary.join().expect("the other session was served to the end");
        times.sort();
        let slowest = times.pop().expect("at least one answer");
        let second = times.pop().unwrap_or_default();
        println!("peaks in MiB: {peaks:?}; {} NOOPs beside it, slowest {slowest:?}, {second:?}", times.len() + 2);
        assert_eq!(self.server.status()["pids"], self.pids, "a process was started again");
        assert!(second < CANARY && slowest < HICCUP, "another session waited {slowest:?}, and {second:?}");
        for (name, peak) in peaks {
            assert!(peak < MEMORY, "{name} took {peak} MiB");
        }
    }
}

fn each_pid(pids: &Value) -> BTreeMap<String, u64> {
    pids.as_object().unwrap().iter().map(|(name, pid)| (name.clone(), pid.as_u64().unwrap())).collect()
}

fn peak(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
