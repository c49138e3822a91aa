//! CLOSE (RFC 3501 section 6.4.2) and UNSELECT (RFC 3691).

use model::verbs::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn close(&mut self) -> Result<Reply, Stop> {
        let seq = self.next_seq()?;
        let folder = self.selected()?;
        let (read_only, view) = (folder.read_only, folder.view());
        if !read_only {
            self.ask(Request::Expunge { seq, view, only: None, silent: true }).await?;
        }
        self.folder = None;
        Ok(Reply::ok("Close completed"))
    }

    pub(crate) fn unselect(&mut self) -> Reply {
        self.folder = None;
        Reply::ok("Unselect completed")
    }
}
