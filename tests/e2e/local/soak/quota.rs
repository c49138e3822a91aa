//! What the server counts is what is there.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::model::{Model, USERS};
use crate::harness::Server;

/// Compares what each spool remembers of its mailbox, and of itself, with what was read. The server has stopped.
pub fn sums(model: &Model, server: &Server) {
    let mut counted: Vec<_> =
        spools(&server.state().join("shard-0/mailboxes")).iter().map(|path| usage(path)).collect();
    for (user, name) in USERS.iter().enumerate() {
        let (bytes, messages) = model.with(user, |m| m.total);
        let expected = (i64::try_from(bytes).unwrap(), i64::try_from(messages).unwrap(), 0, 0);
        match counted.iter().position(|counted| *counted == expected) {
            Some(at) => drop(counted.swap_remove(at)),
            None => model.violate(format!("{name} holds {expected:?}, but counted is {counted:?}")),
        }
    }
}

/// (octets and messages in the mailbox, messages and octets that wait).
fn usage(spool: &Path) -> (i64, i64, i64, i64) {
    let connection = Connection::open_with_flags(spool, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let sql = "SELECT mailbox_bytes, mailbox_messages, waiting, bytes FROM usage";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap()
}

fn spools(mailboxes: &Path) -> Vec<PathBuf> {
    let under = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let folders = under(mailboxes).into_iter().flat_map(|prefix| under(&prefix));
    folders.map(|folder| folder.join("spool.sqlite")).filter(|spool| spool.exists()).collect()
}
