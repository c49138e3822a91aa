//! SEARCH by scanning, exact: narrow rows first, headers and decoded bodies only where they decide.
//!
//! Rows and delta are of one snapshot. Contents are loaded in short transactions, at most [`LOAD`] octets in each, and
//! matched after the transaction has ended.

mod matcher;
mod plan;

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::verbs::{Found, Search, View};
use model::{ModSeq, SessionId, Uid, UidSet};
use rusqlite::{Connection, OptionalExtension};

use crate::StoreError;
use crate::bodies::{Brief, Content, Meta};
use crate::delta::{announce, delta};
use crate::mailbox::{Core, ROWS};
use crate::rows::{Folder, Placement, keywords, placements};
use matcher::{Facts, Loaded, Verdict};
use plan::{Need, Test, plan};

/// Octets of messages loaded in one transaction, unless one message alone has more.
const LOAD: u64 = 4 << 20;
/// Messages whose narrow rows are read in one go.
const BATCH: usize = 256;
/// No transaction that loads messages takes much longer.
const STEP: Duration = Duration::from_millis(15);
/// Time a search works before it lets others have its thread.
const SLICE: Duration = Duration::from_millis(50);

/// What the narrow table alone finds; where it leaves any row open, all those that it does not rule out.
struct Snapshot {
    found: Found,
    rows: Vec<Placement>,
    test: Test,
}

/// SEARCH.
pub(crate) async fn search(core: &Arc<Core>, session: SessionId, search: Search) -> Result<Found, StoreError> {
    let view = search.view;
    let search = Arc::new(search);
    let short = {
        let search = search.clone();
        core.read_small(move |connection| {
            is_small(connection, &search.view)?.then(|| read(connection, &search)).transpose()
        })
    };
    let snapshot = match short.await? {
        Some(snapshot) => snapshot,
        None => core.read(move |connection| read(connection, &search)).await?,
    };
    announce(core, session, &view, &snapshot.found.delta);
    let mut found = snapshot.found;
    let shared = Arc::new((snapshot.rows, snapshot.test));
    let mut next = 0;
    while next < shared.0.len() {
        let cpu = core.shared.cpu.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let (core, shared) = (core.clone(), shared.clone());
        let slice = tokio::task::spawn_blocking(move || {
            let _cpu = cpu;
            scan(&core, &shared.0, &shared.1, next)
        });
        let slice = slice.await.map_err(|_| StoreError::Stopped)??;
        next = slice.next;
        for (uid, modseq) in slice.hits {
            hit(&mut found, uid, modseq);
        }
    }
    Ok(found)
}

/// True where all narrow rows of the folder are read in no time.
fn is_small(connection: &Connection, view: &View) -> Result<bool, StoreError> {
    let folder = Folder::by_id(connection, view.folder)?;
    Ok(folder.is_none_or(|folder| u64::from(folder.uidnext) <= ROWS))
}

fn read(connection: &Connection, search: &Search) -> Result<Snapshot, StoreError> {
    let delta = delta(connection, &search.view)?;
    let mut test = plan(&search.key, &keywords(connection)?, &search.recent, crate::mailbox::Core::now());
    test.sort();
    let mut rows = match Folder::by_id(connection, search.view.folder)? {
        Some(folder) => placements(connection, folder.id, &test.uids().unwrap_or_else(|| folder.span()))?,
        None => Vec::new(),
    };
    let (mut found, mut open) = (Found { delta, uids: UidSet::new(), modseq: ModSeq(0) }, 0);
    rows.retain(|row| {
        let verdict = test.check(&Facts::new(row));
        open += usize::from(verdict == Verdict::Open);
        verdict != Verdict::No
    });
    if open == 0 {
        for row in rows.drain(..) {
            hit(&mut found, Uid(row.uid), ModSeq(row.modseq));
        }
    }
    Ok(Snapshot { found, rows, test })
}

fn hit(found: &mut Found, uid: Uid, modseq: ModSeq) {
    found.uids.insert(uid);
    found.modseq = found.modseq.max(modseq);
}

/// What one slice of a search found.
struct Slice {
    hits: Vec<(Uid, ModSeq)>,
    next: usize,
}

fn scan(core: &Core, rows: &[Placement], test: &Test, first: usize) -> Result<Slice, StoreError> {
    let (began, mut slice) = (Instant::now(), Slice { hits: Vec::new(), next: first });
    while slice.next < rows.len() && began.elapsed() < SLICE {
        let loaded = core.read_now(|connection| load(connection, &rows[slice.next..], test))?;
        for (row, loaded) in rows[slice.next..].iter().zip(&loaded) {
            let is_hit = loaded.as_ref().is_some_and(|loaded| matches(row, loaded, test));
            if is_hit {
                slice.hits.push((Uid(row.uid), ModSeq(row.modseq)));
            }
        }
        slice.next += loaded.len();
    }
    Ok(slice)
}

/// Loads what is needed of the next rows; none for a row whose content is gone.
fn load(connection: &Connection, rows: &[Placement], test: &Test) -> Result<Vec<Option<Loaded>>, StoreError> {
    let (began, mut octets, mut loaded) = (Instant::now(), 0, Vec::new());
    for batch in rows.chunks(BATCH) {
        for (row, verdict) in batch.iter().zip(judge(connection, batch, test)?) {
            let one = match verdict {
                Verdict::Open => load_one(connection, row, test)?,
                decided => Some(Loaded::Decided(decided == Verdict::Yes)),
            };
            octets += one.as_ref().map_or(0, Loaded::octets);
            loaded.push(one);
            if octets >= LOAD || began.elapsed() >= STEP {
                return Ok(loaded);
            }
        }
    }
    Ok(loaded)
}

/// What the narrow rows of some messages decide.
fn judge(connection: &Connection, rows: &[Placement], test: &Test) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts: Vec<Verdict> = rows.iter().map(|row| test.check(&Facts::new(row))).collect();
    if test.asks_field() {
        let open: Vec<usize> = (0..rows.len()).filter(|n| verdicts[*n] == Verdict::Open).collect();
        let contents: Vec<i64> = open.iter().map(|n| rows[*n].mail).collect();
        Brief::each(connection, &contents, |n, brief| {
            if let Some(brief) = brief {
                verdicts[open[n]] = test.check(&Facts::new(&rows[open[n]]).with_brief(brief));
            }
        })?;
    }
    Ok(verdicts)
}

fn load_one(connection: &Connection, row: &Placement, test: &Test) -> Result<Option<Loaded>, StoreError> {
    let content = match Content::load(connection, row.mail) {
        Ok(content) => content,
        Err(StoreError::Refused(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = content.header().map(<[u8]>::to_vec);
    // The header may decide already.
    if let Some(header) = header.take_if(|header| {
        test.need() == Need::Header || test.check(&Facts::new(row).with_header(header)) != Verdict::Open
    }) {
        return Ok(Some(Loaded::Header(header)));
    }
    let mut raw = Vec::with_capacity(row.size as usize);
    content.read(connection, 0..row.size, &mut raw)?;
    let mut select = connection.prepare_cached("SELECT meta FROM mail WHERE id = ?")?;
    let meta: Option<Vec<u8>> = select.query_row([row.mail], |found| found.get(0)).optional()?;
    let Some(meta) = meta else { return Ok(None) };
    Ok(Some(Loaded::Message(raw, Meta::read(&meta)?.skeleton)))
}

fn matches(row: &Placement, loaded: &Loaded, test: &Test) -> bool {
    let facts = Facts::new(row);
    let verdict = match loaded {
        Loaded::Decided(is_hit) => return *is_hit,
        Loaded::Header(header) => test.check(&facts.with_header(header)),
        Loaded::Message(raw, skeleton) => test.check(&facts.with_message(raw, skeleton)),
    };
    verdict == Verdict::Yes
}
