//! ENVELOPE (RFC 3501 section 7.4.2), rendered for IMAP4rev1.

use crate::address::{Mailbox, addresses};
use crate::header::{fields, unfold};
use crate::imap;

/// The envelope of a header block, with its parentheses. Of repeated fields the last counts, address lists are joined.
pub fn envelope(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write(&mut out, block);
    out
}

#[derive(Default)]
struct Found {
    date: Option<Vec<u8>>,
    subject: Option<Vec<u8>>,
    from: Vec<Mailbox>,
    sender: Vec<Mailbox>,
    reply_to: Vec<Mailbox>,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
    in_reply_to: Option<Vec<u8>>,
    message_id: Option<Vec<u8>>,
}

pub(crate) fn write(out: &mut Vec<u8>, block: &[u8]) {
    let found = Found::read(block);
    let or_from = |list: &[Mailbox]| if list.is_empty() { found.from.clone() } else { list.to_vec() };
    out.push(b'(');
    imap::nstring(out, found.date.as_deref());
    out.push(b' ');
    imap::nstring(out, found.subject.as_deref());
    for list in [&found.from, &or_from(&found.sender), &or_from(&found.reply_to), &found.to, &found.cc, &found.bcc] {
        out.push(b' ');
        write_list(out, list);
    }
    out.push(b' ');
    imap::nstring(out, found.in_reply_to.as_deref());
    out.push(b' ');
    imap::nstring(out, found.message_id.as_deref());
    out.push(b')');
}

impl Found {
    fn read(block: &[u8]) -> Self {
        let mut found = Self::default();
        for field in fields(block) {
            let name = &block[field.name];
            // The longest of the names below.
            if name.len() > 11 {
                continue;
            }
            let value = &block[field.value];
            match name.to_ascii_lowercase().as_slice() {
                b"date" => found.date = Some(unfold(value)),
                b"subject" => found.subject = Some(imap::text(value)),
                b"from" => found.from.extend(addresses(value)),
                b"sender" => found.sender.extend(addresses(value)),
                b"reply-to" => found.reply_to.extend(addresses(value)),
                b"to" => found.to.extend(addresses(value)),
                b"cc" => found.cc.extend(addresses(value)),
                b"bcc" => found.bcc.extend(addresses(value)),
                b"in-reply-to" => found.in_reply_to = Some(unfold(value)),
                b"message-id" => found.message_id = Some(unfold(value)),
                _ => {}
            }
        }
        found
    }
}

fn write_list(out: &mut Vec<u8>, list: &[Mailbox]) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for mailbox in list {
        out.push(b'(');
        imap::nstring(out, mailbox.name.as_deref().map(imap::text).as_deref());
        for part in [&mailbox.route, &mailbox.local, &mailbox.host] {
            out.push(b' ');
            imap::nstring(out, part.as_deref());
        }
        out.push(b')');
    }
    out.push(b')');
}

#[cfg(test)]
mod tests;
