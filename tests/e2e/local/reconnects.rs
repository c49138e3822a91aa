//! Everybody comes back at once: after an update of the front ends, or when a network that was away is there again. Then
//! they stay, and wait.
//!
//! Each variant runs with a hundred clients. With a thousand, or ten thousand that wait, and the figures, in an optimised
//! build:
//!
//! ```sh
//! cargo test --release -p sealpost --test local reconnects -- --ignored --nocapture --test-threads 1
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::Secret;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::harness::{Options, Server, wait_until};
use crate::up::Manifests;

/// All are back within this time.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Those whose passwords have to be tried anew, one after the other.
const COLD_WITHIN: Duration = Duration::from_mins(3);
/// A client that is told to come again does so after this time.
const AGAIN: Duration = Duration::from_millis(200);
/// Memory of a session that waits, in both processes.
const PER_SESSION: u64 = 40 << 10;
/// Memory that the first ones take, however many come: pools, caches, code.
const FIRST: u64 = 32 << 20;
/// Connections of one person: phone, tablet, and the parallel ones of each.
const DEVICES: usize = 5;

type Connection = BufReader<TcpStream>;

/// A server with so many mailboxes, each with a password of its own.
struct World {
    server: Server,
    passwords: Vec<String>,
    runtime: Runtime,
}

impl World {
    fn new(mailboxes: usize, password: impl Fn(usize) -> String) -> Self {
        let manifests = Manifests::empty();
        let passwords: Vec<String> = (0..mailboxes).map(password).collect();
        let objects = passwords.iter().enumerate().map(|(n, password)| {
            format!(
                "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: secret-{n}}}\nstringData: {{password: \"{password}\"}}\n\
                 ---\napiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {{name: user-{n}}}\n\
                 spec: {{address: user-{n}@example.test, passwordSecretRef: {{name: secret-{n}}}}}\n"
            )
        });
        manifests.write("mailboxes.yaml", &objects.collect::<String>());
        manifests.write(
            "server.yaml",
            "apiVersion: sealpost.dev/v1alpha1\nkind: MailServer\nmetadata: {name: mail}\n\
             spec: {hostname: mx.example.test, domains: [{name: example.test}]}\n",
        );
        let server = Options::manifests(manifests.path()).start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { server, passwords, runtime }
    }

    /// All clients come at once to where IMAP is, and stay. How long it took until the last had its INBOX, and how often
    /// one was told to come again.
    fn come(&self, imap: SocketAddr, clients: usize) -> (Vec<Connection>, Duration, usize) {
        let begun = Instant::now();
        let came = self.runtime.block_on(async {
            let mut coming = JoinSet::new();
            for n in 0..clients {
                let mailbox = n % self.passwords.len();
                let login = format!("LOGIN user-{mailbox}@example.test \"{}\"", self.passwords[mailbox]);
                coming.spawn(async move { insist(imap, &login).await });
            }
            coming.join_all().await
        });
        let (took, refused) = (begun.elapsed(), came.iter().map(|(_, refused)| refused).sum());
        (came.into_iter().map(|(connection, _)| connection).collect(), took, refused)
    }
}

/// Comes again until it is served, and how often that was. To be told anything but "later" is a failure.
async fn insist(imap: SocketAddr, login: &str) -> (Connection, usize) {
    let mut refused = 0;
    loop {
        match come(imap, login).await {
            Ok(connection) => return (connection, refused),
            Err(Some(told)) => assert!(told.starts_with("NO [UNAVAILABLE]"), "{login}: {told}"),
            // Nobody listens yet.
            Err(None) => {}
        }
        refused += 1;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn come(imap: SocketAddr, login: &str) -> Result<Connection, Option<String>> {
    let mut connection = BufReader::new(TcpStream::connect(imap).await.map_err(|_| None)?);
    let mut greeting = String::new();
    connection.read_line(&mut greeting).await.map_err(|_| None)?;
    for (tag, command) in [("a", login), ("b", "SELECT INBOX")] {
        connection.write_all(format!("{tag} {command}\r\n").as_bytes()).await.map_err(|_| None)?;
        let said = loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await.map_err(|_| None)? == 0 {
                return Err(None);
            }
            if let Some(said) = line.strip_prefix(&format!("{tag} ")) {
                break said.to_owned();
            }
        };
        if !said.starts_with("OK") {
            return Err(Some(said));
        }
    }
    Ok(connection)
}

/// With secrets that we have minted, as devices have them, nothing has to be remembered: the front end that they were
/// connected to is gone, and what it knew.
fn with_minted_secrets(clients: usize) {
    let world = World::new(clients / DEVICES, |_| Secret::mint(&[]).reveal().to_string());
    let imap = world.server.endpoint("imap-plain");
    let (first, took, _) = world.come(imap, clients);
    println!("{clients} clients come with minted secrets: {took:?}");
    world.server.kill("secondary-imap-0");
    let (_second, took, refused) = world.come(imap, clients);
    println!("{clients} come back to another front end: {took:?}, {refused} attempts while it started");
    assert!(took < BACK_WITHIN, "{clients} clients need {took:?}");
    drop(first);
}

/// With chosen passwords each has to be tried, slowly, once; whoever was here lately comes back at once.
fn with_chosen_passwords(clients: usize) {
    let mailboxes = clients / DEVICES;
    let world = World::new(mailboxes, |n| format!("a chosen password {n}"));
    let imap = world.server.endpoint("imap-plain");
    let (first, took, refused) = world.come(imap, clients);
    let rate = mailboxes as f64 / took.as_secs_f64();
    println!(
        "{clients} clients come with {mailboxes} chosen passwords that nobody knows yet: {took:?}, {rate:.1} passwords a second, {refused} told to come again"
    );
    assert!(took < COLD_WITHIN, "{clients} clients need {took:?}");
    drop(first);
    let (_second, took, refused) = world.come(imap, clients);
    println!("{clients} come back with passwords that were tried: {took:?}, {refused} told to come again");
    assert!(took < BACK_WITHIN && refused == 0, "{clients} clients need {took:?}, {refused} were refused");
}

#[test]
fn a_hundred_clients_with_minted_secrets_are_back_within_ten_seconds() {
    with_minted_secrets(100);
}

#[test]
fn a_hundred_clients_with_chosen_passwords_all_get_in_and_are_back_at_once() {
    with_chosen_passwords(100);
}

#[test]
#[ignore = "a measurement, for an optimised build"]
fn a_thousand_clients_with_minted_secrets_are_back_within_ten_seconds() {
    with_minted_secrets(1000);
}

#[test]
#[ignore = "a measurement, for an optimised build"]
fn a_thousand_clients_with_chosen_passwords_all_get_in_and_are_back_at_once() {
    with_chosen_passwords(1000);
}

/// Waiting costs little memory and next to no time (so many percent of a core), and whoever waits hears of mail.
fn waiting(clients: usize, watch: Duration, most: f64) {
    let world = World::new(clients / 20, |_| Secret::mint(&[]).reveal().to_string());
    let processes = ["primary-0", "secondary-imap-0"].map(|name| (name, world.server.pid(name).unwrap()));
    let before = processes.map(|(_, pid)| memory(pid));
    let (mut connections, took, _) = world.come(world.server.endpoint("imap-plain"), clients);
    world.runtime.block_on(async {
        for connection in &mut connections {
            connection.write_all(b"c IDLE\r\n").await.unwrap();
            while !line(connection).await.starts_with('+') {}
        }
    });
    println!("{clients} sessions in {} mailboxes came in {took:?}, and wait", world.passwords.len());
    wait_until("mailboxes without work are closed", || open_files(processes[0].1, "mailbox.sqlite") == 0);
    let worked = processes.map(|(_, pid)| cpu(pid));
    std::thread::sleep(watch);
    let mut grown = 0;
    for (n, (name, pid)) in processes.into_iter().enumerate() {
        let (now, percent) =
            (memory(pid), 100.0 * cpu(pid).saturating_sub(worked[n]).as_secs_f64() / watch.as_secs_f64());
        println!("{name}: {} MiB, {} MiB before; {percent:.1} % of a core over {watch:?}", now >> 20, before[n] >> 20);
        assert!(percent < most, "{name} works {percent} % while nothing happens");
        grown += now.saturating_sub(before[n]);
    }
    println!("{} octets for each session, both processes", grown / clients as u64);
    assert!(grown <= FIRST + PER_SESSION * clients as u64, "{grown} octets for {clients} sessions");
    let mut smtp = world.server.smtp();
    for n in 0..world.passwords.len() {
        let message = format!("Message-ID: <{n}@x.example>\r\n\r\n");
        smtp.deliver("a@elsewhere.example", &[&format!("user-{n}@example.test")], message.as_bytes());
    }
    world.runtime.block_on(async {
        for connection in &mut connections {
            while !line(connection).await.contains("1 EXISTS") {}
        }
    });
}

async fn line(connection: &mut Connection) -> String {
    let mut line = String::new();
    assert_ne!(connection.read_line(&mut line).await.unwrap(), 0, "a session that waits was closed");
    line
}

/// Octets of memory that are a process's own, shared ones by share.
fn memory(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    pss.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Time a process has worked: clock ticks of a hundredth of a second, as on every Linux.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    Duration::from_millis(10 * fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
}

/// How many files of that name a process has open.
fn open_files(pid: u32, name: &str) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|path| path.ends_with(name))).count()
}

#[test]
fn sessions_that_wait_cost_little() {
    waiting(200, Duration::from_secs(2), 20.0);
}

#[test]
#[ignore = "a measurement, for an optimised build"]
fn ten_thousand_sessions_that_wait_cost_little() {
    waiting(10_000, Duration::from_mins(1), 5.0);
}
