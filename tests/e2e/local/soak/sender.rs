//! Mail servers: each sends a message again until it is accepted, and sometimes, after that, the same once more.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::actors::Endpoints;
use super::client::{Broken, Connection};
use super::model::{Model, Rng, USERS, content, has_message_id};

/// A message that is refused for a passing reason is accepted at last within this.
const AT_LAST: Duration = Duration::from_mins(3);

/// One mail server.
pub struct Sender<'m> {
    pub model: &'m Model,
    pub endpoints: &'m Endpoints,
    pub rng: Rng,
    /// The next message's number.
    pub next_id: u64,
}

impl Sender<'_> {
    /// Works until the round is over, and then until the last message is accepted.
    pub fn work(&mut self) {
        let mut connection = None;
        while !self.model.over() {
            let id = self.next_id;
            self.next_id += 1;
            let mut to: Vec<usize> = (0..USERS.len()).filter(|_| self.rng.percent(40)).collect();
            if to.is_empty() {
                to.push(self.rng.below(USERS.len()));
            }
            let ends = self.model.mx_ends.load(Ordering::SeqCst);
            if !self.deliver(&mut connection, id, &to) {
                return;
            }
            self.model.done();
            self.count(&to, id, 1, 0);
            if self.rng.percent(10) && self.settle(&mut connection) {
                self.model.note(id, "settled");
                // It was shown that the 250 has been read: the same again is another message.
                if !self.deliver(&mut connection, id, &to) {
                    return;
                }
                self.model.done();
                // What the MX had not yet told the shard when it ended, is forgotten: then it may be taken for a retry.
                let told = self.model.mx_ends.load(Ordering::SeqCst) == ends;
                let sure = !has_message_id(id) || told;
                self.count(&to, id, i64::from(sure), 0);
            }
            if self.rng.percent(10) {
                connection = None;
            }
        }
    }

    fn count(&self, to: &[usize], id: u64, lo: i64, hi: i64) {
        for &user in to {
            self.model.with(user, |m| m.count(id, lo, hi));
        }
    }

    /// Until it is accepted; false after a violation.
    fn deliver(&mut self, connection: &mut Option<Connection>, id: u64, to: &[usize]) -> bool {
        let message = content(id);
        let until = Instant::now() + AT_LAST;
        let mut last = String::new();
        let mut first = true;
        while Instant::now() < until {
            if connection.is_none() {
                *connection = self.connect().ok();
            }
            if let Some(open) = connection {
                let outcome = self.attempt(open, id, to, &message, &mut first);
                if matches!(&outcome, Ok(reply) if reply.starts_with("250")) {
                    return true;
                }
                if !has_message_id(id) {
                    for &user in to {
                        self.model.with(user, |m| m.gave_up(id));
                    }
                }
                match outcome {
                    Ok(reply) if reply.starts_with('4') => last = reply,
                    Ok(reply) => {
                        self.model.violate(format!("message {id} refused for ever: {reply}"));
                        return false;
                    }
                    Err(Broken) => "the connection broke".clone_into(&mut last),
                }
                *connection = None;
            }
            // A mail server waits much longer.
            std::thread::sleep(Duration::from_millis(20));
        }
        self.model.violate(format!("stuck: message {id} is not accepted in {AT_LAST:?}: {last}"));
        false
    }

    fn connect(&mut self) -> Result<Connection, Broken> {
        let address = self.endpoints.lock().unwrap().get("mx").copied().ok_or(Broken)?;
        let mut connection = Connection::open(address)?;
        if !connection.reply(self.model, "connecting")?.starts_with("220") {
            return Err(Broken);
        }
        connection.ask(self.model, "EHLO soak.example")?;
        Ok(connection)
    }

    /// One transaction; the first reply that is not positive, or the last.
    fn attempt(
        &mut self,
        connection: &mut Connection,
        id: u64,
        to: &[usize],
        message: &[u8],
        first: &mut bool,
    ) -> Result<String, Broken> {
        let mut reply = connection.ask(self.model, "MAIL FROM:<soak@elsewhere.example> BODY=8BITMIME")?;
        for &user in to {
            if !reply.starts_with('2') {
                return Ok(reply);
            }
            reply = connection.ask(self.model, &format!("RCPT TO:<{}>", USERS[user]))?;
        }
        if !reply.starts_with('2') {
            return Ok(reply);
        }
        // From here it may be stored; again, if nothing tells that it is the same.
        if std::mem::take(first) || !has_message_id(id) {
            self.count(to, id, 0, 1);
        }
        if self.rng.percent(50) {
            connection.send(format!("BDAT {} LAST\r\n", message.len()).as_bytes())?;
            connection.send(message)?;
        } else {
            let go = connection.ask(self.model, "DATA")?;
            if !go.starts_with("354") {
                return Ok(go);
            }
            // No line of a message begins with a dot.
            connection.send(message)?;
            connection.send(b".\r\n")?;
        }
        let reply = connection.reply(self.model, "the message");
        self.model.note(id, &format!("delivery to {to:?}: {reply:?}"));
        reply
    }

    /// The next command on the same connection shows that the 250 was read.
    fn settle(&mut self, connection: &mut Option<Connection>) -> bool {
        let Some(open) = connection else { return false };
        let told = open.ask(self.model, "NOOP").is_ok_and(|reply| reply.starts_with("250"));
        if !told {
            *connection = None;
        }
        told
    }
}
