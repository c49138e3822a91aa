//! What has to be taken back when the power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Writes that were not synced, and names that were not.
pub struct Journal {
    saved: PathBuf,
    count: u64,
    contents: BTreeMap<u64, Content>,
    names: Vec<Name>,
}

/// The unsynced part of a file's content.
struct Content {
    file: File,
    unsynced: Vec<Write>,
    /// Writes whose sync failed.
    lost: Vec<Write>,
}

/// How it was before a write.
struct Write {
    at: u64,
    /// Octets that were there; where fewer were there than written, the file was shorter.
    before: Vec<u8>,
    written: u64,
    length: u64,
}

/// A change of a folder.
enum Name {
    /// A name came, in place of what is saved.
    Added { path: PathBuf, replaced: Option<PathBuf> },
    /// A name went, and what it named is saved.
    Removed { path: PathBuf, saved: PathBuf },
}

impl Name {
    fn path(&self) -> &Path {
        match self {
            Self::Added { path, .. } | Self::Removed { path, .. } => path,
        }
    }
}

impl Journal {
    pub fn new(saved: &Path) -> Self {
        Self { saved: saved.to_owned(), count: 0, contents: BTreeMap::new(), names: Vec::new() }
    }

    /// Before so many octets are written there, or, with `None`, before the file is cut there.
    pub fn write(&mut self, ino: u64, path: &Path, at: u64, size: Option<u64>) {
        let content = match self.contents.entry(ino) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                // Whoever writes has it open; what cannot be opened here is unlinked, and dies with its last handle.
                let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return };
                entry.insert(Content { file, unsynced: Vec::new(), lost: Vec::new() })
            }
        };
        let length = content.file.metadata().unwrap().len();
        let end = size.map_or(length.max(at), |size| at + size);
        let mut before = vec![0; usize::try_from(end.min(length).saturating_sub(at)).unwrap()];
        content.file.read_exact_at(&mut before, at).unwrap();
        content.lost.retain(|write| write.at + write.written <= at || end <= write.at);
        content.unsynced.push(Write { at, before, written: end - at, length });
    }

    /// A file was synced.
    pub fn synced(&mut self, ino: u64) {
        if let Some(content) = self.contents.get_mut(&ino) {
            content.unsynced.clear();
            if content.lost.is_empty() {
                self.contents.remove(&ino);
            }
        }
    }

    /// A file was not synced, and what it holds is taken for clean from now on.
    pub fn not_synced(&mut self, ino: u64) {
        if let Some(content) = self.contents.get_mut(&ino) {
            let unsynced = std::mem::take(&mut content.unsynced);
            content.lost.extend(unsynced);
        }
    }

    /// A folder was synced.
    pub fn dir_synced(&mut self, folder: &Path) {
        let saved: BTreeSet<PathBuf> = self
            .names
            .extract_if(.., |name| name.path().parent() == Some(folder))
            .filter_map(|name| match name {
                Name::Added { replaced, .. } => replaced,
                Name::Removed { saved, .. } => Some(saved),
            })
            .collect();
        for path in saved {
            let _ = fs::remove_file(path);
        }
    }

    /// A link to what a name stands for; none for a folder.
    pub fn save(&mut self, path: &Path) -> Option<PathBuf> {
        self.count += 1;
        let saved = self.saved.join(self.count.to_string());
        fs::hard_link(path, &saved).ok().map(|()| saved)
    }

    pub fn added(&mut self, path: PathBuf, replaced: Option<PathBuf>) {
        self.names.push(Name::Added { path, replaced });
    }

    pub fn removed(&mut self, path: PathBuf, saved: Option<PathBuf>) {
        if let Some(saved) = saved {
            self.names.push(Name::Removed { path, saved });
        }
    }

    /// Takes back what was not synced; answers how many changes that were.
    pub fn power_cut(&mut self, random: &mut dyn FnMut(usize) -> usize) -> usize {
        let mut lost = 0;
        for content in std::mem::take(&mut self.contents).into_values() {
            lost += content.power_cut(random);
        }
        for name in std::mem::take(&mut self.names).into_iter().rev() {
            lost += 1;
            match name {
                Name::Added { path, replaced } => {
                    // A folder that was not synced holds nothing that was.
                    let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                    if let Some(replaced) = replaced {
                        fs::rename(replaced, path).unwrap();
                    }
                }
                // Its folder may have gone with what was not synced above it.
                Name::Removed { path, saved } => drop(fs::rename(saved, path)),
            }
        }
        lost
    }
}

impl Content {
    /// Of the unsynced writes the first few may have reached the disk, and of those not even all.
    fn power_cut(self, random: &mut dyn FnMut(usize) -> usize) -> usize {
        let kept = random(self.unsynced.len() + 1);
        let mut lost = 0;
        for (n, write) in self.unsynced.iter().enumerate().rev() {
            if n >= kept {
                write.undo(&self.file);
                self.file.set_len(write.length).unwrap();
                lost += 1;
            } else if random(4) == 0 {
                write.undo(&self.file);
                lost += 1;
            }
        }
        for write in self.lost.iter().rev() {
            write.undo(&self.file);
            lost += 1;
        }
        lost
    }
}

impl Write {
    /// Within the length the file has.
    fn undo(&self, file: &File) {
        file.write_all_at(&self.before, self.at).unwrap();
        let length = file.metadata().unwrap().len();
        // What was never there is zero.
        let (from, to) = (self.at + self.before.len() as u64, (self.at + self.written).min(length));
        if from < to {
            file.write_all_at(&vec![0; usize::try_from(to - from).unwrap()], from).unwrap();
        }
    }
}
