//! The client's end of a connection.

use std::sync::Arc;

use sealpost_imap::{Client, Config, ImapError, Limits, Outcome, Security, run};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, Fake};

pub struct Peer {
    stream: BufReader<DuplexStream>,
    pub server: JoinHandle<Result<Outcome<DuplexStream>, ImapError>>,
    pub shutdown: CancellationToken,
}

impl Peer {
    pub fn connect(fake: &Fake, security: Security) -> Self {
        Self::with_limits(fake, security, Limits { append: 5 << 20, ..Limits::default() })
    }

    pub fn with_limits(fake: &Fake, security: Security, limits: Limits) -> Self {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let client = Client { address: ([127, 0, 0, 1], 1143).into(), security };
        let config = Arc::new(Config { hostname: "mail.example.test".into(), limits });
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(run(theirs, client, config, fake.clone(), shutdown.clone()));
        Self { stream: BufReader::new(ours), server, shutdown }
    }

    /// Past greeting and login, with INBOX selected.
    pub async fn in_inbox(fake: &Fake) -> Self {
        let mut peer = Self::connect(fake, Security::DevPlain);
        peer.line().await;
        peer.command("l LOGIN ann@example.test pass").await;
        peer.command("s SELECT INBOX").await;
        peer
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.stream.get_mut().write_all(bytes)).await.expect("the server reads").unwrap();
    }

    /// The next line without its end; empty at the end.
    pub async fn line(&mut self) -> String {
        let mut line = Vec::new();
        timeout(DEADLINE, self.stream.read_until(b'\n', &mut line)).await.expect("the server answers").unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.trim_end_matches('\n').trim_end_matches('\r').to_owned()
    }

    pub async fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        timeout(DEADLINE, self.stream.read_exact(&mut bytes)).await.expect("the server sends").unwrap();
        bytes
    }

    /// Sends a command and returns all lines up to its tagged answer.
    pub async fn command(&mut self, command: &str) -> Vec<String> {
        self.send(format!("{command}\r\n").as_bytes()).await;
        let tag = command.split(' ').next().unwrap().to_owned();
        self.until(&format!("{tag} ")).await
    }

    /// All lines up to one that begins like that.
    pub async fn until(&mut self, start: &str) -> Vec<String> {
        let mut lines = vec![];
        loop {
            lines.push(self.line().await);
            if lines.last().is_some_and(|line| line.starts_with(start)) {
                return lines;
            }
            assert!(lines.last().is_some_and(|line| !line.is_empty()), "the connection ended: {lines:?}");
        }
    }
}
