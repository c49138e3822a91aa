//! An IMAP session that believes what it is told, and nothing else: its view is built from untagged responses.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Answer, Broken, Connection, Fetched, between, number_after};
use super::model::{Flags, Model, USERS};
use crate::harness::DEADLINE;
use crate::harness::imap::Line;

/// A message as this session knows it.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// None until asked for.
    pub uid: Option<u32>,
    /// Which message.
    pub id: Option<u64>,
    /// Its flags.
    pub flags: Flags,
}

/// The selected folder.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Its name.
    pub name: String,
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// UIDNEXT at SELECT.
    pub uidnext: u32,
    /// HIGHESTMODSEQ at SELECT.
    pub modseq: u64,
    /// By sequence number.
    pub rows: Vec<Row>,
}

/// One session.
pub struct Session<'m> {
    model: &'m Model,
    /// Whose mailbox.
    pub user: usize,
    io: Connection,
    tags: u32,
    /// What it believes of the selected folder.
    pub view: Option<View>,
}

impl<'m> Session<'m> {
    /// Connects and logs in. A wrong password is never the answer.
    pub fn open(model: &'m Model, address: SocketAddr, user: usize) -> Result<Self, Broken> {
        let mut session = Self::open_as(model, address, USERS[user])?;
        session.user = user;
        Ok(session)
    }

    /// The same for a mailbox that the model does not know; it may not be there yet.
    pub fn open_as(model: &'m Model, address: SocketAddr, name: &str) -> Result<Self, Broken> {
        let mut io = Connection::open(address)?;
        match io.response(DEADLINE)? {
            Some(greeting) if greeting.text.starts_with("* OK") => {}
            Some(_) => return Err(Broken),
            None => {
                model.violate("stuck: no greeting");
                return Err(Broken);
            }
        }
        let mut session = Self { model, user: 0, io, tags: 0, view: None };
        match session.run(&format!("LOGIN {name} pass"))?.0 {
            Answer::Ok(_) => Ok(session),
            Answer::No(text) => {
                if USERS.contains(&name) {
                    model.violate(format!("login of {name} refused: {text}"));
                }
                Err(Broken)
            }
            Answer::Doubt => Err(Broken),
        }
    }

    /// Commands so far.
    pub fn commands(&self) -> u32 {
        self.tags
    }

    /// A fresh tag.
    pub fn tag(&mut self) -> String {
        self.tags += 1;
        format!("s{}", self.tags)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.io.send(bytes)
    }

    /// Runs a command; its untagged responses are absorbed and returned.
    pub fn run(&mut self, command: &str) -> Result<(Answer, Vec<Line>), Broken> {
        let tag = self.tag();
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        self.finish(&tag, command)
    }

    /// Reads up to the tagged answer. A silence, BAD, and `NO [SERVERBUG]` are violations.
    pub fn finish(&mut self, tag: &str, command: &str) -> Result<(Answer, Vec<Line>), Broken> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.io.response(DEADLINE)? else {
                self.model.violate(format!("stuck: no answer to `{command}` of {}", USERS[self.user]));
                return Err(Broken);
            };
            let Some(answer) = line.text.strip_prefix(&format!("{tag} ")) else {
                self.absorb(&line)?;
                lines.push(line);
                continue;
            };
            let answer = match answer.split_once(' ') {
                Some(("OK", text)) => Answer::Ok(text.to_owned()),
                Some(("NO", text)) if text.contains("[UNAVAILABLE]") => Answer::Doubt,
                Some(("NO", text)) if !text.contains("[SERVERBUG]") => Answer::No(text.to_owned()),
                _ => {
                    self.model.violate(format!("`{command}` of {}: {answer}", USERS[self.user]));
                    return Err(Broken);
                }
            };
            return Ok((answer, lines));
        }
    }

    /// Absorbs what comes unasked for so long; `+` as well.
    pub fn listen(&mut self, patience: Duration) -> Result<(), Broken> {
        while let Some(line) = self.io.response(patience)? {
            self.absorb(&line)?;
        }
        Ok(())
    }

    /// Selects a folder; false where it cannot be.
    pub fn select(&mut self, name: &str) -> Result<bool, Broken> {
        let floor = self.model.with(self.user, |m| (m.uidnext.clone(), m.modseq.clone()));
        self.view = Some(View { name: name.to_owned(), ..View::default() });
        let (answer, lines) = self.run(&format!("SELECT \"{name}\""))?;
        if !matches!(answer, Answer::Ok(_)) {
            self.view = None;
            return Ok(false);
        }
        let Some(view) = &mut self.view else { return Ok(false) };
        for line in &lines {
            if let Some(text) = line.text.strip_prefix("* OK [") {
                view.uidvalidity = number_after(text, "UIDVALIDITY ").unwrap_or(view.uidvalidity);
                view.uidnext = number_after(text, "UIDNEXT ").unwrap_or(view.uidnext);
                view.modseq = number_after(text, "HIGHESTMODSEQ ").unwrap_or(view.modseq);
            }
        }
        let (uidvalidity, uidnext, modseq) = (view.uidvalidity, view.uidnext, view.modseq);
        self.rises(&format!("SELECT {name}"), uidvalidity, (uidnext, modseq), &floor);
        self.fill()?;
        Ok(true)
    }

    /// UIDNEXT and HIGHESTMODSEQ must not be below what anybody was told before the question.
    pub fn rises(
        &self,
        what: &str,
        uidvalidity: u32,
        (uidnext, modseq): (u32, u64),
        floor: &(std::collections::HashMap<u32, u32>, std::collections::HashMap<u32, u64>),
    ) {
        let least = (floor.0.get(&uidvalidity).copied(), floor.1.get(&uidvalidity).copied());
        if least.0.is_some_and(|least| uidnext < least) {
            self.model.violate(format!("{what}: UIDNEXT {uidnext} after {least:?} of {}", USERS[self.user]));
        }
        if least.1.is_some_and(|least| modseq < least) {
            self.model.violate(format!("{what}: HIGHESTMODSEQ {modseq} after {least:?} of {}", USERS[self.user]));
        }
        self.model.with(self.user, |m| {
            let next = m.uidnext.entry(uidvalidity).or_default();
            *next = (*next).max(uidnext);
            let highest = m.modseq.entry(uidvalidity).or_default();
            *highest = (*highest).max(modseq);
        });
    }

    /// Asks for what is not known yet of messages it was told of.
    pub fn fill(&mut self) -> Result<(), Broken> {
        let Some(view) = &self.view else { return Ok(()) };
        let Some(first) = view.rows.iter().position(|row| row.id.is_none()) else { return Ok(()) };
        let command =
            format!("FETCH {}:{} (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (X-Soak)])", first + 1, view.rows.len());
        self.run(&command)?;
        Ok(())
    }

    fn absorb(&mut self, line: &Line) -> Result<(), Broken> {
        if let Some(reason) = line.text.strip_prefix("* BYE ") {
            let expected = ["shutting down", "Logging out", "UNAVAILABLE", "was deleted"];
            if !expected.iter().any(|e| reason.contains(e)) {
                self.model.violate(format!("BYE to {}: {reason}", USERS[self.user]));
            }
            return Ok(());
        }
        let Some(view) = &mut self.view else { return Ok(()) };
        let mut wrong = None;
        if let Some(fetched) = Fetched::parse(line) {
            wrong = Self::take(self.model, self.user, view, &fetched).err();
        } else if let Some((number, kind)) = line.text.strip_prefix("* ").and_then(|t| t.split_once(' ')) {
            match (number.parse::<usize>(), kind) {
                (Ok(n), "EXISTS") if n < view.rows.len() => wrong = Some("EXISTS shrinks".to_owned()),
                (Ok(n), "EXISTS") => view.rows.resize_with(n, Row::default),
                (Ok(n), "EXPUNGE") if n == 0 || n > view.rows.len() => wrong = Some("no such message".to_owned()),
                (Ok(n), "EXPUNGE") => _ = view.rows.remove(n - 1),
                _ => {}
            }
        }
        if let Some(wrong) = wrong {
            let known = view.rows.len();
            self.model.violate(format!("{} ({known} known) in {}: {wrong}", line.text, USERS[self.user]));
            return Err(Broken);
        }
        Ok(())
    }

    fn take(model: &Model, user: usize, view: &mut View, fetched: &Fetched) -> Result<(), String> {
        let Some(row) = fetched.number.checked_sub(1).and_then(|at| view.rows.get_mut(at)) else {
            return Err("FETCH of a message that was never announced".to_owned());
        };
        if let (Some(known), Some(uid)) = (row.uid, fetched.uid)
            && known != uid
        {
            return Err(format!("that number was UID {known}"));
        }
        row.uid = fetched.uid.or(row.uid);
        if let Some(flags) = &fetched.flags {
            row.flags.clone_from(flags);
        }
        let uidvalidity = view.uidvalidity;
        model.with(user, |m| {
            if let Some(modseq) = fetched.modseq {
                let highest = m.modseq.entry(uidvalidity).or_default();
                *highest = (*highest).max(modseq);
            }
            let (Some(id), Some(uid)) = (fetched.id(), row.uid) else { return Ok(()) };
            row.id = Some(id);
            m.saw((uidvalidity, uid), id)
        })
    }
}

/// (UIDVALIDITY, from, to) of COPYUID, or (UIDVALIDITY, [], to) of APPENDUID.
pub fn new_uids(text: &str) -> Option<(u32, Vec<u32>, Vec<u32>)> {
    if let Some(code) = between(text, "[APPENDUID ", "]") {
        let (uidvalidity, uid) = code.split_once(' ')?;
        return Some((uidvalidity.parse().ok()?, Vec::new(), uids(uid)?));
    }
    let mut words = between(text, "[COPYUID ", "]")?.split(' ');
    Some((words.next()?.parse().ok()?, uids(words.next()?)?, uids(words.next()?)?))
}

fn uids(set: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for range in set.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        all.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(all)
}
