//! The grammar: octets of one whole command (see `frame`) to a [`Command`]. Pure, never panics, bounded depth.

mod command;
mod cursor;
mod date;
mod fetch;
pub mod name;
mod search;
mod sequence;

pub use command::{AppendHead, Command, Fetch, FetchItem, List, Search, StatusItem, Store, Verb};
pub use search::SearchTerm;
pub use sequence::{STAR, Sequence};

pub(crate) use cursor::is_atom;
pub(crate) use date::MONTHS;
pub(crate) use fetch::append_head;

use cursor::{Cursor, Parsed};
use zeroize::Zeroizing;

/// A command that is not understood: answered with BAD.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ParseError {
    /// The client's tag, where there is one.
    pub tag: Option<String>,
    /// What is wrong, for the client.
    pub text: &'static str,
}

/// Parses one command, given without its line end and with literals inline as `{n}` CRLF octets.
pub fn parse(command: &[u8]) -> Result<Command, ParseError> {
    let mut cursor = Cursor::new(command);
    let tag = tag(&mut cursor).map_err(|text| ParseError { tag: None, text })?;
    match verb(&mut cursor) {
        Ok(verb) => Ok(Command { tag, verb }),
        Err(text) => Err(ParseError { tag: Some(tag), text }),
    }
}

/// The tag of a command of which nothing more is wanted.
pub(crate) fn tag_of(command: &[u8]) -> Option<String> {
    tag(&mut Cursor::new(command)).ok()
}

/// Longest tag: longer ones are no tags but noise.
const MAX_TAG: usize = 200;

pub(crate) fn tag(cursor: &mut Cursor) -> Parsed<String> {
    let tag = cursor.word(|b| (is_atom(b) || b == b']') && b != b'+', "Missing tag")?;
    if tag.len() > MAX_TAG { Err("Missing tag") } else { Ok(tag.to_owned()) }
}

fn verb(cursor: &mut Cursor) -> Parsed<Verb> {
    cursor.expect(b' ', "Missing command")?;
    let word = cursor.atom().map_err(|_| "Missing command")?.to_ascii_uppercase();
    let verb = match word.as_str() {
        "CAPABILITY" => Verb::Capability,
        "NOOP" => Verb::Noop,
        "LOGOUT" => Verb::Logout,
        "STARTTLS" => Verb::StartTls,
        "NAMESPACE" => Verb::Namespace,
        "IDLE" => Verb::Idle,
        "CHECK" => Verb::Check,
        "CLOSE" => Verb::Close,
        "UNSELECT" => Verb::Unselect,
        "EXPUNGE" => Verb::Expunge { only: None },
        _ => {
            cursor.space().map_err(|_| "Unknown command, or arguments missing")?;
            with_arguments(&word, cursor)?
        }
    };
    cursor.end()?;
    Ok(verb)
}

fn with_arguments(word: &str, cursor: &mut Cursor) -> Parsed<Verb> {
    Ok(match word {
        "UID" => uid(cursor)?,
        "FETCH" => Verb::Fetch(fetch::fetch(cursor, false)?),
        "STORE" => Verb::Store(fetch::store(cursor, false)?),
        "SEARCH" => Verb::Search(search::search(cursor, false)?),
        "COPY" => copy(cursor, false, false)?,
        "MOVE" => copy(cursor, false, true)?,
        "LOGIN" => login(cursor)?,
        "AUTHENTICATE" => authenticate(cursor)?,
        "ID" => id(cursor)?,
        "ENABLE" => enable(cursor)?,
        "SELECT" => select(cursor, false)?,
        "EXAMINE" => select(cursor, true)?,
        "CREATE" => create(cursor)?,
        "DELETE" => Verb::Delete { name: cursor.astring()? },
        "RENAME" => {
            let (from, to) = pair(cursor, Cursor::astring)?;
            Verb::Rename { from, to }
        }
        "SUBSCRIBE" => Verb::Subscribe { name: cursor.astring()?, on: true },
        "UNSUBSCRIBE" => Verb::Subscribe { name: cursor.astring()?, on: false },
        "LIST" => Verb::List(list(cursor)?),
        "LSUB" => {
            let (reference, pattern) = pair(cursor, Cursor::list_mailbox)?;
            Verb::Lsub { reference, pattern }
        }
        "STATUS" => {
            let name = cursor.astring()?;
            cursor.space()?;
            Verb::Status { name, items: status_items(cursor)? }
        }
        "APPEND" => return Err("Missing message literal"),
        _ => return Err("Unknown command"),
    })
}

fn uid(cursor: &mut Cursor) -> Parsed<Verb> {
    let word = cursor.atom()?.to_ascii_uppercase();
    cursor.space()?;
    match word.as_str() {
        "FETCH" => fetch::fetch(cursor, true).map(Verb::Fetch),
        "STORE" => fetch::store(cursor, true).map(Verb::Store),
        "SEARCH" => search::search(cursor, true).map(Verb::Search),
        "COPY" => copy(cursor, true, false),
        "MOVE" => copy(cursor, true, true),
        "EXPUNGE" => Ok(Verb::Expunge { only: Some(sequence::sequence(cursor)?) }),
        _ => Err("Unknown UID command"),
    }
}

fn pair<'a, T>(cursor: &mut Cursor<'a>, one: impl Fn(&mut Cursor<'a>) -> Parsed<T>) -> Parsed<(T, T)> {
    let first = one(cursor)?;
    cursor.space()?;
    Ok((first, one(cursor)?))
}

fn copy(cursor: &mut Cursor, uid: bool, remove: bool) -> Parsed<Verb> {
    let set = sequence::sequence(cursor)?;
    cursor.space()?;
    Ok(Verb::Copy { uid, set, target: cursor.astring()?, remove })
}

fn login(cursor: &mut Cursor) -> Parsed<Verb> {
    let user = cursor.astring()?;
    cursor.space()?;
    Ok(Verb::Login { user, password: Zeroizing::new(cursor.astring()?) })
}

fn authenticate(cursor: &mut Cursor) -> Parsed<Verb> {
    let mechanism = cursor.atom()?.to_ascii_uppercase();
    let initial = if cursor.eat(b' ') {
        Some(Zeroizing::new(cursor.take_while(|b| b.is_ascii_graphic()).to_vec())).filter(|text| !text.is_empty())
    } else {
        None
    };
    Ok(Verb::Authenticate { mechanism, initial })
}

/// RFC 2971; what the client says of itself is not kept.
fn id(cursor: &mut Cursor) -> Parsed<Verb> {
    if !cursor.eat_word("NIL") {
        cursor.list(Cursor::nstring)?;
    }
    Ok(Verb::Id)
}

fn enable(cursor: &mut Cursor) -> Parsed<Verb> {
    let mut names = vec![cursor.atom()?.to_ascii_uppercase()];
    while cursor.eat(b' ') {
        if cursor.peek().is_some() {
            names.push(cursor.atom()?.to_ascii_uppercase());
        }
    }
    Ok(Verb::Enable(names))
}

fn select(cursor: &mut Cursor, read_only: bool) -> Parsed<Verb> {
    let name = cursor.astring()?;
    let mut condstore = false;
    if cursor.eat(b' ') {
        let options = cursor.list(|c| c.atom().map(str::to_ascii_uppercase))?;
        if options.iter().any(|option| option != "CONDSTORE") {
            return Err("Unknown select option");
        }
        condstore = true;
    }
    Ok(Verb::Select { name, read_only, condstore })
}

fn create(cursor: &mut Cursor) -> Parsed<Verb> {
    let name = cursor.astring()?;
    let mut uses = Vec::new();
    if cursor.eat(b' ') && cursor.peek().is_some() {
        cursor.expect(b'(', "Expected a list")?;
        if !cursor.eat_word("USE ") {
            return Err("Unknown create option");
        }
        uses = cursor.list(attribute)?;
        cursor.expect(b')', "Missing )")?;
    }
    Ok(Verb::Create { name, uses })
}

fn attribute(cursor: &mut Cursor) -> Parsed<String> {
    cursor.expect(b'\\', "Expected an attribute")?;
    Ok(format!("\\{}", cursor.atom()?))
}

/// Most patterns in one LIST: each is tried on each folder.
const MAX_PATTERNS: usize = 16;

/// RFC 3501 and, though it is not announced, the form of RFC 5258 that RFC 6154 builds on.
fn list(cursor: &mut Cursor) -> Parsed<List> {
    let mut list = List::default();
    if cursor.peek() == Some(b'(') {
        for option in cursor.list(|c| c.atom().map(str::to_ascii_uppercase))? {
            match option.as_str() {
                "SUBSCRIBED" => list.only_subscribed = true,
                "SPECIAL-USE" => list.only_special = true,
                "REMOTE" | "RECURSIVEMATCH" => {}
                _ => return Err("Unknown selection option"),
            }
        }
        cursor.space()?;
    }
    list.reference = cursor.list_mailbox()?;
    cursor.space()?;
    list.patterns = match cursor.peek() {
        Some(b'(') => cursor.list(Cursor::list_mailbox)?,
        _ => vec![cursor.list_mailbox()?],
    };
    match list.patterns.len() {
        0 => return Err("Missing pattern"),
        1..=MAX_PATTERNS => {}
        _ => return Err("Too many patterns"),
    }
    if cursor.eat_word(" RETURN ") {
        cursor.list(|c| return_option(c, &mut list))?;
    }
    Ok(list)
}

fn return_option(cursor: &mut Cursor, list: &mut List) -> Parsed<()> {
    match cursor.atom()?.to_ascii_uppercase().as_str() {
        "SUBSCRIBED" => list.return_subscribed = true,
        "CHILDREN" | "SPECIAL-USE" => {}
        "STATUS" => {
            cursor.space()?;
            list.return_status = status_items(cursor)?;
        }
        _ => return Err("Unknown return option"),
    }
    Ok(())
}

fn status_items(cursor: &mut Cursor) -> Parsed<Vec<StatusItem>> {
    let items = cursor.list(|c| {
        Ok(match c.atom()?.to_ascii_uppercase().as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            "SIZE" => StatusItem::Size,
            "DELETED" => StatusItem::Deleted,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            _ => return Err("Unknown status item"),
        })
    })?;
    if items.is_empty() { Err("Missing status items") } else { Ok(items) }
}

#[cfg(test)]
mod tests;
