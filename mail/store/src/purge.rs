//! The end of a mailbox on its volume: every file of it goes, the keys first, for without them the rest opens never again.
//!
//! `purged/<id>.json` says what there was before any of it goes, and stays: as long as it is there, nothing makes a folder for that
//! id ([`Layout::create_mailbox_dir`]). It has names and sizes of files, and nothing of what was in them.
//!
//! | then | a crash before the next leaves |
//! |---|---|
//! | the record is written: `begun`, and every file that is there | nothing else: all is begun anew |
//! | `keys.json` and its predecessors go, also those kept beside replaced files | ciphertext without its keys |
//! | the mailbox's other files go, then its folder | some of them |
//! | what restores, snapshots and the archive keep of it elsewhere on the volume goes | some of it |
//! | nothing is found any more: `done` | the same |
//!
//! A start finishes what was begun ([`resume`]) before anything is opened. Files are unlinked, not overwritten: what a disk keeps of
//! them is ciphertext.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use control::{PurgeRecord, PurgeStep, PurgedFile};
use files::{FilesError, durable, fault};
use jiff::Timestamp;
use model::MailboxId;
use serde::Deserialize;

use crate::layout::names;
use crate::open::is_there;
use crate::{KeysFile, Layout, StoreError};

/// `format` of `purged/<id>.json`.
const FORMAT: u32 = 1;

/// Removes all of a mailbox; again if it was done already. Nobody has it open, and nobody opens it meanwhile. Blocking.
pub fn run(layout: &Layout, mailbox: MailboxId, now: Timestamp) -> Result<PurgeRecord, StoreError> {
    let mut record = match last(layout, mailbox)? {
        Some(record) => record,
        None => begin(layout, mailbox, now)?,
    };
    if record.step == PurgeStep::Done && places(layout, mailbox)?.is_empty() {
        return Ok(record);
    }
    let found = files_of(layout, mailbox)?;
    let is_new = |file: &&PurgedFile| !record.files.iter().any(|known| known.name == file.name);
    let more: Vec<PurgedFile> = found.iter().filter(is_new).cloned().collect();
    if !more.is_empty() {
        record.files.extend(more);
        record.step = PurgeStep::Begun;
        note(layout, &record)?;
    }
    fault::point("purge.noted.after");
    remove(layout, mailbox, &found)?;
    if !places(layout, mailbox)?.is_empty() {
        // Somebody else puts files there: it is begun anew.
        return Err(StoreError::Busy);
    }
    (record.step, record.done) = (PurgeStep::Done, Some(now));
    note(layout, &record)?;
    fault::point("purge.done.after");
    Ok(record)
}

/// Finishes what a crash has left half done. Only for whoever has locked the volume, before it opens anything. Blocking.
pub fn resume(layout: &Layout) -> Result<(), StoreError> {
    for name in names(&layout.data().join("purged"))? {
        let Some(mailbox) = name.strip_suffix(".json").and_then(|id| id.parse::<MailboxId>().ok()) else { continue };
        let Some(record) = last(layout, mailbox)? else { continue };
        if record.step != PurgeStep::Done || is_there(&layout.mailbox_dir(mailbox))? {
            tracing::info!(%mailbox, "a purge is finished");
            run(layout, mailbox, Timestamp::now())?;
        }
    }
    Ok(())
}

/// What is written down of a mailbox's purge. Blocking.
pub fn last(layout: &Layout, mailbox: MailboxId) -> Result<Option<PurgeRecord>, StoreError> {
    let path = layout.purged(mailbox);
    if !is_there(&path)? {
        return Ok(None);
    }
    let json = std::fs::read(&path).map_err(|source| FilesError::Io { action: "read", path, source })?;
    let found: PurgeRecord = serde_json::from_slice(&json).map_err(|_| StoreError::Corrupt("purged/<id>.json"))?;
    if found.format != FORMAT {
        let (found, known) = (found.format.into(), FORMAT.into());
        return Err(StoreError::Format { what: "purged/<id>.json", found, known });
    }
    Ok(Some(found))
}

fn begin(layout: &Layout, mailbox: MailboxId, now: Timestamp) -> Result<PurgeRecord, StoreError> {
    let record = PurgeRecord {
        format: FORMAT,
        mailbox,
        step: PurgeStep::Begun,
        begun: now,
        done: None,
        files: files_of(layout, mailbox)?,
        copies: copies(layout, mailbox)?,
    };
    note(layout, &record)?;
    Ok(record)
}

fn note(layout: &Layout, record: &PurgeRecord) -> Result<(), StoreError> {
    durable::create_dir_all(&layout.data().join("purged"))?;
    let json = serde_json::to_vec(record).map_err(|_| StoreError::Corrupt("purged/<id>.json"))?;
    Ok(durable::write(&layout.purged(record.mailbox), &json)?)
}

fn remove(layout: &Layout, mailbox: MailboxId, found: &[PurgedFile]) -> Result<(), StoreError> {
    let folder = layout.mailbox_dir(mailbox);
    let (keys, rest): (Vec<PathBuf>, Vec<PathBuf>) =
        found.iter().map(|file| layout.data().join(&file.name)).partition(|path| is_keys(path));
    for path in keys {
        durable::remove(&path)?;
    }
    fault::point("purge.keys.after");
    for path in rest.iter().filter(|path| path.starts_with(&folder)) {
        durable::remove(path)?;
        fault::point("purge.file.after");
    }
    if is_there(&folder)? {
        durable::remove_dir_all(&folder)?;
    }
    fault::point("purge.folder.after");
    for place in places(layout, mailbox)? {
        // The folder that it is in is there: it has just been listed.
        if place.is_dir() { durable::remove_dir_all(&place)? } else { durable::remove(&place)? }
    }
    fault::point("purge.copies.after");
    Ok(())
}

/// `keys.json`, its predecessors, and what a write of one has left.
fn is_keys(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_start_matches('.').starts_with("keys.json")
}

/// Every file of a mailbox on the volume, but for the record of its purge and what the sidecar knows of its archive.
fn files_of(layout: &Layout, mailbox: MailboxId) -> Result<Vec<PurgedFile>, StoreError> {
    let mut found = Vec::new();
    for place in places(layout, mailbox)? {
        walk(layout.data(), &place, &mut found)?;
    }
    found.sort();
    Ok(found)
}

/// Where files of a mailbox are: folders and files with its id in their names.
fn places(layout: &Layout, mailbox: MailboxId) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = vec![layout.mailbox_dir(mailbox)];
    for folder in ["replaced", "outbox", "staging"].map(|name| layout.data().join(name)) {
        let names = names(&folder)?;
        found.extend(names.iter().filter(|name| name.contains(mailbox.as_str())).map(|name| folder.join(name)));
    }
    let mut there = Vec::new();
    for place in found {
        if is_there(&place)? {
            there.push(place);
        }
    }
    Ok(there)
}

fn walk(data: &Path, path: &Path, found: &mut Vec<PurgedFile>) -> Result<(), StoreError> {
    let failed = |source| FilesError::Io { action: "look at", path: path.to_owned(), source };
    let meta = match std::fs::symlink_metadata(path) {
        // What is being made elsewhere may go by itself.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(failed)?,
    };
    if meta.is_dir() {
        for name in names(path)? {
            walk(data, &path.join(name), found)?;
        }
    } else {
        let name = path.strip_prefix(data).unwrap_or(path).display().to_string();
        found.push(PurgedFile { name, bytes: meta.len() });
    }
    Ok(())
}

/// The other mailboxes whose keys open the same mail: a restore to a new mailbox takes the keys along.
fn copies(layout: &Layout, mailbox: MailboxId) -> Result<Vec<MailboxId>, StoreError> {
    let Some(own) = keyset(layout, mailbox)? else { return Ok(Vec::new()) };
    let restored = |id: MailboxId| is_there(&layout.adopted(id));
    // Copies were restored; so one that was not may only be what this one is a copy of.
    let all = restored(mailbox)?;
    let mut found = BTreeSet::new();
    for id in layout.mailboxes()?.into_iter().filter(|id| *id != mailbox) {
        if (all || restored(id)?) && keyset(layout, id)?.as_ref() == Some(&own) {
            found.insert(id);
        }
    }
    Ok(found.into_iter().collect())
}

/// What a mailbox's keys are called.
fn keyset(layout: &Layout, mailbox: MailboxId) -> Result<Option<String>, StoreError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Keys {
        keyset_id: String,
    }
    let json = KeysFile::new(layout.keys(mailbox)).read()?;
    // One that cannot be read opens nothing.
    Ok(json.and_then(|json| serde_json::from_slice::<Keys>(&json).ok()).map(|keys| keys.keyset_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MailboxId {
        MailboxId::from_random([n; 17])
    }

    /// A mailbox as a long life leaves it, beside another one.
    fn volume() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        for n in [1, 2] {
            let replaced = layout.data().join(format!("replaced/{}/0123456789abcdef", id(n)));
            let outbox = layout.data().join(format!("outbox/{}", id(n)));
            let verify = layout.staging().join(format!("verify-{}/snapshot", id(n)));
            for made in [&replaced, &outbox, &verify] {
                std::fs::create_dir_all(made).unwrap();
            }
            layout.create_mailbox_dir(id(n)).unwrap();
            let dir = layout.mailbox_dir(id(n));
            let names =
                ["keys.json", "keys.json.1", "mailbox.sqlite", "mailbox.sqlite-wal", "spool.sqlite", "adopted.json"];
            let own = names.map(|name| dir.join(name));
            let others = [
                replaced.join("keys.json"),
                replaced.join("mailbox.sqlite"),
                outbox.join("a.seg"),
                verify.join("mailbox.sqlite"),
                layout.staging().join(format!("snapshot-{}-01234567.sqlite", id(n))),
            ];
            for path in own.iter().chain(&others) {
                std::fs::write(path, br#"{"keysetId":"same","version":1}"#).unwrap();
            }
        }
        (folder, layout)
    }

    #[test]
    fn all_of_a_mailbox_goes_and_nothing_of_another_one_and_its_id_never_comes_back() {
        let (_folder, layout) = volume();
        let before = files_of(&layout, id(1)).unwrap();
        let other = files_of(&layout, id(2)).unwrap();
        assert_eq!((before.len(), other.len()), (11, 11));
        let record = run(&layout, id(1), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((record.files.clone(), record.step, record.copies.clone()), (before, PurgeStep::Done, vec![id(2)]));
        assert_eq!(files_of(&layout, id(1)).unwrap(), []);
        assert!(!layout.mailbox_dir(id(1)).exists());
        assert_eq!(files_of(&layout, id(2)).unwrap(), other);
        assert!(matches!(layout.create_mailbox_dir(id(1)), Err(StoreError::Purged)));
        assert_eq!(run(&layout, id(1), Timestamp::now()).unwrap(), record, "it was done before");
    }

    #[test]
    fn a_start_finishes_a_purge_from_every_state_that_a_crash_leaves() {
        let count = 11;
        for left in 0..=count {
            let (_folder, layout) = volume();
            let record = begin(&layout, id(1), Timestamp::UNIX_EPOCH).unwrap();
            for file in &record.files[left..] {
                std::fs::remove_file(layout.data().join(&file.name)).unwrap();
            }
            if left == 0 {
                std::fs::remove_dir_all(layout.mailbox_dir(id(1))).unwrap();
            }
            resume(&layout).unwrap();
            assert_eq!(files_of(&layout, id(1)).unwrap(), []);
            let done = last(&layout, id(1)).unwrap().unwrap();
            assert_eq!((done.step, done.files), (PurgeStep::Done, record.files), "what was there at first");
            assert_eq!(files_of(&layout, id(2)).unwrap().len(), count);
        }
        let (_folder, layout) = volume();
        run(&layout, id(1), Timestamp::UNIX_EPOCH).unwrap();
        std::fs::create_dir_all(layout.mailbox_dir(id(1))).unwrap();
        std::fs::write(layout.keys(id(1)), "late").unwrap();
        resume(&layout).unwrap();
        assert!(!layout.mailbox_dir(id(1)).exists(), "what came too late goes as well");
    }
}
