//! Writing a Maildir.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::{KEYWORDS, LETTERS};
use crate::{Folder, InterchangeError, Message, names, output};

pub(crate) struct MaildirWriter {
    root: PathBuf,
    open: Option<Open>,
}

/// The folder begun last.
struct Open {
    /// With a dot in front; empty for INBOX.
    name: String,
    path: PathBuf,
    folder: Folder,
    keywords: Vec<String>,
    /// UIDs and files.
    listed: Vec<(u32, String)>,
    next: u32,
}

impl MaildirWriter {
    pub fn begin(root: &Path) -> Self {
        Self { root: root.to_owned(), open: None }
    }

    /// Begins a folder; its path.
    pub fn folder(&mut self, folder: &Folder) -> Result<String, InterchangeError> {
        self.close()?;
        let name = names::maildir_of(&folder.name);
        let path = self.root.join(&name);
        for part in ["cur", "new", "tmp"] {
            output::create_dir_all(&path.join(part))?;
        }
        if !name.is_empty() {
            // Tells programs that deliver here that it is not the root (Maildir++).
            output::write(&path.join("maildirfolder"), b"", None)?;
        }
        let open = Open {
            name: name.clone(),
            path,
            folder: folder.clone(),
            keywords: Vec::new(),
            listed: Vec::new(),
            next: 1,
        };
        self.open = Some(open);
        Ok(name)
    }

    /// Writes a message; its path without flags.
    pub fn message(&mut self, message: &Message) -> Result<String, InterchangeError> {
        let Some(open) = &mut self.open else { return Ok(String::new()) };
        let uid = message.uid.unwrap_or(open.next);
        open.next = uid.saturating_add(1);
        let seconds = message.received.map_or(0, |time| time.as_second().max(0));
        let base = format!("{seconds}.U{uid:010}.sealpost,S={}", message.bytes.len());
        let file =
            if message.waiting { format!("new/{base}") } else { format!("cur/{base}:2,{}", open.letters(message)) };
        output::write(&open.path.join(file), &message.bytes, message.received)?;
        let known = if open.name.is_empty() { base.clone() } else { format!("{}/{base}", open.name) };
        open.listed.push((uid, base));
        Ok(known)
    }

    /// Writes what belongs to all folders.
    pub fn finish(mut self, subscriptions: &[String]) -> Result<(), InterchangeError> {
        self.close()?;
        let mut text = String::new();
        for name in subscriptions {
            let listed = names::maildir_of(name);
            text += if listed.is_empty() { "INBOX" } else { &listed[1..] };
            text.push('\n');
        }
        output::write(&self.root.join("subscriptions"), text.as_bytes(), None)
    }

    fn close(&mut self) -> Result<(), InterchangeError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if !open.keywords.is_empty() {
            let mut lines = String::new();
            for (n, name) in open.keywords.iter().enumerate() {
                let _ = writeln!(lines, "{n} {name}");
            }
            output::write(&open.path.join("dovecot-keywords"), lines.as_bytes(), None)?;
        }
        if let Some(uidvalidity) = open.folder.uidvalidity {
            output::write(&open.path.join("dovecot-uidlist"), open.uidlist(uidvalidity).as_bytes(), None)?;
        }
        Ok(())
    }
}

impl Open {
    fn letters(&mut self, message: &Message) -> String {
        let system = LETTERS.iter().filter(|(_, flag)| message.flags.has(*flag)).map(|(letter, _)| *letter);
        let mut letters: String = system.collect();
        let mut own: Vec<char> = message.keywords.iter().filter_map(|name| self.keyword(name)).collect();
        own.sort_unstable();
        letters.extend(own);
        letters
    }

    fn keyword(&mut self, name: &str) -> Option<char> {
        let at = self.keywords.iter().position(|known| known.eq_ignore_ascii_case(name)).or_else(|| {
            let free = self.keywords.len() < KEYWORDS;
            free.then(|| {
                self.keywords.push(name.to_owned());
                self.keywords.len() - 1
            })
        })?;
        Some(char::from(b'a' + at as u8))
    }

    /// Version 3 of Dovecot's list.
    fn uidlist(&self, uidvalidity: u32) -> String {
        let id = crypto::sha256(format!("{uidvalidity} {}", self.folder.name).as_bytes());
        let next = self.folder.uidnext.unwrap_or(1).max(self.next);
        let mut text = format!("3 V{uidvalidity} N{next} G{}\n", HEXLOWER.encode(&id[..16]));
        for (uid, base) in &self.listed {
            let _ = writeln!(text, "{uid} :{base}");
        }
        text
    }
}
