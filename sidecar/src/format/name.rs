//! How objects are called, below `<prefix>/<root>/`.
//!
//! ```text
//! shard-0/owner/0000000001.json
//! <mailbox>/keys/0000000003.json
//! <mailbox>/keys/000102030405060708090a0b0c0d0e0f/0000000001.json           of a keyset that took the place of another
//! <mailbox>/t0001/mailbox/base/0000000001-0000000000.0000000000.base        epoch-frame.commit
//! <mailbox>/t0001/mailbox/wal/0000000001/0000000001-0000000007.0000000002.seg   epoch/first-last.commit
//! <mailbox>/t0001/snapshots/0000000002-20260102T030405Z.sqlite (and .json)  commit-time
//! <mailbox>/t0001/manifest/0000000001.json
//! ```
//!
//! Numbers have ten digits or more, timelines four or more, so a listing is in order. A name is written in one way only:
//! what [`Name::from_str`] accepts, [`Name`]'s `Display` gives back.

use std::fmt;
use std::str::FromStr;

use control::Database;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{MailboxId, ShardId, Term};

/// A database whose file and WAL are archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataFile {
    /// `mailbox.sqlite`
    Mailbox,
    /// `spool.sqlite`
    Spool,
}

impl DataFile {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mailbox, Self::Spool];

    /// As it is called everywhere else.
    pub fn database(self) -> Database {
        match self {
            Self::Mailbox => Database::Mailbox,
            Self::Spool => Database::Spool,
        }
    }
}

/// Which of the two objects of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotPart {
    /// The file.
    Database,
    /// Its [`super::SnapshotNote`].
    Record,
}

/// The name of an object below its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name {
    /// Who owns a shard from a term on.
    Owner {
        /// The shard.
        shard: ShardId,
        /// The term.
        term: Term,
    },
    /// A version of `keys.json`.
    Keys {
        /// Whose.
        mailbox: MailboxId,
        /// Which.
        version: u64,
    },
    /// The same of a keyset that took the place of another one, whose version of that number is there already.
    OtherKeys {
        /// Whose.
        mailbox: MailboxId,
        /// Which keyset.
        keyset: [u8; 16],
        /// Which version of it.
        version: u64,
    },
    /// A base.
    Base {
        /// Whose.
        mailbox: MailboxId,
        /// In which timeline.
        timeline: u32,
        /// Of which file.
        file: DataFile,
        /// In which life of its WAL it was taken.
        epoch: u64,
        /// From which frame on it serves.
        frame: u32,
        /// The commit there.
        commit: u64,
    },
    /// A segment.
    Segment {
        /// Whose.
        mailbox: MailboxId,
        /// In which timeline.
        timeline: u32,
        /// Of which file.
        file: DataFile,
        /// Of which life of its WAL.
        epoch: u64,
        /// Its first frame, counted from 1.
        first: u32,
        /// Its last frame; it ends a commit.
        last: u32,
        /// That commit.
        commit: u64,
    },
    /// A snapshot, or the record beside it.
    Snapshot {
        /// Whose.
        mailbox: MailboxId,
        /// In which timeline.
        timeline: u32,
        /// The commit it represents.
        commit: u64,
        /// When it was made; whole seconds.
        time: Timestamp,
        /// File or record.
        part: SnapshotPart,
    },
    /// A manifest.
    Manifest {
        /// Whose.
        mailbox: MailboxId,
        /// Of which timeline.
        timeline: u32,
        /// Counted from 1.
        number: u64,
    },
}

impl Name {
    /// Its key in a bucket.
    pub fn key(&self, root: &str) -> String {
        format!("{root}/{self}")
    }

    /// The name that a key below `root` has; none for a stranger's object.
    pub fn of_key(root: &str, key: &str) -> Option<Self> {
        key.strip_prefix(root)?.strip_prefix('/')?.parse().ok()
    }
}

/// What the keys of everything of a mailbox begin with.
pub fn mailbox_prefix(root: &str, mailbox: MailboxId) -> String {
    format!("{root}/{mailbox}/")
}

/// What the keys of a timeline begin with.
pub fn timeline_prefix(root: &str, mailbox: MailboxId, timeline: u32) -> String {
    format!("{root}/{mailbox}/t{timeline:04}/")
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Owner { shard, term } => write!(f, "shard-{}/owner/{:010}.json", shard.0, term.0),
            Self::Keys { mailbox, version } => write!(f, "{mailbox}/keys/{version:010}.json"),
            Self::OtherKeys { mailbox, keyset, version } => {
                write!(f, "{mailbox}/keys/{}/{version:010}.json", HEXLOWER.encode(&keyset))
            }
            Self::Base { mailbox, timeline, file, epoch, frame, commit } => {
                let file = file.database().name();
                write!(f, "{mailbox}/t{timeline:04}/{file}/base/{epoch:010}-{frame:010}.{commit:010}.base")
            }
            Self::Segment { mailbox, timeline, file, epoch, first, last, commit } => {
                let file = file.database().name();
                write!(f, "{mailbox}/t{timeline:04}/{file}/wal/{epoch:010}/{first:010}-{last:010}.{commit:010}.seg")
            }
            Self::Snapshot { mailbox, timeline, commit, time, part } => {
                let time = time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
                let end = match part {
                    SnapshotPart::Database => "sqlite",
                    SnapshotPart::Record => "json",
                };
                write!(f, "{mailbox}/t{timeline:04}/snapshots/{commit:010}-{time}.{end}")
            }
            Self::Manifest { mailbox, timeline, number } => {
                write!(f, "{mailbox}/t{timeline:04}/manifest/{number:010}.json")
            }
        }
    }
}

/// The key is not a name of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of an object of an archive")]
pub struct NameError(String);

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // Written in one way only: no leading zeros beyond the width, no plus signs.
        let name = read(text).filter(|name| name.to_string() == text);
        name.ok_or_else(|| NameError(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Name> {
    let parts: Vec<&str> = text.split('/').collect();
    match *parts.as_slice() {
        [shard, "owner", file] => {
            let shard = ShardId(shard.strip_prefix("shard-")?.parse().ok()?);
            Some(Name::Owner { shard, term: Term(file.strip_suffix(".json")?.parse().ok()?) })
        }
        [mailbox, "keys", file] => {
            let version = file.strip_suffix(".json")?.parse().ok()?;
            Some(Name::Keys { mailbox: mailbox.parse().ok()?, version })
        }
        [mailbox, "keys", keyset, file] => {
            let keyset = HEXLOWER.decode(keyset.as_bytes()).ok()?.try_into().ok()?;
            let version = file.strip_suffix(".json")?.parse().ok()?;
            Some(Name::OtherKeys { mailbox: mailbox.parse().ok()?, keyset, version })
        }
        [mailbox, timeline, ref rest @ ..] => {
            in_timeline(mailbox.parse().ok()?, timeline.strip_prefix('t')?.parse().ok()?, rest)
        }
        _ => None,
    }
}

fn in_timeline(mailbox: MailboxId, timeline: u32, parts: &[&str]) -> Option<Name> {
    match *parts {
        ["manifest", file] => {
            let number = file.strip_suffix(".json")?.parse().ok()?;
            Some(Name::Manifest { mailbox, timeline, number })
        }
        ["snapshots", file] => {
            let (stem, part) = match file.strip_suffix(".sqlite") {
                Some(stem) => (stem, SnapshotPart::Database),
                None => (file.strip_suffix(".json")?, SnapshotPart::Record),
            };
            let (commit, time) = stem.split_once('-')?;
            let time = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
            Some(Name::Snapshot { mailbox, timeline, commit: commit.parse().ok()?, time, part })
        }
        [file, "base", name] => {
            let file = data_file(file)?;
            let (place, commit) = name.strip_suffix(".base")?.split_once('.')?;
            let (epoch, frame) = place.split_once('-')?;
            let (epoch, frame, commit) = (epoch.parse().ok()?, frame.parse().ok()?, commit.parse().ok()?);
            Some(Name::Base { mailbox, timeline, file, epoch, frame, commit })
        }
        [file, "wal", epoch, name] => {
            let file = data_file(file)?;
            let (range, commit) = name.strip_suffix(".seg")?.split_once('.')?;
            let (first, last) = range.split_once('-')?;
            let (epoch, first, last) = (epoch.parse().ok()?, first.parse().ok()?, last.parse().ok()?);
            Some(Name::Segment { mailbox, timeline, file, epoch, first, last, commit: commit.parse().ok()? })
        }
        _ => None,
    }
}

fn data_file(name: &str) -> Option<DataFile> {
    DataFile::ALL.into_iter().find(|file| file.database().name() == name)
}

#[cfg(test)]
mod tests;
