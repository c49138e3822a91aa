//! LSUB (RFC 3501 section 6.3.9).

use std::collections::BTreeMap;

use model::verbs::{FolderQuery, FolderRow, Pattern};
use tokio::io::{AsyncRead, AsyncWrite};

use super::list::write_row;
use crate::backend::Accounts;
use crate::parse::name;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn lsub(&mut self, reference: &[u8], pattern: &[u8]) -> Result<Reply, Stop> {
        let Some(pattern) = name::pattern(&[reference, pattern].concat()) else {
            return Ok(Reply::ok("Lsub completed"));
        };
        if pattern.is_empty() {
            self.io.out.extend_from_slice(b"* LSUB (\\Noselect) \"/\" \"\"\r\n");
            return Ok(Reply::ok("Lsub completed"));
        }
        let query = FolderQuery { patterns: vec![Pattern("*".into())], subscribed: true, ..FolderQuery::default() };
        let rows = self.folders(query).await?;
        for row in matching(rows, &Pattern(pattern)).values() {
            write_row(&mut self.io.out, "LSUB", row, false);
        }
        Ok(Reply::ok("Lsub completed"))
    }
}

/// The subscribed names that match, and, where `%` stops above a subscribed name, the name it stops at.
fn matching(rows: Vec<FolderRow>, pattern: &Pattern) -> BTreeMap<String, FolderRow> {
    let mut found = BTreeMap::new();
    for row in rows {
        if pattern.matches(&row.name) {
            found.insert(row.name.clone(), row);
            continue;
        }
        let mut parents = row.name.match_indices('/').map(|(at, _)| &row.name[..at]);
        if let Some(parent) = parents.rfind(|p| pattern.0.contains('%') && pattern.matches(p)) {
            found.entry(parent.to_owned()).or_insert_with(|| FolderRow {
                name: parent.to_owned(),
                id: None,
                special: None,
                subscribed: false,
                has_children: true,
                status: None,
            });
        }
    }
    found
}
