//! CAPABILITY (RFC 3501 section 6.1.1).

use std::io::Write;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::Accounts;
use crate::capability;
use crate::reply::Reply;
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) fn capability(&mut self) -> Reply {
        let list = capability::list(self.client.security, self.login.is_some(), &self.config.limits);
        let _ = write!(self.io.out, "* CAPABILITY {list}\r\n");
        Reply::ok("Capability completed")
    }
}
