//! STATUS (RFC 3501 section 6.3.10, SIZE: RFC 8438, APPENDLIMIT: RFC 7889, HIGHESTMODSEQ: RFC 7162).

use std::io::Write;

use model::verbs::{FolderQuery, Pattern, Status};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::parse::StatusItem;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn status(&mut self, name: &[u8], items: &[StatusItem]) -> Result<Reply, Stop> {
        self.condstore |= items.contains(&StatusItem::HighestModSeq);
        let name = super::folder_name(name)?;
        // A name with wildcards in it would match others too.
        let query = FolderQuery { patterns: vec![Pattern(name.clone())], status: true, ..FolderQuery::default() };
        let row = self.folders(query).await?.into_iter().find(|row| row.name == name);
        match row.and_then(|row| row.status) {
            Some(status) => {
                self.write_status(&name, items, &status);
                Ok(Reply::ok("Status completed"))
            }
            None => Ok(Reply::no("No such mailbox").code("NONEXISTENT")),
        }
    }

    /// One STATUS response.
    pub(super) fn write_status(&mut self, name: &str, items: &[StatusItem], status: &Status) {
        let limit = self.config.limits.append;
        let out = &mut self.io.out;
        out.extend_from_slice(b"* STATUS ");
        super::write_name(out, name);
        for (n, item) in items.iter().enumerate() {
            out.extend_from_slice(if n == 0 { b" (" } else { b" " });
            let _ = match item {
                StatusItem::Messages => write!(out, "MESSAGES {}", status.messages),
                StatusItem::Recent => write!(out, "RECENT {}", status.recent),
                StatusItem::UidNext => write!(out, "UIDNEXT {}", status.uidnext),
                StatusItem::UidValidity => write!(out, "UIDVALIDITY {}", status.uidvalidity),
                StatusItem::Unseen => write!(out, "UNSEEN {}", status.unseen),
                StatusItem::HighestModSeq => write!(out, "HIGHESTMODSEQ {}", status.modseq.0.max(1)),
                StatusItem::Size => write!(out, "SIZE {}", status.bytes),
                StatusItem::Deleted => write!(out, "DELETED {}", status.deleted),
                StatusItem::AppendLimit => write!(out, "APPENDLIMIT {limit}"),
            };
        }
        out.extend_from_slice(b")\r\n");
    }
}
