//! Writing `.eml` files.

use std::path::{Path, PathBuf};

use crate::names::Paths;
use crate::{Folder, InterchangeError, Message, output};

pub(crate) struct EmlWriter {
    root: PathBuf,
    paths: Paths,
    path: String,
    /// Of messages without a UID.
    next: u32,
}

impl EmlWriter {
    pub fn begin(root: &Path) -> Self {
        Self { root: root.to_owned(), paths: Paths::default(), path: String::new(), next: 1 }
    }

    /// Begins a folder; its path.
    pub fn folder(&mut self, folder: &Folder) -> Result<String, InterchangeError> {
        self.path = self.paths.path(&folder.name);
        self.next = 1;
        output::create_dir_all(&self.root.join(&self.path))?;
        Ok(self.path.clone())
    }

    /// Writes a message; its path.
    pub fn message(&mut self, message: &Message) -> Result<String, InterchangeError> {
        let uid = message.uid.unwrap_or(self.next);
        self.next = uid.saturating_add(1);
        let file = format!("{}/{uid:010}.eml", self.path);
        output::write(&self.root.join(&file), &message.bytes, message.received)?;
        Ok(file)
    }
}
