//! A server under test, and small clients that see exactly what is on the wire.

pub mod corpus;
pub mod disk;
pub mod faults;
pub mod imap;
pub mod needles;
pub mod network;
#[expect(dead_code, reason = "more of it is used by the tests of the sidecar")]
#[path = "../../../../sidecar/src/bucket/s3/server.rs"]
pub mod s3;
pub mod smtp;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use disk::Disk;
use faults::Faults;
use network::Network;

/// No single wait of a test may take longer.
pub const DEADLINE: Duration = Duration::from_mins(1);
/// How long `up` may take to start: it gives up by itself, later the more mailboxes it has to make keys for.
const START: Duration = Duration::from_mins(30);

/// The executable under test; `SEALPOST_EXECUTABLE` names another one, so that a long run has a copy of its own.
pub fn sealpost() -> Command {
    Command::new(std::env::var_os("SEALPOST_EXECUTABLE").unwrap_or_else(|| env!("CARGO_BIN_EXE_sealpost").into()))
}

/// A path from the root of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// True where the program can be run; panics instead of returning false where tools are required.
pub fn have(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    needed(there, &format!("{program} is not installed"))
}

/// True where `swaks` is there and speaks TLS, for which it needs a Perl module that it does not bring; as [`have`].
pub fn have_swaks_with_tls() -> bool {
    let module = Command::new("perl").args(["-MNet::SSLeay", "-e", "1"]).output();
    have("swaks") && needed(module.is_ok_and(|ran| ran.status.success()), "swaks has no TLS: no Net::SSLeay")
}

/// True where mounts can be made, and what they need is there; as [`have`].
pub fn have_root(device: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    needed(root && Path::new(device).exists(), &format!("not root, or no {device}"))
}

/// The executable, in a mount namespace of its own in which the shard has a volume of that size.
fn on_volume(state: &Path, size: u64) -> Command {
    let volume = state.join("shard-0");
    std::fs::create_dir_all(&volume).unwrap();
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@""#;
    command.args(["--mount", "sh", "-c", script, "sh", &size.to_string()]).arg(volume).arg(sealpost().get_program());
    command
}

fn needed(there: bool, missing: &str) -> bool {
    let required = std::env::var("SEALPOST_REQUIRE_TOOLS").is_ok_and(|v| v == "1");
    assert!(there || !required, "{missing}, and is required");
    if !there {
        eprintln!("{missing}: this test proves nothing here");
    }
    there
}

/// A running `sealpost up`.
pub struct Server {
    /// Fault points of its processes.
    pub faults: Faults,
    /// The shard's volume, where it can fail.
    pub disk: Option<Disk>,
    /// Bad networks: before the shard by the names of processes, before processes by those of endpoints.
    pub networks: BTreeMap<String, Network>,
    /// Holds `state/` and whatever a test puts beside it.
    pub dir: TempDir,
    options: Options,
    up: Option<Up>,
}

struct Up {
    child: Child,
    // Behind a lock, so that threads of a test can share the server.
    lines: Mutex<Receiver<String>>,
}

/// How to start.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent choices, each with a method of its own")]
pub struct Options {
    manifests: PathBuf,
    replicas: u16,
    plain: bool,
    env: Vec<(&'static str, &'static str)>,
    faults: bool,
    disk: bool,
    network: bool,
    /// Octets of a volume of the shard's own.
    volume: Option<u64>,
    buckets: &'static str,
}

impl Options {
    /// With the project's own samples.
    pub fn samples() -> Self {
        Self::manifests(&project("config/samples"))
    }

    /// With the manifests of the benchmark: five mailboxes at example.test, password `pass`.
    pub fn bench() -> Self {
        Self::manifests(&project("bench/manifests"))
    }

    /// With manifests of a test's own.
    pub fn manifests(path: &Path) -> Self {
        Self {
            manifests: path.to_owned(),
            replicas: 1,
            plain: true,
            env: Vec::new(),
            faults: false,
            disk: false,
            network: false,
            volume: None,
            buckets: "folder",
        }
    }

    /// With so many IMAP processes.
    pub fn replicas(self, replicas: u16) -> Self {
        Self { replicas, ..self }
    }

    /// Without the clear-text listener.
    pub fn without_plain(self) -> Self {
        Self { plain: false, ..self }
    }

    /// With `SEALPOST_LOG` set to that.
    pub fn log(self, directives: &'static str) -> Self {
        self.env("SEALPOST_LOG", directives)
    }

    /// With an environment variable, for `up` and all its children.
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// With the S3 buckets that the policies name.
    pub fn s3(self) -> Self {
        Self { buckets: "s3", ..self }
    }

    /// With fault points that can be armed, and no waits before a process that ended starts again.
    pub fn faults(self) -> Self {
        Self { faults: true, ..self }
    }

    /// With the shard on a disk that can fail, where this machine can have one.
    pub fn disk(self) -> Self {
        Self { disk: true, faults: true, ..self }
    }

    /// Starts with the shard on a volume of that size, in memory; none where this machine cannot mount, and need not.
    pub fn small_volume(self, octets: u64) -> Option<Server> {
        have_root("/proc/self/ns/mnt").then(|| Self { volume: Some(octets), ..self }.start())
    }

    /// With a bad network before everything.
    pub fn network(self) -> Self {
        Self { network: true, faults: true, ..self }
    }

    /// Starts a server and waits until it serves.
    pub fn start(self) -> Server {
        let mut server = self.prepare();
        server.start();
        server
    }

    /// Starts a server on a copy of another one's state folder.
    pub fn start_on(self, state: &Path) -> Server {
        let mut server = self.prepare();
        let copied = Command::new("cp").arg("-a").arg(state).arg(server.state()).status().unwrap();
        assert!(copied.success());
        server.start();
        server
    }

    /// Starts a server that has a reason not to be ready, and waits until it says so.
    pub fn start_unready(self) -> Server {
        let mut server = self.prepare();
        server.spawn();
        server.wait_line("not ready");
        server
    }

    fn prepare(self) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new(&dir.path().join("faults"));
        let disk =
            self.disk.then(|| Disk::mount(&dir.path().join("state/shard-0"), &dir.path().join("disk"))).flatten();
        let mut server = Server { faults, disk, networks: BTreeMap::new(), dir, options: self, up: None };
        if server.options.network {
            server.detour();
        }
        server
    }
}

impl Server {
    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Starts `up` on the state folder and waits until it says that it is ready.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_line_for("ready", START);
        if self.options.network {
            self.expose();
        }
    }

    fn spawn(&mut self) {
        let mut command = self.options.volume.map_or_else(sealpost, |size| on_volume(&self.state(), size));
        command.arg("up").arg("-f").arg(&self.options.manifests).arg("--state").arg(self.state());
        command.args(["--ports", "auto", "--imap-replicas", &self.options.replicas.to_string()]);
        command.args(["--buckets", self.options.buckets]);
        command.args(self.options.plain.then_some("--dev-plain"));
        command.envs(self.options.env.iter().copied());
        command.envs(self.options.faults.then(|| (files::fault::VARIABLE, self.faults.folder())));
        let stderr =
            std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("up.err")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        self.up = Some(Up { child, lines: Mutex::new(lines) });
    }

    /// Puts a network between each secondary and the shard.
    fn detour(&mut self) {
        let imap = (0..self.options.replicas).map(|replica| format!("secondary-imap-{replica}"));
        for name in imap.chain(["secondary-mx-0".to_owned()]) {
            let faults = self.faults.clone();
            let network = Network::new(move || faults.wire());
            self.faults.via(&name, network.address);
            self.networks.insert(name, network);
        }
    }

    /// Puts a network before each endpoint, or tells those that are there where it listens now.
    fn expose(&mut self) {
        let status = self.status();
        for (name, address) in status["endpoints"].as_object().unwrap() {
            self.faults.listens(name, address.as_str().unwrap());
            let faults = self.faults.clone();
            let target = name.clone();
            let made = || Network::new(move || faults.where_listens(&target));
            self.networks.entry(name.clone()).or_insert_with(made);
        }
    }

    /// The shard's volume, as its processes see it.
    pub fn volume(&self) -> PathBuf {
        let up = self.up.as_ref().unwrap().child.id();
        let inside = self.state().join("shard-0");
        Path::new(&format!("/proc/{up}/root")).join(inside.strip_prefix("/").unwrap())
    }

    /// Where a client reaches an endpoint: through the bad network, if there is one.
    pub fn outside(&self) -> BTreeMap<String, SocketAddr> {
        let status = self.status();
        let found = status["endpoints"].as_object().unwrap().iter();
        found
            .map(|(name, address)| {
                let network = self.networks.get(name).map(|network| network.address);
                (name.clone(), network.unwrap_or_else(|| address.as_str().unwrap().parse().unwrap()))
            })
            .collect()
    }

    /// Waits for a line of `up` that starts with the text.
    pub fn wait_line(&self, start: &str) -> String {
        self.wait_line_for(start, DEADLINE)
    }

    fn wait_line_for(&self, start: &str, most: Duration) -> String {
        let until = Instant::now() + most;
        let up = self.up.as_ref().unwrap();
        let mut seen = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match up.lines.lock().unwrap().recv_timeout(left) {
                Ok(line) if line.starts_with(start) => return line,
                Ok(line) => seen += &(line + "\n"),
                Err(error) => panic!("`up` never said `{start}` ({error}):\n{seen}\n{}", self.complaints()),
            }
        }
    }

    /// What `up` and its children had to complain about.
    pub fn complaints(&self) -> String {
        let mut text = std::fs::read_to_string(self.dir.path().join("up.err")).unwrap_or_default();
        for log in std::fs::read_dir(self.state().join("log")).into_iter().flatten().flatten() {
            let log = std::fs::read_to_string(log.path()).unwrap_or_default();
            let bad = log.lines().filter(|l| l.contains("\"WARN\"") || l.contains("\"ERROR\""));
            text.extend(bad.map(|l| format!("{l}\n")));
        }
        text
    }

    /// Ends `up` as Ctrl-C does, and waits for it.
    pub fn stop(&mut self) {
        if self.up.is_some() {
            self.signal("INT");
            self.wait_ended();
        }
    }

    /// Sends a signal to `up` itself.
    pub fn signal(&self, name: &str) {
        signal(self.up.as_ref().unwrap().child.id(), name);
    }

    /// Waits until `up` has ended, which must be with exit code 0.
    pub fn wait_ended(&mut self) {
        let status = wait(&mut self.up.take().unwrap().child);
        assert!(status.success(), "`up` ended with {status}\n{}", self.complaints());
    }

    /// `kill -9` of `up` itself.
    pub fn kill_up(&mut self) {
        let mut up = self.up.take().unwrap();
        signal(up.child.id(), "KILL");
        wait(&mut up.child);
    }

    /// `kill -9` of `up` and all its children at once; returns how many processes that were.
    pub fn crash(&mut self) -> usize {
        self.crash_now().0
    }

    /// The same, with the moment just before.
    pub fn crash_now(&mut self) -> (usize, Timestamp) {
        let Some(mut up) = self.up.take() else { return (0, Timestamp::now()) };
        let pids = self.status()["pids"].as_object().unwrap().values().filter_map(Value::as_u64).collect::<Vec<_>>();
        let pids: Vec<u32> = pids.into_iter().map(|pid| u32::try_from(pid).unwrap()).collect();
        let mut kill = Command::new("kill");
        kill.arg("-KILL").arg(up.child.id().to_string()).args(pids.iter().map(u32::to_string));
        let before = Timestamp::now();
        // Those that are gone already saw their parent end.
        let _ = kill.output().unwrap();
        let _ = up.child.wait();
        wait_until("all processes are gone", || pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        (pids.len() + 1, before)
    }

    /// Ends everything and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// `sealpost status -o json`.
    pub fn status(&self) -> Value {
        let output = self.sealpost(&["status", "-o", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
    }

    /// Runs a subcommand on this state folder.
    pub fn sealpost(&self, args: &[&str]) -> Output {
        sealpost().args(args).arg("--state").arg(self.state()).stdin(Stdio::null()).output().unwrap()
    }

    /// Where something listens.
    pub fn endpoint(&self, name: &str) -> SocketAddr {
        let status = self.status();
        let address = status["endpoints"][name].as_str().unwrap_or_else(|| panic!("no endpoint {name}: {status}"));
        address.parse().unwrap()
    }

    /// The process id of a child.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.status()["pids"][name].as_u64().map(|pid| u32::try_from(pid).unwrap())
    }

    /// `kill -9` of a child. Proves that it was alive, and waits until it is gone.
    pub fn kill(&self, name: &str) {
        let mut killed = None;
        // One that ends by itself in this moment is started again, and killed then.
        wait_until("the process runs", || {
            killed = self.pid(name).filter(|pid| try_signal(*pid, "KILL"));
            killed.is_some()
        });
        let pid = killed.unwrap();
        wait_until("the process is gone", || !Path::new(&format!("/proc/{pid}")).exists());
    }

    /// An IMAP session in clear text, logged in.
    pub fn imap(&self, user: &str, password: &str) -> imap::Client {
        self.imap_at("imap-plain", user, password)
    }

    /// The same, at a listener of another replica.
    pub fn imap_at(&self, endpoint: &str, user: &str, password: &str) -> imap::Client {
        let mut client = imap::Client::connect(self.endpoint(endpoint));
        client.ok(&format!("LOGIN \"{user}\" \"{password}\""));
        client
    }

    /// An SMTP session.
    pub fn smtp(&self) -> smtp::Client {
        smtp::Client::connect(self.endpoint("mx"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut up) = self.up.take() {
            signal(up.child.id(), "INT");
            let _ = wait(&mut up.child);
        }
        if std::thread::panicking() {
            eprintln!("--- complaints of the server\n{}", self.complaints());
        }
    }
}

/// Sends a signal to a process that is there.
pub fn signal(pid: u32, name: &str) {
    assert!(try_signal(pid, name), "cannot signal {pid}");
}

/// Sends a signal; false where there is no such process.
pub fn try_signal(pid: u32, name: &str) -> bool {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).output().unwrap().status.success()
}

fn wait(child: &mut Child) -> std::process::ExitStatus {
    let mut status = None;
    wait_until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Polls a condition that no event announces, until [`DEADLINE`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
