//! Pages into a database file: blocking work on files that were checked against their hash.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use files::FilesError;
use files::wal::{FRAME_HEADER, Frames};

use crate::format::{BaseHeader, Codec, Fault, SegmentHeader};

/// Buffered while copying.
const BUFFER: usize = 256 << 10;

/// Why a payload was not applied.
pub enum Refused {
    /// What is in it cannot be.
    Fault(Fault),
    /// The files could not be read or written.
    Files(FilesError),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Makes the database from a base.
pub fn lay(header: &BaseHeader, payload: &Path, database: &Path) -> Result<(), Refused> {
    let mut source = decoded(payload, header.codec)?;
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(database);
    let mut target = BufWriter::with_capacity(BUFFER, target.map_err(io("create", database))?);
    let want = header.pages * u64::from(header.page_size);
    let have = io::copy(&mut source.by_ref().take(want + 1), &mut target);
    let have = have.map_err(|error| unreadable(&error, payload))?;
    if have != want {
        return Err(Fault::Header(format!("{} pages, but it holds {have} bytes", header.pages)).into());
    }
    target.flush().map_err(io("write", database))
}

/// Puts the frames of a segment into the database, up to frame `until`, which ends a commit; all of them are checked.
/// Answers the pages of the database there; none where `until` lies before the first frame.
pub fn apply(header: &SegmentHeader, payload: &Path, until: u32, database: &Path) -> Result<Option<u32>, Refused> {
    let mut source = decoded(payload, header.codec)?;
    let target = OpenOptions::new().write(true).open(database).map_err(io("open", database))?;
    let mut frames = Frames::behind(header.salts, header.checksum_before, header.page_size);
    let mut frame = vec![0; FRAME_HEADER as usize + header.page_size as usize];
    let mut ends = header.commits.iter().map(|point| point.frame).peekable();
    let mut pages = None;
    for number in header.first..=header.last {
        source.read_exact(&mut frame).map_err(|error| unreadable(&error, payload))?;
        let Some(found) = frames.follow(&frame) else {
            return Err(Fault::Header(format!("frame {number} does not follow the one before")).into());
        };
        if (found.pages != 0) != (ends.next_if_eq(&number).is_some()) {
            return Err(Fault::Header(format!("frame {number} is not as its commits say")).into());
        }
        if number <= until {
            let at = u64::from(found.page - 1) * u64::from(header.page_size);
            target.write_all_at(&frame[FRAME_HEADER as usize..], at).map_err(io("write", database))?;
            pages = if found.pages == 0 { pages } else { Some(found.pages) };
        }
    }
    if frames.checksum() != header.checksum_after {
        return Err(Fault::Header("another checksum behind its last frame".to_owned()).into());
    }
    if source.read(&mut [0]).map_err(|error| unreadable(&error, payload))? != 0 {
        return Err(Fault::Header("more bytes than frames".to_owned()).into());
    }
    Ok(pages)
}

/// Gives the database its length and makes it durable.
pub fn finish(database: &Path, length: u64) -> Result<(), Refused> {
    let file = OpenOptions::new().write(true).open(database).map_err(io("open", database))?;
    file.set_len(length).map_err(io("cut", database))?;
    file.sync_all().map_err(io("sync", database))
}

fn decoded(payload: &Path, codec: Codec) -> Result<Box<dyn Read>, Refused> {
    let file = BufReader::with_capacity(BUFFER, File::open(payload).map_err(io("open", payload))?);
    Ok(match codec {
        Codec::None => Box::new(file),
        Codec::Zstd => Box::new(zstd::Decoder::with_buffer(file).map_err(io("read", payload))?),
    })
}

/// The bytes are those that were signed, so what cannot be read of them was written so.
fn unreadable(error: &io::Error, payload: &Path) -> Refused {
    match error.kind() {
        ErrorKind::UnexpectedEof => Fault::Header("fewer bytes than pages".to_owned()).into(),
        ErrorKind::Other | ErrorKind::InvalidData => {
            Fault::Header(format!("a payload that is not zstd: {error}")).into()
        }
        kind => io("read", payload)(kind.into()),
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Refused {
    move |source| Refused::Files(FilesError::Io { action, path: path.to_owned(), source })
}
