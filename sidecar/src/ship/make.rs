//! Objects out of what is on the volume.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use control::WalPosition;
use files::FilesError;
use files::wal::Wal;
use jiff::Timestamp;
use model::backup::ArchiveId;

use super::look::{main_of, position};
use super::{Line, ShipError};
use crate::bucket::{FilePart, Object};
use crate::format::{
    BaseHeader, Codec, DataFile, FORMAT, Hashing, Header, Payload, Point, SegmentHeader, Sha256, Signer,
};

/// Of zstd: 3 leaves 41 % of mail, and more effort gains little.
const LEVEL: i32 = 3;
/// Read at a time.
const BUFFER: usize = 256 << 10;
/// What SQLCipher has where no WAL says it.
const PAGE: u32 = 4096;

/// What every object of an archive says of its origin.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// Whose it is.
    pub archive: &'a ArchiveId,
    /// Below which root.
    pub root: &'a str,
    /// Who signs.
    pub signer: &'a Signer,
    /// The start of this process.
    pub run: &'a str,
}

/// An object, ready to be stored.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub object: Object,
    /// What it says.
    pub header: Header,
    /// Hash of that.
    pub hash: Sha256,
}

impl Stamp<'_> {
    fn seal(&self, header: Header, rest: &[u8], file: Option<FilePart>, whole: impl FnOnce(&[u8]) -> Sha256) -> Made {
        let (mut front, hash) = header.seal(self.signer);
        let sha256 = whole(&front);
        front.extend_from_slice(rest);
        let key = header.name().map(|name| name.key(self.root)).unwrap_or_default();
        let object = Object { front: front.into(), file, sha256, run: self.run.to_owned() };
        Made { key, object, header, hash }
    }

    /// The segment behind a line with these commits; none where the WAL has been reset meanwhile.
    pub fn segment(
        &self,
        file: DataFile,
        wal: &Wal,
        line: &Line,
        commits: Vec<Point>,
    ) -> Result<Option<Made>, ShipError> {
        let from = if line.at.frame == 0 { wal.start() } else { position(line.at) };
        let Some(last) = commits.last().map(|point| point.frame) else { return Ok(None) };
        let page_size = wal.header().page_size;
        let mut frames = Vec::with_capacity((u64::from(last - from.frame) * wal.header().frame_size()) as usize);
        let Some(end) = wal.copy(&from, last, &mut frames)? else { return Ok(None) };
        let (codec, payload) = encoded(file, frames)?;
        let header = Header::Segment(SegmentHeader {
            format: FORMAT,
            archive: self.archive.clone(),
            database: file.database(),
            epoch: line.epoch,
            salts: from.salts,
            page_size,
            first: from.frame + 1,
            last,
            checksum_before: from.checksum,
            checksum_after: end.checksum,
            commits,
            previous: line.head,
            codec,
            payload: Payload { size: payload.len() as u64, sha256: Sha256::of(&payload) },
            signer: self.signer.public(),
        });
        Ok(Some(self.seal(header, &payload, None, |front| Sha256::of_parts(&[front, &payload]))))
    }

    /// A copy of the main file, read twice: its hash is in front of it. `scratch` is where one that is compressed lies until
    /// it is uploaded. The main file may not be folded into before that; if it is, the bucket refuses the upload.
    pub fn base(&self, file: DataFile, folder: &Path, at: &BasePlace, scratch: &Path) -> Result<Made, ShipError> {
        let main = main_of(folder, file);
        let page_size = at.page_size.map_or_else(|| page_size(&main, file), Ok)?;
        let (source, codec, pages) = match file {
            DataFile::Mailbox => (main.clone(), Codec::None, size(&main)? / u64::from(page_size)),
            DataFile::Spool => {
                let written = compress(&main, scratch)?;
                (scratch.to_owned(), Codec::Zstd, written / u64::from(page_size))
            }
        };
        let length = if codec == Codec::None { pages * u64::from(page_size) } else { size(&source)? };
        let part = FilePart { path: source.clone(), offset: 0, length };
        let header = Header::Base(BaseHeader {
            format: FORMAT,
            archive: self.archive.clone(),
            database: file.database(),
            epoch: at.epoch,
            salts: at.position.salts,
            page_size,
            frame: at.position.frame,
            commit: at.commit,
            time: at.time,
            pages,
            previous: at.previous,
            codec,
            payload: Payload { size: length, sha256: hash(&[], &source, length)? },
            signer: self.signer.public(),
        });
        let mut failed = None;
        let made = self.seal(header, &[], Some(part), |front| {
            hash(front, &source, length).unwrap_or_else(|error| {
                failed = Some(error);
                Sha256::of(&[])
            })
        });
        failed.map_or(Ok(made), |error| Err(error.into()))
    }
}

/// Where a base is taken.
#[derive(Debug, Clone, Copy)]
pub struct BasePlace {
    /// In which life.
    pub epoch: u64,
    /// The last commit of it that was there when the copy ended.
    pub position: WalPosition,
    /// That commit.
    pub commit: u64,
    /// Its time.
    pub time: Timestamp,
    /// Bytes of a page, where a WAL says it.
    pub page_size: Option<u32>,
    /// Hash of the header that the archive had come to.
    pub previous: Option<Sha256>,
}

/// Encrypted pages do not shrink.
fn encoded(file: DataFile, frames: Vec<u8>) -> Result<(Codec, Vec<u8>), ShipError> {
    if file == DataFile::Mailbox {
        return Ok((Codec::None, frames));
    }
    let packed = zstd::bulk::compress(&frames, LEVEL).map_err(io("compress", Path::new("frames")))?;
    Ok(if packed.len() < frames.len() { (Codec::Zstd, packed) } else { (Codec::None, frames) })
}

/// Compresses a file into another one; answers the bytes that it had.
fn compress(from: &Path, to: &Path) -> Result<u64, ShipError> {
    let mut source = File::open(from).map_err(io("open", from))?;
    let target = File::create(to).map_err(io("create", to))?;
    let mut packed = zstd::Encoder::new(target, LEVEL).map_err(io("write", to))?;
    let read = io::copy(&mut source, &mut packed).map_err(io("copy", from))?;
    packed.finish().map_err(io("write", to))?;
    Ok(read)
}

fn size(path: &Path) -> Result<u64, ShipError> {
    Ok(std::fs::metadata(path).map_err(io("read", path))?.len())
}

/// A plain database says it itself.
fn page_size(main: &Path, file: DataFile) -> Result<u32, ShipError> {
    if file == DataFile::Mailbox {
        return Ok(PAGE);
    }
    let mut header = [0; 18];
    let read = File::open(main).and_then(|mut file| file.read_exact(&mut header));
    read.map_err(io("read", main))?;
    // 65,536 does not fit into two bytes, and is written as 1.
    Ok(match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size => u32::from(size),
    })
}

/// Bytes and hash of a whole file.
pub fn digest(path: &Path) -> Result<(u64, Sha256), ShipError> {
    let size = size(path)?;
    Ok((size, hash(&[], path, u64::MAX)?))
}

/// The hash of some bytes and the first `length` bytes of a file.
fn hash(front: &[u8], path: &Path, length: u64) -> Result<Sha256, FilesError> {
    let failed = |source| FilesError::Io { action: "read", path: PathBuf::from(path), source };
    let mut source = File::open(path).map_err(failed)?.take(length);
    let mut hashing = Hashing::default();
    hashing.update(front);
    let mut buffer = vec![0; BUFFER];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hashing.finish()),
            Ok(count) => hashing.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ShipError {
    move |source| FilesError::Io { action, path: path.to_owned(), source }.into()
}
