//! NOOP and CHECK (RFC 3501 sections 6.1.2 and 6.4.1).

use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn noop(&mut self) -> Result<Reply, Stop> {
        self.sync(true).await?;
        Ok(Reply::ok("Completed"))
    }
}
