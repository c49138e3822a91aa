//! Reading a Maildir, ours or another program's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use model::FlagSet;

use super::LETTERS;
use crate::manifest::{Entry, Manifest};
use crate::source::{crlf, is_known};
use crate::{Folder, InterchangeError, Message, names, output};

/// A Maildir++.
pub(crate) struct MaildirSource {
    root: PathBuf,
    /// Folder of the Maildir by folder name.
    paths: HashMap<String, String>,
    known: HashMap<String, Entry>,
    pub folders: Vec<Folder>,
}

/// A message's file.
struct Found {
    uid: Option<u32>,
    /// Seconds in its name; orders what has no UID.
    seconds: i64,
    base: String,
    letters: String,
    path: PathBuf,
    fresh: bool,
}

impl MaildirSource {
    pub fn open(root: &Path, manifest: Option<&Manifest>) -> Result<Self, InterchangeError> {
        if !root.join("cur").is_dir() && !root.join("new").is_dir() {
            let why = "it has neither cur/ nor new/; with nested folders (LAYOUT=fs) import them one by one";
            return Err(InterchangeError::malformed(root, "a Maildir", why));
        }
        let declared = manifest.map(|manifest| manifest.tail.folders.as_slice()).unwrap_or_default();
        let declared: HashMap<_, _> = declared.iter().map(|folder| (folder.path.as_str(), folder)).collect();
        let (mut paths, mut folders) = (HashMap::new(), Vec::new());
        let below = output::names(root)?.into_iter();
        let below = below.filter(|name| name.starts_with('.') && root.join(name).join("cur").is_dir());
        for path in std::iter::once(String::new()).chain(below) {
            let folder = declared.get(path.as_str()).map_or_else(
                || Folder { name: names::folder_of_maildir(&path), ..Folder::default() },
                |entry| Folder::from(*entry),
            );
            paths.insert(folder.name.clone(), path);
            folders.push(folder);
        }
        let entries = manifest.map(|manifest| manifest.messages.as_slice()).unwrap_or_default();
        let known = entries.iter().map(|entry| (entry.file.clone(), entry.clone())).collect();
        Ok(Self { root: root.to_owned(), paths, known, folders })
    }

    /// The names in `subscriptions`, of either version that Dovecot writes.
    pub fn subscriptions(&self) -> Result<Vec<String>, InterchangeError> {
        let text = output::read(&self.root.join("subscriptions"))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let names = text.lines().skip_while(|line| line.starts_with("V\t")).filter(|line| !line.is_empty());
        Ok(names
            .map(|line| if line == "INBOX" { line.into() } else { names::folder_of_maildir(&line.replace('\t', ".")) })
            .collect())
    }

    pub fn messages(
        &self,
        folder: &str,
    ) -> Result<impl Iterator<Item = Result<Message, InterchangeError>>, InterchangeError> {
        let name = self.paths.get(folder).cloned().unwrap_or_default();
        let path = self.root.join(&name);
        let uids = uidlist(&path)?;
        let mut found = Vec::new();
        for part in ["cur", "new"] {
            if path.join(part).is_dir() {
                let files = output::names(&path.join(part))?.into_iter().filter(|file| !file.starts_with('.'));
                found.extend(files.map(|file| Found::new(&path.join(part), &file, part == "new", &uids)));
            }
        }
        found.sort_by(|a, b| {
            let place = |one: &Found| (one.uid.unwrap_or(u32::MAX), one.seconds);
            place(a).cmp(&place(b)).then_with(|| a.base.cmp(&b.base))
        });
        let keywords = keywords(&path)?;
        Ok(found.into_iter().map(move |file| self.message(&name, &file, &keywords)))
    }

    fn message(&self, folder: &str, file: &Found, keywords: &[String]) -> Result<Message, InterchangeError> {
        let bytes = output::read(&file.path)?.unwrap_or_default();
        let received = output::changed(&file.path)?;
        let named = if folder.is_empty() { file.base.clone() } else { format!("{folder}/{}", file.base) };
        let entry = self.known.get(&named).filter(|entry| is_known(entry, &bytes));
        let set = LETTERS.iter().filter(|(letter, _)| file.letters.contains(*letter)).map(|(_, flag)| *flag);
        let own = file.letters.bytes().filter(u8::is_ascii_lowercase);
        let mut own: Vec<String> =
            own.filter_map(|c| keywords.get(usize::from(c - b'a')).cloned()).filter(|name| !name.is_empty()).collect();
        if let Some(entry) = entry {
            // Those that found no letter; one that has a letter and is not set was taken away since.
            let letterless = |name: &&String| !keywords.iter().any(|known| known.eq_ignore_ascii_case(name));
            own.extend(entry.keywords.iter().filter(letterless).cloned());
        }
        Ok(Message {
            uid: file.uid,
            flags: set.fold(FlagSet::default(), FlagSet::with),
            keywords: own,
            received,
            waiting: file.fresh && entry.is_some_and(|entry| entry.waiting),
            bytes: if entry.is_some() { bytes } else { crlf(bytes) },
        })
    }
}

impl Found {
    fn new(folder: &Path, file: &str, fresh: bool, uids: &HashMap<String, u32>) -> Self {
        // A colon cannot be in names on some file systems; programs there take one of the others.
        let (base, letters) = [":2,", "!2,", ";2,"].iter().find_map(|mark| file.split_once(mark)).unwrap_or((file, ""));
        let seconds = base.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        Self {
            uid: uids.get(base).copied(),
            seconds,
            base: base.to_owned(),
            letters: letters.to_owned(),
            path: folder.join(file),
            fresh,
        }
    }
}

/// UIDs by file, from Dovecot's list of version 3.
fn uidlist(folder: &Path) -> Result<HashMap<String, u32>, InterchangeError> {
    let text = output::read(&folder.join("dovecot-uidlist"))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().skip(1).filter_map(|line| line.split_once(" :").or_else(|| line.split_once(':')));
    Ok(lines.filter_map(|(head, file)| Some((file.to_owned(), head.split(' ').next()?.parse().ok()?))).collect())
}

/// Keywords by letter; a letter without a name stays empty.
fn keywords(folder: &Path) -> Result<Vec<String>, InterchangeError> {
    let text = output::read(&folder.join("dovecot-keywords"))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut names: Vec<String> = Vec::new();
    for (n, name) in text.lines().filter_map(|line| line.split_once(' ')) {
        let Some(n) = n.parse::<usize>().ok().filter(|n| *n < super::KEYWORDS) else { continue };
        if names.len() <= n {
            names.resize(n + 1, String::new());
        }
        name.clone_into(&mut names[n]);
    }
    Ok(names)
}
