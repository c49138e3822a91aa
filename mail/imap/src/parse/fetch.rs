//! FETCH, STORE and APPEND arguments.

use std::fmt::Write;

use model::verbs::{Part, Section, StoreMode};

use super::command::{AppendHead, Fetch, FetchItem, Store};
use super::cursor::{Cursor, Parsed};
use super::{date, sequence};

/// Most part numbers in a section.
const MAX_DEPTH: usize = 100;

pub(crate) fn fetch(cursor: &mut Cursor, uid: bool) -> Parsed<Fetch> {
    let set = sequence::sequence(cursor)?;
    cursor.space()?;
    let mut items = match cursor.peek() {
        Some(b'(') => cursor.list(item)?,
        _ => macro_or_item(cursor)?,
    };
    if items.is_empty() {
        return Err("Nothing to fetch");
    }
    let mut changed_since = None;
    if cursor.eat(b' ') {
        cursor.expect(b'(', "Invalid modifier")?;
        if !cursor.eat_word("CHANGEDSINCE ") {
            return Err("Unknown modifier");
        }
        changed_since = Some(cursor.number()?);
        cursor.expect(b')', "Invalid modifier")?;
        if !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
    }
    if uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    Ok(Fetch { uid, set, items, changed_since })
}

fn macro_or_item(cursor: &mut Cursor) -> Parsed<Vec<FetchItem>> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Size};
    let word = cursor.clone().atom()?.to_ascii_uppercase();
    let items = match word.as_str() {
        "ALL" => vec![Flags, InternalDate, Size, Envelope],
        "FAST" => vec![Flags, InternalDate, Size],
        "FULL" => vec![Flags, InternalDate, Size, Envelope, Body],
        _ => return Ok(vec![item(cursor)?]),
    };
    cursor.atom()?;
    Ok(items)
}

fn item(cursor: &mut Cursor) -> Parsed<FetchItem> {
    let word = cursor.word(|b| b.is_ascii_alphanumeric() || b == b'.', "Expected a data item")?.to_ascii_uppercase();
    if cursor.peek() == Some(b'[') {
        return match word.as_str() {
            "BODY" => section(cursor, false),
            "BODY.PEEK" => section(cursor, true),
            _ => Err("Unknown data item"),
        };
    }
    Ok(match word.as_str() {
        "UID" => FetchItem::Uid,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Size,
        "ENVELOPE" => FetchItem::Envelope,
        "BODY" => FetchItem::Body,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "MODSEQ" => FetchItem::ModSeq,
        "RFC822" => FetchItem::whole("RFC822", Part::All, false),
        "RFC822.HEADER" => FetchItem::whole("RFC822.HEADER", Part::Header, true),
        "RFC822.TEXT" => FetchItem::whole("RFC822.TEXT", Part::Text, false),
        _ => return Err("Unknown data item"),
    })
}

fn section(cursor: &mut Cursor, peek: bool) -> Parsed<FetchItem> {
    const WRONG: &str = "Invalid section";
    cursor.expect(b'[', WRONG)?;
    let mut label = String::from("BODY[");
    let mut path = Vec::new();
    while cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        let number = u32::try_from(cursor.number()?).ok().filter(|&n| n > 0).ok_or(WRONG)?;
        path.push(number);
        label.push_str(&number.to_string());
        if path.len() > MAX_DEPTH {
            return Err(WRONG);
        }
        match cursor.eat(b'.') {
            true if cursor.peek() != Some(b']') => label.push('.'),
            true => return Err(WRONG),
            false => break,
        }
    }
    let part = part(cursor, !path.is_empty(), &mut label)?;
    cursor.expect(b']', WRONG)?;
    label.push(']');
    let partial = partial(cursor, &mut label)?;
    Ok(FetchItem::Section { section: Section { path, part, partial }, label, peek })
}

fn part(cursor: &mut Cursor, nested: bool, label: &mut String) -> Parsed<Part> {
    if cursor.peek() == Some(b']') {
        return Ok(Part::All);
    }
    let word = cursor.word(|b| b.is_ascii_alphabetic() || b == b'.', "Invalid section")?.to_ascii_uppercase();
    label.push_str(&word);
    let not = match word.as_str() {
        "HEADER" => return Ok(Part::Header),
        "TEXT" => return Ok(Part::Text),
        "MIME" if nested => return Ok(Part::Mime),
        "HEADER.FIELDS" => false,
        "HEADER.FIELDS.NOT" => true,
        _ => return Err("Invalid section"),
    };
    cursor.space()?;
    let names = cursor.list(|c| String::from_utf8(c.astring()?).map_err(|_| "Invalid header field name"))?;
    if names.is_empty() || names.iter().any(|n| !n.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')) {
        return Err("Invalid header field name");
    }
    // Names that are no atoms are echoed quoted.
    let echo = names.iter().map(|n| if n.bytes().all(super::cursor::is_atom) { n.clone() } else { format!("\"{n}\"") });
    let _ = write!(label, " ({})", echo.collect::<Vec<_>>().join(" "));
    Ok(Part::HeaderFields { names, not })
}

fn partial(cursor: &mut Cursor, label: &mut String) -> Parsed<Option<(u64, u64)>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let first = cursor.number()?;
    cursor.expect(b'.', "Invalid partial")?;
    let most = cursor.number()?;
    cursor.expect(b'>', "Invalid partial")?;
    if most == 0 {
        return Err("Invalid partial");
    }
    let _ = write!(label, "<{first}>");
    Ok(Some((first, most)))
}

pub(crate) fn store(cursor: &mut Cursor, uid: bool) -> Parsed<Store> {
    let set = sequence::sequence(cursor)?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.eat(b'(') {
        if !cursor.eat_word("UNCHANGEDSINCE ") {
            return Err("Unknown modifier");
        }
        unchanged_since = Some(cursor.number()?);
        cursor.expect(b')', "Invalid modifier")?;
        cursor.space()?;
    }
    let mode = match cursor.peek() {
        Some(b'+') => StoreMode::Add,
        Some(b'-') => StoreMode::Remove,
        _ => StoreMode::Replace,
    };
    if mode != StoreMode::Replace {
        cursor.take_while(|b| matches!(b, b'+' | b'-'));
    }
    if !cursor.eat_word("FLAGS") {
        return Err("Unknown data item");
    }
    let silent = cursor.eat_word(".SILENT");
    cursor.space()?;
    let flags = flags(cursor)?;
    Ok(Store { uid, set, unchanged_since, mode, silent, flags })
}

/// A list of flags, or flags without parentheses.
fn flags(cursor: &mut Cursor) -> Parsed<Vec<String>> {
    if cursor.peek() == Some(b'(') {
        return cursor.list(flag);
    }
    let mut flags = vec![flag(cursor)?];
    while cursor.eat(b' ') {
        if cursor.peek().is_some() {
            flags.push(flag(cursor)?);
        }
    }
    Ok(flags)
}

fn flag(cursor: &mut Cursor) -> Parsed<String> {
    let system = cursor.eat(b'\\');
    let name = cursor.atom().map_err(|_| "Invalid flag")?;
    if !system {
        return Ok(name.to_owned());
    }
    let name = format!("\\{name}");
    // A client may give back \Recent where it copies flags; it cannot be set, and nobody is helped by refusing.
    match model::SystemFlag::from_name(&name) {
        Some(known) => Ok(known.name().to_owned()),
        None if name.eq_ignore_ascii_case("\\Recent") => Ok("\\Recent".to_owned()),
        None => Err("Unknown system flag"),
    }
}

/// `tag APPEND name [(flags)] [date] ` in front of a literal; `None` for any other command.
pub(crate) fn append_head(line: &[u8]) -> Option<Result<AppendHead, (String, &'static str)>> {
    let mut cursor = Cursor::new(line);
    let tag = super::tag(&mut cursor).ok()?;
    if !cursor.eat(b' ') || !cursor.eat_word("APPEND ") {
        return None;
    }
    // A literal right here is the folder's name, not the message.
    if cursor.rest().is_empty() {
        return None;
    }
    Some(append_arguments(&mut cursor, tag.clone()).map_err(|wrong| (tag, wrong)))
}

fn append_arguments(cursor: &mut Cursor, tag: String) -> Parsed<AppendHead> {
    let name = cursor.astring()?;
    cursor.space()?;
    let mut head = AppendHead { tag, name, flags: Vec::new(), date: None };
    if cursor.peek() == Some(b'(') {
        head.flags = cursor.list(flag)?;
        head.flags.retain(|flag| flag != "\\Recent");
        cursor.space()?;
    }
    if cursor.peek() == Some(b'"') {
        head.date = Some(date::date_time(cursor)?);
        cursor.space()?;
    }
    cursor.end()?;
    Ok(head)
}
