//! What is announced, by state.

use crate::{Limits, Security};

/// Announced to everyone.
const ALWAYS: &str = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE";
/// Announced after login.
const LOGGED_IN: &str =
    "NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE CREATE-SPECIAL-USE CONDSTORE WITHIN STATUS=SIZE";

/// The capability list (RFC 3501 section 7.2.1) without a leading word.
pub(crate) fn list(security: Security, logged_in: bool, limits: &Limits) -> String {
    match (logged_in, security) {
        (true, _) => format!("{ALWAYS} {LOGGED_IN} APPENDLIMIT={}", limits.append),
        (false, Security::StartTls) => format!("{ALWAYS} STARTTLS LOGINDISABLED"),
        (false, _) => format!("{ALWAYS} AUTH=PLAIN"),
    }
}
