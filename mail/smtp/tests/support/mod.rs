//! A directory with a recipient of every kind, and a delivery that keeps what it gets in memory.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use model::verbs::{Accepted, Code, Failure};
use model::{
    Address, AliasEntry, Directory, Entry, Generation, MailboxEntry, MailboxId, MailboxState, Reply, ServerId, ShardId,
    Target, TxId,
};
use sealpost_smtp::{BoxStream, Config, Delivery, Message, TlsUpgrade};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub fn mailbox(name: &str) -> MailboxId {
    let mut bytes = [0; 17];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    MailboxId::from_random(bytes)
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub fn directory() -> Directory {
    let own = |name: &str| Entry { mailbox: Some(mailbox(name)), alias: None };
    let alias = |alias| Entry { mailbox: None, alias: Some(alias) };
    let targets =
        |names: &[&str]| alias(AliasEntry::Targets(names.iter().map(|name| Target::Mailbox(mailbox(name))).collect()));
    let entries = [
        ("ann@example.org", own("ann")),
        ("bob@example.org", own("bob")),
        ("jürgen@example.org", own("ann")),
        ("postmaster@example.org", own("ann")),
        ("new@example.org", own("new")),
        ("away@example.org", own("away")),
        ("full@example.org", own("full")),
        ("down@example.org", own("down")),
        ("picky@example.org", own("picky")),
        ("team@example.org", targets(&["ann", "bob"])),
        ("half@example.org", targets(&["ann", "new"])),
        ("out@example.org", alias(AliasEntry::Targets(vec![Target::Mailbox(mailbox("ann")), Target::Outward]))),
        ("lost@example.org", alias(AliasEntry::Targets(vec![Target::Dangling]))),
        ("no@example.org", alias(AliasEntry::Reject(Reply::new(550, "5.7.1", "Write to the other address")))),
        ("*@catch.example", own("bob")),
    ];
    let boxes = ["ann", "bob", "new", "away", "full", "down", "picky"].map(|name| {
        let state = if name == "away" { MailboxState::Suspended } else { MailboxState::Active };
        let address = address(&format!("{name}@example.org"));
        let keyed = name != "new";
        let shard = ShardId(0);
        (
            mailbox(name),
            MailboxEntry { address, shard, state, access: BTreeSet::new(), quota: None, keyed, fenced: false },
        )
    });
    Directory {
        server: ServerId("test".into()),
        hostname: "mx.example.org".into(),
        generation: Generation::default(),
        domains: ["example.org", "catch.example"].map(|d| d.parse().unwrap()).into(),
        max_message_size: 20_000,
        entries: entries.into_iter().map(|(name, entry)| (address(name), entry)).collect(),
        mailboxes: boxes.into_iter().collect::<BTreeMap<_, _>>(),
        removed: [(address("gone@example.org"), Timestamp::MAX)].into(),
    }
}

/// Mailboxes named `full`, `down` and `picky` fail as their names say; all others store.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    directory: Mutex<Option<Arc<Directory>>>,
    messages: Mutex<Vec<Message>>,
    settled: Mutex<Vec<(TxId, Vec<MailboxId>)>>,
    failures: HashMap<MailboxId, Failure>,
}

impl Memory {
    pub fn new(directory: Option<Directory>) -> Self {
        let failures = [("full", Code::OverQuota), ("down", Code::Unavailable), ("picky", Code::BadMessage)]
            .map(|(name, code)| (mailbox(name), Failure::new(code, "test")));
        Self(Arc::new(Inner {
            directory: Mutex::new(directory.map(Arc::new)),
            messages: Mutex::default(),
            settled: Mutex::default(),
            failures: failures.into(),
        }))
    }

    pub fn messages(&self) -> Vec<Message> {
        self.0.messages.lock().unwrap().clone()
    }

    pub fn settled(&self) -> Vec<(TxId, Vec<MailboxId>)> {
        self.0.settled.lock().unwrap().clone()
    }
}

impl Delivery for Memory {
    fn directory(&self) -> Option<Arc<Directory>> {
        self.0.directory.lock().unwrap().clone()
    }

    async fn deliver(&self, message: Message) -> Vec<Accepted> {
        let fate = |id| self.0.failures.get(id).cloned().map_or(Accepted::Stored, Accepted::Failed);
        let results = message.recipients.iter().map(|recipient| fate(&recipient.mailbox)).collect();
        self.0.messages.lock().unwrap().push(message);
        results
    }

    fn settle(&self, txid: TxId, mailboxes: &[MailboxId]) {
        self.0.settled.lock().unwrap().push((txid, mailboxes.to_vec()));
    }
}

pub fn body(message: &Message) -> Bytes {
    message.body.concat().into()
}

/// "TLS" for tests: a clear stream on which both sides first exchange `~`.
pub fn fake_tls() -> TlsUpgrade {
    Arc::new(|mut stream: BoxStream| {
        Box::pin(async move {
            let hello = stream.read_u8().await?;
            if hello != b'~' {
                return Err(std::io::Error::other("not a handshake"));
            }
            stream.write_all(b"~").await?;
            stream.flush().await?;
            Ok(stream)
        })
    })
}

/// A server on one end of a pipe.
pub struct Peer {
    pub stream: DuplexStream,
    pub delivery: Memory,
    pub shutdown: CancellationToken,
    received: Vec<u8>,
}

impl Peer {
    pub fn connect(delivery: &Memory, config: Config) -> Self {
        let (stream, theirs) = tokio::io::duplex(64 << 10);
        let shutdown = CancellationToken::new();
        let peer: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        let run =
            sealpost_smtp::run(theirs, peer, Arc::new(config), delivery.clone(), Some(fake_tls()), shutdown.clone());
        tokio::spawn(run);
        Self { stream, delivery: delivery.clone(), shutdown, received: Vec::new() }
    }

    pub fn new() -> Self {
        Self::connect(&Memory::new(Some(directory())), config())
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        tokio::time::timeout(DEADLINE, self.stream.write_all(bytes)).await.expect("server reads").expect("open");
    }

    /// The next line without CRLF; none once the server has closed.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Some(String::from_utf8(line[..end].to_vec()).expect("replies are UTF-8"));
            }
            let read = self.stream.read_buf(&mut self.received);
            let read = tokio::time::timeout(DEADLINE, read).await.expect("an answer before the deadline");
            if read.unwrap_or(0) == 0 {
                assert_eq!(self.received, b"", "closed in the middle of a line");
                return None;
            }
        }
    }

    /// Sends a line and returns the last line of the reply.
    pub async fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    pub async fn reply(&mut self) -> String {
        loop {
            let line = self.line().await.expect("a reply");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Greets and gives sender and recipient.
    pub async fn envelope(&mut self) {
        self.reply().await;
        self.say("EHLO c.example").await;
        self.recipient().await;
    }

    pub async fn recipient(&mut self) {
        assert!(self.say("MAIL FROM:<x@y.example>").await.starts_with("250"));
        assert!(self.say("RCPT TO:<ann@example.org>").await.starts_with("250"));
    }
}

pub fn config() -> Config {
    Config { max_recipients: 5, max_errors: 10, max_refused: 8, ..Config::new("fallback.example") }
}
