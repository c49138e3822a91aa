//! What can be wrong with manifests.

use std::fmt;
use std::path::PathBuf;

use model::Class;

/// Why manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to read.
    #[error("no manifests in {}", path.display())]
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// A document is not what it should be.
    #[error("{0}")]
    Invalid(Box<Invalid>),
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The file.
    pub file: PathBuf,
    /// Which document of the file, counted from 1.
    pub document: usize,
    /// The line in the file, counted from 1, where it could be found.
    pub line: Option<usize>,
    /// For example `Mailbox/ann`; empty where the document does not say.
    pub object: String,
    /// For example `spec.targets[0].mailboxRef`; empty where the whole document is meant.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(f, ":{line}: ")?,
            None => write!(f, " (document {}): ", self.document)?,
        }
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

impl ManifestError {
    /// What kind of failure this is.
    pub fn class(&self) -> Class {
        match self {
            ManifestError::Unreadable { .. } => Class::Blocked,
            ManifestError::Empty { .. } | ManifestError::Invalid(_) => Class::Invalid,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            ManifestError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "check the path given with -f; the samples are in config/samples".into()
            }
            ManifestError::Unreadable { .. } => "check the permissions of the file".into(),
            ManifestError::Empty { .. } => "a folder needs at least one *.yaml, *.yml or *.json file".into(),
            ManifestError::Invalid(invalid) => invalid.hint.clone(),
        }
    }
}
