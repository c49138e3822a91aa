//! Writing: folder after folder, message after message.

use std::path::Path;

use data_encoding::HEXLOWER;
use model::SystemFlag;

use crate::eml::EmlWriter;
use crate::maildir::MaildirWriter;
use crate::manifest::{Aside, Damaged, Entry, FolderEntry, ManifestWriter, Tail};
use crate::mbox::MboxWriter;
use crate::{Folder, Format, InterchangeError, Message};

/// Puts mail into a folder that is empty.
pub struct Writer {
    layout: Layout,
    manifest: ManifestWriter,
    tail: Tail,
    written: Written,
}

enum Layout {
    Maildir(MaildirWriter),
    Mbox(MboxWriter),
    Eml(EmlWriter),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Folders.
    pub folders: u64,
    /// Messages.
    pub messages: u64,
    /// Of them, those that waited.
    pub waiting: u64,
    /// Octets of messages.
    pub bytes: u64,
}

impl Writer {
    /// Begins in an empty folder.
    pub fn begin(format: Format, root: &Path) -> Result<Self, InterchangeError> {
        let layout = match format {
            Format::Maildir => Layout::Maildir(MaildirWriter::begin(root)),
            Format::Mbox => Layout::Mbox(MboxWriter::begin(root)),
            Format::Eml => Layout::Eml(EmlWriter::begin(root)),
        };
        let manifest = ManifestWriter::begin(root, format)?;
        Ok(Self { layout, manifest, tail: Tail::default(), written: Written::default() })
    }

    /// Begins the next folder. Each name comes once.
    pub fn folder(&mut self, folder: &Folder) -> Result<(), InterchangeError> {
        let path = match &mut self.layout {
            Layout::Maildir(writer) => writer.folder(folder)?,
            Layout::Mbox(writer) => writer.folder(folder)?,
            Layout::Eml(writer) => writer.folder(folder)?,
        };
        self.written.folders += 1;
        self.tail.folders.push(FolderEntry {
            name: folder.name.clone(),
            path,
            uidvalidity: folder.uidvalidity,
            uidnext: folder.uidnext,
            special: folder.special.clone(),
            messages: 0,
        });
        Ok(())
    }

    /// Adds a message to the folder begun last.
    pub fn message(&mut self, message: &Message) -> Result<(), InterchangeError> {
        let file = match &mut self.layout {
            Layout::Maildir(writer) => writer.message(message)?,
            Layout::Mbox(writer) => writer.message(message)?,
            Layout::Eml(writer) => writer.message(message)?,
        };
        let Some(folder) = self.tail.folders.last_mut() else { return Ok(()) };
        folder.messages += 1;
        self.written.messages += 1;
        self.written.waiting += u64::from(message.waiting);
        self.written.bytes += message.bytes.len() as u64;
        let flags = SystemFlag::ALL.into_iter().filter(|flag| message.flags.has(*flag));
        self.manifest.message(&Entry {
            file,
            folder: folder.name.clone(),
            uid: message.uid,
            flags: flags.map(|flag| flag.name().to_owned()).collect(),
            keywords: message.keywords.clone(),
            internal_date: message.received,
            size: message.bytes.len() as u64,
            sha256: HEXLOWER.encode(&crypto::sha256(&message.bytes)),
            waiting: message.waiting,
        })
    }

    /// Notes a message that is missing because it could not be read.
    pub fn damaged(&mut self, damaged: Damaged) {
        self.tail.damaged.push(damaged);
    }

    /// Notes a waiting message that is missing because it could not be opened.
    pub fn set_aside(&mut self, aside: Aside) {
        self.tail.set_aside.push(aside);
    }

    /// Ends with the subscriptions. Nothing is synced: that is [`crate::Staging::finish`].
    pub fn finish(mut self, subscriptions: Vec<String>) -> Result<Written, InterchangeError> {
        match self.layout {
            Layout::Maildir(writer) => writer.finish(&subscriptions)?,
            Layout::Mbox(writer) => writer.finish()?,
            Layout::Eml(_) => {}
        }
        self.tail.subscriptions = subscriptions;
        self.manifest.finish(&self.tail)?;
        Ok(self.written)
    }
}
