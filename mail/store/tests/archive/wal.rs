//! A WAL read byte by byte, as the file format of SQLite (section 4) has it.

use std::path::Path;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wal {
    pub salts: [u32; 2],
    /// The last frame of each commit of this life, counted from 1.
    pub commits: Vec<u32>,
}

/// What is in the WAL of that database.
pub fn read(database: &Path) -> Wal {
    let bytes = std::fs::read(database.with_extension("sqlite-wal")).unwrap_or_default();
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    if bytes.is_empty() {
        return Wal::default();
    }
    assert_eq!((word(0) & !1, word(8)), (0x377f_0682, 4096));
    let salts = [word(16), word(20)];
    let mut commits = Vec::new();
    for frame in 1..=(bytes.len() - 32) / 4120 {
        let at = 32 + (frame - 1) * 4120;
        if [word(at + 8), word(at + 12)] != salts {
            break;
        }
        if word(at + 4) != 0 {
            commits.push(frame as u32);
        }
    }
    Wal { salts, commits }
}
