//! `BODY[...]`: which octets of a message a section is, and reading them.

use std::ops::Range;

use model::verbs::{Part, Section};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::StoreError;
use crate::bodies::{Brief, Content, Meta, covers, gone};

/// A section that exists.
pub(super) enum Found {
    /// Octets of the message.
    Range(Range<u64>),
    /// Chosen header fields.
    Bytes(Vec<u8>),
}

impl Found {
    /// Octets of the section.
    pub fn len(&self) -> u64 {
        match self {
            Self::Range(range) => range.end - range.start,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    fn cut(self, partial: Option<(u64, u64)>) -> Self {
        let Some((first, most)) = partial else { return self };
        let len = self.len();
        let (from, to) = (first.min(len), first.saturating_add(most).min(len));
        match self {
            Self::Range(range) => Self::Range(range.start + from..range.start + to),
            Self::Bytes(bytes) => Self::Bytes(bytes[from as usize..to as usize].to_vec()),
        }
    }
}

/// Reads sections of one content inside one transaction.
pub(super) struct Reader<'c> {
    connection: &'c Connection,
    id: i64,
    content: Option<Content>,
    brief: Option<Brief>,
    skeleton: Option<mime::Skeleton>,
}

impl<'c> Reader<'c> {
    /// Nothing is read before it is needed.
    pub fn new(connection: &'c Connection, id: i64) -> Self {
        Self { connection, id, content: None, brief: None, skeleton: None }
    }

    /// Finds a section of a message of `size` octets; none where there is no such part.
    pub fn find(&mut self, section: &Section, size: u64) -> Result<Option<Found>, StoreError> {
        if let Some(fields) = self.listed(section)? {
            return Ok(Some(Found::Bytes(fields).cut(section.partial)));
        }
        let whole = match (section.path.is_empty(), &section.part, self.content()?.header()) {
            (true, Part::All, _) => Some(0..size),
            (true, Part::Header | Part::HeaderFields { .. }, Some(header)) => Some(0..header.len() as u64),
            (true, Part::Text, Some(header)) => Some(header.len() as u64..size),
            _ => None,
        };
        let range = match whole {
            Some(range) => range,
            None => match self.locate(section)? {
                Some(range) => range,
                None => return Ok(None),
            },
        };
        let found = match &section.part {
            Part::HeaderFields { names, not } => Found::Bytes(self.fields(range, names, *not)?),
            _ => Found::Range(range),
        };
        Ok(Some(found.cut(section.partial)))
    }

    /// At most `most` octets of what was found, from `offset` on.
    pub fn bytes(&mut self, found: &Found, offset: u64, most: u64) -> Result<Vec<u8>, StoreError> {
        let (from, to) = (offset.min(found.len()), offset.saturating_add(most).min(found.len()));
        match found {
            Found::Bytes(bytes) => Ok(bytes[from as usize..to as usize].to_vec()),
            Found::Range(range) => {
                let mut out = Vec::with_capacity((to - from) as usize);
                let connection = self.connection;
                self.content()?.read(connection, range.start + from..range.start + to, &mut out)?;
                Ok(out)
            }
        }
    }

    /// The chosen fields, where the message's brief holds them all.
    fn listed(&mut self, section: &Section) -> Result<Option<Vec<u8>>, StoreError> {
        let (true, Part::HeaderFields { names, not: false }) = (section.path.is_empty(), &section.part) else {
            return Ok(None);
        };
        if !covers(names) {
            return Ok(None);
        }
        if self.brief.is_none() {
            self.brief = Brief::load(self.connection, self.id)?;
        }
        Ok(self.brief.as_ref().and_then(|brief| brief.header_fields(names)))
    }

    fn content(&mut self) -> Result<&Content, StoreError> {
        let content = match self.content.take() {
            Some(content) => content,
            None => Content::load(self.connection, self.id)?,
        };
        Ok(self.content.insert(content))
    }

    fn fields(&mut self, range: Range<u64>, names: &[String], not: bool) -> Result<Vec<u8>, StoreError> {
        let connection = self.connection;
        let content = self.content()?;
        if let Some(header) = content.header().filter(|header| range == (0..header.len() as u64)) {
            return Ok(mime::header_fields(header, names, not));
        }
        let mut block = Vec::new();
        content.read(connection, range, &mut block)?;
        Ok(mime::header_fields(&block, names, not))
    }

    fn locate(&mut self, section: &Section) -> Result<Option<Range<u64>>, StoreError> {
        let what = match section.part {
            Part::All => mime::Section::Body,
            Part::Header | Part::HeaderFields { .. } => mime::Section::Header,
            Part::Text => mime::Section::Text,
            Part::Mime => mime::Section::Mime,
        };
        let range = self.skeleton()?.locate(&section.path, what);
        Ok(range.map(|range| range.start as u64..range.end as u64))
    }

    fn skeleton(&mut self) -> Result<&mime::Skeleton, StoreError> {
        let skeleton = if let Some(skeleton) = self.skeleton.take() {
            skeleton
        } else {
            let mut select = self.connection.prepare_cached("SELECT meta FROM mail WHERE id = ?")?;
            let read = |row: &Row<'_>| Ok(Meta::read(row.get_ref(0)?.as_blob()?).map(|meta| meta.skeleton));
            match select.query_row([self.id], read).optional()? {
                Some(skeleton) => skeleton?,
                None => return gone(),
            }
        };
        Ok(self.skeleton.insert(skeleton))
    }
}
