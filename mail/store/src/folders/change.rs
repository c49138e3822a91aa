//! CREATE, DELETE, RENAME, SUBSCRIBE.

use std::sync::Arc;

use model::verbs::{Answer, Code, FolderChange, SpecialUse};
use model::{SessionId, UidValidity};
use rusqlite::params;

use super::{canonical, parents};
use crate::StoreError;
use crate::copy::place;
use crate::done::{Ticket, once};
use crate::error::refuse;
use crate::expunge::{bury, unplace};
use crate::mailbox::Core;
use crate::rows::{Folder, placements};
use crate::state::WriteTx;
use crate::writer::Durability;

/// Longest name in octets.
const MAX_NAME: usize = 1000;
/// Deepest name.
const MAX_LEVELS: usize = 32;
/// Most folders of a mailbox.
const MAX_FOLDERS: i64 = 10_000;
/// Most subscribed names.
const MAX_SUBSCRIPTIONS: i64 = 10_000;

/// Changes the tree, once.
pub(crate) async fn change(
    core: &Arc<Core>,
    session: SessionId,
    seq: u64,
    change: FolderChange,
) -> Result<Answer, StoreError> {
    let removes = matches!(change, FolderChange::Delete { .. });
    let work = move |tx: &mut WriteTx<'_>| {
        once(tx, Ticket { session, seq }, |tx| {
            tx.check_writable()?;
            match &change {
                FolderChange::Create { name, special } => create(tx, &canonical(name), *special),
                FolderChange::Delete { name } => delete(tx, &canonical(name)),
                FolderChange::Rename { from, to } => rename(tx, &canonical(from), &canonical(to)),
                FolderChange::Subscribe { name, on } => subscribe(tx, &canonical(name), *on),
            }?;
            Ok(Answer::Done)
        })
    };
    let answer = core.write(Durability::Full, work).await?;
    if removes {
        core.bury(Core::now() + core.shared.limits.grave_rest.as_secs() as i64);
    }
    Ok(answer)
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let sound = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.split('/').count() <= MAX_LEVELS
        && name.split('/').all(|level| !level.is_empty())
        && !name.chars().any(char::is_control);
    if sound { Ok(()) } else { refuse(Code::Cannot, "not a folder name") }
}

fn create(tx: &mut WriteTx<'_>, name: &str, special: Option<SpecialUse>) -> Result<(), StoreError> {
    check_name(name)?;
    if Folder::by_name(tx.connection, name)?.is_some() {
        return refuse(Code::AlreadyExists, "the folder exists");
    }
    if let Some(special) = special {
        let mut taken = tx.connection.prepare_cached("SELECT 1 FROM folder WHERE special = ?")?;
        if taken.exists([special.name()])? {
            return refuse(Code::Cannot, "another folder has that use");
        }
    }
    make(tx, name, special)?;
    Ok(())
}

/// Makes a folder and the missing ones above it.
fn make(tx: &mut WriteTx<'_>, name: &str, special: Option<SpecialUse>) -> Result<UidValidity, StoreError> {
    make_parents(tx, name)?;
    make_one(tx, name, special)
}

fn make_parents(tx: &mut WriteTx<'_>, name: &str) -> Result<(), StoreError> {
    for parent in parents(name) {
        if Folder::by_name(tx.connection, parent)?.is_none() {
            make_one(tx, parent, None)?;
        }
    }
    Ok(())
}

fn make_one(tx: &mut WriteTx<'_>, name: &str, special: Option<SpecialUse>) -> Result<UidValidity, StoreError> {
    let many: i64 = tx.connection.prepare_cached("SELECT count(*) FROM folder")?.query_row([], |row| row.get(0))?;
    if many >= MAX_FOLDERS {
        return refuse(Code::Limit, "the mailbox has as many folders as it can");
    }
    let (uidvalidity, modseq) = (tx.uidvalidity(), tx.modseq());
    tx.connection
        .prepare_cached("INSERT INTO folder(name, uidvalidity, hms, special) VALUES(?, ?, ?, ?)")?
        .execute(params![name, uidvalidity.0, modseq.0 as i64, special.map(SpecialUse::name)])?;
    Ok(uidvalidity)
}

fn delete(tx: &mut WriteTx<'_>, name: &str) -> Result<(), StoreError> {
    if name == "INBOX" {
        return refuse(Code::Cannot, "INBOX stays");
    }
    let Some(mut folder) = Folder::by_name(tx.connection, name)? else {
        return refuse(Code::NonExistent, "no such folder");
    };
    let rows = placements(tx.connection, folder.id, &folder.span())?;
    unplace(tx, &mut folder, &rows)?;
    tx.release(rows.len() as u64, rows.iter().map(|row| row.size).sum());
    bury(tx, &rows)?;
    tx.connection.prepare_cached("DELETE FROM gone WHERE folder = ?")?.execute([folder.id.0])?;
    tx.connection.prepare_cached("DELETE FROM folder WHERE id = ?")?.execute([folder.id.0])?;
    Ok(())
}

fn rename(tx: &mut WriteTx<'_>, from: &str, to: &str) -> Result<(), StoreError> {
    check_name(to)?;
    let below_to = format!("{to}/");
    if to == from || Folder::by_name(tx.connection, to)?.is_some() {
        return refuse(Code::AlreadyExists, "the folder exists");
    }
    if from == "INBOX" {
        return rename_inbox(tx, to);
    }
    let below = format!("{from}/");
    if to.starts_with(&below) || to == "INBOX" {
        return refuse(Code::Cannot, "a folder cannot go there");
    }
    let all = Folder::all(tx.connection)?;
    let moved: Vec<_> = all.iter().filter(|folder| folder.name == from || folder.name.starts_with(&below)).collect();
    if moved.is_empty() {
        return refuse(Code::NonExistent, "no such folder");
    }
    // Only a mere parent can be renamed onto names that have folders below.
    let clashes = |name: &str| all.iter().any(|folder| folder.name == name && !moved.iter().any(|m| m.name == name));
    if moved
        .iter()
        .any(|folder| folder.name.len() > from.len() && clashes(&format!("{to}{}", &folder.name[from.len()..])))
    {
        return refuse(Code::AlreadyExists, "a folder below exists");
    }
    if below_to.len() + moved.iter().map(|folder| folder.name.len() - from.len()).max().unwrap_or(0) > MAX_NAME {
        return refuse(Code::Cannot, "the names below would be too long");
    }
    let modseq = tx.modseq().0 as i64;
    for folder in &moved {
        let name = format!("{to}{}", &folder.name[from.len()..]);
        tx.connection.prepare_cached("UPDATE folder SET name = ?, hms = ? WHERE id = ?")?.execute(params![
            name,
            modseq,
            folder.id.0
        ])?;
        tx.touched.insert(folder.id);
    }
    make_parents(tx, to)
}

/// RFC 9051 section 6.3.6: its messages move to a new folder, INBOX and what is below it stay.
fn rename_inbox(tx: &mut WriteTx<'_>, to: &str) -> Result<(), StoreError> {
    make(tx, to, None)?;
    let (inbox, target) = (Folder::by_name(tx.connection, "INBOX")?, Folder::by_name(tx.connection, to)?);
    let (Some(mut inbox), Some(mut target)) = (inbox, target) else {
        return Err(StoreError::Corrupt("the folder tree"));
    };
    let rows = placements(tx.connection, inbox.id, &inbox.span())?;
    place(tx, &mut target, &rows)?;
    unplace(tx, &mut inbox, &rows)?;
    Ok(())
}

fn subscribe(tx: &mut WriteTx<'_>, name: &str, on: bool) -> Result<(), StoreError> {
    if !on {
        tx.connection.prepare_cached("DELETE FROM sub WHERE name = ?")?.execute([name])?;
        return Ok(());
    }
    check_name(name)?;
    let many: i64 = tx.connection.prepare_cached("SELECT count(*) FROM sub")?.query_row([], |row| row.get(0))?;
    if many >= MAX_SUBSCRIPTIONS {
        return refuse(Code::Limit, "as many names are subscribed as can be");
    }
    tx.connection.prepare_cached("INSERT OR IGNORE INTO sub(name) VALUES(?)")?.execute([name])?;
    Ok(())
}
