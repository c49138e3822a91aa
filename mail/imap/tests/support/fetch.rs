//! FETCH: a head, rows in batches of two, sections beyond 64 KiB as large ones.

use bytes::Bytes;
use model::verbs::{Failure, Fetch, FetchEvent, FetchRows, Part, Section, SectionData};
use model::{ModSeq, SystemFlag, Uid, UidSet};

use super::state::{Message, State};

const LARGE: usize = 64 << 10;

impl State {
    pub fn fetch(&mut self, fetch: &Fetch) -> Vec<Result<FetchEvent, Failure>> {
        let delta = self.delta(&fetch.view);
        let since = fetch.changed_since.unwrap_or(ModSeq(0));
        let next = self.modseq + 1;
        let mut changed = false;
        let Some(folder) = self.folders.iter_mut().find(|f| f.id == fetch.view.folder.0) else { return vec![] };
        let there: UidSet = folder.messages.iter().map(|m| Uid(m.uid)).collect();
        let wanted = |m: &&mut Message| fetch.uids.contains(Uid(m.uid)) && m.modseq > since.0;
        let mut rows = vec![];
        for m in folder.messages.iter_mut().filter(wanted) {
            if fetch.mark_seen && m.flags & SystemFlag::Seen.bit() == 0 {
                m.flags |= SystemFlag::Seen.bit();
                (m.modseq, changed) = (next, true);
            }
            push(&mut rows, m, fetch);
        }
        if changed {
            self.modseq = next;
        }
        let head = FetchEvent::Head {
            delta,
            modseq: ModSeq(self.modseq),
            missing: fetch.uids.minus(&there),
            keywords: self.keywords.clone(),
        };
        std::iter::once(head).chain(rows).map(Ok).collect()
    }
}

fn push(events: &mut Vec<FetchEvent>, m: &Message, fetch: &Fetch) {
    let full =
        |rows: &FetchRows| rows.uids.len() >= 2 || rows.sections.iter().any(|s| matches!(s, SectionData::Large(_)));
    if !matches!(events.last(), Some(FetchEvent::Rows(rows)) if !full(rows)) {
        events.push(FetchEvent::Rows(Box::default()));
    }
    let Some(FetchEvent::Rows(rows)) = events.last_mut() else { return };
    rows.uids.push(m.uid);
    rows.flags.push(m.flags);
    rows.modseqs.push(m.modseq);
    rows.internal_dates.push(m.date);
    rows.sizes.push(m.data.len() as u64);
    rows.envelopes.push("(NIL \"subject\" NIL NIL NIL NIL NIL NIL NIL NIL)".into());
    rows.bodies.push("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 1 1)".into());
    rows.body_structures.push("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 1 1 NIL NIL NIL NIL)".into());
    let mut large = vec![];
    for section in &fetch.sections {
        rows.sections.push(match cut(&m.data, section) {
            None => SectionData::Nil,
            Some(data) if data.len() > LARGE => {
                large.push(data.clone());
                SectionData::Large(data.len() as u64)
            }
            Some(data) => SectionData::Inline(data),
        });
    }
    for data in large {
        events.extend(data.chunks(50_000).map(|chunk| FetchEvent::Data(Bytes::copy_from_slice(chunk))));
    }
}

fn cut(data: &Bytes, section: &Section) -> Option<Bytes> {
    let split = data.windows(4).position(|w| w == b"\r\n\r\n").map_or(data.len(), |at| at + 4);
    let whole = match (&section.part, section.path.as_slice()) {
        (Part::All, []) => data.clone(),
        (Part::Header, []) => data.slice(..split),
        (Part::Text, []) | (Part::All, [1]) => data.slice(split..),
        (Part::HeaderFields { names, not }, []) => {
            let head = String::from_utf8_lossy(&data[..split]).into_owned();
            let named =
                |line: &str| names.iter().any(|n| line.to_lowercase().starts_with(&format!("{}:", n.to_lowercase())));
            let lines = head.lines().filter(|line| !line.is_empty() && named(line) != *not);
            let kept: Vec<String> = lines.map(|line| format!("{line}\r\n")).collect();
            Bytes::from(kept.concat() + "\r\n")
        }
        _ => return None,
    };
    let Some((first, most)) = section.partial else { return Some(whole) };
    let first = (first as usize).min(whole.len());
    let last = first.saturating_add(most as usize).min(whole.len());
    Some(whole.slice(first..last))
}
