//! A FETCH that outlives the connection it began on.
//!
//! What has been passed on is remembered as the highest UID whose row is complete, and how far a large section of the
//! row after it has come. After a break the rest is asked for again: rows by their UIDs, the large section by its content
//! id and offset. Content is immutable, so the client never sees the seam.

use model::verbs::{Code, Failure, Fetch, FetchEvent, FetchRows, Resume, Section, SectionData};
use model::{ContentId, Uid, UidSet};
use tokio::sync::mpsc;

use super::live::Live;

/// Events waiting for a slow client; each is at most a frame (256 KiB).
const QUEUE: usize = 4;
/// Breaks survived by one FETCH: each one waits for the shard up to 20 s.
const MAX_BREAKS: u32 = 5;

/// Starts a FETCH; its events come from the receiver.
pub fn start(live: Live, fetch: Fetch) -> mpsc::Receiver<Result<FetchEvent, Failure>> {
    let (send, events) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut progress = Progress::new(&fetch);
        let mut breaks = 0;
        loop {
            let Err(stopped) = pass_on(&live, &fetch, &mut progress, &send).await else { return };
            let Stopped::Broken(failure) = stopped else { return };
            breaks += 1;
            if failure.code != Code::Unavailable || breaks > MAX_BREAKS {
                live.noticed(&failure);
                let _ = send.send(Err(failure)).await;
                return;
            }
        }
    });
    events
}

/// Why passing on ended early.
enum Stopped {
    /// The client is gone.
    Unwanted,
    /// The stream broke, or the shard refused.
    Broken(Failure),
}

/// How far a FETCH has come.
struct Progress {
    headed: bool,
    left: UidSet,
    large: Option<Large>,
}

/// A row of which large sections are still to come.
struct Large {
    content: ContentId,
    sections: Vec<(Section, u64)>,
    done: u64,
}

impl Progress {
    fn new(fetch: &Fetch) -> Self {
        Self { headed: false, left: fetch.uids.clone(), large: None }
    }

    fn rows(&mut self, fetch: &Fetch, rows: &FetchRows) {
        let Some(&last) = rows.uids.last() else { return };
        self.left = self.left.minus(&UidSet::range(Uid(0), Uid(last)));
        let wide = fetch.sections.len();
        let of_last = rows.sections.len().saturating_sub(wide);
        let large = fetch.sections.iter().zip(&rows.sections[of_last..]).filter_map(|(section, data)| match data {
            SectionData::Large(size) => Some((section.clone(), *size)),
            SectionData::Nil | SectionData::Inline(_) => None,
        });
        let sections: Vec<_> = large.collect();
        self.large = rows.contents.last().filter(|_| !sections.is_empty()).map(|&content| Large {
            content: ContentId(content),
            sections,
            done: 0,
        });
    }

    fn data(&mut self, octets: u64) {
        let Some(large) = &mut self.large else { return };
        large.done += octets;
        while large.sections.first().is_some_and(|(_, size)| large.done >= *size) {
            large.done -= large.sections.remove(0).1;
        }
        if large.sections.is_empty() {
            self.large = None;
        }
    }
}

type Sink = mpsc::Sender<Result<FetchEvent, Failure>>;

async fn pass_on(live: &Live, fetch: &Fetch, progress: &mut Progress, send: &Sink) -> Result<(), Stopped> {
    while let Some(large) = &progress.large {
        let (section, _) = large.sections[0].clone();
        let resume = Resume { content: large.content, section, offset: large.done };
        let mut events = live.shard().resume(live.session(), resume);
        let mut came = false;
        while let Some(event) = events.next().await {
            came = true;
            forward(event, fetch, progress, send).await?;
        }
        if !came {
            return Err(Stopped::Broken(Failure::unavailable("the rest of a message did not come")));
        }
    }
    if progress.headed && progress.left.is_empty() {
        return Ok(());
    }
    let rest = Fetch { uids: progress.left.clone(), ..fetch.clone() };
    let mut events = live.shard().fetch(live.session(), rest);
    while let Some(event) = events.next().await {
        forward(event, fetch, progress, send).await?;
    }
    Ok(())
}

async fn forward(
    event: Result<FetchEvent, Failure>,
    fetch: &Fetch,
    progress: &mut Progress,
    send: &Sink,
) -> Result<(), Stopped> {
    let event = event.map_err(Stopped::Broken)?;
    match &event {
        // Only the first snapshot's head is the client's; later changes come with its next command.
        FetchEvent::Head { .. } if progress.headed => return Ok(()),
        FetchEvent::Head { .. } => progress.headed = true,
        FetchEvent::Rows(rows) => progress.rows(fetch, rows),
        FetchEvent::Data(bytes) => progress.data(bytes.len() as u64),
    }
    send.send(Ok(event)).await.map_err(|_| Stopped::Unwanted)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::verbs::{Part, View};

    use super::*;

    fn section(path: u32) -> Section {
        Section { path: vec![path], part: Part::All, partial: None }
    }

    #[test]
    fn progress_counts_rows_and_octets_of_large_sections() {
        let fetch = Fetch {
            view: View { folder: model::FolderId(1), since: model::ModSeq(1), uidnext: Uid(9), keywords: 0 },
            uids: UidSet::range(Uid(1), Uid(9)),
            items: model::verbs::FetchItems::default(),
            sections: vec![section(1), section(2), section(3)],
            changed_since: None,
            mark_seen: false,
        };
        let mut progress = Progress::new(&fetch);
        let inline = || SectionData::Inline(Bytes::from_static(b"x"));
        let sections = vec![inline(), inline(), inline(), SectionData::Large(10), inline(), SectionData::Large(5)];
        let rows = FetchRows { uids: vec![2, 4], contents: vec![20, 40], sections, ..FetchRows::default() };
        progress.rows(&fetch, &rows);
        assert_eq!(progress.left, UidSet::range(Uid(5), Uid(9)));
        progress.data(4);
        assert_eq!(progress.large.as_ref().unwrap().done, 4);
        progress.data(7);
        let large = progress.large.as_ref().unwrap();
        assert_eq!((large.content, large.sections[0].0.path[0], large.done), (ContentId(40), 3, 1));
        progress.data(4);
        assert!(progress.large.is_none());
    }
}
