//! Looking at every mailbox's files from outside: what changed since the last look.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::MailboxId;

/// What is looked at; a change of any of them is a reason for a turn.
const FILES: [&str; 5] = ["mailbox.sqlite-wal", "spool.sqlite-wal", "mailbox.wal.json", "spool.wal.json", "keys.json"];

/// Time of the last change in nanoseconds, and bytes.
type Stamp = [Option<(i128, u64)>; FILES.len()];

/// Remembers what it saw.
#[derive(Debug, Default)]
pub struct Scanner {
    seen: HashMap<MailboxId, Stamp>,
}

impl Scanner {
    /// The mailboxes whose files are others than at the last look; all of them at the first one.
    pub fn changed(&mut self, mailboxes: &Path) -> io::Result<Vec<MailboxId>> {
        let mut changed = Vec::new();
        let mut seen = HashMap::with_capacity(self.seen.len());
        for mailbox in list(mailboxes)? {
            let stamp = stamp(&folder_of(mailboxes, mailbox))?;
            if self.seen.get(&mailbox) != Some(&stamp) {
                changed.push(mailbox);
            }
            seen.insert(mailbox, stamp);
        }
        self.seen = seen;
        Ok(changed)
    }

    /// Mailboxes there were at the last look.
    pub fn mailboxes(&self) -> impl Iterator<Item = MailboxId> + '_ {
        self.seen.keys().copied()
    }
}

/// Where the files of a mailbox are.
pub fn folder_of(mailboxes: &Path, mailbox: MailboxId) -> PathBuf {
    mailboxes.join(mailbox.prefix()).join(mailbox.as_str())
}

fn list(mailboxes: &Path) -> io::Result<Vec<MailboxId>> {
    let mut found = Vec::new();
    for prefix in names(mailboxes)? {
        found.extend(names(&mailboxes.join(prefix))?.iter().filter_map(|name| name.parse::<MailboxId>().ok()));
    }
    Ok(found)
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose()).collect()
}

fn stamp(folder: &Path) -> io::Result<Stamp> {
    let mut stamp = Stamp::default();
    for (name, place) in FILES.iter().zip(&mut stamp) {
        *place = match fs::metadata(folder.join(name)) {
            Ok(meta) => Some((i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()), meta.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
    }
    Ok(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_change_is_not_told_again() {
        let dir = tempfile::tempdir().unwrap();
        let ids = [1, 2, 3].map(|n| MailboxId::from_random([n; 17]));
        for id in ids {
            fs::create_dir_all(folder_of(dir.path(), id)).unwrap();
        }
        fs::create_dir_all(dir.path().join("zz/stranger")).unwrap();
        let mut scanner = Scanner::default();
        let mut first = scanner.changed(dir.path()).unwrap();
        first.sort();
        let mut all = ids.to_vec();
        all.sort();
        assert_eq!(first, all);
        fs::write(folder_of(dir.path(), ids[1]).join("spool.sqlite-wal"), "frames").unwrap();
        assert_eq!(scanner.changed(dir.path()).unwrap(), [ids[1]]);
        assert_eq!(scanner.changed(dir.path()).unwrap(), []);
        fs::remove_dir_all(folder_of(dir.path(), ids[0])).unwrap();
        assert_eq!(scanner.changed(dir.path()).unwrap(), []);
        assert_eq!(scanner.mailboxes().count(), 2);
        assert_eq!(Scanner::default().changed(&dir.path().join("none")).unwrap(), []);
    }
}
