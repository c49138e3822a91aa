//! A log as a file that somebody else writes.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::checksum::Checksum;
use super::format::{FRAME_HEADER, HEADER, Header, word};
use crate::FilesError;

/// Read at a time: large enough that calls cost nothing, small enough that many logs can be read at once.
const BLOCK: usize = 256 << 10;

/// A place in one life of a log: behind a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Names the life.
    pub salts: [u32; 2],
    /// Frames before the place; 0 = none.
    pub frame: u32,
    /// The running checksum there.
    pub checksum: Checksum,
}

/// A transaction of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The frame that ends it, counted from 1.
    pub frame: u32,
    /// Pages of the database after it.
    pub pages: u32,
    /// The running checksum behind it.
    pub checksum: Checksum,
}

/// An open log. The header is the one that was there at [`Wal::open`]: after a reset nothing more is found, and it is time
/// to open it again.
#[derive(Debug)]
pub struct Wal {
    file: File,
    path: PathBuf,
    header: Header,
}

impl Wal {
    /// Opens a log; none where there is no file, or no whole header in it: then nothing was committed to it.
    pub fn open(path: &Path) -> Result<Option<Self>, FilesError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FilesError::io("open", path)(error)),
        };
        let mut bytes = [0; HEADER as usize];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(FilesError::io("read", path)(error)),
        }
        Ok(Header::read(&bytes).map(|header| Self { file, path: path.to_owned(), header }))
    }

    /// What its header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The place before its first frame.
    pub fn start(&self) -> Position {
        Position { salts: self.header.salts, frame: 0, checksum: self.header.checksum }
    }

    /// Octets of the file, with what is left of earlier lives.
    pub fn size(&self) -> Result<u64, FilesError> {
        Ok(self.file.metadata().map_err(FilesError::io("read", &self.path))?.len())
    }

    /// Makes what is in it survive a crash of the machine, whoever wrote it.
    pub fn sync(&self) -> Result<(), FilesError> {
        self.file.sync_data().map_err(FilesError::io("sync", &self.path))
    }

    /// True if the log still has that place. After a power failure it may have lost it, or have other frames there.
    pub fn holds(&self, place: &Position) -> Result<bool, FilesError> {
        if place.salts != self.header.salts {
            return Ok(false);
        }
        if place.frame == 0 {
            return Ok(place.checksum == self.header.checksum);
        }
        let mut head = [0; FRAME_HEADER as usize];
        match self.file.read_exact_at(&mut head, self.header.offset_of(place.frame)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(FilesError::io("read", &self.path)(error)),
        }
        let (salts, checksum) = ([word(&head, 8), word(&head, 12)], [word(&head, 16), word(&head, 20)]);
        Ok(salts == place.salts && checksum == place.checksum)
    }

    /// The commits behind a place, in order, read no further than the first that ends behind `most` octets. Frames before
    /// the place are not read.
    pub fn commits_after(&self, place: &Position, most: u64) -> Result<Vec<Commit>, FilesError> {
        let mut commits = Vec::new();
        let enough = u64::from(place.frame) + most.div_ceil(self.header.frame_size()).max(1);
        self.walk(place, u32::MAX, |commit, _| {
            commits.extend(commit);
            Ok(commit.is_none_or(|commit| u64::from(commit.frame) < enough))
        })?;
        Ok(commits)
    }

    /// Writes the frames behind `place` up to `last` to `sink`, each of them checked on its way. None where they are not
    /// all there (any more): then what was written is worth nothing.
    pub fn copy(&self, place: &Position, last: u32, sink: &mut impl Write) -> Result<Option<Position>, FilesError> {
        let mut failed = None;
        let end = self.walk(place, last, |_, frame| {
            Ok(match sink.write_all(frame) {
                Ok(()) => true,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            })
        })?;
        match failed {
            Some(error) => Err(FilesError::io("copy", &self.path)(error)),
            None => Ok((end.frame == last).then_some(end)),
        }
    }

    /// Calls `each` with every whole frame behind `place` up to `last`, and with the commit where it ends one. Stops where
    /// `each` says no more, or the log ends; answers the place behind the last frame.
    fn walk(
        &self,
        place: &Position,
        last: u32,
        mut each: impl FnMut(Option<Commit>, &[u8]) -> Result<bool, FilesError>,
    ) -> Result<Position, FilesError> {
        let mut at = *place;
        if place.salts != self.header.salts {
            return Ok(at);
        }
        let size = self.header.frame_size() as usize;
        // Nothing is taken for a log that has nothing behind the place, which is what most calls find.
        let waiting = self.size()?.saturating_sub(self.header.offset_of(at.frame.saturating_add(1)));
        let room = (BLOCK / size).max(1).min((waiting / size as u64) as usize) * size;
        let mut block = vec![0; room];
        while at.frame < last && room > 0 {
            let read = self.fill(&mut block, self.header.offset_of(at.frame + 1))?;
            let whole = read / size;
            for frame in block[..whole * size].chunks_exact(size) {
                let Some(found) = self.header.check(at.checksum, frame) else { return Ok(at) };
                at = Position { frame: at.frame + 1, checksum: found.checksum, ..at };
                let commit = Commit { frame: at.frame, pages: found.pages, checksum: found.checksum };
                let go_on = each((found.pages != 0).then_some(commit), frame)?;
                if !go_on || at.frame == last {
                    return Ok(at);
                }
            }
            if whole * size < block.len() {
                break;
            }
        }
        Ok(at)
    }

    /// Reads until `block` is full or the file ends.
    fn fill(&self, block: &mut [u8], offset: u64) -> Result<usize, FilesError> {
        let mut read = 0;
        while read < block.len() {
            match self.file.read_at(&mut block[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FilesError::io("read", &self.path)(error)),
            }
        }
        Ok(read)
    }
}
