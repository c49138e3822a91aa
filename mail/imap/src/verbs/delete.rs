//! DELETE (RFC 3501 section 6.3.4).

use model::verbs::FolderChange;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn delete(&mut self, name: &[u8]) -> Result<Reply, Stop> {
        let name = super::folder_name(name)?;
        self.change_folders(FolderChange::Delete { name: name.clone() }).await?;
        // Who deletes the folder it has open knows; other sessions are sent away.
        if self.folder.as_ref().is_some_and(|folder| folder.name == name) {
            self.folder = None;
        }
        Ok(Reply::ok("Delete completed"))
    }
}
