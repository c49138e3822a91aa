//! FETCH: one request, a stream of [`FetchEvent`]s.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Delta, View};
use crate::{ContentId, Keywords, ModSeq, UidSet, columns};

/// Which facts of each message are wanted.
#[expect(clippy::struct_excessive_bools, reason = "a set of named wishes, each of them its own RFC item")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FetchItems {
    /// INTERNALDATE
    pub internal_date: bool,
    /// RFC822.SIZE
    pub size: bool,
    /// EMAILID (RFC 8474)
    pub email_id: bool,
    /// SAVEDATE (RFC 8514)
    pub save_date: bool,
    /// ENVELOPE
    pub envelope: bool,
    /// BODY
    pub body: bool,
    /// BODYSTRUCTURE
    pub body_structure: bool,
    /// PREVIEW (RFC 8970)
    pub preview: bool,
}

/// FETCH of messages of the selected folder. Flags and modseq always come along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The client's view of the folder.
    pub view: View,
    /// Which messages.
    pub uids: UidSet,
    /// Which facts.
    pub items: FetchItems,
    /// Which bytes of the messages.
    pub sections: Vec<Section>,
    /// Only messages with a higher modseq.
    pub changed_since: Option<ModSeq>,
    /// Sets `\Seen` on the messages, durably within 1 s, before the rows are read.
    pub mark_seen: bool,
}

/// `BODY[path.part]<partial>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Section {
    /// Part numbers; empty for the message itself.
    pub path: Vec<u32>,
    /// What of that part.
    pub part: Part,
    /// First octet and most octets.
    pub partial: Option<(u64, u64)>,
}

/// The text specifier of a section (RFC 9051 section 6.4.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The whole part, or message.
    All,
    /// HEADER
    Header,
    /// HEADER.FIELDS, or HEADER.FIELDS.NOT where `not`.
    HeaderFields {
        /// Field names, any case.
        names: Vec<String>,
        /// All but these.
        not: bool,
    },
    /// TEXT
    Text,
    /// MIME
    Mime,
}

/// One step of the answer. First a `Head`, then rows ascending by UID; `Data` follows the rows event whose last row has
/// large sections, in the order of the sections. The end of the stream is the end of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FetchEvent {
    /// Once, first.
    Head {
        /// What others did; of the same snapshot as the rows.
        delta: Delta,
        /// The mailbox's modseq after `\Seen` was set.
        modseq: ModSeq,
        /// Asked for, but gone.
        missing: UidSet,
        /// All keywords of the mailbox.
        keywords: Keywords,
    },
    /// Some messages.
    Rows(Box<FetchRows>),
    /// Bytes of a [`SectionData::Large`], in order.
    Data(Bytes),
}

/// Messages as columns of equal length; a column not asked for is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FetchRows {
    /// UIDs, ascending.
    #[serde(with = "columns::u32s")]
    pub uids: Vec<u32>,
    /// See `FlagSet`.
    #[serde(with = "columns::u64s")]
    pub flags: Vec<u64>,
    /// Modseqs.
    #[serde(with = "columns::u64s")]
    pub modseqs: Vec<u64>,
    /// What a broken stream resumes from, see [`Resume`].
    #[serde(with = "columns::i64s")]
    pub contents: Vec<i64>,
    /// Seconds since 1970.
    #[serde(with = "columns::i64s")]
    pub internal_dates: Vec<i64>,
    /// Seconds since 1970.
    #[serde(with = "columns::i64s")]
    pub save_dates: Vec<i64>,
    /// Bytes.
    #[serde(with = "columns::u64s")]
    pub sizes: Vec<u64>,
    /// Object ids.
    pub email_ids: Vec<String>,
    /// Rendered as IMAP writes them.
    pub envelopes: Vec<Bytes>,
    /// Rendered as IMAP writes them.
    pub bodies: Vec<Bytes>,
    /// Rendered as IMAP writes them.
    pub body_structures: Vec<Bytes>,
    /// UTF-8 text.
    pub previews: Vec<String>,
    /// Row by row, for each row its sections in the order asked.
    pub sections: Vec<SectionData>,
}

/// The bytes of one section of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SectionData {
    /// There is no such part.
    Nil,
    /// All of them.
    Inline(Bytes),
    /// Too many for one frame: so many octets follow as [`FetchEvent::Data`]. Only in the last row of a `Rows` event.
    Large(u64),
}

/// Goes on in the middle of a large section after the stream broke: a stream of [`FetchEvent::Data`] alone. Content is
/// immutable and its ids are never reused, so the bytes are the same, also if the message has been expunged meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// From [`FetchRows::contents`].
    pub content: ContentId,
    /// The section as it was asked for.
    pub section: Section,
    /// Octets of it already received.
    pub offset: u64,
}
