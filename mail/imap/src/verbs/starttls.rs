//! STARTTLS (RFC 3501 section 6.2.1). The handshake is the caller's.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::Security;
use crate::backend::Accounts;
use crate::reply::Reply;
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) fn starttls(&mut self) -> Reply {
        match self.client.security {
            Security::StartTls => Reply::ok("Begin TLS negotiation now"),
            Security::Tls | Security::Upgraded => Reply::bad("TLS is active already"),
            Security::DevPlain => Reply::bad("TLS is not available here"),
        }
    }
}
