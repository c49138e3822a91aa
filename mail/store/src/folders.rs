//! The folder tree: names are full paths, parents need not exist.

mod change;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use model::verbs::{FolderQuery, FolderRow, SpecialUse, Status};
use model::{FolderId, ModSeq, Uid, UidValidity};
use rusqlite::Connection;

use crate::StoreError;
use crate::mailbox::Core;
use crate::rows::Folder;
use crate::state::State;

pub(crate) use change::change;

/// The stored form of a name: INBOX is written in upper case.
pub(crate) fn canonical(name: &str) -> String {
    let (top, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    if top.eq_ignore_ascii_case("INBOX") { format!("INBOX{rest}") } else { name.to_owned() }
}

/// UIDNEXT of all folders.
pub(crate) fn uidnexts(connection: &Connection) -> Result<HashMap<FolderId, Uid>, StoreError> {
    Ok(Folder::all(connection)?.into_iter().map(|folder| (folder.id, Uid(folder.uidnext))).collect())
}

/// LIST, LSUB and STATUS.
pub(crate) async fn list(core: &Arc<Core>, query: FolderQuery) -> Result<Vec<FolderRow>, StoreError> {
    let owner = core.clone();
    core.read(move |connection| {
        let tree = Tree::load(connection)?;
        let modseq = ModSeq(State::load(connection)?.modseq);
        let mut rows = Vec::new();
        for name in tree.names(&query) {
            rows.push(tree.row(connection, &owner, name, query.status, modseq)?);
        }
        Ok(rows)
    })
    .await
}

struct Tree {
    folders: BTreeMap<String, Folder>,
    subscribed: BTreeSet<String>,
    /// Names that are only above folders.
    parents: BTreeSet<String>,
}

impl Tree {
    fn load(connection: &Connection) -> Result<Self, StoreError> {
        let folders: BTreeMap<_, _> =
            Folder::all(connection)?.into_iter().map(|folder| (folder.name.clone(), folder)).collect();
        let mut statement = connection.prepare_cached("SELECT name FROM sub")?;
        let subscribed = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let above = folders.keys().flat_map(|name| parents(name));
        let parents = above.filter(|name| !folders.contains_key(*name)).map(str::to_owned).collect();
        Ok(Self { folders, subscribed, parents })
    }

    /// Names that the query asks for, in order.
    fn names<'a>(&'a self, query: &'a FolderQuery) -> BTreeSet<&'a str> {
        let all = self.folders.keys().chain(&self.parents).chain(&self.subscribed).map(String::as_str);
        let is_wanted = |name: &&str| {
            let folder = self.folders.get(*name);
            let exists = folder.is_some() || self.parents.contains(*name);
            (if query.subscribed { self.subscribed.contains(*name) } else { exists })
                && (!query.special_use || folder.is_some_and(|folder| folder.special.is_some()))
                && query.patterns.iter().any(|pattern| pattern.matches(name))
        };
        all.filter(is_wanted).collect()
    }

    fn row(
        &self,
        connection: &Connection,
        core: &Core,
        name: &str,
        status: bool,
        modseq: ModSeq,
    ) -> Result<FolderRow, StoreError> {
        let folder = self.folders.get(name);
        let status = match folder.filter(|_| status) {
            Some(folder) => Some(status_of(connection, core, folder, modseq)?),
            None => None,
        };
        Ok(FolderRow {
            name: name.to_owned(),
            id: folder.map(|folder| folder.id),
            special: folder.and_then(|folder| SpecialUse::from_name(folder.special.as_deref()?)),
            subscribed: self.subscribed.contains(name),
            has_children: self.has_children(name),
            status,
        })
    }

    fn has_children(&self, name: &str) -> bool {
        let below = format!("{name}/");
        let mut after = self.folders.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded));
        after.next().is_some_and(|(next, _)| next.starts_with(&below))
    }
}

fn status_of(connection: &Connection, core: &Core, folder: &Folder, modseq: ModSeq) -> Result<Status, StoreError> {
    let from = core.memory().recent_from(folder.id);
    let recent = if from.0 < folder.uidnext {
        let mut count = connection.prepare_cached("SELECT count(*) FROM msg WHERE folder = ? AND uid >= ?")?;
        count.query_row([folder.id.0, i64::from(from.0)], |row| row.get::<_, i64>(0))? as u64
    } else {
        0
    };
    Ok(Status {
        messages: folder.msgs,
        unseen: folder.unseen,
        deleted: folder.deleted,
        recent,
        bytes: folder.bytes,
        uidnext: Uid(folder.uidnext),
        uidvalidity: UidValidity(folder.uidvalidity),
        modseq,
    })
}

/// The names above a name, the top first.
pub(crate) fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}
