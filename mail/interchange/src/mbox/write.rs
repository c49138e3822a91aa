//! Writing mbox files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::SystemFlag;

use super::{KEPT, LETTERS, SIZE, TIME, is_empty, is_from, is_theirs};
use crate::names::Paths;
use crate::{Folder, InterchangeError, Message, output};

pub(crate) struct MboxWriter {
    root: PathBuf,
    paths: Paths,
    open: Option<Open>,
}

/// The folder begun last.
struct Open {
    out: BufWriter<File>,
    path: String,
    /// What its first message has to say of all.
    base: String,
}

impl MboxWriter {
    pub fn begin(root: &Path) -> Self {
        Self { root: root.to_owned(), paths: Paths::default(), open: None }
    }

    /// Begins a folder; its path.
    pub fn folder(&mut self, folder: &Folder) -> Result<String, InterchangeError> {
        self.close()?;
        let path = format!("{}.mbox", self.paths.path(&folder.name));
        let file = self.root.join(&path);
        if let Some(above) = file.parent() {
            output::create_dir_all(above)?;
        }
        let base = match (folder.uidvalidity, folder.uidnext) {
            (Some(uidvalidity), Some(next)) => {
                let last = next.saturating_sub(1);
                format!("X-IMAPbase: {uidvalidity} {last:010} {}", folder.keywords.join(" ")).trim_end().to_owned()
                    + "\n"
            }
            _ => String::new(),
        };
        let out = BufWriter::with_capacity(1 << 20, output::create(&file)?);
        self.open = Some(Open { out, path: path.clone(), base });
        Ok(path)
    }

    /// Writes a message; the path of its folder.
    pub fn message(&mut self, message: &Message) -> Result<String, InterchangeError> {
        let Some(open) = &mut self.open else { return Ok(String::new()) };
        let base = std::mem::take(&mut open.base);
        write(&mut open.out, message, &base).map_err(InterchangeError::io("write", &self.root.join(&open.path)))?;
        Ok(open.path.clone())
    }

    /// Writes what is still held.
    pub fn finish(mut self) -> Result<(), InterchangeError> {
        self.close()
    }

    fn close(&mut self) -> Result<(), InterchangeError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.out.flush().map_err(InterchangeError::io("write", &self.root.join(open.path)))
    }
}

fn write(out: &mut impl Write, message: &Message, base: &str) -> std::io::Result<()> {
    out.write_all(block(message, base).as_bytes())?;
    let mut header = true;
    for line in message.bytes.split_inclusive(|byte| *byte == b'\n') {
        header &= !is_empty(line);
        if is_from(line) {
            out.write_all(b">")?;
        } else if header && is_theirs(line) {
            out.write_all(KEPT.as_bytes())?;
        }
        out.write_all(line)?;
    }
    let ends = message.bytes.last().is_none_or(|last| *last == b'\n');
    out.write_all(if ends { b"\n" } else { b"\n\n" })
}

/// The `From ` line and our headers.
fn block(message: &Message, base: &str) -> String {
    let time = message.received.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
    let mut text = format!("From MAILER-DAEMON {}\n", time.strftime(TIME));
    text.push_str(base);
    if let Some(uid) = message.uid {
        let _ = writeln!(text, "X-UID: {uid}");
    }
    let seen = if message.flags.has(SystemFlag::Seen) { "R" } else { "" };
    let old = if message.waiting { "" } else { "O" };
    let letters = LETTERS.iter().filter(|(_, flag)| message.flags.has(*flag)).map(|(letter, _)| *letter);
    let (status, letters) = (format!("{seen}{old}"), letters.collect::<String>());
    for (name, value) in [("Status", status), ("X-Status", letters), ("X-Keywords", message.keywords.join(" "))] {
        if !value.is_empty() {
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    let _ = writeln!(text, "{SIZE}{}", message.bytes.len());
    text
}
