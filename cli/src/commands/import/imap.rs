//! As much of an IMAP client as an import needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use data_encoding::BASE64;
use model::{Address, mutf7};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use zeroize::Zeroizing;

/// A server that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_mins(5);

/// A connection.
pub struct Imap {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    tags: u64,
    /// BINARY (RFC 3516): messages with NUL can be sent.
    binary: bool,
}

/// A response line; each literal in it stands as `{n}`.
pub struct Line {
    /// The text.
    pub text: String,
    /// The literals, in order.
    pub literals: Vec<Vec<u8>>,
}

/// The end of a command.
pub struct Answer {
    /// `OK`.
    pub ok: bool,
    /// What follows `OK`, `NO` or `BAD`.
    pub text: String,
}

impl Answer {
    /// True for a response code (RFC 9051 section 7.1), in any case.
    pub fn has_code(&self, code: &str) -> bool {
        let rest = self.text.strip_prefix('[').unwrap_or_default();
        rest.get(..code.len()).is_some_and(|found| found.eq_ignore_ascii_case(code))
    }
}

impl Imap {
    /// Connects and reads the greeting.
    pub fn connect(endpoint: SocketAddr, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(endpoint).with_context(|| format!("cannot reach {endpoint}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let connection = ClientConnection::new(tls, endpoint.ip().into())?;
        let stream = BufReader::with_capacity(1 << 17, StreamOwned::new(connection, socket));
        let mut imap = Self { stream, tags: 0, binary: false };
        let greeting = imap.line()?;
        if !greeting.text.starts_with("* OK") {
            bail!("the server refuses: {}", greeting.text);
        }
        Ok(imap)
    }

    /// AUTHENTICATE PLAIN.
    pub fn log_in(&mut self, address: &Address, password: &str) -> anyhow::Result<()> {
        let plain = Zeroizing::new(format!("\0{address}\0{password}"));
        let encoded = Zeroizing::new(BASE64.encode(plain.as_bytes()));
        let command = Zeroizing::new(format!("AUTHENTICATE PLAIN {}", *encoded));
        let (_, answer) = self.run(&command)?;
        if !answer.ok {
            bail!(
                "{address} cannot log in: {}\n  an import needs the mailbox's password or an app password for IMAP",
                answer.text
            );
        }
        let (lines, _) = self.run("CAPABILITY")?;
        self.binary = lines.iter().any(|line| line.text.split(' ').any(|word| word == "BINARY"));
        Ok(())
    }

    /// Runs a command to its end.
    pub fn run(&mut self, command: &str) -> anyhow::Result<(Vec<Line>, Answer)> {
        let tag = self.tag();
        self.send(Zeroizing::new(format!("{tag} {command}\r\n")).as_bytes())?;
        self.finish(&tag)
    }

    /// The same, and it has to succeed.
    pub fn ok(&mut self, command: &str) -> anyhow::Result<Vec<Line>> {
        let (lines, answer) = self.run(command)?;
        if !answer.ok {
            bail!("the server refuses {command}: {}", answer.text);
        }
        Ok(lines)
    }

    /// Sends a message and returns the tag of the command; [`Imap::finish`] reads its answer.
    pub fn append(&mut self, folder: &str, attributes: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let tag = self.tag();
        let mark = if self.binary && bytes.contains(&0) { "~" } else { "" };
        self.send(format!("{tag} APPEND {} {attributes}{mark}{{{}+}}\r\n", quoted(folder), bytes.len()).as_bytes())?;
        self.send(bytes)?;
        self.send(b"\r\n")?;
        Ok(tag)
    }

    /// Reads up to the answer with that tag.
    pub fn finish(&mut self, tag: &str) -> anyhow::Result<(Vec<Line>, Answer)> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(rest) = line.text.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
                return Ok((lines, Answer { ok: word == "OK", text: text.to_owned() }));
            }
            lines.push(line);
        }
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("i{}", self.tags)
    }

    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush()).context(LOST)
    }

    fn line(&mut self) -> anyhow::Result<Line> {
        let mut line = Line { text: String::new(), literals: Vec::new() };
        loop {
            let mut raw = Vec::new();
            if self.stream.read_until(b'\n', &mut raw).context(LOST)? == 0 {
                bail!(LOST);
            }
            let text = String::from_utf8_lossy(&raw);
            line.text += text.trim_end_matches(['\r', '\n']);
            let size = line.text.strip_suffix('}').and_then(|text| text.rsplit_once('{')).map(|(_, size)| size);
            let Some(size) = size.and_then(|size| size.parse::<usize>().ok()) else { return Ok(line) };
            let mut literal = vec![0; size];
            self.stream.read_exact(&mut literal).context(LOST)?;
            line.literals.push(literal);
        }
    }
}

const LOST: &str =
    "the connection to the server was lost\n  run the same command again: what is there already is not added twice";

/// A folder name as a quoted string of modified UTF-7.
pub fn quoted(folder: &str) -> String {
    format!("\"{}\"", mutf7::encode(folder).replace('\\', "\\\\").replace('"', "\\\""))
}
