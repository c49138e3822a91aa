//! Tagged answers, and the reasons to leave a connection.

use model::verbs::{Code, Failure};

use crate::ImapError;

/// OK, NO or BAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    No,
    Bad,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

/// A verb's tagged answer. `code` is without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub status: Status,
    pub code: Option<String>,
    pub text: String,
}

impl Reply {
    pub fn ok(text: impl Into<String>) -> Self {
        Self { status: Status::Ok, code: None, text: text.into() }
    }

    pub fn no(text: impl Into<String>) -> Self {
        Self { status: Status::No, code: None, text: text.into() }
    }

    pub fn bad(text: impl Into<String>) -> Self {
        Self { status: Status::Bad, code: None, text: text.into() }
    }

    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The code, if there is one, and the text.
    pub fn said(&self) -> String {
        match &self.code {
            Some(code) => format!("[{code}] {}", self.text),
            None => self.text.clone(),
        }
    }

    /// Appends the answer's line.
    pub fn render(&self, tag: &str, out: &mut Vec<u8>) {
        let mut line = format!("{tag} {} ", self.status.word());
        // A text from elsewhere must not be able to add a line of its own.
        line.extend(self.said().chars().map(|c| if c.is_control() { ' ' } else { c }));
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Leaves the verb at once.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The verb failed: this is its tagged answer.
    Answer(Reply),
    /// The connection ends with this `* BYE` text.
    Bye(String),
    /// The connection ends without a word: the client has gone, or everything was said.
    Gone,
    /// The connection broke.
    Broken(ImapError),
    /// STARTTLS was answered.
    Upgrade,
}

impl From<ImapError> for Stop {
    fn from(error: ImapError) -> Self {
        Self::Broken(error)
    }
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Answer(reply)
    }
}

/// In IMAP's words (RFC 9051 section 7.1, RFC 5530).
impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let code = match failure.code {
            Code::None | Code::BadMessage => return Self::Answer(Reply::no(failure.text)),
            Code::Revoked => return Self::Bye("Your session was ended; log in again".to_owned()),
            Code::NonExistent => "NONEXISTENT",
            Code::TryCreate => "TRYCREATE",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::Cannot => "CANNOT",
            Code::InUse => "INUSE",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::OverQuota => "OVERQUOTA",
            Code::Limit => "LIMIT",
            Code::NoPerm => "NOPERM",
            // Not OVERQUOTA (RFC 5530): to delete mail would not help, and the disk may be another one soon.
            Code::NoSpace => "UNAVAILABLE",
            Code::Unavailable | Code::NotAttached | Code::WrongShard => "UNAVAILABLE",
            Code::TooBig => "TOOBIG",
            Code::ServerBug => "SERVERBUG",
        };
        Self::Answer(Reply::no(failure.text).code(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_said_before_the_text_and_nothing_adds_a_line() {
        let failure = Failure::unavailable("a file of the volume\r\n* failed");
        let Stop::Answer(reply) = Stop::from(failure) else { panic!("a verb can answer that") };
        assert_eq!(reply.said(), "[UNAVAILABLE] a file of the volume\r\n* failed");
        let mut out = Vec::new();
        reply.render("a1", &mut out);
        assert_eq!(out, b"a1 NO [UNAVAILABLE] a file of the volume  * failed\r\n");
        assert_eq!(Reply::ok("done").said(), "done");
    }
}
