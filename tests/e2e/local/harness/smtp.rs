//! An SMTP client that sends exactly the bytes it is given.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects and says EHLO.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self { stream: BufReader::new(stream) };
        assert!(client.reply().unwrap().starts_with("220"));
        assert!(client.run("EHLO sender.example").starts_with("250"));
        client
    }

    /// The last line of the next reply; none where the connection ended.
    pub fn reply(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    /// Sends a line and returns the reply.
    pub fn run(&mut self, line: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply().expect("the server closed the connection")
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Another handle to the connection, to send on while this one reads.
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Sends by DATA what is given as it is, with the final dot. The reply to the content.
    pub fn data(&mut self, from: &str, to: &str, content: &[u8]) -> String {
        for line in [format!("MAIL FROM:<{from}> BODY=8BITMIME"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
            let reply = self.run(&line);
            assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
        }
        self.send(content);
        self.send(b"\r\n.\r\n");
        self.reply().expect("the server closed the connection")
    }

    /// Delivers by BDAT, so that any bytes arrive as they are. The final reply; none where the connection broke.
    pub fn try_deliver(&mut self, from: &str, to: &[&str], message: &[u8]) -> Option<String> {
        let mut bytes = format!("MAIL FROM:<{from}> BODY=8BITMIME\r\n");
        for rcpt in to {
            bytes += &format!("RCPT TO:<{rcpt}>\r\n");
        }
        bytes += &format!("BDAT {} LAST\r\n", message.len());
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(message);
        self.stream.get_mut().write_all(&bytes).ok()?;
        let mut last = String::new();
        for _ in 0..to.len() + 2 {
            last = self.reply()?;
            if !last.starts_with('2') {
                return Some(last);
            }
        }
        Some(last)
    }

    /// Delivers, and it must be accepted.
    pub fn deliver(&mut self, from: &str, to: &[&str], message: &[u8]) {
        let reply = self.try_deliver(from, to, message).expect("the server closed the connection");
        assert!(reply.starts_with("250"), "{reply}");
    }
}
