//! Which role may call what. Checked on the server before a call is looked at; the role comes from the certificate.

use model::verbs::{Code, Failure};
use tls::Role;

/// The kinds of calls, and of messages that are no calls but need a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Keysets; for `submission` the primary strips the wraps.
    Keyset,
    /// How logins ended.
    LoginOutcome,
    /// Bringing keys, at login or as the answer to a key query; reporting live sessions.
    Attach,
    /// Ending a session.
    Detach,
    /// Commands with a small answer.
    Request,
    /// FETCH.
    Fetch,
    /// FETCH, continued.
    Resume,
    /// APPEND.
    Append,
    /// Mail.
    Deliver,
    /// Confirmed mail.
    Settle,
    /// The directory, asked for or pushed.
    Directory,
}

impl Verb {
    /// All of them.
    pub const EVERY: [Verb; 11] = [
        Verb::Keyset,
        Verb::LoginOutcome,
        Verb::Attach,
        Verb::Detach,
        Verb::Request,
        Verb::Fetch,
        Verb::Resume,
        Verb::Append,
        Verb::Deliver,
        Verb::Settle,
        Verb::Directory,
    ];
}

/// What a role may call. A role without verbs is refused at Hello.
pub fn verbs(role: Role) -> &'static [Verb] {
    match role {
        Role::Imap => &[
            Verb::Keyset,
            Verb::LoginOutcome,
            Verb::Attach,
            Verb::Detach,
            Verb::Request,
            Verb::Fetch,
            Verb::Resume,
            Verb::Append,
            Verb::Directory,
        ],
        Role::Mx => &[Verb::Deliver, Verb::Settle, Verb::Directory],
        Role::Submission => &[Verb::Keyset, Verb::LoginOutcome, Verb::Settle, Verb::Directory],
        Role::Operator | Role::Primary(_) | Role::Courier => &[],
    }
}

/// Ok where the role's scope lists the verb.
pub fn check(role: Role, verb: Verb) -> Result<(), Failure> {
    if verbs(role).contains(&verb) {
        return Ok(());
    }
    Err(Failure::new(Code::NoPerm, format!("the role {role} may not call {verb:?}")))
}

#[cfg(test)]
mod tests {
    use super::{Verb, check};
    use model::ShardId;
    use model::verbs::Code;
    use tls::Role;

    #[test]
    fn each_role_may_call_exactly_what_its_scope_lists() {
        use Verb::{Append, Attach, Deliver, Detach, Directory, Fetch, Keyset, LoginOutcome, Request, Resume, Settle};
        let table: [(Role, &[Verb]); 6] = [
            (Role::Imap, &[Keyset, LoginOutcome, Attach, Detach, Request, Fetch, Resume, Append, Directory]),
            (Role::Mx, &[Deliver, Settle, Directory]),
            (Role::Submission, &[Keyset, LoginOutcome, Settle, Directory]),
            (Role::Courier, &[]),
            (Role::Operator, &[]),
            (Role::Primary(ShardId(0)), &[]),
        ];
        for (role, allowed) in table {
            for verb in Verb::EVERY {
                let answer = check(role, verb);
                assert_eq!(answer.is_ok(), allowed.contains(&verb), "{role} {verb:?}");
                assert!(answer.err().is_none_or(|failure| failure.code == Code::NoPerm));
            }
        }
    }
}
