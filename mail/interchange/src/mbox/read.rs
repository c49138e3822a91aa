//! Reading mbox files, ours or another program's.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{FlagSet, SystemFlag};

use super::{HEADERS, KEPT, LETTERS, SIZE, TIME, is_empty, is_from};
use crate::manifest::Manifest;
use crate::source::crlf;
use crate::{Folder, InterchangeError, Message, names, output};

/// A folder of mbox files, or one of them.
pub(crate) struct MboxSource {
    /// File by folder name.
    files: HashMap<String, PathBuf>,
    pub folders: Vec<Folder>,
}

impl MboxSource {
    pub fn open(root: &Path, manifest: Option<&Manifest>) -> Result<Self, InterchangeError> {
        let declared = manifest.map(|manifest| manifest.tail.folders.as_slice()).unwrap_or_default();
        let declared: HashMap<_, _> = declared.iter().map(|folder| (folder.path.as_str(), folder)).collect();
        let mut found = Vec::new();
        if root.is_dir() {
            collect(root, "", &mut found)?;
        } else {
            let stem = root.file_stem().unwrap_or_default().to_string_lossy();
            found.push((names::folder_of_path(&stem), String::new(), root.to_owned()));
        }
        let (mut files, mut folders) = (HashMap::new(), Vec::new());
        for (name, path, file) in found {
            let folder = declared
                .get(path.as_str())
                .map_or_else(|| Folder { name, ..Folder::default() }, |entry| Folder::from(*entry));
            files.insert(folder.name.clone(), file);
            folders.push(folder);
        }
        Ok(Self { files, folders })
    }

    pub fn messages(
        &self,
        folder: &str,
    ) -> Result<impl Iterator<Item = Result<Message, InterchangeError>>, InterchangeError> {
        let path = self.files.get(folder).cloned().unwrap_or_default();
        let file = File::open(&path).map_err(InterchangeError::io("read", &path))?;
        Ok(Reader { path, lines: BufReader::with_capacity(1 << 20, file), from: None, begun: false })
    }
}

/// All `.mbox` files below a folder: name of the folder, path from the root, and where it is.
fn collect(root: &Path, below: &str, found: &mut Vec<(String, String, PathBuf)>) -> Result<(), InterchangeError> {
    for name in output::names(&root.join(below))? {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let file = root.join(&path);
        if file.is_dir() {
            collect(root, &path, found)?;
        } else if let Some(stem) = path.strip_suffix(".mbox") {
            found.push((names::folder_of_path(stem), path.clone(), file));
        }
    }
    Ok(())
}

/// Messages of one file.
struct Reader {
    path: PathBuf,
    lines: BufReader<File>,
    /// The `From ` line of the next message.
    from: Option<Vec<u8>>,
    begun: bool,
}

impl Iterator for Reader {
    type Item = Result<Message, InterchangeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::replace(&mut self.begun, true) {
            match self.first() {
                Ok(from) => self.from = from,
                Err(error) => return Some(Err(error)),
            }
        }
        let from = self.from.take()?;
        Some(self.body().and_then(|raw| message(&self.path, &from, &raw)))
    }
}

impl Reader {
    /// The first line that is not empty has to be a `From ` line.
    fn first(&mut self) -> Result<Option<Vec<u8>>, InterchangeError> {
        loop {
            match self.line()? {
                None => return Ok(None),
                Some(line) if is_empty(&line) => {}
                Some(line) if line.starts_with(b"From ") => return Ok(Some(line)),
                Some(_) => {
                    let why = "its first line does not begin with `From `";
                    return Err(InterchangeError::malformed(&self.path, "an mbox", why));
                }
            }
        }
    }

    /// All up to the next `From ` line, unquoted. Such a line begins a message only behind an empty one, and with a time in
    /// it: programs that do not quote rely on that.
    fn body(&mut self) -> Result<Vec<u8>, InterchangeError> {
        let (mut raw, mut after_empty) = (Vec::new(), false);
        while let Some(line) = self.line()? {
            if after_empty && line.starts_with(b"From ") && has_clock(&line) {
                self.from = Some(line);
                break;
            }
            after_empty = is_empty(&line);
            raw.extend_from_slice(if line.starts_with(b">") && is_from(&line) { &line[1..] } else { &line });
        }
        Ok(raw)
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, InterchangeError> {
        let mut line = Vec::new();
        let read = self.lines.read_until(b'\n', &mut line).map_err(InterchangeError::io("read", &self.path))?;
        Ok((read > 0).then_some(line))
    }
}

/// True where some word is a time of day.
fn has_clock(line: &[u8]) -> bool {
    let is_clock =
        |word: &&[u8]| word.len() >= 4 && word.contains(&b':') && word.iter().all(|b| b.is_ascii_digit() || *b == b':');
    line.split(u8::is_ascii_whitespace).any(|word| is_clock(&word))
}

/// What headers of an mbox say.
#[derive(Default)]
struct Marks {
    flags: FlagSet,
    keywords: Vec<String>,
    uid: Option<u32>,
    /// Neither seen nor old.
    fresh: bool,
}

impl Marks {
    fn new() -> Self {
        Self { fresh: true, ..Self::default() }
    }

    /// Takes a header; false for one that belongs to the message.
    fn take(&mut self, line: &str) -> bool {
        let Some((name, value)) = line.split_once(':') else { return false };
        match name.to_ascii_lowercase().as_str() {
            "status" => {
                if value.contains('R') {
                    self.flags = self.flags.with(SystemFlag::Seen);
                }
                self.fresh &= !value.contains(['R', 'O']);
            }
            "x-status" => {
                let set = LETTERS.iter().filter(|(letter, _)| value.contains(*letter));
                self.flags = set.fold(self.flags, |flags, (_, flag)| flags.with(*flag));
            }
            "x-keywords" => self.keywords.extend(value.split_whitespace().map(str::to_owned)),
            "x-uid" => self.uid = value.trim().parse().ok(),
            "x-imap" | "x-imapbase" | "x-sealpost-size" => {}
            _ => return false,
        }
        true
    }
}

fn message(path: &Path, from: &[u8], raw: &[u8]) -> Result<Message, InterchangeError> {
    let received = time_of(from);
    if let Some((marks, size, start)) = own_block(raw) {
        let mut rest = without_marks(&raw[start..]);
        if rest.len() < size {
            let why = format!("of a message of {size} octets only {} are there", rest.len());
            return Err(InterchangeError::malformed(path, "whole", why));
        }
        // More than the separator: a mail program has worked on the file, and has its own idea of the headers.
        if rest.len() - size <= 2 {
            rest.truncate(size);
            return Ok(make(marks, received, rest, true));
        }
    }
    let (marks, mut bytes) = foreign(raw);
    let separator = if bytes.ends_with(b"\r\n\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n\n")) };
    bytes.truncate(bytes.len() - separator);
    Ok(make(marks, received, crlf(bytes), false))
}

fn make(marks: Marks, received: Option<Timestamp>, bytes: Vec<u8>, ours: bool) -> Message {
    let Marks { flags, keywords, uid, fresh } = marks;
    Message { uid, flags, keywords, received, waiting: ours && fresh, bytes }
}

/// Reads our block: what it says, the size of the message, and where that begins.
fn own_block(raw: &[u8]) -> Option<(Marks, usize, usize)> {
    let (mut marks, mut start) = (Marks::new(), 0);
    for line in raw.split_inclusive(|byte| *byte == b'\n').take(HEADERS + 1) {
        start += line.len();
        let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        if let Some(size) = text.strip_prefix(SIZE) {
            return Some((marks, size.parse().ok()?, start));
        }
        if !marks.take(text) {
            return None;
        }
    }
    None
}

/// Gives a message's own fields their names back.
fn without_marks(raw: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(raw.len()), raw);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        if is_empty(line) {
            break;
        }
        bytes.extend_from_slice(line.strip_prefix(KEPT.as_bytes()).unwrap_or(line));
        rest = after;
    }
    bytes.extend_from_slice(rest.strip_prefix(KEPT.as_bytes()).unwrap_or(rest));
    bytes
}

/// Takes the headers away that other programs keep their marks in.
fn foreign(raw: &[u8]) -> (Marks, Vec<u8>) {
    let (mut marks, mut bytes, mut rest) = (Marks::new(), Vec::with_capacity(raw.len()), raw);
    let mut dropping = false;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        if is_empty(line) {
            break;
        }
        rest = after;
        let text = String::from_utf8_lossy(line);
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if folded && dropping {
            marks.keywords.extend(text.split_whitespace().map(str::to_owned));
            continue;
        }
        let text = text.trim_end();
        if !folded && marks.take(text) {
            dropping = text.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("x-keywords:"));
        } else {
            dropping = false;
            bytes.extend_from_slice(line);
        }
    }
    bytes.extend_from_slice(rest);
    (marks, bytes)
}

/// The time of a `From ` line: the sender may be missing or have spaces in it, and some programs write a zone.
fn time_of(from: &[u8]) -> Option<Timestamp> {
    let text = String::from_utf8_lossy(from);
    let words: Vec<&str> = text.split_whitespace().collect();
    let last = words.len().checked_sub(5)?;
    let at = |start: usize, len: usize| words.get(start..start + len).map(|words| words.join(" "));
    let plain = at(last, 5).and_then(|text| DateTime::strptime(TIME, text).ok());
    let zoned = || {
        let text = at(last.checked_sub(1)?, 6)?;
        jiff::fmt::strtime::parse("%a %b %e %H:%M:%S %Y %z", &text).ok()?.to_timestamp().ok()
    };
    plain.and_then(|time| time.to_zoned(TimeZone::UTC).ok()).map(|time| time.timestamp()).or_else(zoned)
}
