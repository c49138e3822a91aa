//! The form of bases and segments.
//!
//! ```text
//! "SPAR1\n" | u32 LE length | header (JSON) | u16 LE 64 | Ed25519 signature over SHA-256("SPAR1\n" | header) | payload
//! ```
//!
//! * The *hash of a header* is the SHA-256 that is signed. A segment names that of the object before it in `previous`: for
//!   the first behind a timeline's first base, or behind a gap, that base; otherwise the segment before it, also where a
//!   life of the WAL or a base lies in between.
//! * The payload of a segment is `last - first + 1` frames as they are in the WAL (24 bytes and a page each), that of a base
//!   `pages` pages of the main file; both after `codec`. `payload` has size and hash of the bytes as they are stored.
//! * The header's place (archive, database, epoch, frames, commit) is also its name: an object under another name is refused.

use control::{Database, Salts, WalChecksum};
use jiff::Timestamp;
use model::backup::ArchiveId;
use serde::{Deserialize, Serialize};

use super::{DataFile, FORMAT, Fault, Name, Sha256, Signature, Signer, SignerKey};

/// First bytes of every base and segment.
pub const MAGIC: &[u8; 6] = b"SPAR1\n";
/// Most bytes of a header: 10,000 commits in one segment need less.
pub const HEADER_MOST: usize = 1 << 20;
/// Bytes of a frame's header in a WAL.
pub const FRAME_HEADER: u64 = 24;
/// Reading so much of an object's beginning gets the whole front of most.
pub const FRONT: u64 = 16 << 10;

/// How a payload is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Codec {
    /// As it is.
    None,
    /// One zstd frame.
    Zstd,
}

/// The bytes behind a header, as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// How many.
    pub size: u64,
    /// Their hash.
    pub sha256: Sha256,
}

/// A commit of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The frame that ends it.
    pub frame: u32,
    /// Its number.
    pub commit: u64,
    /// Its time by the primary's clock, or that of the next commit whose time is known.
    pub time: Timestamp,
}

/// Frames of whole commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentHeader {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose it is.
    pub archive: ArchiveId,
    /// Of which database.
    pub database: Database,
    /// Which life of its WAL.
    pub epoch: u64,
    /// The salts of that life.
    pub salts: Salts,
    /// Bytes of a page.
    pub page_size: u32,
    /// First frame, counted from 1.
    pub first: u32,
    /// Last frame; it ends a commit.
    pub last: u32,
    /// SQLite's running checksum before the first frame.
    pub checksum_before: WalChecksum,
    /// The same behind the last.
    pub checksum_after: WalChecksum,
    /// Every commit in it, in order.
    pub commits: Vec<Point>,
    /// Hash of the header before it.
    pub previous: Sha256,
    /// How the payload is stored.
    pub codec: Codec,
    /// The payload.
    pub payload: Payload,
    /// The key that signs.
    pub signer: SignerKey,
}

/// A copy of the main file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseHeader {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose it is.
    pub archive: ArchiveId,
    /// Of which database.
    pub database: Database,
    /// In which life of its WAL it was taken.
    pub epoch: u64,
    /// The salts of that life.
    pub salts: Salts,
    /// Bytes of a page.
    pub page_size: u32,
    /// With frames `1..=frame` of that life, or more, it is a valid database.
    pub frame: u32,
    /// The commit that `frame` ends.
    pub commit: u64,
    /// That commit's time.
    pub time: Timestamp,
    /// Pages of the copy.
    pub pages: u64,
    /// Hash of the header of the segment that the archive had come to; absent for a timeline's first base and behind a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256>,
    /// How the payload is stored.
    pub codec: Codec,
    /// The payload.
    pub payload: Payload,
    /// The key that signs.
    pub signer: SignerKey,
}

/// Either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Header {
    /// Frames.
    Segment(SegmentHeader),
    /// A copy of the main file.
    Base(BaseHeader),
}

/// What stands before the payload, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// What it says.
    pub header: Header,
    /// Hash of the header.
    pub hash: Sha256,
    /// Where the payload begins.
    pub payload_at: u64,
}

impl Header {
    /// The bytes before the payload, and the hash of the header. `signer` is the key that the header names.
    pub fn seal(&self, signer: &Signer) -> (Vec<u8>, Sha256) {
        // Headers are plain structs with text keys.
        let header = serde_json::to_vec(self).unwrap_or_default();
        let hash = Sha256::of_parts(&[MAGIC, &header]);
        let mut front = Vec::with_capacity(header.len() + 76);
        front.extend_from_slice(MAGIC);
        front.extend_from_slice(&(header.len() as u32).to_le_bytes());
        front.extend_from_slice(&header);
        front.extend_from_slice(&64u16.to_le_bytes());
        front.extend_from_slice(&signer.sign(hash).0);
        (front, hash)
    }

    /// How the payload is stored, and its hash.
    pub fn payload(&self) -> (Codec, Payload) {
        match self {
            Self::Segment(segment) => (segment.codec, segment.payload),
            Self::Base(base) => (base.codec, base.payload),
        }
    }

    /// Bytes of the payload after decoding.
    pub fn decoded_size(&self) -> u64 {
        match self {
            Self::Segment(it) => u64::from(it.last - it.first + 1) * (FRAME_HEADER + u64::from(it.page_size)),
            Self::Base(it) => it.pages * u64::from(it.page_size),
        }
    }

    /// The key that signs.
    pub fn signer(&self) -> SignerKey {
        match self {
            Self::Segment(segment) => segment.signer,
            Self::Base(base) => base.signer,
        }
    }

    /// The archive it belongs to.
    pub fn archive(&self) -> &ArchiveId {
        match self {
            Self::Segment(segment) => &segment.archive,
            Self::Base(base) => &base.archive,
        }
    }

    /// The one name it may have; none where it is of a database that has no files.
    pub fn name(&self) -> Option<Name> {
        let (archive, database) = match self {
            Self::Segment(segment) => (&segment.archive, segment.database),
            Self::Base(base) => (&base.archive, base.database),
        };
        let (mailbox, timeline) = (archive.mailbox, archive.timeline);
        let file = DataFile::ALL.into_iter().find(|file| file.database() == database)?;
        Some(match self {
            Self::Segment(it) => {
                let (epoch, first, last) = (it.epoch, it.first, it.last);
                let commit = it.commits.last()?.commit;
                Name::Segment { mailbox, timeline, file, epoch, first, last, commit }
            }
            Self::Base(it) => {
                Name::Base { mailbox, timeline, file, epoch: it.epoch, frame: it.frame, commit: it.commit }
            }
        })
    }

    /// Reads the front of an object from its first bytes and checks the signature. [`Fault::Truncated`] says how many
    /// bytes are needed. Whose key it is, and the name, are for [`Front::admit`].
    pub fn open(bytes: &[u8]) -> Result<Front, Fault> {
        let mut rest = bytes;
        let truncated = |want: usize| Fault::Truncated { have: bytes.len() as u64, want: want as u64 };
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(magic) {
            return Err(Fault::Foreign);
        }
        take(&mut rest, MAGIC.len()).ok_or_else(|| truncated(MAGIC.len() + 4))?;
        let length = take(&mut rest, 4).and_then(|length| length.try_into().ok());
        let length = u32::from_le_bytes(length.ok_or_else(|| truncated(MAGIC.len() + 4))?) as usize;
        if length > HEADER_MOST {
            return Err(Fault::Header(format!("a header of {length} bytes")));
        }
        let end = MAGIC.len() + 4 + length + 2 + 64;
        if bytes.len() < end {
            return Err(truncated(end));
        }
        let header = take(&mut rest, length).ok_or_else(|| truncated(end))?;
        let width = take(&mut rest, 2).ok_or_else(|| truncated(end))?;
        if width != 64u16.to_le_bytes() {
            return Err(Fault::Signature);
        }
        let signature: [u8; 64] =
            take(&mut rest, 64).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| truncated(end))?;
        let hash = Sha256::of_parts(&[MAGIC, header]);
        let header = decode(header)?;
        if !header.signer().verifies(hash, &Signature(signature)) {
            return Err(Fault::Signature);
        }
        header.check()?;
        Ok(Front { header, hash, payload_at: end as u64 })
    }

    /// Numbers that contradict each other cannot come from a sound writer, whoever signed them.
    fn check(&self) -> Result<(), Fault> {
        let fail = |what: &str| Err(Fault::Header(what.to_owned()));
        let (codec, payload) = self.payload();
        let page_size = match self {
            Self::Segment(segment) => segment.page_size,
            Self::Base(base) => base.page_size,
        };
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return fail("a page size that SQLite has not");
        }
        if let Self::Segment(segment) = self {
            if segment.first == 0 || segment.last < segment.first {
                return fail("frames that are none");
            }
            let rising = segment.commits.windows(2).all(|pair| {
                let [before, after] = pair else { return false };
                let next = before.commit.checked_add(1) == Some(after.commit);
                before.frame < after.frame && next && before.time <= after.time
            });
            let inside = segment.commits.first().is_some_and(|point| point.frame >= segment.first)
                && segment.commits.last().is_some_and(|point| point.frame == segment.last);
            if !rising || !inside {
                return fail("commits that do not follow each other");
            }
        } else if let Self::Base(base) = self
            && base.pages > u64::from(u32::MAX)
        {
            return fail("more pages than a database has");
        }
        if codec == Codec::None && payload.size != self.decoded_size() {
            return fail("a payload of another size than its pages");
        }
        if self.name().is_none() {
            return fail("a database that is not archived");
        }
        Ok(())
    }
}

impl Front {
    /// Checks that an object is what `key` below `root` says, and that one of `signers` signed it.
    pub fn admit(&self, root: &str, key: &str, signers: &[SignerKey]) -> Result<(), Fault> {
        let own = self.header.name().map(|name| name.key(root)).unwrap_or_default();
        let server = root.rsplit('.').next();
        if own != key || server != Some(&self.header.archive().server.0) {
            return Err(Fault::Place(own));
        }
        if !signers.contains(&self.header.signer()) {
            return Err(Fault::Signer(self.header.signer()));
        }
        Ok(())
    }
}

fn decode(header: &[u8]) -> Result<Header, Fault> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let unreadable = |error: serde_json::Error| Fault::Header(error.to_string());
    let version: Version = serde_json::from_slice(header).map_err(unreadable)?;
    if version.format != FORMAT {
        return Err(Fault::Version(version.format));
    }
    serde_json::from_slice(header).map_err(unreadable)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests;
