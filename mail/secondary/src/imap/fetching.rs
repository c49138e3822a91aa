//! A FETCH that outlives the connection it began on.
//!
//! What has been passed on is remembered as the highest UID whose row is complete, and how far a large section of the
//! row after it has come. After a break the rest is asked for again: rows by their UIDs, the large section by its content
//! id and offset. Content is immutable, so the client never sees the seam.
//!
//! A client that takes nothing for a while is treated as if the connection had broken: the shard is told to stop, and asked for
//! the rest when the client reads on. Clients that never read therefore hold nothing that others wait for, however many.

use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use model::verbs::{Code, Failure, Fetch, FetchEvent, FetchRows, Resume, Section, SectionData};
use model::{ContentId, Uid, UidSet};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::live::Live;

/// Events waiting for a slow client; each is at most a frame (256 KiB). With one more at hand, this is what a client that does
/// not read holds.
const QUEUE: usize = 2;
/// A client that takes nothing for so long gives up its stream.
const PARKED_AFTER: Duration = Duration::from_secs(2);
/// Breaks survived by one FETCH.
const MAX_BREAKS: u32 = 5;
/// How long a FETCH waits for its next event, all in all: as long as any command waits for a shard.
const PATIENCE: Duration = Duration::from_secs(20);

/// Events up to a break or the end.
type Answer = BoxStream<'static, Result<FetchEvent, Failure>>;

/// Where the answers come from: a live session, or a fake that breaks.
trait Source: Send + Sync + 'static {
    fn fetch(&self, fetch: Fetch) -> Answer;
    fn resume(&self, resume: Resume) -> Answer;
    /// A failure that the client will be told.
    fn failed(&self, failure: &Failure);
}

impl Source for Live {
    fn fetch(&self, fetch: Fetch) -> Answer {
        answer(self.shard().fetch(self.session(), fetch))
    }

    fn resume(&self, resume: Resume) -> Answer {
        answer(self.shard().resume(self.session(), resume))
    }

    fn failed(&self, failure: &Failure) {
        self.noticed(failure);
    }
}

fn answer(events: wire::FetchStream) -> Answer {
    stream::unfold(events, |mut events| async { events.next().await.map(|event| (event, events)) }).boxed()
}

/// Starts a FETCH; its events come from the receiver.
pub fn start(live: Live, fetch: Fetch) -> mpsc::Receiver<Result<FetchEvent, Failure>> {
    run(live, fetch)
}

fn run<S: Source>(source: S, fetch: Fetch) -> mpsc::Receiver<Result<FetchEvent, Failure>> {
    let (send, events) = mpsc::channel(QUEUE);
    // Ends with its receiver, also while it waits for a shard.
    tokio::spawn(async move {
        tokio::select! {
            () = send.closed() => {}
            () = pass_all(&source, &fetch, &send) => {}
        }
    });
    events
}

async fn pass_all<S: Source>(source: &S, fetch: &Fetch, send: &Sink) {
    let mut progress = Progress::new(fetch);
    let mut breaks = 0;
    loop {
        let failure = match pass_on(source, fetch, &mut progress, send).await {
            Ok(()) | Err(Stopped::Unwanted) => return,
            Err(Stopped::Parked(event)) => {
                if send.send(Ok(*event)).await.is_err() {
                    return;
                }
                progress.last = Instant::now();
                continue;
            }
            Err(Stopped::Broken(failure)) => failure,
        };
        breaks += 1;
        if failure.code != Code::Unavailable || breaks > MAX_BREAKS || progress.last.elapsed() >= PATIENCE {
            source.failed(&failure);
            let _ = send.send(Err(failure)).await;
            return;
        }
    }
}

/// Why passing on ended early.
enum Stopped {
    /// The client is gone.
    Unwanted,
    /// The stream broke, or the shard refused.
    Broken(Failure),
    /// The client takes nothing; it is owed this event before any other.
    Parked(Box<FetchEvent>),
}

/// How far a FETCH has come.
struct Progress {
    headed: bool,
    left: UidSet,
    large: Option<Large>,
    /// When the client was given something last.
    last: Instant,
}

/// A row of which large sections are still to come.
struct Large {
    content: ContentId,
    sections: Vec<(Section, u64)>,
    done: u64,
}

impl Progress {
    fn new(fetch: &Fetch) -> Self {
        Self { headed: false, left: fetch.uids.clone(), large: None, last: Instant::now() }
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

async fn pass_on<S: Source>(source: &S, fetch: &Fetch, progress: &mut Progress, send: &Sink) -> Result<(), Stopped> {
    while let Some(large) = &progress.large {
        let before = (large.sections.len(), large.done);
        let (section, _) = large.sections[0].clone();
        let mut events = source.resume(Resume { content: large.content, section, offset: large.done });
        while let Some(event) = events.next().await {
            forward(event, fetch, progress, send).await?;
        }
        if progress.large.as_ref().is_some_and(|large| (large.sections.len(), large.done) == before) {
            return Err(Stopped::Broken(Failure::unavailable("the rest of a message did not come")));
        }
    }
    if progress.headed && progress.left.is_empty() {
        return Ok(());
    }
    let mut events = source.fetch(Fetch { uids: progress.left.clone(), ..fetch.clone() });
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
    match tokio::time::timeout(PARKED_AFTER, send.reserve()).await {
        Ok(Ok(room)) => {
            room.send(Ok(event));
            progress.last = Instant::now();
            Ok(())
        }
        Ok(Err(_)) => Err(Stopped::Unwanted),
        Err(_) => Err(Stopped::Parked(Box::new(event))),
    }
}

#[cfg(test)]
mod tests;
