//! IMAP clients: each does what comes to its mind to a mailbox that others use as well.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::client::{Answer, Broken, Fetched, number_after};
use super::model::{Model, Rng, State, USERS, content};
use super::session::Session;
use crate::harness::DEADLINE;

/// Folders that all sessions of a mailbox use.
pub const SHARED: [&str; 3] = ["INBOX", "Shared", "Shared/Deep"];
/// A folder with more messages is cleaned up.
const FULL: usize = 120;

/// Where everything listens now.
pub type Endpoints = Mutex<HashMap<String, SocketAddr>>;

/// One client.
pub struct Actor<'m> {
    pub model: &'m Model,
    pub endpoints: &'m Endpoints,
    pub user: usize,
    /// The IMAP process it is connected to, 0 or 1.
    pub replica: usize,
    pub rng: Rng,
    /// The next message's number.
    pub next_id: u64,
    /// Logs in for a moment only, so that mail is spooled in between.
    pub visitor: bool,
    pub session: Option<Session<'m>>,
    /// A folder nobody else touches.
    pub own: Option<String>,
    /// Something about it is in doubt: it is left alone until the next check.
    pub tainted: bool,
}

impl<'m> Actor<'m> {
    /// Works until the round is over.
    pub fn work(&mut self) {
        while !self.model.over() {
            if self.session.is_none() {
                self.session = self.connect();
                continue;
            }
            let before = self.commands();
            if self.act().is_ok() {
                // What found nothing to do is no operation.
                if self.commands() != before {
                    self.model.done();
                }
            } else {
                // What was asked of the own folder last is in doubt.
                (self.session, self.tainted) = (None, true);
            }
        }
    }

    /// Commands of the session so far; none without one.
    fn commands(&self) -> Option<u32> {
        self.session.as_ref().map(Session::commands)
    }

    /// A new session, if it can be had now.
    pub fn connect(&mut self) -> Option<Session<'m>> {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until && !self.model.over() {
            self.replica = self.rng.below(2);
            let name = if self.replica == 0 { "imap-plain" } else { "imap-plain-1" };
            let address = self.endpoints.lock().unwrap().get(name).copied();
            if let Some(address) = address
                && let Ok(session) = Session::open(self.model, address, self.user)
            {
                return Some(session);
            }
            // The process is being started again, which no event announces.
            std::thread::sleep(Duration::from_millis(10));
        }
        if !self.model.over() {
            self.model.violate(format!("stuck: nobody lets {} in", USERS[self.user]));
        }
        None
    }

    pub fn session(&mut self) -> Result<&mut Session<'m>, Broken> {
        self.session.as_mut().ok_or(Broken)
    }

    fn act(&mut self) -> Result<(), Broken> {
        if self.session()?.view.is_none() {
            return self.select();
        }
        let rows = self.session()?.view.as_ref().map_or(0, |view| view.rows.len());
        let logout = if self.visitor { 20 } else { 2 };
        match self.rng.below(100 + logout) {
            // Not always: what is in doubt cannot be expunged before the next check.
            _ if rows > FULL && self.rng.percent(80) => self.expunge(30),
            0..25 => self.append(),
            25..43 => self.store(),
            43..52 => self.copy(false),
            52..64 => self.copy(true),
            64..72 => self.expunge(3),
            72..78 => self.select(),
            78..84 => self.folders(),
            84..90 => self.read(),
            90..94 => self.idle(),
            94..97 => self.status(),
            97..100 => self.session()?.run("NOOP").map(|_| ()),
            _ => {
                self.session()?.run("LOGOUT")?;
                self.session = None;
                return Ok(());
            }
        }?;
        self.session()?.fill()
    }

    /// True for the name of a folder that this actor made: the upper half of the numbers is the actor's.
    pub fn is_own(&self, name: &str) -> bool {
        let number = name.strip_prefix("Own-").and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| number >> 32 == self.next_id >> 32)
    }

    /// A folder to put something into: mostly shared.
    pub fn target(&mut self) -> String {
        match &self.own {
            Some(own) if !self.tainted && self.rng.percent(30) => own.clone(),
            _ => SHARED[self.rng.below(SHARED.len())].to_owned(),
        }
    }

    fn select(&mut self) -> Result<(), Broken> {
        let name = self.target();
        self.session()?.select(&name)?;
        Ok(())
    }

    /// CREATE, RENAME or DELETE of the folder that is this actor's own.
    fn folders(&mut self) -> Result<(), Broken> {
        if self.tainted {
            return Ok(());
        }
        self.next_id += 1;
        let name = format!("Own-{}", self.next_id);
        let Some(own) = self.own.clone() else {
            return self.change(&format!("CREATE {name}"), Some(name));
        };
        if self.rng.percent(60) {
            let selected = self.session()?.view.as_ref().is_some_and(|view| view.name == own);
            self.change(&format!("RENAME {own} {name}"), Some(name.clone()))?;
            if selected && let Some(view) = self.session.as_mut().and_then(|s| s.view.as_mut()) {
                view.name = name;
            }
            return Ok(());
        }
        self.delete(&own)
    }

    /// A change of folders that leaves this actor with that one.
    fn change(&mut self, command: &str, own: Option<String>) -> Result<(), Broken> {
        self.tainted = true;
        match self.session()?.run(command)?.0 {
            Answer::Ok(_) => (self.own, self.tainted) = (own, false),
            Answer::No(text) => return self.wrong(&format!("{command}: {text}")),
            Answer::Doubt => return Err(Broken),
        }
        Ok(())
    }

    fn delete(&mut self, own: &str) -> Result<(), Broken> {
        let (answer, lines) = self.session()?.run(&format!("STATUS {own} (MESSAGES UIDVALIDITY)"))?;
        let status = lines.iter().find(|line| line.text.starts_with("* STATUS")).map(|line| line.text.clone());
        let (Answer::Ok(_), Some(status)) = (answer, status) else { return Err(Broken) };
        let uidvalidity = number_after(&status, "UIDVALIDITY ").unwrap_or(0);
        let (ids, places) = self.model.with(self.user, |m| {
            let inside = m.placed.iter().filter(|(place, p)| place.0 == uidvalidity && p.state == State::There);
            let (ids, places): (Vec<u64>, Vec<_>) = inside.map(|(place, p)| (p.id, *place)).unzip();
            for (id, place) in ids.iter().zip(&places) {
                m.count(*id, -1, 0);
                m.mark(*place, State::Doubt);
            }
            (ids, places)
        });
        if number_after(&status, "MESSAGES ") != Some(ids.len()) {
            return self.wrong(&format!("{status}, of {} acknowledged", ids.len()));
        }
        self.change(&format!("DELETE {own}"), None)?;
        self.model.with(self.user, |m| {
            for (id, place) in ids.iter().zip(&places) {
                m.count(*id, 0, -1);
                m.mark(*place, State::Gone);
            }
        });
        if let Some(session) = &mut self.session {
            session.view.take_if(|view| view.name == own);
        }
        Ok(())
    }

    /// Reads a message whole.
    fn read(&mut self) -> Result<(), Broken> {
        let Some(view) = self.session()?.view.as_ref() else { return Ok(()) };
        let known: Vec<(u32, u64)> = view.rows.iter().filter_map(|row| row.uid.zip(row.id)).collect();
        if known.is_empty() {
            return Ok(());
        }
        let (uid, id) = known[self.rng.below(known.len())];
        let (answer, lines) = self.session()?.run(&format!("UID FETCH {uid} (BODY.PEEK[])"))?;
        if let Answer::No(text) = answer {
            return self.wrong(&text);
        }
        for fetched in lines.iter().filter_map(Fetched::parse).filter(|f| f.uid.is_none_or(|u| u == uid)) {
            if fetched.literal.as_ref().is_some_and(|bytes| !bytes.ends_with(&content(id))) {
                return self.wrong(&format!("message {id}, UID {uid}, with other bytes"));
            }
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), Broken> {
        let patience = Duration::from_millis(50 + self.rng.next() % 250);
        let session = self.session()?;
        let tag = session.tag();
        session.send(format!("{tag} IDLE\r\n").as_bytes())?;
        session.listen(patience)?;
        session.send(b"DONE\r\n")?;
        session.finish(&tag, "IDLE")?;
        Ok(())
    }

    fn status(&mut self) -> Result<(), Broken> {
        let name = SHARED[self.rng.below(SHARED.len())];
        let floor = self.model.with(self.user, |m| (m.uidnext.clone(), m.modseq.clone()));
        let (answer, lines) = self.session()?.run(&format!("STATUS \"{name}\" (UIDNEXT UIDVALIDITY HIGHESTMODSEQ)"))?;
        if let Answer::No(text) = answer {
            return self.wrong(&text);
        }
        if let Some(line) = lines.iter().find(|line| line.text.starts_with("* STATUS")) {
            let new = (
                number_after(&line.text, "UIDNEXT ").unwrap_or(0),
                number_after(&line.text, "HIGHESTMODSEQ ").unwrap_or(0),
            );
            self.session()?.rises(&line.text, number_after(&line.text, "UIDVALIDITY ").unwrap_or(0), new, &floor);
        }
        Ok(())
    }
}
