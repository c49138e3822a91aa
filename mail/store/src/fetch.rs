//! FETCH: the rows of one snapshot, then their contents in short steps.
//!
//! * Head, delta and rows are of one transaction; with `mark_seen` it is the one that sets `\Seen`.
//! * Content is immutable, so each event is read in a transaction of its own, which ends before the event is sent.
//! * An event holds about [`EVENT`] octets. A section over [`INLINE`] is announced in the last row of an event and follows in
//!   pieces.

mod sections;

use std::sync::Arc;

use bytes::Bytes;
use model::verbs::{Delta, Fetch, FetchEvent, FetchItems, FetchRows, Resume, Section, SectionData};
use model::{Keywords, ModSeq, SessionId, SystemFlag, Uid, UidSet};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::mpsc;

use crate::StoreError;
use crate::bodies::{Meta, email_id, gone};
use crate::delta::{announce, delta, is_little};
use crate::flags::{Change, set_flags};
use crate::mailbox::{Core, FEW};
use crate::rows::{Folder, Placement, keywords, placements};
use crate::state::{State, WriteTx};
use crate::writer::Durability;
use sections::{Found, Reader};

/// About so many octets make an event.
const EVENT: usize = 256 << 10;
/// Rows of an event without sections.
const ROWS: usize = 2000;
/// Longer sections are sent in pieces.
const INLINE: u64 = 256 << 10;
/// Octets of a piece.
const PIECE: u64 = 256 << 10;

/// What the first transaction finds.
struct Snapshot {
    delta: Delta,
    modseq: ModSeq,
    missing: UidSet,
    keywords: Keywords,
    rows: Vec<Placement>,
}

/// Answers a FETCH into `sink`.
pub(crate) async fn fetch(
    core: &Arc<Core>,
    session: SessionId,
    fetch: Fetch,
    sink: &mpsc::Sender<FetchEvent>,
) -> Result<(), StoreError> {
    let wanted = Arc::new(fetch);
    let snapshot = snapshot(core, wanted.clone()).await?;
    announce(core, session, &wanted.view, &snapshot.delta);
    let Snapshot { delta, modseq, missing, keywords, rows } = snapshot;
    if sink.send(FetchEvent::Head { delta, modseq, missing, keywords }).await.is_err() {
        return Ok(());
    }
    let rows = Arc::new(rows);
    let mut next = 0;
    while next < rows.len() {
        let (source, asked) = (rows.clone(), wanted.clone());
        let work = move |connection: &Connection| event(connection, &source[next..], &asked);
        let step = if rows.len() as u64 <= FEW { core.read_small(work).await? } else { core.read(work).await? };
        next += step.taken;
        if sink.send(FetchEvent::Rows(Box::new(step.rows))).await.is_err() {
            return Ok(());
        }
        for (content, section) in step.large {
            if !large(core, content, section, 0, sink).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Sends the rest of a large section.
pub(crate) async fn resume(
    core: &Arc<Core>,
    resume: Resume,
    sink: &mpsc::Sender<FetchEvent>,
) -> Result<(), StoreError> {
    large(core, resume.content.0, resume.section, resume.offset, sink).await.map(|_| ())
}

/// Sends a section from `offset` on in pieces. False where nobody listens any more.
async fn large(
    core: &Arc<Core>,
    content: i64,
    section: Section,
    mut offset: u64,
    sink: &mpsc::Sender<FetchEvent>,
) -> Result<bool, StoreError> {
    let section = Arc::new(section);
    loop {
        let asked = section.clone();
        let piece = core.read(move |connection| {
            let mut reader = Reader::new(connection, content);
            let Some(found) = reader.find(&asked, total(connection, content)?)? else { return gone() };
            reader.bytes(&found, offset, PIECE)
        });
        let piece = piece.await?;
        if piece.is_empty() {
            return Ok(true);
        }
        offset += piece.len() as u64;
        if sink.send(FetchEvent::Data(Bytes::from(piece))).await.is_err() {
            return Ok(false);
        }
    }
}

/// Octets of a content, also of one that was expunged meanwhile.
fn total(connection: &Connection, content: i64) -> Result<u64, StoreError> {
    let meta: Option<Vec<u8>> = connection
        .prepare_cached("SELECT meta FROM mail WHERE id = ?")?
        .query_row([content], |row| row.get(0))
        .optional()?;
    let Some(meta) = meta else { return gone() };
    let meta = Meta::read(&meta)?;
    Ok(meta.skeleton.parts().first().map_or(0, |root| root.end))
}

async fn snapshot(core: &Arc<Core>, wanted: Arc<Fetch>) -> Result<Snapshot, StoreError> {
    let (asked, read_only) = (wanted.clone(), core.policy().read_only);
    let short = if wanted.uids.len() <= FEW {
        let asked = asked.clone();
        let work = move |connection: &Connection| {
            is_little(connection, &asked.view)?.then(|| read(connection, &asked)).transpose()
        };
        core.read_small(work).await?
    } else {
        None
    };
    let is_short = short.is_some();
    let snapshot = match short {
        Some(snapshot) => snapshot,
        None => core.read(move |connection| read(connection, &asked)).await?,
    };
    let unseen = |row: &Placement| row.flags & SystemFlag::Seen.bit() == 0;
    if !wanted.mark_seen || read_only || !snapshot.rows.iter().any(unseen) {
        return Ok(snapshot);
    }
    let work = move |tx: &mut WriteTx<'_>| mark_seen(tx, &wanted);
    if is_short { core.write_small(Durability::Soon, work).await } else { core.write(Durability::Soon, work).await }
}

fn read(connection: &Connection, wanted: &Fetch) -> Result<Snapshot, StoreError> {
    let delta = delta(connection, &wanted.view)?;
    let mut rows = placements(connection, wanted.view.folder, &wanted.uids)?;
    let here: UidSet = rows.iter().map(|row| Uid(row.uid)).collect();
    if let Some(since) = wanted.changed_since {
        rows.retain(|row| row.modseq > since.0);
    }
    let modseq = ModSeq(State::load(connection)?.modseq);
    Ok(Snapshot { delta, modseq, missing: wanted.uids.minus(&here), keywords: keywords(connection)?, rows })
}

fn mark_seen(tx: &mut WriteTx<'_>, wanted: &Fetch) -> Result<Snapshot, StoreError> {
    let mut snapshot = read(tx.connection, wanted)?;
    let Some(folder) = Folder::by_id(tx.connection, wanted.view.folder)? else { return Ok(snapshot) };
    set_flags(tx, folder, &mut snapshot.rows, Change { keep: u64::MAX, set: SystemFlag::Seen.bit() })?;
    snapshot.modseq = ModSeq(tx.state.modseq);
    Ok(snapshot)
}

/// One `Rows` event.
struct Step {
    rows: FetchRows,
    /// How many rows it took.
    taken: usize,
    /// Large sections of the last row.
    large: Vec<(i64, Section)>,
}

fn event(connection: &Connection, rows: &[Placement], wanted: &Fetch) -> Result<Step, StoreError> {
    let mut step = Step { rows: FetchRows::default(), taken: 0, large: Vec::new() };
    let mut octets = 0;
    for row in rows.iter().take(ROWS) {
        let facts = facts(connection, row, wanted.items)?;
        let sections = sections(connection, row, &wanted.sections, &mut step)?;
        step.taken += 1;
        let (Some(facts), Some(sections)) = (facts, sections) else { continue };
        octets += push(&mut step.rows, row, wanted.items, facts, sections);
        if octets >= EVENT || !step.large.is_empty() {
            break;
        }
    }
    Ok(step)
}

/// What the row of `mail` says.
#[derive(Default)]
struct Facts {
    envelope: Bytes,
    body: Bytes,
    body_structure: Bytes,
    preview: String,
}

/// None where the content is gone: then so is the row, since before this FETCH began to read it.
fn facts(connection: &Connection, row: &Placement, items: FetchItems) -> Result<Option<Facts>, StoreError> {
    if !(items.envelope || items.body || items.body_structure || items.preview) {
        return Ok(Some(Facts::default()));
    }
    let mut select = connection.prepare_cached("SELECT meta FROM mail WHERE id = ?")?;
    let found = select.query_row([row.mail], |found| {
        let meta = Meta::read(found.get_ref(0)?.as_blob()?);
        let pick = |wanted: bool, bytes: &[u8]| if wanted { Bytes::copy_from_slice(bytes) } else { Bytes::new() };
        Ok(meta.map(|meta| Facts {
            envelope: pick(items.envelope, meta.envelope),
            body: pick(items.body, meta.body),
            body_structure: pick(items.body_structure, meta.body_structure),
            preview: if items.preview { meta.preview.to_owned() } else { String::new() },
        }))
    });
    found.optional()?.transpose()
}

fn sections(
    connection: &Connection,
    row: &Placement,
    wanted: &[Section],
    step: &mut Step,
) -> Result<Option<Vec<SectionData>>, StoreError> {
    if wanted.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut reader = Reader::new(connection, row.mail);
    let (mut data, mut octets) = (Vec::with_capacity(wanted.len()), 0);
    for section in wanted {
        let found = match reader.find(section, row.size) {
            // The content is gone: then so is the row, since before this FETCH began to read it.
            Err(StoreError::Refused(_)) => return Ok(None),
            found => found?,
        };
        data.push(match found {
            None => SectionData::Nil,
            // Also many small ones are too much for one event.
            Some(found) if found.len() > INLINE || octets + found.len() > 2 * INLINE => {
                step.large.push((row.mail, section.clone()));
                SectionData::Large(found.len())
            }
            Some(found) => {
                octets += found.len();
                let bytes = match found {
                    Found::Bytes(bytes) => bytes,
                    range @ Found::Range(_) => reader.bytes(&range, 0, INLINE)?,
                };
                SectionData::Inline(Bytes::from(bytes))
            }
        });
    }
    Ok(Some(data))
}

/// Adds a row; answers about how many octets it has.
fn push(out: &mut FetchRows, row: &Placement, items: FetchItems, facts: Facts, sections: Vec<SectionData>) -> usize {
    let inline = sections.iter().map(|data| if let SectionData::Inline(bytes) = data { bytes.len() } else { 0 });
    let octets = 32
        + facts.envelope.len()
        + facts.body.len()
        + facts.body_structure.len()
        + facts.preview.len()
        + inline.sum::<usize>();
    out.uids.push(row.uid);
    out.flags.push(row.flags);
    out.modseqs.push(row.modseq);
    out.contents.push(row.mail);
    if items.internal_date {
        out.internal_dates.push(row.idate);
    }
    if items.save_date {
        out.save_dates.push(row.saved);
    }
    if items.size {
        out.sizes.push(row.size);
    }
    if items.email_id {
        out.email_ids.push(email_id(row.mail));
    }
    if items.envelope {
        out.envelopes.push(facts.envelope);
    }
    if items.body {
        out.bodies.push(facts.body);
    }
    if items.body_structure {
        out.body_structures.push(facts.body_structure);
    }
    if items.preview {
        out.previews.push(facts.preview);
    }
    out.sections.extend(sections);
    octets
}
