//! STARTTLS (RFC 3207): afterwards the client is a stranger again.

use crate::reply::{Reply, bad_sequence};
use crate::session::Session;
use crate::{Delivery, SmtpError};

impl<D: Delivery> Session<D> {
    /// Answers itself; what it returns is said inside TLS, so it is the refusal or nothing.
    pub(crate) async fn start_tls(&mut self) -> Result<Option<Reply>, SmtpError> {
        if self.state.secured {
            return Ok(Some(bad_sequence("TLS is active already")));
        }
        let Some(upgrade) = self.tls.clone() else {
            return Ok(Some(Reply::new(502, "5.5.1", "TLS is not available")));
        };
        self.link.reply(&Reply::new(220, "2.0.0", "Ready to start TLS")).await?;
        self.link.secure(&upgrade).await?;
        // Whatever was said in clear may have been said by somebody else.
        self.state.client = None;
        self.state.transaction = None;
        self.state.secured = true;
        Ok(None)
    }
}
