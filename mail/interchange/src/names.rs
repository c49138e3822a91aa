//! Folder names as names of files and folders.
//!
//! * mbox and EML: a folder per level. A character that some file system reserves (`\ : * ? " < > |`, controls), `%`, a dot
//!   or space at an end, the dot of `.mbox`, `.eml` and `.json` at the end, and the first letter of a device name of
//!   Windows (`CON`, `NUL`, ...) become `%XX`, the octet in hexadecimal.
//! * Maildir++: `.Level.Level` in modified UTF-7, as IMAP writes it; a dot or backslash inside a level, and `~` at its
//!   start, become `\2e`, `\5c`, `\7e`, as Dovecot's `listescape` does.
//! * A name that is too long for a file system is cut and ends in `~` (Maildir++: `_`) and eight digits of its hash, and
//!   so does, of mbox and EML, one that differs from another only in case. The manifest has the whole name.

use std::collections::HashSet;

use data_encoding::HEXLOWER;
use model::mutf7;

/// Longest name of a file, in octets, with room for what is put behind it. Most file systems take 255.
const LONGEST: usize = 200;
/// What is left of a longer one.
const CUT: usize = 180;
const RESERVED: &str = "\\:*?\"<>|%/";
/// Ends of names that mean something in a folder of ours.
const SUFFIXES: [&str; 3] = [".mbox", ".eml", ".json"];
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Hands out paths for folder names, no two of them equal, even where case does not count.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    taken: HashSet<String>,
}

impl Paths {
    /// A relative path for the folder, `/` between levels.
    pub fn path(&mut self, folder: &str) -> String {
        let mut path = folder.split('/').map(escape).collect::<Vec<_>>().join("/");
        if !self.taken.insert(path.to_lowercase()) {
            path = format!("{path}~{}", digest(folder));
            self.taken.insert(path.to_lowercase());
        }
        path
    }
}

/// The folder name that a relative path stands for.
pub(crate) fn folder_of_path(path: &str) -> String {
    path.split('/').map(unescape).collect::<Vec<_>>().join("/")
}

/// The folder of a Maildir that holds this one: empty for INBOX, otherwise with a dot in front.
pub(crate) fn maildir_of(folder: &str) -> String {
    if folder == "INBOX" {
        return String::new();
    }
    let mut name = String::new();
    for level in folder.split('/') {
        name.push('.');
        for (at, c) in mutf7::encode(level).char_indices() {
            match c {
                '.' => name.push_str("\\2e"),
                '\\' => name.push_str("\\5c"),
                '~' if at == 0 => name.push_str("\\7e"),
                _ => name.push(c),
            }
        }
    }
    if name.len() <= LONGEST {
        return name;
    }
    let mut short = cut(&name);
    // A shift that is not closed is no modified UTF-7.
    if let Some(shift) = short.rfind('&').filter(|shift| !short[*shift..].contains('-')) {
        short = &short[..shift];
    }
    format!("{short}_{}", digest(folder))
}

/// The folder name that a folder of a Maildir (with its dot) stands for. What is no modified UTF-7 is taken as it is.
pub(crate) fn folder_of_maildir(name: &str) -> String {
    let levels = name.trim_start_matches('.').split('.').filter(|level| !level.is_empty());
    let levels: Vec<String> = levels
        .map(|level| {
            let level = level.replace("\\2e", ".").replace("\\7e", "~").replace("\\5c", "\\");
            let decoded = mutf7::decode(level.as_bytes()).unwrap_or(level);
            decoded.replace(|c: char| c == '/' || c.is_control(), "_")
        })
        .collect();
    if levels.is_empty() { "INBOX".into() } else { levels.join("/") }
}

fn escape(level: &str) -> String {
    let dot = SUFFIXES.iter().find(|suffix| ends_with(level, suffix)).map(|suffix| level.len() - suffix.len());
    let stem = level.split('.').next().unwrap_or_default().to_lowercase();
    let numbered = stem.len() == 4
        && (stem.starts_with("com") || stem.starts_with("lpt"))
        && stem.ends_with(|c: char| c.is_ascii_digit());
    let device = DEVICES.contains(&stem.as_str()) || numbered;
    let mut name = String::new();
    for (at, c) in level.char_indices() {
        let end = at == 0 || at + c.len_utf8() == level.len();
        let reserved = RESERVED.contains(c) || c.is_control();
        if reserved || (end && matches!(c, '.' | ' ')) || dot == Some(at) || (device && at == 0) {
            name.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            name.push(c);
        }
    }
    if name.len() > LONGEST { format!("{}~{}", cut(&name), digest(level)) } else { name }
}

fn ends_with(level: &str, suffix: &str) -> bool {
    let at = level.len().checked_sub(suffix.len());
    at.and_then(|at| level.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

fn unescape(level: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), level.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| first == b'%');
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    let level = String::from_utf8(bytes).unwrap_or_else(|_| level.to_owned());
    level.replace(|c: char| c == '/' || c.is_control(), "_")
}

/// The first octets of a name, at a border of characters.
fn cut(name: &str) -> &str {
    let end = (0..=CUT).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    &name[..end]
}

fn digest(name: &str) -> String {
    HEXLOWER.encode(&crypto::sha256(name.as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Levels of every script, and those that a file system or a reader could take for something else.
    pub const ODD: [&str; 17] = [
        "INBOX",
        "cur",
        "new",
        "tmp",
        "Входящие",
        "受信箱/下書き",
        "أرشيف",
        "a.b",
        "back\\slash",
        "100%",
        "~home",
        "CON",
        "lpt1.txt",
        "manifest.json",
        "0000000001.eml",
        "x.mbox",
        ". hidden .",
    ];

    #[test]
    fn odd_names_survive_and_lead_nowhere_else() {
        for name in ODD {
            let path = Paths::default().path(name);
            assert_eq!(folder_of_path(&path), name);
            assert_eq!(folder_of_maildir(&maildir_of(name)), name);
            assert!(!SUFFIXES.iter().any(|suffix| path.ends_with(suffix)), "{path}");
        }
        assert_eq!(Paths::default().path("../.."), "%2E%2E/%2E%2E");
        assert_eq!(maildir_of("a.b/c"), ".a\\2eb.c");
        assert_eq!(maildir_of("Entwürfe"), ".Entw&APw-rfe");
    }

    #[test]
    fn names_that_differ_in_case_or_are_too_long_get_a_digest() {
        let mut paths = Paths::default();
        assert_eq!(paths.path("Work"), "Work");
        let other = paths.path("work");
        assert!(other.starts_with("work~") && other.len() == 13, "{other}");
        let (long, longer) = ("ж".repeat(300), "ж".repeat(301));
        let path = paths.path(&long);
        assert!(path.len() <= 200 && path != paths.path(&longer));
        assert!(maildir_of(&long).len() <= 200 && maildir_of(&long) != maildir_of(&longer));
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "[^/\\p{Cc}]{1,40}(/[^/\\p{Cc}]{1,10}){0,2}") {
            let path = Paths::default().path(&name);
            prop_assume!(!path.contains('~') && !name.contains('~'));
            prop_assert_eq!(folder_of_path(&path), name.clone());
            prop_assert!(path.split('/').all(|level| !level.starts_with('.') && !level.is_empty()));
            let maildir = maildir_of(&name);
            prop_assume!(maildir.len() <= 180);
            prop_assert_eq!(folder_of_maildir(&maildir), name);
        }
    }
}
