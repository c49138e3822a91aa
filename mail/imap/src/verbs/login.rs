//! LOGIN (RFC 3501 section 6.2.3) and AUTHENTICATE PLAIN (RFC 4616, initial response: RFC 4959).

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::backend::{Accounts, LoginError, Mailbox};
use crate::capability;
use crate::reply::{Reply, Stop};
use crate::session::{Login, Session};

/// Longest response of a client in an authentication exchange, in octets.
const MAX_RESPONSE: usize = 12 << 10;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn log_in(&mut self, user: Vec<u8>, password: Zeroizing<Vec<u8>>) -> Result<Reply, Stop> {
        if !self.client.security.admits_passwords() {
            return Ok(Reply::no("Use STARTTLS first").code("PRIVACYREQUIRED"));
        }
        let Ok(user) = String::from_utf8(user) else { return Ok(refusal(LoginError::Rejected)) };
        // It may take long: guesses are delayed, and a shard that is away is waited for.
        let login = self.accounts.login(&user, password, self.client.address);
        let Some(login) = self.shutdown.run_until_cancelled(login).await else {
            return Err(Stop::Bye("Server is shutting down".to_owned()));
        };
        match login {
            Ok(mailbox) => {
                let hints = mailbox.hints();
                self.login = Some(Login { mailbox: mailbox.into(), hints });
                let list = capability::list(self.client.security, true, &self.config.limits);
                Ok(Reply::ok("Logged in").code(format!("CAPABILITY {list}")))
            }
            Err(error) => Ok(refusal(error)),
        }
    }

    pub(crate) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Reply, Stop> {
        if !self.client.security.admits_passwords() {
            return Ok(Reply::no("Use STARTTLS first").code("PRIVACYREQUIRED"));
        }
        if mechanism != "PLAIN" {
            return Ok(Reply::no("Unsupported authentication mechanism"));
        }
        let response = if let Some(initial) = initial {
            initial
        } else {
            self.io.out.extend_from_slice(b"+ \r\n");
            Zeroizing::new(self.io.line(MAX_RESPONSE).await?.ok_or(Stop::Gone)?)
        };
        if response.as_slice() == b"*" {
            return Ok(Reply::bad("Authentication cancelled"));
        }
        let Ok(plain) = BASE64.decode(&response).map(Zeroizing::new) else {
            return Ok(Reply::bad("Invalid base64"));
        };
        let mut parts = plain.splitn(3, |&b| b == 0);
        let (Some(acting), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(Reply::bad("Invalid response"));
        };
        if !acting.is_empty() && acting != user {
            return Ok(Reply::no("Nobody may act for another").code("AUTHORIZATIONFAILED"));
        }
        self.log_in(user.to_vec(), Zeroizing::new(password.to_vec())).await
    }
}

fn refusal(error: LoginError) -> Reply {
    let code = match error {
        LoginError::Rejected => "AUTHENTICATIONFAILED",
        LoginError::Unavailable => "UNAVAILABLE",
        LoginError::Limited => "LIMIT",
        LoginError::NotAllowed => "CONTACTADMIN",
    };
    Reply::no(error.to_string()).code(code)
}
