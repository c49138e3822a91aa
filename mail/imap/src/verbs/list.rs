//! LIST (RFC 3501 section 6.3.8, CHILDREN: RFC 3348, SPECIAL-USE: RFC 6154).

use model::verbs::{Answer, FolderQuery, FolderRow, Pattern, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::Accounts;
use crate::parse::{List, name};
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn list(&mut self, list: &List) -> Result<Reply, Stop> {
        if let [only] = list.patterns.as_slice()
            && only.is_empty()
        {
            self.io.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
            return Ok(Reply::ok("List completed"));
        }
        // A pattern that cannot be a name matches nothing.
        let patterns: Vec<Pattern> = list
            .patterns
            .iter()
            .filter_map(|p| name::pattern(&[&list.reference, p.as_slice()].concat()))
            .map(Pattern)
            .collect();
        let query = FolderQuery {
            patterns,
            subscribed: list.only_subscribed,
            special_use: list.only_special,
            status: !list.return_status.is_empty(),
        };
        for row in self.folders(query).await? {
            let tell = list.only_subscribed || list.return_subscribed;
            write_row(&mut self.io.out, "LIST", &row, tell);
            if let Some(status) = row.status.filter(|_| !list.return_status.is_empty()) {
                self.write_status(&row.name, &list.return_status, &status);
            }
            self.io.spill().await?;
        }
        Ok(Reply::ok("List completed"))
    }

    /// Folders that match.
    pub(super) async fn folders(&mut self, query: FolderQuery) -> Result<Vec<FolderRow>, Stop> {
        match self.ask(Request::Folders(query)).await? {
            Answer::Folders(rows) => Ok(rows),
            _ => Err(ImapError::Answer("Folders").into()),
        }
    }
}

/// One LIST or LSUB response.
pub(super) fn write_row(out: &mut Vec<u8>, word: &str, row: &FolderRow, tell_subscribed: bool) {
    let mut attributes = vec![if row.has_children { "\\HasChildren" } else { "\\HasNoChildren" }];
    if row.id.is_none() {
        attributes.push("\\Noselect");
    }
    if tell_subscribed && row.subscribed {
        attributes.push("\\Subscribed");
    }
    attributes.extend(row.special.map(model::verbs::SpecialUse::name));
    out.extend_from_slice(format!("* {word} ({}) \"/\" ", attributes.join(" ")).as_bytes());
    super::write_name(out, &row.name);
    out.extend_from_slice(b"\r\n");
}
