//! NAMESPACE (RFC 2342).

use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::Reply;
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) fn namespace(&mut self) -> Reply {
        self.io.out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
        Reply::ok("Namespace completed")
    }
}
