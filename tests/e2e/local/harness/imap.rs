//! An IMAP client that keeps every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    tags: u32,
}

/// One response line with its literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text; each literal stands as `{n}`.
    pub text: String,
    /// The literals, in order.
    pub literals: Vec<Vec<u8>>,
}

impl Client {
    /// Connects and reads the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self { stream: BufReader::with_capacity(1 << 20, stream), tags: 0 };
        let greeting = client.line();
        assert!(greeting.text.starts_with("* OK"), "{greeting:?}");
        client
    }

    /// The next response line.
    pub fn line(&mut self) -> Line {
        self.try_line().expect("the server closed the connection")
    }

    /// The same; none at the end of the connection.
    pub fn try_line(&mut self) -> Option<Line> {
        let mut line = Line { text: String::new(), literals: Vec::new() };
        loop {
            let mut raw = Vec::new();
            if self.stream.read_until(b'\n', &mut raw).ok()? == 0 {
                return None;
            }
            let text = String::from_utf8_lossy(&raw);
            let text = text.trim_end_matches(['\r', '\n']);
            line.text += text;
            let size = text.strip_suffix('}').and_then(|t| t.rsplit_once('{')).and_then(|(_, n)| n.parse().ok());
            let Some(size): Option<usize> = size else { return Some(line) };
            let mut literal = vec![0; size];
            self.stream.read_exact(&mut literal).ok()?;
            line.literals.push(literal);
        }
    }

    /// So many bytes, whatever they are.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("the server closed the connection");
        bytes
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Another handle to the connection, to send on while this one reads.
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Sends a command and returns its tag.
    pub fn start(&mut self, command: &str) -> String {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(format!("{tag} {command}\r\n").as_bytes());
        tag
    }

    /// Reads up to the tagged answer, the last line returned.
    pub fn finish(&mut self, tag: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let done = line.text.starts_with(&format!("{tag} "));
            lines.push(line);
            if done {
                return lines;
            }
        }
    }

    /// Runs a command to its tagged answer.
    pub fn run(&mut self, command: &str) -> Vec<Line> {
        let tag = self.start(command);
        self.finish(&tag)
    }

    /// Runs a command that must succeed.
    pub fn ok(&mut self, command: &str) -> Vec<Line> {
        let lines = self.run(command);
        assert_ok(command, &lines);
        lines
    }

    /// Starts APPEND of one message with a non-synchronising literal.
    pub fn start_append(&mut self, folder: &str, message: &[u8]) -> String {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        let mut bytes = format!("{tag} APPEND \"{folder}\" {{{}+}}\r\n", message.len()).into_bytes();
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes);
        tag
    }

    /// APPEND that must succeed.
    pub fn append(&mut self, folder: &str, message: &[u8]) {
        let tag = self.start_append(folder, message);
        let lines = self.finish(&tag);
        assert_ok("APPEND", &lines);
    }

    /// Number of messages of a folder, by STATUS.
    pub fn count(&mut self, folder: &str) -> usize {
        let lines = self.ok(&format!("STATUS \"{folder}\" (MESSAGES)"));
        let text = &lines.iter().find(|l| l.text.starts_with("* STATUS")).unwrap().text;
        text.rsplit_once("MESSAGES ").unwrap().1.trim_end_matches(')').parse().unwrap()
    }

    /// All messages of the selected folder, byte for byte.
    pub fn bodies(&mut self) -> Vec<Vec<u8>> {
        let lines = self.ok("UID FETCH 1:* (BODY.PEEK[])");
        let fetched = lines.into_iter().filter(|l| l.text.contains(" FETCH ") && l.text.starts_with('*'));
        fetched.map(|mut l| l.literals.remove(0)).collect()
    }

    /// Enters IDLE.
    pub fn idle(&mut self) -> String {
        let tag = self.start("IDLE");
        loop {
            if self.line().text.starts_with('+') {
                return tag;
            }
        }
    }

    /// Reads on until a line contains the text.
    pub fn wait_for(&mut self, text: &str) -> Line {
        loop {
            let line = self.line();
            if line.text.contains(text) {
                return line;
            }
        }
    }

    /// Leaves IDLE.
    pub fn done(&mut self, tag: &str) {
        self.send(b"DONE\r\n");
        self.finish(tag);
    }
}

fn assert_ok(command: &str, lines: &[Line]) {
    let last = &lines.last().unwrap().text;
    assert!(last.split(' ').nth(1) == Some("OK"), "{command}: {last}");
}

/// True where an untagged line says this.
pub fn says(lines: &[Line], text: &str) -> bool {
    lines.iter().any(|line| line.text.contains(text))
}
