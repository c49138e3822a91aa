//! The next thing to do for one database, as far as it is work with files: look, decide, cut.

use std::path::PathBuf;

use control::{Commit, WalPosition};
use files::wal::{Position, Wal};
use jiff::Timestamp;
use model::backup::ArchiveId;

use super::adopted::still;
use super::line::NOWHERE;
use super::look::position;
use super::make::BasePlace;
use super::{Course, Line, Log, Made, Outbox, Seen, ShipError, Stamp, Told, before_first, decide, look, points};
use crate::format::{DataFile, Point, Signer};

/// Frames of one segment, in bytes; it ends with the commit that exceeds them.
const CUT: u64 = 4 << 20;
/// Commits of one segment: so its header stays small.
const COMMITS: usize = 5000;

/// What is needed to look at one database.
pub struct Step {
    pub archive: ArchiveId,
    pub root: String,
    pub signer: Signer,
    pub run: String,
    pub folder: PathBuf,
    pub file: DataFile,
    pub line: Option<Line>,
    /// The restore that the files came from.
    pub restored: Option<String>,
    pub told: Told,
    pub outbox: Outbox,
}

/// What is to be done.
pub enum Stepped {
    /// Nothing: there is no such database.
    Absent,
    /// Nothing: all of it is archived.
    Idle { wal_bytes: u64 },
    /// This is to be uploaded. Where it has all that the WAL had, that has so many bytes.
    Segment { made: Box<Made>, whole: Option<u64> },
    /// The next life of the WAL begins.
    Enter { epoch: u64 },
    /// The archive begins, behind a gap or at all.
    Begin { gap: Option<String>, base: Box<NewBase> },
    /// It is not known which numbers its commits have.
    Unnumbered,
    /// A new timeline is due.
    Fork { reason: String },
}

/// A base that something begins with.
pub struct NewBase {
    /// The object.
    pub made: Made,
    /// The commit before the first frame of its life.
    pub before: u64,
    /// The place before that frame.
    pub start: WalPosition,
}

impl Step {
    /// Looks, and does what can be done without the bucket.
    pub fn take(&self) -> Result<Stepped, ShipError> {
        still(&self.folder, self.restored.as_deref())?;
        let stepped = self.look_and_cut()?;
        still(&self.folder, self.restored.as_deref())?;
        Ok(stepped)
    }

    fn look_and_cut(&self) -> Result<Stepped, ShipError> {
        let Some((seen, wal)) = look(&self.folder, self.file, self.line.as_ref())? else { return Ok(Stepped::Absent) };
        let gap = match (decide(self.line.as_ref(), &seen), &self.line) {
            (Course::Continue, Some(line)) => return self.next(line, &seen, wal.as_ref()),
            (Course::Enter { epoch }, _) => return Ok(Stepped::Enter { epoch }),
            (Course::Fork { reason }, _) => return Ok(Stepped::Fork { reason }),
            (Course::Gap { reason }, _) => Some(reason),
            (Course::Begin | Course::Continue, _) => None,
        };
        match self.base(&seen, wal.as_ref(), None)? {
            Some(base) => Ok(Stepped::Begin { gap, base: Box::new(base) }),
            None => Ok(Stepped::Unnumbered),
        }
    }

    /// A fresh base for a line that goes on; none where the line has not come to the present life of the WAL.
    pub fn base_again(&self) -> Result<Option<NewBase>, ShipError> {
        let (Some(line), Some((seen, wal))) = (&self.line, look(&self.folder, self.file, self.line.as_ref())?) else {
            return Ok(None);
        };
        match decide(Some(line), &seen) {
            Course::Continue => self.base(&seen, wal.as_ref(), Some(line)),
            _ => Ok(None),
        }
    }

    /// Puts the frames between the line and `end` into the outbox; true if the line is at `end` then.
    pub fn tail(&self, end: WalPosition) -> Result<(Option<Made>, bool), ShipError> {
        let (Some(line), Some((seen, Some(wal)))) = (&self.line, look(&self.folder, self.file, self.line.as_ref())?)
        else {
            return Ok((None, false));
        };
        if decide(Some(line), &seen) != Course::Continue || wal.header().salts != end.salts {
            return Ok((None, false));
        }
        let from = behind(line, &wal);
        if to_control(from) == end {
            return Ok((None, true));
        }
        let commits = wal.commits_after(&from, u64::MAX)?;
        let last = commits.last().map(|last| (last.frame, last.checksum));
        if last != Some((end.frame, end.checksum)) {
            return Ok((None, false));
        }
        let ends: Vec<u32> = commits.iter().map(|commit| commit.frame).collect();
        let Ok(numbered) = self.numbered(line, from.salts, &ends) else { return Ok((None, false)) };
        let Some(made) = self.stamp().segment(self.file, &wal, line, numbered)? else { return Ok((None, false)) };
        self.outbox.put(self.archive.mailbox, &made)?;
        Ok((Some(made), true))
    }

    /// Frames behind the line.
    fn next(&self, line: &Line, seen: &Seen, wal: Option<&Wal>) -> Result<Stepped, ShipError> {
        let wal_bytes = seen.log.map_or(0, |log| log.size);
        let Some(wal) = wal else { return Ok(Stepped::Idle { wal_bytes }) };
        let from = behind(line, wal);
        let mut commits = wal.commits_after(&from, CUT)?;
        let taken = commits.last().map_or(0, |last| u64::from(last.frame - from.frame) * wal.header().frame_size());
        let whole = (taken < CUT && commits.len() <= COMMITS).then_some(wal_bytes);
        commits.truncate(COMMITS);
        if commits.is_empty() {
            return Ok(Stepped::Idle { wal_bytes });
        }
        // What leaves must still be there after a power cut; only what was there before the sync is.
        wal.sync()?;
        let ends: Vec<u32> = commits.iter().map(|commit| commit.frame).collect();
        let numbered = match self.numbered(line, from.salts, &ends) {
            Ok(numbered) => numbered,
            Err(reason) => return Ok(Stepped::Fork { reason }),
        };
        match self.stamp().segment(self.file, wal, line, numbered)? {
            Some(made) => Ok(Stepped::Segment { made: Box::new(made), whole }),
            // Folded in since the look.
            None => self.look_and_cut(),
        }
    }

    /// Numbers and times of the commits behind a line.
    pub fn numbered(&self, line: &Line, salts: control::Salts, ends: &[u32]) -> Result<Vec<Point>, String> {
        let told = self.told.of(self.file.database(), salts);
        points(ends, line.commit, told, line.time, Timestamp::now()).map_err(|renumbered| renumbered.to_string())
    }

    /// What every object says of its origin.
    pub fn stamp(&self) -> Stamp<'_> {
        Stamp { archive: &self.archive, root: &self.root, signer: &self.signer, run: &self.run }
    }

    /// A copy of the main file as it is between two checkpoints; none where the commits have no numbers.
    fn base(&self, seen: &Seen, wal: Option<&Wal>, line: Option<&Line>) -> Result<Option<NewBase>, ShipError> {
        let (epoch, anchor) = seen.life();
        let (ends, end) = match wal {
            Some(wal) => {
                let commits = wal.commits_after(&wal.start(), u64::MAX)?;
                let end = commits.last().map_or(wal.start(), |last| Position {
                    salts: wal.header().salts,
                    frame: last.frame,
                    checksum: last.checksum,
                });
                (commits.iter().map(|commit| commit.frame).collect(), to_control(end))
            }
            None => (Vec::new(), NOWHERE),
        };
        let told = self.told.of(self.file.database(), end.salts);
        let unwritten = self.told.of(self.file.database(), NOWHERE.salts).iter().filter(|commit| commit.frame == 0);
        let anchor = anchor.or(self.anchor_of_restore(seen)?);
        let known = anchor.into_iter().chain(unwritten.chain(told).map(|commit| (commit.frame, commit.commit)));
        let known: Vec<(u32, u64)> = known.collect();
        let ours = line.filter(|line| line.epoch == epoch).map(|line| (line.at.frame, line.commit));
        let before = before_first(&ends, &known).or_else(|| before_first(&ends, ours.as_slice()));
        let Some(before) = before.or_else(|| self.told.unnumbered.then_some(0)) else { return Ok(None) };
        let place = BasePlace {
            epoch,
            position: end,
            commit: before + ends.len() as u64,
            time: self.time_at(told, end.frame),
            page_size: seen.log.map(|log: Log| log.page_size),
            previous: line.map(|line| line.head),
        };
        let scratch = self.outbox.scratch(self.archive.mailbox)?;
        let made = self.stamp().base(self.file, &self.folder, &place, &scratch)?;
        let again = look(&self.folder, self.file, line)?;
        let same = again.is_some_and(|(again, _)| again.record == seen.record && again.size == seen.size);
        if !same {
            return Err(ShipError::Restless { path: super::look::main_of(&self.folder, self.file) });
        }
        Ok(Some(NewBase { made, before, start: seen.start() }))
    }

    /// A restored file says itself where its first life begins; nobody can open it to ask.
    fn anchor_of_restore(&self, seen: &Seen) -> Result<Option<(u32, u64)>, ShipError> {
        if self.file != DataFile::Mailbox || seen.record.is_some() {
            return Ok(None);
        }
        let record = still(&self.folder, self.restored.as_deref())?;
        Ok(record.map(|record| (0, record.asked.commit)).filter(|(_, commit)| *commit > 0))
    }

    /// When the base's commit was made, or now.
    fn time_at(&self, told: &[Commit], frame: u32) -> Timestamp {
        let known = told.iter().rfind(|commit| commit.frame == frame && frame > 0).map(|commit| commit.time);
        let floor = self.line.as_ref().map_or(Timestamp::UNIX_EPOCH, |line| line.time);
        known.unwrap_or_else(Timestamp::now).max(floor)
    }
}

/// The place behind a line in its WAL.
pub fn behind(line: &Line, wal: &Wal) -> Position {
    if line.at.frame == 0 { wal.start() } else { position(line.at) }
}

fn to_control(at: Position) -> WalPosition {
    WalPosition { salts: at.salts, frame: at.frame, checksum: at.checksum }
}
