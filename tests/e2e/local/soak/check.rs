//! At the end of a round everything is read again, and compared with what was acknowledged and with what sessions believe.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::actors::{Actor, Endpoints};
use super::client::{Answer, Broken, Fetched, number_after};
use super::model::{Count, Flags, LOCKED, Model, Rng, State, USERS, content};
use super::session::{Session, View};
use crate::harness::DEADLINE;

/// A folder as it is.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Folder {
    uidvalidity: u32,
    /// By UID: the message and its flags.
    messages: BTreeMap<u32, (u64, Flags)>,
    /// Octets of all.
    bytes: u64,
}

type Folders = BTreeMap<String, Folder>;

/// Compares one mailbox.
pub fn mailbox(model: &Model, endpoints: &Endpoints, rng: &mut Rng, user: usize, actors: &mut [Actor<'_>]) {
    let Some(folders) = settled(model, endpoints, rng, user) else {
        return model.violate(format!("stuck: {} cannot be read", USERS[user]));
    };
    placements(model, user, &folders);
    counts(model, user, &folders);
    for actor in actors.iter_mut().filter(|actor| actor.user == user) {
        if belief(model, actor, &folders).is_err() {
            actor.session = None;
        }
        let own = folders.keys().find(|name| actor.is_own(name));
        (actor.own, actor.tainted) = (own.cloned(), false);
    }
    resolve(model, user, &folders);
    let total = folders
        .values()
        .fold((0, 0), |(bytes, messages), folder| (bytes + folder.bytes, messages + folder.messages.len() as u64));
    model.with(user, |m| m.total = total);
}

/// Reads everything until nothing is missing and nothing changes any more: requests of connections that died may still be
/// carried out, and waiting mail is stored after the login.
fn settled(model: &Model, endpoints: &Endpoints, rng: &mut Rng, user: usize) -> Option<Folders> {
    let started = Instant::now();
    let mut before: Option<Folders> = None;
    while started.elapsed() < DEADLINE {
        let name = if rng.percent(50) { "imap-plain" } else { "imap-plain-1" };
        let address = endpoints.lock().unwrap().get(name).copied();
        let now = address.and_then(|address| {
            let mut session = Session::open(model, address, user).ok()?;
            read(model, &mut session).ok()
        });
        let quiet = now.is_some() && now == before;
        let missing = now.as_ref().is_some_and(|folders| {
            let found = found(folders);
            model.with(user, |m| m.counts.iter().any(|(id, count)| found.get(id).copied().unwrap_or(0) < count.lo))
        });
        // What is missing for good is reported once it had some time to come.
        let patient = started.elapsed() < Duration::from_secs(20);
        if quiet && !(missing && patient) {
            return now;
        }
        before = now;
        std::thread::sleep(Duration::from_millis(150));
    }
    None
}

/// Every folder, every message, every byte.
fn read(model: &Model, session: &mut Session<'_>) -> Result<Folders, Broken> {
    let mut folders = Folders::new();
    let (_, lines) = session.run("LIST \"\" *")?;
    let names = lines.iter().filter_map(|line| Some(line.text.strip_prefix("* LIST ")?.split_once("\"/\" ")?.1));
    let names: Vec<String> = names.map(|name| name.trim_matches('"').to_owned()).collect();
    for name in names {
        if !session.select(&name)? {
            return Err(Broken);
        }
        let Some(view) = session.view.clone() else { return Err(Broken) };
        let mut messages = BTreeMap::new();
        let mut bytes = 0;
        if !view.rows.is_empty() {
            let (answer, lines) = session.run("UID FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[])")?;
            if !matches!(answer, Answer::Ok(_)) {
                return Err(Broken);
            }
            for fetched in lines.iter().filter_map(Fetched::parse) {
                let (Some(uid), Some(literal)) = (fetched.uid, &fetched.literal) else { continue };
                bytes += literal.len();
                let Some(id) = whole(literal).filter(|_| fetched.size == Some(literal.len())) else {
                    model.violate(format!("{name} of {}: UID {uid} is not what was sent", USERS[session.user]));
                    continue;
                };
                messages.insert(uid, (id, fetched.flags.unwrap_or_default()));
            }
        }
        let folder = Folder { uidvalidity: view.uidvalidity, messages, bytes: bytes as u64 };
        counters(model, session, &name, &view, &folder, bytes)?;
        folders.insert(name, folder);
    }
    Ok(folders)
}

/// The number of a message whose bytes are right: exactly those, or with trace headers before them.
fn whole(bytes: &[u8]) -> Option<u64> {
    let id = super::client::id_of(bytes)?;
    let sent = content(id);
    let trace = bytes.strip_suffix(sent.as_slice())?;
    (trace.is_empty()
        || (trace.starts_with(b"Return-Path:")
            || trace.starts_with(b"Delivered-To:")
            || trace.starts_with(b"Received:"))
            && trace.ends_with(b"\r\n"))
    .then_some(id)
}

/// STATUS says what the reread shows, and UIDNEXT is above everything.
fn counters(
    model: &Model,
    session: &mut Session<'_>,
    name: &str,
    view: &View,
    folder: &Folder,
    bytes: usize,
) -> Result<(), Broken> {
    let items = "MESSAGES UNSEEN UIDNEXT UIDVALIDITY HIGHESTMODSEQ SIZE";
    let (_, lines) = session.run(&format!("STATUS \"{name}\" ({items})"))?;
    let Some(status) = lines.iter().find(|line| line.text.starts_with("* STATUS")) else { return Err(Broken) };
    let said = |item: &str| number_after::<usize>(&status.text, &format!("{item} "));
    let unseen = folder.messages.values().filter(|(_, flags)| !flags.contains("\\Seen")).count();
    let moved = session.view.as_ref().is_none_or(|now| now.rows.len() != view.rows.len());
    let wrong = said("MESSAGES") != Some(folder.messages.len())
        || said("UNSEEN") != Some(unseen)
        || said("SIZE") != Some(bytes)
        || said("UIDVALIDITY") != Some(folder.uidvalidity as usize)
        || said("UIDNEXT") <= folder.messages.keys().last().map(|uid| *uid as usize);
    if wrong {
        // Something may have come between the two, which the session is told of.
        session.run("NOOP")?;
        if moved || session.view.as_ref().is_none_or(|now| now.rows.len() != view.rows.len()) {
            return Err(Broken);
        }
        let real = (folder.messages.len(), unseen, bytes, folder.uidvalidity, folder.messages.keys().last());
        model.violate(format!("{}: {}, but really {real:?}", USERS[session.user], status.text));
    }
    Ok(())
}

fn found(folders: &Folders) -> HashMap<u64, i64> {
    let mut found = HashMap::new();
    for (id, _) in folders.values().flat_map(|folder| folder.messages.values()) {
        *found.entry(*id).or_default() += 1;
    }
    found
}

/// A UID means what it always meant; what is there is there, what is gone stays away; flags are as acknowledged.
fn placements(model: &Model, user: usize, folders: &Folders) {
    let mut real = HashMap::new();
    for (name, folder) in folders {
        for (uid, (id, flags)) in &folder.messages {
            real.insert((folder.uidvalidity, *uid), (name, flags));
            if let Err(wrong) = model.with(user, |m| m.saw((folder.uidvalidity, *uid), *id)) {
                model.violate(format!("{name} of {}: {wrong}", USERS[user]));
            }
        }
    }
    let mut wrong = Vec::new();
    model.with(user, |m| {
        for (place, placed) in &m.placed {
            match (placed.state, real.get(place)) {
                (State::There, None) => wrong.push(format!("message {} at {place:?} is lost", placed.id)),
                (State::Gone, Some((name, _))) => {
                    wrong.push(format!("message {} at {place:?} is back in {name}", placed.id));
                }
                (_, Some((name, flags))) => {
                    let allowed = model.allowed_flags(placed);
                    if !allowed.is_empty() && !allowed.contains(flags) {
                        let ages: Vec<_> = placed.flags.iter().map(|(at, flags)| (at.elapsed(), flags)).collect();
                        wrong.push(format!(
                            "message {} at {place:?} in {name} has {flags:?}, acknowledged {ages:?}",
                            placed.id
                        ));
                    }
                }
                _ => {}
            }
        }
    });
    for wrong in wrong {
        model.violate(format!("{}: {wrong}", USERS[user]));
    }
}

/// Every acknowledged message is there as often as it must be.
fn counts(model: &Model, user: usize, folders: &Folders) {
    let found = found(folders);
    let mut wrong = Vec::new();
    model.with(user, |m| {
        for (id, count) in &m.counts {
            let real = found.get(id).copied().unwrap_or(0);
            if real < count.lo || real > count.hi {
                let told = model.told(*id);
                wrong.push(format!("message {id} is there {real} times, acknowledged {count:?}\n{told}"));
            }
        }
        let unknown = found.keys().filter(|id| !m.counts.contains_key(*id));
        wrong.extend(unknown.map(|id| format!("message {id} was never sent")));
    });
    for wrong in wrong {
        model.violate(format!("{}: {wrong}", USERS[user]));
    }
}

/// What a session has been told all along is what is there.
fn belief(model: &Model, actor: &mut Actor<'_>, folders: &Folders) -> Result<(), Broken> {
    let Some(session) = &mut actor.session else { return Ok(()) };
    if !matches!(session.run("NOOP")?.0, Answer::Ok(_)) {
        return Err(Broken);
    }
    session.fill()?;
    let Some(view) = &session.view else { return Ok(()) };
    let Some(folder) = folders.values().find(|folder| folder.uidvalidity == view.uidvalidity) else {
        model.violate(format!("{} has {} open, which is not there", USERS[actor.user], view.name));
        return Ok(());
    };
    let believed: Vec<_> = view.rows.iter().map(|row| (row.uid, row.id, &row.flags)).collect();
    let real: Vec<_> = folder.messages.iter().map(|(uid, (id, flags))| (Some(*uid), Some(*id), flags)).collect();
    if believed != real {
        let lies: Vec<_> = believed.iter().filter(|row| !real.contains(row)).collect();
        let untold: Vec<_> = real.iter().filter(|row| !believed.contains(row)).collect();
        model.violate(format!(
            "a session of {} in {} believes {lies:?}, where there is {untold:?}",
            USERS[actor.user], view.name
        ));
    }
    Ok(())
}

/// From here on there is no doubt but about attempts that were given up a moment ago.
fn resolve(model: &Model, user: usize, folders: &Folders) {
    let found = found(folders);
    let now = Instant::now();
    let long_ago = now.checked_sub(Duration::from_hours(1)).unwrap_or(now);
    let flags: HashMap<_, _> = folders
        .values()
        .flat_map(|f| f.messages.iter().map(|(uid, (_, flags))| ((f.uidvalidity, *uid), flags.clone())))
        .collect();
    model.with(user, |m| {
        let counts = m.counts.keys().map(|&id| {
            let real = found.get(&id).copied().unwrap_or(0);
            (id, Count { lo: real, hi: real + m.to_come(id) })
        });
        m.counts = counts.collect();
        for (place, placed) in &mut m.placed {
            placed.state = if flags.contains_key(place) { State::There } else { State::Gone };
            placed.flags = flags.get(place).map(|flags| (long_ago, flags.clone())).into_iter().collect();
        }
        m.release_all();
    });
}

/// Empties the mailbox that nobody else does: what is gone must stay gone.
pub fn empty_locked(model: &Model, endpoints: &Endpoints) {
    let address = endpoints.lock().unwrap().get("imap-plain").copied();
    let Some(Ok(mut session)) = address.map(|address| Session::open(model, address, LOCKED)) else { return };
    let emptied = session.select("INBOX").and_then(|_| {
        session.run("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")?;
        session.run("EXPUNGE")
    });
    let certain = matches!(emptied, Ok((Answer::Ok(_), _)));
    model.with(LOCKED, |m| {
        for placed in m.placed.values_mut() {
            (placed.state, placed.flags) = (if certain { State::Gone } else { State::Doubt }, Vec::new());
        }
        let counts = m.counts.iter().map(|(&id, count)| {
            let hi = if certain { m.to_come(id) } else { count.hi };
            (id, Count { lo: 0, hi })
        });
        m.counts = counts.collect();
    });
    let _ = session.run("LOGOUT");
}
