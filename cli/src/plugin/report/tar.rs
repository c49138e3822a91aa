//! An archive that every `tar` reads (POSIX ustar), compressed with Zstandard where its name says so.

use std::path::Path;

use anyhow::bail;
use jiff::Timestamp;

/// Headers and contents are filled up to this.
const BLOCK: usize = 512;
/// Longest name, in bytes.
const NAME: usize = 99;
/// Level of compression: the text of logs shrinks to a tenth.
const LEVEL: i32 = 9;

/// A file inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path; what is longer than 99 bytes is cut off.
    pub name: String,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// What the name of an archive asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `.tar`
    Plain,
    /// `.tar.zst`
    Zstandard,
}

impl Form {
    /// By the end of the name.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.rsplit_once(".tar") {
            Some((_, "")) => Ok(Self::Plain),
            Some((_, ".zst")) => Ok(Self::Zstandard),
            _ => bail!("{name}: an archive is called something.tar.zst, or something.tar"),
        }
    }

    /// The bytes of the archive.
    pub fn pack(self, entries: &[Entry], now: Timestamp) -> std::io::Result<Vec<u8>> {
        let tar = tar(entries, now);
        match self {
            Self::Plain => Ok(tar),
            Self::Zstandard => zstd::encode_all(tar.as_slice(), LEVEL),
        }
    }
}

fn tar(entries: &[Entry], now: Timestamp) -> Vec<u8> {
    let mut tar = Vec::new();
    for Entry { name, contents } in entries {
        tar.extend(header(name, contents.len(), now));
        tar.extend(contents);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn header(name: &str, size: usize, now: Timestamp) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.floor_char_boundary(NAME)]);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", now.as_second().max(0)).as_bytes());
    // The sum is made as if it were blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let entries = [("report/a.json", "{}".to_owned()), ("report/logs/b.log", "line\n".repeat(1000))]
            .map(|(name, text)| Entry { name: name.into(), contents: text.into_bytes() });
        let path = folder.path().join("x.tar");
        let packed = Form::of(&path).unwrap().pack(&entries, Timestamp::UNIX_EPOCH).unwrap();
        std::fs::write(&path, packed).unwrap();
        let read = Command::new("tar").args(["--extract", "--file"]).arg(&path).arg("-C").arg(folder.path()).output();
        let read = read.expect("every system has tar");
        assert!(read.status.success(), "{read:?}");
        for entry in entries {
            assert_eq!(std::fs::read(folder.path().join(entry.name)).unwrap(), entry.contents);
        }
    }

    #[test]
    fn the_name_says_which_form_it_has() {
        let form = |name: &str| Form::of(Path::new(name)).ok();
        assert_eq!((form("a/x.tar"), form("x.y.tar.zst")), (Some(Form::Plain), Some(Form::Zstandard)));
        assert_eq!((form("x.tar.gz"), form("x.zip"), form("x")), (None, None, None));
        let packed = Form::Zstandard.pack(&[], Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(zstd::decode_all(packed.as_slice()).unwrap(), [0; 2 * BLOCK]);
    }
}
