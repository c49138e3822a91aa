//! What is missing, into its folders.

use std::collections::{HashMap, VecDeque};

use anyhow::bail;
use interchange::Message;
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use model::SystemFlag;

use super::Origin;
use super::imap::{Answer, Imap, quoted};

/// Messages on their way: the server commits those together that come together.
const IN_FLIGHT: usize = 16;
/// Octets on their way, unless one message alone has more.
const OCTETS: usize = 8 << 20;

/// What became of all messages.
#[derive(Default)]
struct Told {
    added: u64,
    known: u64,
    refused: u64,
}

/// Imports everything.
pub fn run(source: &Origin, imap: &mut Imap, duplicates: bool) -> anyhow::Result<()> {
    let mut told = Told::default();
    for folder in source.folders()? {
        create(imap, &folder.name)?;
        let known = if duplicates { Known::default() } else { Known::list(imap, &folder.name)? };
        let mut adding =
            Adding { imap, folder: &folder.name, told: &mut told, known, flying: VecDeque::new(), number: 0 };
        source.each(&folder.name, |message| adding.message(&message))?;
        adding.settle(0)?;
        if !duplicates {
            imap.ok("CLOSE")?;
        }
    }
    for name in source.subscriptions()? {
        imap.ok(&format!("SUBSCRIBE {}", quoted(&name)))?;
    }
    println!("{} messages added, {} were there already", told.added, told.known);
    if told.refused > 0 {
        bail!("{} messages were refused by the server, see above; everything else is there", told.refused);
    }
    Ok(())
}

fn create(imap: &mut Imap, name: &str) -> anyhow::Result<()> {
    if name.eq_ignore_ascii_case("INBOX") {
        return Ok(());
    }
    let (_, answer) = imap.run(&format!("CREATE {}", quoted(name)))?;
    if !answer.ok && !answer.has_code("ALREADYEXISTS") {
        bail!("the server makes no folder {name}: {}", answer.text);
    }
    Ok(())
}

/// What a folder holds already, by size.
#[derive(Default)]
struct Known(HashMap<usize, Vec<Present>>);

/// A message there. Each stands for one of the source.
struct Present {
    uid: u32,
    date: Option<i64>,
    digest: Option<[u8; 32]>,
    used: bool,
}

impl Known {
    /// Selects the folder, so that bodies can be compared.
    fn list(imap: &mut Imap, folder: &str) -> anyhow::Result<Self> {
        let lines = imap.ok(&format!("EXAMINE {}", quoted(folder)))?;
        let mut known: HashMap<usize, Vec<Present>> = HashMap::new();
        if !lines.iter().any(|line| line.text == "* 0 EXISTS") {
            for line in imap.ok("UID FETCH 1:* (RFC822.SIZE INTERNALDATE)")? {
                let number =
                    |name: &str| value(&line.text, name).and_then(|v| v.split([' ', ')']).next()?.parse().ok());
                let (Some(uid), Some(size)) = (number("UID "), number("RFC822.SIZE ")) else { continue };
                let date = value(&line.text, "INTERNALDATE \"").and_then(|text| text.split('"').next());
                let date = date.and_then(|text| {
                    Some(strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim()).ok()?.to_timestamp().ok()?.as_second())
                });
                known.entry(size as usize).or_default().push(Present { uid, date, digest: None, used: false });
            }
        }
        Ok(Self(known))
    }

    /// True where an equal message is there that stands for no other; it is used up. `fetch` gives the digest of a message
    /// of the folder.
    fn take(
        &mut self,
        message: &Message,
        mut fetch: impl FnMut(u32) -> anyhow::Result<[u8; 32]>,
    ) -> anyhow::Result<bool> {
        let date = message.received.map(Timestamp::as_second);
        let Some(same) = self.0.get_mut(&message.bytes.len()) else { return Ok(false) };
        let digest = digest(&message.bytes);
        for present in same.iter_mut().filter(|present| !present.used && (date.is_none() || present.date == date)) {
            let theirs = match present.digest {
                Some(known) => known,
                None => *present.digest.insert(fetch(present.uid)?),
            };
            if theirs == digest {
                present.used = true;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.find(name).map(|at| &line[at + name.len()..])
}

/// IMAP shows NUL as 0x80 where it is not asked for BINARY.
fn digest(bytes: &[u8]) -> [u8; 32] {
    if !bytes.contains(&0) {
        return crypto::sha256(bytes);
    }
    crypto::sha256(&bytes.iter().map(|byte| if *byte == 0 { 0x80 } else { *byte }).collect::<Vec<_>>())
}

/// One folder being filled.
struct Adding<'a> {
    imap: &'a mut Imap,
    folder: &'a str,
    told: &'a mut Told,
    known: Known,
    /// Tag, number in the source, octets.
    flying: VecDeque<(String, u64, usize)>,
    number: u64,
}

impl Adding<'_> {
    fn message(&mut self, message: &Message) -> anyhow::Result<()> {
        self.number += 1;
        let Self { imap, known, flying, told, folder, number } = self;
        let fetch = |uid| {
            // Answers come in the order of commands.
            while let Some((tag, number, octets)) = flying.pop_front() {
                let (_, answer) = imap.finish(&tag)?;
                count(told, folder, number, octets, &answer)?;
            }
            let lines = imap.ok(&format!("UID FETCH {uid} (BODY.PEEK[])"))?;
            let body = lines.iter().find_map(|line| line.literals.first());
            Ok(body.map_or([0; 32], |body| digest(body)))
        };
        if known.take(message, fetch)? {
            self.told.known += 1;
            return Ok(());
        }
        let tag = self.imap.append(self.folder, &attributes(message), &message.bytes)?;
        self.flying.push_back((tag, *number, message.bytes.len()));
        let octets: usize = self.flying.iter().map(|(.., octets)| octets).sum();
        self.settle(if octets > OCTETS { 0 } else { IN_FLIGHT - 1 })
    }

    /// Reads answers until no more than so many are missing.
    fn settle(&mut self, most: usize) -> anyhow::Result<()> {
        while self.flying.len() > most {
            let Some((tag, number, octets)) = self.flying.pop_front() else { break };
            let (_, answer) = self.imap.finish(&tag)?;
            count(self.told, self.folder, number, octets, &answer)?;
        }
        Ok(())
    }
}

fn count(told: &mut Told, folder: &str, number: u64, octets: usize, answer: &Answer) -> anyhow::Result<()> {
    if answer.ok {
        told.added += 1;
    } else if answer.has_code("OVERQUOTA") {
        bail!(
            "the mailbox is full: {}\n  raise its quota and run the same command again: nothing is added twice",
            answer.text
        );
    } else if ["UNAVAILABLE", "SERVERBUG", "INUSE"].iter().any(|code| answer.has_code(code)) {
        bail!("the server cannot go on: {}\n  run the same command again: nothing is added twice", answer.text);
    } else {
        told.refused += 1;
        eprintln!("refused: message {number} of {folder}, {octets} octets: {}", answer.text);
    }
    Ok(())
}

/// Flags and date as APPEND takes them, each followed by a space.
fn attributes(message: &Message) -> String {
    let system =
        SystemFlag::ALL.into_iter().filter(|flag| message.flags.has(*flag)).map(|flag| -> &str { flag.name() });
    let names: Vec<&str> = system.chain(message.keywords.iter().map(String::as_str)).collect();
    let date = message
        .received
        .map(|time| format!("\"{} +0000\" ", time.to_zoned(TimeZone::UTC).strftime("%e-%b-%Y %H:%M:%S")));
    format!("({}) {}", names.join(" "), date.unwrap_or_default())
}
