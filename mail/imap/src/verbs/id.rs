//! ID (RFC 2971).

use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::Reply;
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) fn id(&mut self) -> Reply {
        self.io.out.extend_from_slice(b"* ID (\"name\" \"Sealpost\")\r\n");
        Reply::ok("ID completed")
    }
}
