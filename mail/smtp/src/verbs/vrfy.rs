//! What is not done here: VRFY, EXPN, AUTH; and HELP, which says so.

use crate::reply::Reply;

/// Addresses are not told (RFC 5321 section 7.3).
pub(crate) fn vrfy() -> Reply {
    Reply::new(252, "2.5.0", "Cannot verify, but will take a message and try")
}

/// EXPN would tell even more; and passwords (AUTH) have no business here, least of all in clear.
pub(crate) fn not_implemented() -> Reply {
    Reply::new(502, "5.5.1", "Not implemented")
}

pub(crate) fn help() -> Reply {
    let verbs = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT STARTTLS VRFY HELP";
    Reply::lines(214, vec![verbs.into(), "This server receives mail for its own domains".into()])
}
