//! Taking a message apart: everything that needs no database.

use crate::StoreError;
use crate::bodies::{Attachment, Brief, HEAD, Meta, Packed, Piece, cut};

/// Longest ENVELOPE, BODY or BODYSTRUCTURE in octets: what no real message has, and a hostile one could make so long that no
/// answer holds it. A longer structure is shown as one text, a longer envelope as far as [`CUT_HEADER`] goes.
const SHOWN: usize = 1 << 20;
/// Octets of a header whose envelope would be longer than [`SHOWN`]. An address of two octets is shown in about forty, at
/// most three times.
const CUT_HEADER: usize = 8 << 10;

/// A message as it will be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Octets of the message.
    pub size: u64,
    /// Day of the Date header, in days since 1970.
    pub sent: Option<i64>,
    /// `mail.meta`.
    pub meta: Vec<u8>,
    /// The row of `brief`.
    pub brief: Option<Brief>,
    /// The first bytes of the stream.
    pub head: Packed,
    /// The rest of it.
    pub chunks: Vec<Packed>,
    /// Base64 bodies that are stored decoded.
    pub attachments: Vec<Attachment>,
}

impl Prepared {
    /// Packed octets, attachments included.
    pub fn packed(&self) -> u64 {
        let attachments = self.attachments.iter().flat_map(|attachment| &attachment.chunks);
        self.chunks.iter().chain(attachments).map(|chunk| chunk.data.len() as u64).sum()
    }

    /// The layout, once the attachments have ids; none where there are no attachments.
    pub fn pieces(&self, ids: &[i64]) -> Option<Vec<Piece>> {
        if self.attachments.is_empty() {
            return None;
        }
        let mut pieces = Vec::with_capacity(2 * ids.len() + 1);
        let mut at = 0;
        for (attachment, id) in self.attachments.iter().zip(ids) {
            pieces.push(Piece::Own((attachment.place.start - at) as u64));
            pieces.push(Piece::Att(*id, attachment.layout));
            at = attachment.place.end;
        }
        pieces.push(Piece::Own(self.size - at as u64));
        Some(pieces)
    }
}

/// Parses, renders, cuts and packs a message. `key` is what attachments are hashed with.
pub(crate) fn prepare(raw: &[u8], key: &[u8]) -> Result<Prepared, StoreError> {
    let skeleton = mime::parse(raw);
    let header = &raw[skeleton.header()];
    let attachments = cut(raw, &skeleton, key);
    let head_len = skeleton.header().end.min(HEAD).min(attachments.first().map_or(raw.len(), |a| a.place.start));
    let stream = stream(raw, &attachments);
    let head = Packed::new(&stream[..head_len]);
    let chunks = Packed::chunks(&stream[head_len..]);
    let shown = shown(raw, skeleton);
    let meta = Meta {
        envelope: &shown.envelope,
        body: &shown.body,
        body_structure: &shown.body_structure,
        preview: &mime::preview(raw, &shown.skeleton),
        skeleton: shown.skeleton,
    };
    Ok(Prepared {
        size: raw.len() as u64,
        sent: mime::sent_date(header).map(|sent| days(sent.day)),
        meta: meta.to_bytes()?,
        brief: Brief::make(header),
        head,
        chunks,
        attachments,
    })
}

/// What IMAP shows of a message.
struct Shown {
    envelope: Vec<u8>,
    body: Vec<u8>,
    body_structure: Vec<u8>,
    skeleton: mime::Skeleton,
}

/// Renders a message, within [`SHOWN`].
fn shown(raw: &[u8], skeleton: mime::Skeleton) -> Shown {
    let header = &raw[skeleton.header()];
    let mut envelope = mime::envelope(header);
    if envelope.len() > SHOWN {
        envelope = mime::envelope(&header[..header.len().min(CUT_HEADER)]);
    }
    let render = |skeleton: &mime::Skeleton| [false, true].map(|long| mime::body_structure(raw, skeleton, long));
    let ([mut body, mut body_structure], mut skeleton) = (render(&skeleton), skeleton);
    if body_structure.len() > SHOWN {
        skeleton = skeleton.as_text();
        [body, body_structure] = [false, true].map(|long| mime::body_structure(b"", &skeleton, long));
    }
    Shown { envelope, body, body_structure, skeleton }
}

/// Days since 1970.
pub(crate) fn days(day: jiff::civil::Date) -> i64 {
    let since = day.since((jiff::Unit::Day, jiff::civil::date(1970, 1, 1)));
    since.map_or(0, |span| i64::from(span.get_days()))
}

/// The message without its attachments.
fn stream<'a>(raw: &'a [u8], attachments: &[Attachment]) -> std::borrow::Cow<'a, [u8]> {
    if attachments.is_empty() {
        return raw.into();
    }
    let ends = attachments.iter().map(|attachment| attachment.place.end);
    let starts = attachments.iter().map(|attachment| attachment.place.start);
    let mut own = Vec::with_capacity(raw.len());
    for (from, to) in std::iter::once(0).chain(ends).zip(starts.chain([raw.len()])) {
        own.extend_from_slice(&raw[from..to]);
    }
    own.into()
}
