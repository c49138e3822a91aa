//! SEARCH keys (RFC 3501 section 6.4.4, RFC 5032, RFC 7162).

use jiff::civil::Date;

use super::command::Search;
use super::cursor::{Cursor, Parsed, is_atom};
use super::date;
use super::sequence::{self, Sequence};

/// Deepest nesting of NOT, OR and parentheses.
const MAX_DEPTH: usize = 64;

/// A search key as the client wrote it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named as in the RFCs")]
pub enum SearchTerm {
    All,
    And(Vec<SearchTerm>),
    Or(Box<SearchTerm>, Box<SearchTerm>),
    Not(Box<SearchTerm>),
    Sequence(Sequence),
    Uid(Sequence),
    Flag(String),
    Unflag(String),
    New,
    Old,
    Recent,
    Larger(u64),
    Smaller(u64),
    Before(Date),
    On(Date),
    Since(Date),
    SentBefore(Date),
    SentOn(Date),
    SentSince(Date),
    Older(u64),
    Younger(u64),
    Header(Vec<u8>, Vec<u8>),
    Body(Vec<u8>),
    Text(Vec<u8>),
    ModSeq(u64),
}

pub(crate) fn search(cursor: &mut Cursor, uid: bool) -> Parsed<Search> {
    let mut charset = None;
    if cursor.eat_word("CHARSET ") {
        charset = Some(String::from_utf8_lossy(&cursor.astring()?).to_ascii_uppercase());
        cursor.space()?;
    }
    let mut terms = vec![term(cursor, 0)?];
    while cursor.eat(b' ') {
        if cursor.peek().is_some() {
            terms.push(term(cursor, 0)?);
        }
    }
    Ok(Search { uid, charset, terms })
}

fn term(cursor: &mut Cursor, depth: usize) -> Parsed<SearchTerm> {
    if depth > MAX_DEPTH {
        return Err("Search is nested too deeply");
    }
    match cursor.peek() {
        Some(b'(') => {
            let terms = cursor.list(|c| term(c, depth + 1))?;
            return if terms.is_empty() { Err("Empty search key") } else { Ok(SearchTerm::And(terms)) };
        }
        Some(b'0'..=b'9' | b'*') => return Ok(SearchTerm::Sequence(sequence::sequence(cursor)?)),
        _ => {}
    }
    let word = cursor.word(is_atom, "Expected a search key")?.to_ascii_uppercase();
    if let Some(term) = plain(&word) {
        return Ok(term);
    }
    cursor.space()?;
    match word.as_str() {
        "NOT" => Ok(SearchTerm::Not(Box::new(term(cursor, depth + 1)?))),
        "OR" => {
            let left = term(cursor, depth + 1)?;
            cursor.space()?;
            Ok(SearchTerm::Or(Box::new(left), Box::new(term(cursor, depth + 1)?)))
        }
        _ => with_argument(&word, cursor),
    }
}

fn plain(word: &str) -> Option<SearchTerm> {
    let flag = |name: &str| Some(SearchTerm::Flag(name.to_owned()));
    let unflag = |name: &str| Some(SearchTerm::Unflag(name.to_owned()));
    match word {
        "ALL" => Some(SearchTerm::All),
        "NEW" => Some(SearchTerm::New),
        "OLD" => Some(SearchTerm::Old),
        "RECENT" => Some(SearchTerm::Recent),
        "ANSWERED" => flag("\\Answered"),
        "DELETED" => flag("\\Deleted"),
        "DRAFT" => flag("\\Draft"),
        "FLAGGED" => flag("\\Flagged"),
        "SEEN" => flag("\\Seen"),
        "UNANSWERED" => unflag("\\Answered"),
        "UNDELETED" => unflag("\\Deleted"),
        "UNDRAFT" => unflag("\\Draft"),
        "UNFLAGGED" => unflag("\\Flagged"),
        "UNSEEN" => unflag("\\Seen"),
        _ => None,
    }
}

fn with_argument(word: &str, cursor: &mut Cursor) -> Parsed<SearchTerm> {
    Ok(match word {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => SearchTerm::Header(word.as_bytes().to_vec(), cursor.astring()?),
        "HEADER" => {
            let name = cursor.astring()?;
            cursor.space()?;
            SearchTerm::Header(name, cursor.astring()?)
        }
        "BODY" => SearchTerm::Body(cursor.astring()?),
        "TEXT" => SearchTerm::Text(cursor.astring()?),
        "KEYWORD" => SearchTerm::Flag(cursor.atom()?.to_owned()),
        "UNKEYWORD" => SearchTerm::Unflag(cursor.atom()?.to_owned()),
        "UID" => SearchTerm::Uid(sequence::sequence(cursor)?),
        "LARGER" => SearchTerm::Larger(cursor.number()?),
        "SMALLER" => SearchTerm::Smaller(cursor.number()?),
        "OLDER" => SearchTerm::Older(cursor.number()?),
        "YOUNGER" => SearchTerm::Younger(cursor.number()?),
        "BEFORE" => SearchTerm::Before(date::date(cursor)?),
        "ON" => SearchTerm::On(date::date(cursor)?),
        "SINCE" => SearchTerm::Since(date::date(cursor)?),
        "SENTBEFORE" => SearchTerm::SentBefore(date::date(cursor)?),
        "SENTON" => SearchTerm::SentOn(date::date(cursor)?),
        "SENTSINCE" => SearchTerm::SentSince(date::date(cursor)?),
        "MODSEQ" => mod_seq(cursor)?,
        _ => return Err("Unknown search key"),
    })
}

/// `MODSEQ ["/flags/\\Seen" all] n`: the entry is accepted and, as one modseq serves all flags, without meaning.
fn mod_seq(cursor: &mut Cursor) -> Parsed<SearchTerm> {
    if cursor.peek() == Some(b'"') {
        cursor.string()?;
        cursor.space()?;
        cursor.atom()?;
        cursor.space()?;
    }
    Ok(SearchTerm::ModSeq(cursor.number()?))
}
