//! Reading `.eml` files, with or without a manifest.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use model::{FlagSet, SystemFlag};

use crate::manifest::{Entry, Manifest};
use crate::source::{crlf, is_known};
use crate::{Folder, InterchangeError, Message, names, output};

/// A folder of folders of `.eml` files.
pub(crate) struct EmlSource {
    root: PathBuf,
    /// Files of each folder in the order of their UIDs, relative to the root.
    files: BTreeMap<String, Vec<String>>,
    known: HashMap<String, Entry>,
    pub folders: Vec<Folder>,
}

impl EmlSource {
    pub fn open(root: &Path, manifest: Option<&Manifest>) -> Result<Self, InterchangeError> {
        let mut found = Vec::new();
        collect(root, "", &mut found)?;
        let entries = manifest.map(|manifest| manifest.messages.as_slice()).unwrap_or_default();
        let known: HashMap<_, _> = entries.iter().map(|entry| (entry.file.clone(), entry.clone())).collect();
        let declared = manifest.map(|manifest| manifest.tail.folders.as_slice()).unwrap_or_default();
        let mut folders: Vec<Folder> = declared.iter().map(Folder::from).collect();
        let paths: HashMap<_, _> = declared.iter().map(|folder| (folder.path.as_str(), &folder.name)).collect();
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, file) in found {
            let name = paths.get(path.as_str()).map_or_else(|| folder_of(&path), |name| (*name).clone());
            if !folders.iter().any(|folder| folder.name == name) {
                folders.push(Folder { name: name.clone(), ..Folder::default() });
            }
            files.entry(name).or_default().push(file);
        }
        Ok(Self { root: root.to_owned(), files, known, folders })
    }

    pub fn messages<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = Result<Message, InterchangeError>> + 'a {
        self.files.get(folder).into_iter().flatten().map(|file| self.message(file))
    }

    fn message(&self, file: &str) -> Result<Message, InterchangeError> {
        let path = self.root.join(file);
        let bytes = output::read(&path)?.unwrap_or_default();
        let Some(entry) = self.known.get(file) else {
            let received = output::changed(&path)?;
            let (flags, keywords) = (FlagSet::default(), Vec::new());
            return Ok(Message { uid: None, flags, keywords, received, waiting: false, bytes: crlf(bytes) });
        };
        let named = entry.flags.iter().filter_map(|name| SystemFlag::from_name(name));
        Ok(Message {
            uid: entry.uid,
            flags: named.fold(FlagSet::default(), FlagSet::with),
            keywords: entry.keywords.clone(),
            received: entry.internal_date,
            waiting: entry.waiting,
            bytes: if is_known(entry, &bytes) { bytes } else { crlf(bytes) },
        })
    }
}

/// Files that lie in the root belong to INBOX.
fn folder_of(path: &str) -> String {
    if path.is_empty() { "INBOX".into() } else { names::folder_of_path(path) }
}

/// All `.eml` files below a folder: path of their folder, and their own.
fn collect(root: &Path, path: &str, found: &mut Vec<(String, String)>) -> Result<(), InterchangeError> {
    for name in output::names(&root.join(path))? {
        let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let file = root.join(&below);
        if file.is_dir() {
            collect(root, &below, found)?;
        } else if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml")) {
            found.push((path.to_owned(), below));
        }
    }
    Ok(())
}
