//! FETCH and UID FETCH (RFC 3501 section 6.4.5, RFC 7162): events of the mailbox go straight to the socket.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::Offset;
use model::verbs::{Fetch as Ask, FetchEvent, FetchItems, FetchRows, Section, SectionData};
use model::{FlagSet, ModSeq, Uid};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::Receiver;

use crate::ImapError;
use crate::backend::{Accounts, Mailbox};
use crate::folder::Folder;
use crate::parse::{Fetch, FetchItem, MONTHS};
use crate::reply::{Reply, Stop};
use crate::session::Session;

type Events = Receiver<Result<FetchEvent, model::verbs::Failure>>;

/// What every row of one FETCH needs to know.
struct Plan {
    items: Vec<FetchItem>,
    sections: usize,
    /// `\Seen` was set by the way: who did not ask for flags is told those that are newer than this.
    seen_since: Option<ModSeq>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn fetch(&mut self, fetch: Fetch) -> Result<Reply, Stop> {
        self.condstore |= fetch.items.contains(&FetchItem::ModSeq);
        let uid = fetch.uid;
        let folder = self.selected()?;
        let Ok(wanted) = folder.resolve(&fetch.set, uid) else { return Ok(Reply::bad("No such message")) };
        let uids = wanted.minus(folder.held());
        let mut gone = uids.len() < wanted.len();
        if uids.is_empty() {
            self.sync(uid).await?;
        } else {
            let sections = sections(&fetch.items);
            let marks = fetch.items.iter().any(|i| matches!(i, FetchItem::Section { peek: false, .. }));
            let mark_seen = marks && !folder.read_only;
            let seen_since = (mark_seen && !fetch.items.contains(&FetchItem::Flags)).then_some(folder.since);
            let plan = Plan { sections: sections.len(), items: fetch.items, seen_since };
            let ask = Ask {
                view: folder.view(),
                uids,
                items: facts(&plan.items),
                sections,
                changed_since: fetch.changed_since.map(ModSeq),
                mark_seen,
            };
            let mut events = self.mailbox()?.fetch(ask);
            gone |= self.stream(&plan, &mut events).await?;
        }
        self.announce(uid)?;
        // Who asks by UID asks for what there is, and is told of the rest by EXPUNGE right here.
        Ok(if gone && !uid { Self::expunge_issued() } else { Reply::ok("Fetch completed") })
    }

    /// Sends the whole answer; true where messages that were asked for are gone.
    async fn stream(&mut self, plan: &Plan, events: &mut Events) -> Result<bool, Stop> {
        let mut gone = false;
        while let Some(event) = events.recv().await {
            match event? {
                FetchEvent::Head { delta, modseq, missing, keywords } => {
                    gone = !missing.is_empty();
                    let folder = self.selected()?;
                    folder.absorb(delta);
                    folder.learn_keywords(keywords);
                    folder.vanish(&missing);
                    folder.since = folder.since.max(modseq);
                    self.announce(false)?;
                }
                FetchEvent::Rows(rows) => self.rows(plan, *rows, events).await?,
                FetchEvent::Data(_) => return Err(ImapError::Answer("Fetch").into()),
            }
        }
        Ok(gone)
    }

    async fn rows(&mut self, plan: &Plan, mut rows: FetchRows, events: &mut Events) -> Result<(), Stop> {
        let mut sections = std::mem::take(&mut rows.sections).into_iter();
        for at in 0..rows.uids.len() {
            let own = sections.by_ref().take(plan.sections).collect::<Vec<_>>();
            if own.len() < plan.sections {
                return Err(ImapError::Answer("Fetch").into());
            }
            if self.selected()?.number(Uid(rows.uids[at])).is_some() {
                self.row(plan, &rows, at, own, events).await?;
            } else {
                for section in own {
                    if let SectionData::Large(size) = section {
                        self.large(size, events, false).await?;
                    }
                }
            }
            self.io.spill().await?;
        }
        Ok(())
    }

    async fn row(
        &mut self,
        plan: &Plan,
        rows: &FetchRows,
        at: usize,
        own: Vec<SectionData>,
        events: &mut Events,
    ) -> Result<(), Stop> {
        let folder = self.folder.as_mut().ok_or(ImapError::Answer("Fetch"))?;
        let uid = Uid(rows.uids[at]);
        let out = &mut self.io.out;
        let _ = write!(out, "* {} FETCH (", folder.number(uid).unwrap_or_default());
        let modseq = rows.modseqs.get(at).copied().unwrap_or_default();
        if plan.seen_since.is_some_and(|since| ModSeq(modseq) > since) {
            write_flags(out, folder, rows, at);
            out.push(b' ');
        }
        let mut own = own.into_iter();
        for (n, item) in plan.items.iter().enumerate() {
            if n > 0 {
                self.io.out.push(b' ');
            }
            match item {
                FetchItem::Section { label, .. } => {
                    self.io.out.extend_from_slice(label.as_bytes());
                    match own.next().ok_or(ImapError::Answer("Fetch"))? {
                        SectionData::Nil => self.io.out.extend_from_slice(b" NIL"),
                        SectionData::Inline(data) => {
                            let _ = write!(self.io.out, " {{{}}}\r\n", data.len());
                            self.io.out.extend_from_slice(&data);
                        }
                        SectionData::Large(size) => {
                            let _ = write!(self.io.out, " {{{size}}}\r\n");
                            self.large(size, events, true).await?;
                        }
                    }
                }
                fact => {
                    let folder = self.folder.as_mut().ok_or(ImapError::Answer("Fetch"))?;
                    write_fact(&mut self.io.out, fact, folder, rows, at).ok_or(ImapError::Answer("Fetch"))?;
                }
            }
        }
        self.io.out.extend_from_slice(b")\r\n");
        Ok(())
    }

    /// Passes a large section on. Its size has been announced, so nothing but its bytes can follow.
    async fn large(&mut self, size: u64, events: &mut Events, send: bool) -> Result<(), Stop> {
        let mut left = size;
        while left > 0 {
            match events.recv().await {
                Some(Ok(FetchEvent::Data(data))) if data.len() as u64 <= left => {
                    left -= data.len() as u64;
                    if send {
                        self.io.send(&data).await?;
                    }
                }
                Some(Err(failure)) => return Err(ImapError::BrokenLiteral(failure).into()),
                _ => return Err(ImapError::Answer("Fetch").into()),
            }
        }
        Ok(())
    }
}

fn sections(items: &[FetchItem]) -> Vec<Section> {
    let section = |item: &FetchItem| match item {
        FetchItem::Section { section, .. } => Some(section.clone()),
        _ => None,
    };
    items.iter().filter_map(section).collect()
}

fn facts(items: &[FetchItem]) -> FetchItems {
    FetchItems {
        internal_date: items.contains(&FetchItem::InternalDate),
        size: items.contains(&FetchItem::Size),
        envelope: items.contains(&FetchItem::Envelope),
        body: items.contains(&FetchItem::Body),
        body_structure: items.contains(&FetchItem::BodyStructure),
        ..FetchItems::default()
    }
}

fn write_flags(out: &mut Vec<u8>, folder: &mut Folder, rows: &FetchRows, at: usize) {
    let uid = Uid(rows.uids[at]);
    out.extend_from_slice(b"FLAGS (");
    folder.write_flags(out, uid, FlagSet(rows.flags.get(at).copied().unwrap_or_default()));
    out.push(b')');
    folder.told_flags(uid);
}

/// Writes one fact; `None` where the mailbox did not give it.
fn write_fact(out: &mut Vec<u8>, item: &FetchItem, folder: &mut Folder, rows: &FetchRows, at: usize) -> Option<()> {
    let rendered = |out: &mut Vec<u8>, label: &str, bytes: &[u8]| {
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(bytes);
    };
    match item {
        FetchItem::Uid => drop(write!(out, "UID {}", rows.uids[at])),
        FetchItem::Flags => write_flags(out, folder, rows, at),
        FetchItem::ModSeq => drop(write!(out, "MODSEQ ({})", rows.modseqs.get(at)?)),
        FetchItem::InternalDate => write_date(out, *rows.internal_dates.get(at)?),
        FetchItem::Size => drop(write!(out, "RFC822.SIZE {}", rows.sizes.get(at)?)),
        FetchItem::Envelope => rendered(out, "ENVELOPE ", rows.envelopes.get(at)?),
        FetchItem::Body => rendered(out, "BODY ", rows.bodies.get(at)?),
        FetchItem::BodyStructure => rendered(out, "BODYSTRUCTURE ", rows.body_structures.get(at)?),
        FetchItem::Section { .. } => {}
    }
    Some(())
}

/// `INTERNALDATE "17-Jul-1996 02:44:25 +0000"`, always in UTC.
fn write_date(out: &mut Vec<u8>, seconds: i64) {
    let t = Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or_default());
    let month = MONTHS[(t.month() as usize - 1) % MONTHS.len()];
    let (day, year) = (t.day(), t.year());
    let _ = write!(
        out,
        "INTERNALDATE \"{day:2}-{month}-{year:04} {:02}:{:02}:{:02} +0000\"",
        t.hour(),
        t.minute(),
        t.second()
    );
}
