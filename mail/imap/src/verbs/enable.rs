//! ENABLE (RFC 5161).

use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::reply::Reply;
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) fn enable(&mut self, names: &[String]) -> Reply {
        let known = names.iter().any(|name| name == "CONDSTORE");
        self.condstore |= known;
        self.io.out.extend_from_slice(if known { b"* ENABLED CONDSTORE\r\n" } else { b"* ENABLED\r\n" });
        Reply::ok("Enabled")
    }
}
