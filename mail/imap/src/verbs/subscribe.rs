//! SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7).

use model::verbs::FolderChange;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn subscribe(&mut self, name: &[u8], on: bool) -> Result<Reply, Stop> {
        let name = super::folder_name(name)?;
        self.change_folders(FolderChange::Subscribe { name, on }).await?;
        Ok(Reply::ok(if on { "Subscribe completed" } else { "Unsubscribe completed" }))
    }
}
