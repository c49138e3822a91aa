//! One supervised process: started, watched, started again with backoff, stopped.
//!
//! A child says where it listens in one JSON line on its standard output once it serves; its log goes to a file. It dies
//! with its parent, however that one ends: it stops when its standard input closes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// First wait before a crashed child is started again; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait between two starts.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A child that served so long starts afresh with the shortest wait.
const STABLE: Duration = Duration::from_secs(30);
/// How long a child may take to finish after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Named addresses of a child, for example `imaps`.
pub type Endpoints = BTreeMap<String, SocketAddr>;

/// What to run.
pub struct Spec {
    /// For people: `primary-0`.
    pub name: String,
    /// `primary` or `secondary`.
    pub role: &'static str,
    /// Where the configuration is written.
    pub config: PathBuf,
    /// Where the log goes.
    pub log: PathBuf,
    /// Makes the configuration, given where the child listened before (so that ports stay the same).
    pub configure: Box<dyn Fn(&Endpoints) -> serde_json::Value + Send + Sync>,
}

/// What is known of a child.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// While it runs.
    pub pid: Option<u32>,
    /// Once it serves.
    pub endpoints: Option<Endpoints>,
    /// Starts so far.
    pub starts: u32,
}

/// A child under supervision.
pub struct Supervised {
    /// See [`Spec::name`].
    pub name: String,
    observed: watch::Receiver<Observed>,
}

impl Supervised {
    /// Starts watching over a child until `stop`.
    pub fn start(spec: Spec, stop: CancellationToken, tasks: &mut tokio::task::JoinSet<()>) -> Self {
        let (tell, observed) = watch::channel(Observed::default());
        let name = spec.name.clone();
        tasks.spawn(supervise(spec, tell, stop));
        Self { name, observed }
    }

    /// What is known now.
    pub fn observed(&self) -> Observed {
        self.observed.borrow().clone()
    }

    /// Waits until it serves.
    pub async fn ready(&self) -> Option<Endpoints> {
        let mut observed = self.observed.clone();
        let seen = observed.wait_for(|o| o.endpoints.is_some()).await.ok()?;
        seen.endpoints.clone()
    }
}

async fn supervise(spec: Spec, tell: watch::Sender<Observed>, stop: CancellationToken) {
    let known = Arc::new(Mutex::new(Endpoints::new()));
    let mut wait = FIRST_WAIT;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let before = known.lock().map(|k| k.clone()).unwrap_or_default();
        match run_once(&spec, &before, &tell, &stop).await {
            Ok(Some(endpoints)) => {
                if let Ok(mut known) = known.lock() {
                    *known = endpoints;
                }
            }
            Ok(None) => {}
            Err(error) => eprintln!("{}: {error:#}", spec.name),
        }
        tell.send_modify(|o| (o.pid, o.endpoints) = (None, None));
        if started.elapsed() > STABLE {
            wait = FIRST_WAIT;
        }
        if !stop.is_cancelled() {
            eprintln!("{} ended; it is started again in {wait:?} (log: {})", spec.name, spec.log.display());
            let _ = tokio::time::timeout(wait, stop.cancelled()).await;
            // Tests of faults end processes all the time, and mean it.
            let longest = if files::fault::is_on() { FIRST_WAIT } else { LONGEST_WAIT };
            wait = (wait * 2).min(longest);
        }
    }
}

/// One life of the child: returns where it listened, if it came so far.
async fn run_once(
    spec: &Spec,
    before: &Endpoints,
    tell: &watch::Sender<Observed>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Endpoints>> {
    let config = serde_json::to_vec_pretty(&(spec.configure)(before))?;
    files::durable::write(&spec.config, &config)?;
    let mut child = spawn(spec)?;
    let pid = child.id();
    tell.send_modify(|o| (o.pid, o.starts) = (pid, o.starts + 1));
    let Some(out) = child.stdout.take() else { anyhow::bail!("the child has no standard output") };
    let mut lines = BufReader::new(out).lines();
    let mut endpoints = None;
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) if endpoints.is_none() => {
                    let listening: Endpoints = serde_json::from_str(&line).context("the child speaks another version")?;
                    tell.send_modify(|o| o.endpoints = Some(listening.clone()));
                    endpoints = Some(listening);
                }
                Some(_) => {}
                None => break,
            },
            () = stop.cancelled() => { end(&mut child).await; return Ok(endpoints) }
        }
    }
    let status = child.wait().await?;
    if endpoints.is_none() && !status.success() {
        eprintln!("{}: {}", spec.name, last_words(spec));
    }
    Ok(endpoints)
}

fn spawn(spec: &Spec) -> anyhow::Result<Child> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&spec.log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(spec.role).arg("--supervised").arg("--config").arg(&spec.config);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", spec.name))
}

async fn end(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// The last error a child logged: why it did not start.
fn last_words(spec: &Spec) -> String {
    let text = std::fs::read_to_string(&spec.log).unwrap_or_default();
    let error = text.lines().rev().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["fields"]["error"].as_str()?.to_owned())
    });
    error.unwrap_or_else(|| format!("it did not start; see {}", spec.log.display()))
}
