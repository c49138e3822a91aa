//! What is in the mailbox: folders, subscriptions, messages.

use model::{FlagSet, SystemFlag, Uid};
use rusqlite::Connection;

use super::Offline;
use crate::bodies::Content;
use crate::rows::{self, Placement};
use crate::{StoreError, rows::Folder as Row};

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    row: Row,
}

impl Folder {
    /// Full name, `/` between levels.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// RFC 9051 section 2.3.1.1.
    pub fn uidvalidity(&self) -> u32 {
        self.row.uidvalidity
    }

    /// The next UID.
    pub fn uidnext(&self) -> u32 {
        self.row.uidnext
    }

    /// Special use, as IMAP writes it.
    pub fn special(&self) -> Option<&str> {
        self.row.special.as_deref()
    }

    /// How many messages it counts.
    pub fn messages(&self) -> u64 {
        self.row.msgs
    }
}

/// A message in its folder, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// In its folder.
    pub uid: u32,
    /// Octets.
    pub size: u64,
    /// INTERNALDATE, seconds since 1970.
    pub received: i64,
    /// System flags.
    pub flags: FlagSet,
    /// Keywords.
    pub keywords: Vec<String>,
    /// It waited in the spool.
    pub waiting: bool,
    content: i64,
}

impl Offline {
    /// All folders, by name.
    pub fn folders(&self) -> Result<Vec<Folder>, StoreError> {
        let mut all: Vec<_> = Row::all(&self.connection)?.into_iter().map(|row| Folder { row }).collect();
        all.sort_by(|a, b| a.row.name.cmp(&b.row.name));
        Ok(all)
    }

    /// Keywords of the mailbox.
    pub fn keywords(&self) -> &[String] {
        &self.keywords.0
    }

    /// Subscribed names, in order; not all of them need have a folder.
    pub fn subscriptions(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("SELECT name FROM sub ORDER BY name")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// The messages of a folder, by UID.
    pub fn messages(&self, folder: &Folder) -> Result<Vec<Message>, StoreError> {
        let rows = rows::placements(&self.connection, folder.row.id, &folder.row.span())?;
        let in_inbox = folder.name() == "INBOX";
        Ok(rows.iter().map(|row| self.message(row, in_inbox)).collect())
    }

    fn message(&self, row: &Placement, in_inbox: bool) -> Message {
        let system = SystemFlag::ALL.iter().fold(0, |bits, flag| bits | flag.bit());
        let keywords = self.keywords.names(FlagSet(row.flags & !system)).map(str::to_owned).collect();
        Message {
            uid: row.uid,
            size: row.size,
            received: row.idate,
            flags: FlagSet(row.flags & system),
            keywords,
            waiting: in_inbox && row.uid >= self.waiting_from,
            content: row.mail,
        }
    }

    /// Every byte of a message.
    pub fn bytes(&self, message: &Message) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(message.size as usize);
        Content::load(&self.connection, message.content)?.read(&self.connection, 0..message.size, &mut bytes)?;
        if bytes.len() as u64 == message.size { Ok(bytes) } else { Err(StoreError::Corrupt("a message body")) }
    }
}

/// Where the UIDs of new mail begin.
pub(super) fn uidnext_of_inbox(connection: &Connection) -> Result<u32, StoreError> {
    let inbox = Row::by_name(connection, "INBOX")?.ok_or(StoreError::Corrupt("the folder tree"))?;
    Ok(Uid(inbox.uidnext).0)
}
