//! What a client does to messages, and what each answer means for the model.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::actors::{Actor, SHARED};
use super::client::{Answer, Broken, Fetched};
use super::model::{Flags, Placed, State, USERS, content};
use super::session::new_uids;

/// Flags to choose from.
const FLAGS: [&str; 6] = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Work", "later"];

/// Messages in hand: (UID, message).
type Claimed = Vec<(u32, u64)>;

impl Actor<'_> {
    fn some_flags(&mut self) -> Flags {
        FLAGS.iter().filter(|_| self.rng.percent(30)).map(|&f| f.to_owned()).collect()
    }

    /// Messages of the view that are this actor's for now.
    fn claim(&mut self, most: usize) -> Claimed {
        let Some(view) = self.session.as_ref().and_then(|s| s.view.as_ref()) else { return Vec::new() };
        let count = view.rows.len().max(1);
        let start = self.rng.below(count);
        let wanted = 1 + self.rng.below(most);
        let mut claimed = Vec::new();
        self.model.with(self.user, |m| {
            for uid in view.rows.iter().cycle().skip(start).take(count).filter_map(|row| row.uid) {
                if claimed.len() == wanted {
                    break;
                }
                claimed.extend(m.claim((view.uidvalidity, uid)).map(|id| (uid, id)));
            }
        });
        claimed
    }

    fn release(&self, claimed: &Claimed) {
        self.model.with(self.user, |m| claimed.iter().for_each(|(_, id)| m.release(*id)));
    }

    fn uidvalidity(&self) -> u32 {
        self.session.as_ref().and_then(|s| s.view.as_ref()).map_or(0, |view| view.uidvalidity)
    }

    /// Several APPENDs without waiting for answers.
    pub fn append(&mut self) -> Result<(), Broken> {
        let (target, pieces) = (self.target(), 1 + self.rng.below(6));
        let mut waiting = Vec::new();
        for _ in 0..pieces {
            let (id, flags) = (self.next_id, self.some_flags());
            self.next_id += 1;
            let message = content(id);
            let tag = self.session()?.tag();
            let floor = self.model.with(self.user, |m| {
                m.count(id, 0, 1);
                m.uidnext.clone()
            });
            let mut bytes =
                format!("{tag} APPEND \"{target}\" ({}) {{{}+}}\r\n", list(&flags), message.len()).into_bytes();
            bytes.extend_from_slice(&message);
            bytes.extend_from_slice(b"\r\n");
            self.session()?.send(&bytes)?;
            waiting.push((tag, id, flags, floor));
        }
        let (mut doubt, mut stored) = (false, 0);
        for (tag, id, flags, floor) in waiting {
            match self.session()?.finish(&tag, "APPEND")?.0 {
                Answer::Ok(text) => {
                    let Some((uidvalidity, _, to)) = new_uids(&text) else { return self.wrong(&text) };
                    self.placed(uidvalidity, to[0], id, vec![(long_ago(), flags)], &floor);
                    self.model.with(self.user, |m| m.count(id, 1, 0));
                    stored += 1;
                    // The first is counted by whoever called.
                    if stored > 1 {
                        self.model.done();
                    }
                }
                Answer::No(text) if text.contains("TRYCREATE") && !SHARED.contains(&target.as_str()) => {
                    self.model.with(self.user, |m| m.count(id, 0, -1));
                }
                Answer::No(text) => return self.wrong(&text),
                Answer::Doubt => doubt = true,
            }
        }
        if doubt { Err(Broken) } else { Ok(()) }
    }

    /// Notes a placement that was just announced; its UID must be above all seen before the command.
    fn placed(&self, uidvalidity: u32, uid: u32, id: u64, flags: Vec<(Instant, Flags)>, floor: &HashMap<u32, u32>) {
        if floor.get(&uidvalidity).is_some_and(|&least| uid < least) {
            self.model.violate(format!("message {id} got UID {uid}, below {:?}", floor.get(&uidvalidity)));
        }
        let wrong = self.model.with(self.user, |m| {
            let wrong = m.saw((uidvalidity, uid), id).err();
            if let Some(placed) = m.placed.get_mut(&(uidvalidity, uid)).filter(|placed| placed.flags.is_empty()) {
                placed.flags = flags;
            }
            wrong
        });
        if let Some(wrong) = wrong {
            self.model.violate(wrong);
        }
    }

    pub fn wrong(&self, what: &str) -> Result<(), Broken> {
        self.model.violate(format!("{} was told: {what}", USERS[self.user]));
        Err(Broken)
    }

    pub fn store(&mut self) -> Result<(), Broken> {
        let claimed = self.claim(3);
        if claimed.is_empty() {
            return Ok(());
        }
        let (flags, silent) = (self.some_flags(), self.rng.percent(40));
        let silently = if silent { ".SILENT" } else { "" };
        self.set_flags(&claimed, &format!("FLAGS{silently} ({})", list(&flags)), &flags, silent)?;
        self.release(&claimed);
        Ok(())
    }

    /// STORE that leaves exactly these flags; the claims stay.
    fn set_flags(&mut self, claimed: &Claimed, how: &str, flags: &Flags, silent: bool) -> Result<(), Broken> {
        let uidvalidity = self.uidvalidity();
        // In doubt from here until it is answered.
        let before: Vec<Vec<(Instant, Flags)>> = self.model.with(self.user, |m| {
            let take =
                |(uid, _): &(u32, u64)| m.placed.get_mut(&(uidvalidity, *uid)).map(|p| std::mem::take(&mut p.flags));
            claimed.iter().map(take).map(Option::unwrap_or_default).collect()
        });
        let (answer, lines) = self.session()?.run(&format!("UID STORE {} {how}", set(claimed)))?;
        match answer {
            Answer::Ok(_) => {}
            Answer::No(text) => return self.wrong(&text),
            Answer::Doubt => return Err(Broken),
        }
        let told: Vec<Fetched> = lines.iter().filter_map(Fetched::parse).collect();
        for ((uid, id), mut history) in claimed.iter().zip(before) {
            if silent && let Some(view) = self.session.as_mut().and_then(|s| s.view.as_mut()) {
                view.rows.iter_mut().filter(|row| row.uid == Some(*uid)).for_each(|row| row.flags.clone_from(flags));
            }
            if !silent && !told.iter().any(|f| f.uid == Some(*uid) && f.flags.as_ref() == Some(flags)) {
                return self.wrong(&format!("STORE of message {id}, UID {uid}, {how}, said {told:?}"));
            }
            history.push((Instant::now(), flags.clone()));
            self.model.with(self.user, |m| {
                if let Some(placed) = m.placed.get_mut(&(uidvalidity, *uid)) {
                    placed.flags = history;
                }
            });
        }
        Ok(())
    }

    /// COPY, or MOVE.
    pub fn copy(&mut self, remove: bool) -> Result<(), Broken> {
        let target = self.target();
        let here = self.session()?.view.as_ref().map(|view| view.name.clone()).unwrap_or_default();
        if remove && here == target {
            return Ok(());
        }
        let claimed = self.claim(4);
        if claimed.is_empty() {
            return Ok(());
        }
        let source = self.uidvalidity();
        let (floor, flags) = self.model.with(self.user, |m| {
            let mut flags = Vec::new();
            for (uid, id) in &claimed {
                flags.push(m.placed.get(&(source, *uid)).map(|placed| self.certain_flags(placed)).unwrap_or_default());
                self.model.note(*id, &format!("UID {uid} of {} to {target}, remove: {remove}", USERS[self.user]));
                if remove { m.mark((source, *uid), State::Doubt) } else { m.count(*id, 0, 1) }
            }
            (m.uidnext.clone(), flags)
        });
        let verb = if remove { "MOVE" } else { "COPY" };
        let (answer, lines) = self.session()?.run(&format!("UID {verb} {} \"{target}\"", set(&claimed)))?;
        let text = match answer {
            Answer::Doubt => return Err(Broken),
            Answer::No(text) if !text.contains("TRYCREATE") || SHARED.contains(&target.as_str()) => {
                return self.wrong(&text);
            }
            Answer::No(_) => None,
            Answer::Ok(text) => Some(lines.iter().fold(text, |all, line| all + "\n" + &line.text)),
        };
        let uids = text.as_deref().and_then(new_uids);
        for ((uid, id), flags) in claimed.iter().zip(flags) {
            let to = uids.as_ref().and_then(|(_, from, to)| from.iter().position(|u| u == uid).map(|at| to[at]));
            match (&text, &uids, to) {
                (None, ..) if remove => self.model.with(self.user, |m| m.mark((source, *uid), State::There)),
                (None, ..) => self.model.with(self.user, |m| m.count(*id, 0, -1)),
                (_, Some((uidvalidity, ..)), Some(to)) => {
                    self.placed(*uidvalidity, to, *id, flags, &floor);
                    self.model.with(self.user, |m| {
                        if remove { m.mark((source, *uid), State::Gone) } else { m.count(*id, 1, 0) }
                    });
                }
                _ => return self.wrong(&format!("{verb} of message {id}, UID {uid}, that is there: {text:?}")),
            }
        }
        self.release(&claimed);
        Ok(())
    }

    /// The flags a copy has, where they are certain. It is committed durably.
    fn certain_flags(&self, placed: &Placed) -> Vec<(Instant, Flags)> {
        match placed.flags.last() {
            Some((at, flags)) if at.elapsed() > Duration::from_secs(5) && !self.model.may_be_lost(*at) => {
                vec![(long_ago(), flags.clone())]
            }
            _ => Vec::new(),
        }
    }

    pub fn expunge(&mut self, most: usize) -> Result<(), Broken> {
        let claimed = self.claim(most);
        if claimed.is_empty() {
            return Ok(());
        }
        let uidvalidity = self.uidvalidity();
        let flags = Flags::from(["\\Deleted".to_owned()]);
        self.set_flags(&claimed, "FLAGS.SILENT (\\Deleted)", &flags, true)?;
        self.model.with(self.user, |m| {
            for (uid, id) in &claimed {
                self.model.note(*id, &format!("UID {uid} of {} is expunged", USERS[self.user]));
                m.count(*id, -1, 0);
                m.mark((uidvalidity, *uid), State::Doubt);
            }
        });
        match self.session()?.run(&format!("UID EXPUNGE {}", set(&claimed)))?.0 {
            Answer::Ok(_) => {}
            Answer::No(text) => return self.wrong(&text),
            Answer::Doubt => return Err(Broken),
        }
        self.model.with(self.user, |m| {
            for (uid, id) in &claimed {
                m.count(*id, 0, -1);
                m.mark((uidvalidity, *uid), State::Gone);
            }
        });
        let left = self.session()?.view.as_ref().map_or(0, |view| {
            view.rows.iter().filter(|row| claimed.iter().any(|(uid, _)| row.uid == Some(*uid))).count()
        });
        if left > 0 {
            return self.wrong(&format!("EXPUNGE of {} left {left} in the view", set(&claimed)));
        }
        self.release(&claimed);
        Ok(())
    }
}

/// Long enough ago to be durable.
fn long_ago() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_hours(1)).unwrap_or(now)
}

fn list(flags: &Flags) -> String {
    flags.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn set(claimed: &Claimed) -> String {
    let mut text = String::new();
    for (n, (uid, _)) in claimed.iter().enumerate() {
        let _ = write!(text, "{}{uid}", if n > 0 { "," } else { "" });
    }
    text
}
