//! One restore, tried out: everything is fetched and checked as for a real one, held against what is known, and removed.
//!
//! What is held against what:
//! * every object against its signature, hash, name and place in the chain (`assemble`);
//! * the commits that came out against those that were archived;
//! * the files against those of the volume, byte for byte, where a database rests at that very commit;
//! * the outside of each file: whole pages, a header that is readable (spool) or not (mailbox). Nothing here has a key;
//! * the newest snapshot against its note.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::{durable, fault};
use model::{Class, MailboxId};

use super::super::board::Failure;
use crate::assemble::{AssembleError, Assembled, Reached, Source, Target, assemble, newest_snapshot};
use crate::format::DataFile;
use crate::ship::{MailboxState, ShipError, Shipper, at_rest, digest};

/// What folders of rehearsals begin with.
const PREFIX: &str = "verify-";
/// What a plain SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Pages of an encrypted file.
const PAGE: u64 = 4096;
/// Bytes of the header of a plain file.
const HEADER: usize = 100;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It can be restored. How many files were the same as on the volume.
    Whole {
        /// Of the databases.
        compared: usize,
    },
    /// It cannot: why, with the name of the object.
    Broken(String),
    /// It could not be found out now.
    Later(String),
    /// Nothing of it is archived.
    Nothing,
}

/// What is tried out.
pub struct Rehearsal {
    pub mailbox: MailboxId,
    /// On the volume.
    pub folder: PathBuf,
    pub shipper: Arc<Shipper>,
    pub staging: PathBuf,
    /// Bytes that stay free on the volume.
    pub floor: u64,
}

impl Rehearsal {
    /// Does it. What is found broken is looked at once more: retention may have removed an object just when it was to be read.
    pub async fn carry_out(&self) -> Verdict {
        match self.attempt().await {
            Verdict::Broken(_) => self.attempt().await,
            verdict => verdict,
        }
    }

    async fn attempt(&self) -> Verdict {
        let state = match self.shipper.remembered(self.mailbox).await {
            Ok(Some(state)) if DataFile::ALL.iter().any(|file| state.line(*file).is_some()) => state,
            Ok(_) => return Verdict::Nothing,
            Err(error) => return Verdict::of_ship(&error),
        };
        if !has_room(&self.folder, &self.staging, &state, self.floor) {
            return Verdict::Later("there is no room on the volume to try a restore out".to_owned());
        }
        let folder = Folder(self.staging.join(format!("{PREFIX}{}", self.mailbox)));
        let made = folder.0.clone();
        let made = tokio::task::spawn_blocking(move || {
            durable::remove_dir_all(&made)?;
            durable::create_dir_all(&made.join("snapshot"))
        });
        if let Ok(Err(error)) = made.await {
            return Verdict::Later(error.to_string());
        }
        fault::point("verify.begun.after");
        match self.restore(&state, &folder.0).await {
            Ok(verdict) => verdict,
            Err(error) => Verdict::of_archive(&error),
        }
    }

    async fn restore(&self, state: &MailboxState, to: &Path) -> Result<Verdict, AssembleError> {
        let signers = vec![self.shipper.signer.public()];
        let source = Source::trusting(self.shipper.bucket.as_ref(), &self.shipper.root, signers);
        let assembled = Box::pin(assemble(&source, &state.archive, Target::Latest, to, &mut |_| {})).await?;
        fault::point("verify.assembled.after");
        let snapshot = Box::pin(newest_snapshot(&source, &state.archive, &to.join("snapshot"))).await?;
        if let Some(damage) = assembled.damages.first() {
            return Ok(Verdict::Broken(format!("{damage}; {}", damage.hint())));
        }
        if let Some(lacks) = lacks(state, &assembled) {
            return Ok(Verdict::Broken(lacks));
        }
        if let Some(named) = state.last_snapshot().filter(|named| {
            snapshot.as_ref().is_none_or(|newest| (newest.time, newest.commit) < (named.time, named.commit))
        }) {
            let name = named.name(&state.archive, crate::format::SnapshotPart::Database);
            return Ok(Verdict::Broken(format!("{}: is missing", name.key(&self.shipper.root))));
        }
        let (volume, to, whole) = (self.folder.clone(), to.to_owned(), snapshot.is_some());
        let compared = tokio::task::spawn_blocking(move || compare(&volume, &to, &assembled, whole)).await;
        fault::point("verify.compared.after");
        Ok(match compared {
            Ok(Ok(Ok(compared))) => Verdict::Whole { compared },
            Ok(Ok(Err(wrong))) => Verdict::Broken(format!("{}: {wrong}", state.archive)),
            Ok(Err(error)) => Verdict::of_ship(&error),
            Err(error) => Verdict::Later(error.to_string()),
        })
    }
}

impl Verdict {
    fn of_archive(error: &AssembleError) -> Self {
        // What the volume or the bucket refuse now says nothing of the archive.
        match error {
            AssembleError::Damaged { .. } | AssembleError::Absent { .. } | AssembleError::Gone { .. } => {
                Self::Broken(Failure::from(error).message)
            }
            _ => Self::Later(Failure::from(error).message),
        }
    }

    fn of_ship(error: &ShipError) -> Self {
        match error {
            ShipError::Archive(error) => Self::of_archive(error),
            error => {
                debug_assert!(error.class() != Class::Bug, "{error}");
                Self::Later(Failure::from(error).message)
            }
        }
    }
}

/// A folder that is removed whatever becomes of it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a restore that was tried out stays on the volume");
        }
    }
}

/// Removes what a crash left. Blocking.
pub fn sweep(staging: &Path) {
    for entry in fs::read_dir(staging).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            drop(Folder(entry.path()));
        }
    }
}

/// A rehearsal that fills the volume would keep mail out: it takes each database, an object of it, and a snapshot.
fn has_room(folder: &Path, staging: &Path, state: &MailboxState, floor: u64) -> bool {
    let size = |file: DataFile| {
        let main = fs::metadata(folder.join(format!("{}.sqlite", file.database().name())));
        main.map_or(0, |main| main.len())
    };
    let needed = 2 * DataFile::ALL.into_iter().map(size).sum::<u64>() + state.last_snapshot().map_or(0, |it| it.size);
    // The folder may not be there yet.
    let volume = if staging.exists() { staging } else { folder };
    let free = rustix::fs::statvfs(volume).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    free >= needed.saturating_add(floor)
}

fn reached(assembled: &Assembled, file: DataFile) -> Option<Reached> {
    match file {
        DataFile::Mailbox => assembled.mailbox,
        DataFile::Spool => assembled.spool,
    }
}

/// What was archived, and did not come out.
fn lacks(state: &MailboxState, assembled: &Assembled) -> Option<String> {
    for file in DataFile::ALL {
        let (Some(line), name) = (state.line(file), file.database().name()) else { continue };
        match reached(assembled, file) {
            None => return Some(format!("{}: no {name} came out of it", state.archive)),
            Some(reached) if reached.commit < line.commit => {
                return Some(format!(
                    "{}: {name} comes to commit {}, and {} is archived",
                    state.archive, reached.commit, line.commit
                ));
            }
            Some(_) => {}
        }
    }
    (assembled.keys.is_none() && state.keys > 0).then(|| format!("{}: no keys came out of it", state.archive))
}

/// Looks at the files, and holds them against those of the volume. Answers how many could be; or what is wrong.
fn compare(
    volume: &Path,
    to: &Path,
    assembled: &Assembled,
    snapshot: bool,
) -> Result<Result<usize, String>, ShipError> {
    let mut compared = 0;
    for file in DataFile::ALL {
        let Some(reached) = reached(assembled, file) else { continue };
        let path = to.join(format!("{}.sqlite", file.database().name()));
        if let Err(wrong) = outside(&path, file) {
            return Ok(Err(wrong));
        }
        let Some(live) = at_rest(volume, file, reached.commit)? else { continue };
        if digest(&path)? != live {
            let (name, commit) = (file.database().name(), reached.commit);
            return Ok(Err(format!("{name} is not the one of the volume at commit {commit}")));
        }
        compared += 1;
    }
    let snapshot = snapshot.then(|| outside(&to.join("snapshot/mailbox.sqlite"), DataFile::Mailbox));
    Ok(snapshot.unwrap_or(Ok(())).map(|()| compared))
}

/// What can be seen of a database without its key.
fn outside(path: &Path, file: DataFile) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", path.display());
    let size = fs::metadata(path).map_err(unreadable)?.len();
    let mut first = Vec::new();
    let source = fs::File::open(path).map_err(unreadable)?;
    source.take(HEADER as u64).read_to_end(&mut first).map_err(unreadable)?;
    let name = file.database().name();
    match file {
        DataFile::Mailbox => sealed(&first, size),
        DataFile::Spool => plain(&first, size),
    }
    .map_err(|wrong| format!("{name} {wrong}"))
}

fn sealed(first: &[u8], size: u64) -> Result<(), &'static str> {
    if size == 0 || !size.is_multiple_of(PAGE) {
        return Err("has not whole pages");
    }
    if first.starts_with(MAGIC) { Err("is not encrypted") } else { Ok(()) }
}

fn plain(first: &[u8], size: u64) -> Result<(), &'static str> {
    if first.len() < HEADER || !first.starts_with(MAGIC) {
        return Err("is no SQLite database");
    }
    let number = |at: usize| u32::from_be_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
    // 65,536 does not fit into two bytes, and is written as 1.
    let page = match u64::from(u16::from_be_bytes([first[16], first[17]])) {
        1 => 65536,
        page => page,
    };
    // The number of pages counts where whoever changed the file last knew of it.
    let known = number(24) == number(92);
    if page < 512 || !size.is_multiple_of(page) || (known && u64::from(number(28)) * page != size) {
        return Err("has not as many pages as it says");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pages: u32, counter: u32) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.resize(HEADER, 0);
        header[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        header[24..28].copy_from_slice(&7_u32.to_be_bytes());
        header[28..32].copy_from_slice(&pages.to_be_bytes());
        header[92..96].copy_from_slice(&counter.to_be_bytes());
        header
    }

    #[test]
    fn the_outside_of_a_database_says_whether_it_can_be_one() {
        assert_eq!(plain(&header(3, 7), 3 * 4096), Ok(()));
        assert_eq!(plain(&header(9, 6), 3 * 4096), Ok(()), "the number of pages was not kept");
        assert!(plain(&header(4, 7), 3 * 4096).is_err());
        assert!(plain(&header(3, 7), 3 * 4096 + 1).is_err());
        assert!(plain(&header(3, 7)[..50], 3 * 4096).is_err());
        assert!(plain(&[0; HEADER], 4096).is_err());
        assert_eq!(sealed(&[9; HEADER], 4096), Ok(()));
        assert!(sealed(&[9; HEADER], 4097).is_err() && sealed(&[], 0).is_err());
        assert_eq!(sealed(&header(1, 7), 4096), Err("is not encrypted"));
    }
}
