//! Reading: what another program, or an export, has left.

use std::path::Path;

use data_encoding::HEXLOWER;

use crate::eml::EmlSource;
use crate::maildir::MaildirSource;
use crate::manifest::{Entry, FolderEntry, Manifest};
use crate::mbox::MboxSource;
use crate::{Folder, Format, InterchangeError, Message};

/// Mail to be read.
pub struct Source {
    layout: Layout,
    subscriptions: Vec<String>,
}

enum Layout {
    Maildir(MaildirSource),
    Mbox(MboxSource),
    Eml(EmlSource),
}

/// The messages of a folder, in their order.
pub type Messages<'a> = Box<dyn Iterator<Item = Result<Message, InterchangeError>> + 'a>;

impl Source {
    /// Looks what is there. A folder that is not in the manifest is one too; of an mbox the path may be a single file.
    pub fn open(format: Format, path: &Path) -> Result<Self, InterchangeError> {
        let manifest = Manifest::read(path, format)?;
        let layout = match format {
            Format::Maildir => Layout::Maildir(MaildirSource::open(path, manifest.as_ref())?),
            Format::Mbox => Layout::Mbox(MboxSource::open(path, manifest.as_ref())?),
            Format::Eml => Layout::Eml(EmlSource::open(path, manifest.as_ref())?),
        };
        let subscriptions = match (manifest, &layout) {
            (Some(manifest), _) => manifest.tail.subscriptions,
            (None, Layout::Maildir(source)) => source.subscriptions()?,
            (None, _) => Vec::new(),
        };
        Ok(Self { layout, subscriptions })
    }

    /// All folders.
    pub fn folders(&self) -> &[Folder] {
        match &self.layout {
            Layout::Maildir(source) => &source.folders,
            Layout::Mbox(source) => &source.folders,
            Layout::Eml(source) => &source.folders,
        }
    }

    /// Subscribed names.
    pub fn subscriptions(&self) -> &[String] {
        &self.subscriptions
    }

    /// The messages of a folder.
    pub fn messages<'a>(&'a self, folder: &'a str) -> Result<Messages<'a>, InterchangeError> {
        Ok(match &self.layout {
            Layout::Maildir(source) => Box::new(source.messages(folder)?),
            Layout::Mbox(source) => Box::new(source.messages(folder)?),
            Layout::Eml(source) => Box::new(source.messages(folder)),
        })
    }
}

impl From<&FolderEntry> for Folder {
    fn from(entry: &FolderEntry) -> Self {
        Self {
            name: entry.name.clone(),
            uidvalidity: entry.uidvalidity,
            uidnext: entry.uidnext,
            special: entry.special.clone(),
            keywords: Vec::new(),
        }
    }
}

/// True for the very bytes that were exported.
pub(crate) fn is_known(entry: &Entry, bytes: &[u8]) -> bool {
    entry.size == bytes.len() as u64 && entry.sha256 == HEXLOWER.encode(&crypto::sha256(bytes))
}

/// Mail of other programs often has the line ends of its file system; on the wire, and here, they are CRLF (RFC 5322
/// section 2.3). A message that has any is left as it is.
pub(crate) fn crlf(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.windows(2).any(|pair| pair == b"\r\n") {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for byte in bytes {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}
