//! Looking for words where none may be.

use std::path::Path;

/// A file that holds a needle, and which.
pub type Find = (String, String);

/// Every (file, needle) pair under a folder. Sockets and the like are passed over.
pub fn find(root: &Path, needles: &[Vec<u8>]) -> Vec<Find> {
    let mut finds = Vec::new();
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            finds.extend(find(&path, needles));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let there = needles.iter().filter(|needle| contains(&bytes, needle));
            finds.extend(there.map(|n| (path.display().to_string(), String::from_utf8_lossy(n).into_owned())));
        }
    }
    finds
}

/// True where the bytes hold the needle, in any ASCII case.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}
