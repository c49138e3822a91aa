//! Replies (RFC 5321 section 4.2) with enhanced codes (RFC 2034, RFC 3463).

use std::borrow::Cow;
use std::fmt::Write as _;

/// One reply; several lines only for EHLO and HELP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Three digits.
    pub code: u16,
    /// For example `5.1.1`; empty where RFC 2034 wants none (greeting, EHLO, 3yz).
    enhanced: Cow<'static, str>,
    lines: Vec<Cow<'static, str>>,
    /// The connection ends after it.
    pub close: bool,
}

impl Reply {
    pub(crate) fn new(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: enhanced.into(), lines: vec![text.into()], close: false }
    }

    /// EHLO and HELP: no enhanced code, a line each.
    pub(crate) fn lines(code: u16, lines: Vec<Cow<'static, str>>) -> Self {
        Self { code, enhanced: "".into(), lines, close: false }
    }

    /// The same, and the connection ends.
    pub(crate) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// Appends the reply as it goes over the wire.
    pub(crate) fn write(&self, out: &mut String) {
        for (n, line) in self.lines.iter().enumerate() {
            let mark = if n + 1 == self.lines.len() { ' ' } else { '-' };
            let gap = if self.enhanced.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(out, "{}{mark}{}{gap}{line}\r\n", self.code, self.enhanced);
        }
    }
}

/// What an administrator wrote: forced into the form of a refusal, so that it can break no dialogue.
impl From<model::Reply> for Reply {
    fn from(reply: model::Reply) -> Self {
        let code = if (400..600).contains(&reply.code) { reply.code } else { 550 };
        let fits = |text: &str| {
            let mut parts = text.split('.');
            let class = parts.next().is_some_and(|c| c == if code < 500 { "4" } else { "5" });
            let digits = |p: &str| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
            class && text.matches('.').count() == 2 && parts.all(digits)
        };
        let enhanced = match (fits(&reply.enhanced), code) {
            (true, _) => reply.enhanced.into(),
            (false, ..500) => "4.7.1".into(),
            (false, _) => "5.7.1".into(),
        };
        let text: String = reply.text.chars().filter(|c| *c == ' ' || c.is_ascii_graphic()).take(400).collect();
        Self { code, enhanced, lines: vec![text.into()], close: false }
    }
}

pub(crate) fn ok() -> Reply {
    Reply::new(250, "2.0.0", "Ok")
}

pub(crate) fn bad_sequence(text: &'static str) -> Reply {
    Reply::new(503, "5.5.1", text)
}

pub(crate) fn bad_argument(text: &'static str) -> Reply {
    Reply::new(501, "5.5.4", text)
}

pub(crate) fn too_big() -> Reply {
    Reply::new(552, "5.3.4", "Message is larger than accepted here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrators_reply_cannot_break_the_dialogue() {
        let mut out = String::new();
        Reply::from(model::Reply::new(250, "2.0.0", "yes\r\n250 really")).write(&mut out);
        assert_eq!(out, "550 5.7.1 yes250 really\r\n");
        let mut out = String::new();
        Reply::from(model::Reply::new(450, "4.2.1", "later")).write(&mut out);
        assert_eq!(out, "450 4.2.1 later\r\n");
    }
}
