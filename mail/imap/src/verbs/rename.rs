//! RENAME (RFC 3501 section 6.3.5).

use model::verbs::FolderChange;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<Reply, Stop> {
        let (from, to) = (super::folder_name(from)?, super::folder_name(to.strip_suffix(b"/").unwrap_or(to))?);
        self.change_folders(FolderChange::Rename { from: from.clone(), to: to.clone() }).await?;
        if let Some(folder) = &mut self.folder {
            // The open folder goes on under its new name, except INBOX, which stays and only loses its messages.
            match folder.name.strip_prefix(&from) {
                Some("") if from != "INBOX" => folder.name = to,
                Some(below) if from != "INBOX" && below.starts_with('/') => folder.name = format!("{to}{below}"),
                _ => {}
            }
        }
        Ok(Reply::ok("Rename completed"))
    }
}
