//! Work while things break: mail that keeps coming, and sessions that stay open.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Mail, within};

/// Delivers one message after the other until told to stop.
pub struct Sender {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Sender {
    /// Starts to deliver to that address.
    pub fn start(mx: SocketAddr, to: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (halt, to) = (stop.clone(), to.to_owned());
        let thread = std::thread::spawn(move || {
            let mut taken = Vec::new();
            for number in 0.. {
                if halt.load(Ordering::Relaxed) {
                    break;
                }
                let subject = format!("load-{number:06}");
                // Each message is tried once: what was not answered may be there or not.
                match deliver(mx, &to, &subject) {
                    Ok(true) => taken.push(subject),
                    Ok(false) | Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
            taken
        });
        Self { stop, thread }
    }

    /// Stops; the subjects of all messages that were acknowledged.
    pub fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// One message over a connection of its own; true where it was acknowledged.
fn deliver(mx: SocketAddr, to: &str, subject: &str) -> std::io::Result<bool> {
    let stream = TcpStream::connect_timeout(&mx, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = BufReader::new(stream);
    let message = format!(
        "From: <friend@elsewhere.example>\r\nMessage-ID: <{subject}@elsewhere.example>\r\nSubject: {subject}\r\n\r\nload\r\n."
    );
    let lines = [
        "EHLO elsewhere.example",
        "MAIL FROM:<friend@elsewhere.example>",
        &format!("RCPT TO:<{to}>"),
        "DATA",
        &message,
        "QUIT",
    ];
    let mut answer = reply(&mut stream)?;
    for line in lines {
        if !answer.starts_with(['2', '3']) {
            return Ok(false);
        }
        if line == "QUIT" {
            // The answer to the message was good; what follows does not change it.
            let _ = stream.get_mut().write_all(b"QUIT\r\n").and_then(|()| reply(&mut stream));
            return Ok(true);
        }
        stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        answer = reply(&mut stream)?;
    }
    Ok(false)
}

/// The last line of a reply.
fn reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line);
        }
    }
}

/// A session of Python's `imaplib` that fetches a message again and again.
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    heard: Arc<Mutex<Vec<(String, f64)>>>,
}

impl Session {
    /// Logs in and begins; the inbox must have a message.
    pub fn start(mail: &Mail, user: &str, password: &str) -> Self {
        let mut command = mail.python("watch", user, password);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is needed");
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tell = heard.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((word, at)) = line.split_once(' ') {
                    tell.lock().unwrap().push((word.to_owned(), at.parse().unwrap()));
                }
            }
        });
        let session = Self { child, input, heard };
        session.answered_after(0.0);
        session
    }

    /// Waits for a message that was fetched after this moment; when that was.
    pub fn answered_after(&self, moment: f64) -> f64 {
        within("the session answers", || {
            let heard = self.heard.lock().unwrap();
            assert!(!heard.iter().any(|(word, _)| word == "lost"), "the session was cut off");
            let first = heard.iter().find(|(word, at)| word == "ok" && *at > moment);
            first.map(|(_, at)| *at).ok_or_else(|| format!("{:?}", heard.last()))
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Seconds since the Unix epoch.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
