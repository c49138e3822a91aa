use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use model::verbs::{Delta, FetchItems, Part, View};
use model::{FolderId, Keywords, ModSeq};
use tokio::sync::oneshot;

use super::*;

/// Octets of each section of each message: those from `LARGE` on come in pieces.
const MESSAGES: [[usize; 2]; 5] = [[3, 0], [40, 25], [5, 33], [0, 7], [31, 2]];
const LARGE: usize = 20;
const PIECE: usize = 10;

/// A folder of [`MESSAGES`], whose link breaks after so many events of each call.
struct Fake {
    breaks: Mutex<VecDeque<usize>>,
    code: Code,
    failed: Arc<Mutex<Option<Code>>>,
}

impl Fake {
    fn new(breaks: impl IntoIterator<Item = usize>) -> Self {
        let breaks = Mutex::new(breaks.into_iter().collect());
        Self { breaks, code: Code::Unavailable, failed: Arc::default() }
    }

    fn answer(&self, events: Vec<FetchEvent>) -> Answer {
        let after = self.breaks.lock().unwrap().pop_front();
        let kept = events.len().min(after.unwrap_or(usize::MAX));
        let failure = after.map(|_| Err(Failure::new(self.code, "as asked")));
        stream::iter(events.into_iter().take(kept).map(Ok).chain(failure)).boxed()
    }
}

impl Source for Fake {
    fn fetch(&self, fetch: Fetch) -> Answer {
        let (delta, missing, keywords) = (Delta::default(), UidSet::new(), Keywords::default());
        let mut events = vec![FetchEvent::Head { delta, modseq: ModSeq(7), missing, keywords }];
        let mut rows = FetchRows::default();
        for (uid, sizes) in (1..).zip(MESSAGES) {
            if !fetch.uids.contains(Uid(uid)) {
                continue;
            }
            rows.uids.push(uid);
            rows.contents.push(i64::from(uid) * 100);
            let mut data = Vec::new();
            for section in &fetch.sections {
                let part = section.path[0] as usize;
                rows.sections.push(match sizes[part] {
                    0 => SectionData::Nil,
                    size if size < LARGE => SectionData::Inline(octets(uid, part)),
                    size => {
                        data.extend(pieces(uid, part, 0));
                        SectionData::Large(size as u64)
                    }
                });
            }
            if !data.is_empty() {
                events.push(FetchEvent::Rows(Box::new(std::mem::take(&mut rows))));
                events.extend(data);
            }
        }
        if !rows.uids.is_empty() {
            events.push(FetchEvent::Rows(Box::new(rows)));
        }
        self.answer(events)
    }

    fn resume(&self, resume: Resume) -> Answer {
        let (uid, part) = ((resume.content.0 / 100) as u32, resume.section.path[0] as usize);
        self.answer(pieces(uid, part, resume.offset as usize))
    }

    fn failed(&self, failure: &Failure) {
        *self.failed.lock().unwrap() = Some(failure.code);
    }
}

fn octets(uid: u32, part: usize) -> Bytes {
    let size = MESSAGES[uid as usize - 1][part];
    (0..size).map(|at| (at * 7 + part * 101 + uid as usize * 13) as u8).collect()
}

fn pieces(uid: u32, part: usize, from: usize) -> Vec<FetchEvent> {
    octets(uid, part)[from..].chunks(PIECE).map(|piece| FetchEvent::Data(Bytes::copy_from_slice(piece))).collect()
}

fn section(path: u32) -> Section {
    Section { path: vec![path], part: Part::All, partial: None }
}

fn fetch(sections: u32) -> Fetch {
    Fetch {
        view: View { folder: FolderId(1), since: ModSeq(1), uidnext: Uid(9), keywords: 0 },
        uids: UidSet::range(Uid(1), Uid(9)),
        items: FetchItems::default(),
        sections: (0..sections).map(section).collect(),
        changed_since: None,
        mark_seen: false,
    }
}

type Read = (usize, Vec<(u32, [Vec<u8>; 2])>);

/// What a client makes of an answer: how many heads, and the octets of each section of each row.
async fn read(mut events: mpsc::Receiver<Result<FetchEvent, Failure>>) -> Read {
    let (mut heads, mut got): Read = Read::default();
    let mut owed: VecDeque<(usize, u64)> = VecDeque::new();
    while let Some(event) = events.recv().await {
        match event.unwrap() {
            FetchEvent::Head { .. } => heads += 1,
            FetchEvent::Rows(rows) => {
                assert!(owed.is_empty(), "rows inside a literal");
                for (uid, sections) in rows.uids.iter().zip(rows.sections.chunks(2)) {
                    let mut parts = [Vec::new(), Vec::new()];
                    for (part, data) in sections.iter().enumerate() {
                        match data {
                            SectionData::Nil => {}
                            SectionData::Inline(bytes) => parts[part] = bytes.to_vec(),
                            SectionData::Large(size) => owed.push_back((part, *size)),
                        }
                    }
                    got.push((*uid, parts));
                }
            }
            FetchEvent::Data(bytes) => {
                let (part, left) = owed.front_mut().expect("octets that were not announced");
                got.last_mut().unwrap().1[*part].extend_from_slice(&bytes);
                *left = left.checked_sub(bytes.len() as u64).expect("more octets than were announced");
                if *left == 0 {
                    owed.pop_front();
                }
            }
        }
    }
    assert!(owed.is_empty(), "a literal that was cut off");
    (heads, got)
}

fn expected() -> Read {
    (1, (1..=5).map(|uid| (uid, [octets(uid, 0).to_vec(), octets(uid, 1).to_vec()])).collect())
}

#[tokio::test]
async fn every_octet_comes_once_wherever_the_link_breaks() {
    let whole = expected();
    // More than the events of the longest answer: the last ones break behind its last event, or never.
    for first in 0..20 {
        for second in 0..20 {
            let broken = run(Fake::new([first, second]), fetch(2));
            assert_eq!(read(broken).await, whole, "broken after {first} and {second} events");
        }
    }
    assert_eq!(read(run(Fake::new([3, 1, 1, 0, 1]), fetch(2))).await, whole, "five breaks");
}

#[tokio::test]
async fn a_shard_that_only_breaks_and_one_that_refuses_end_the_answer() {
    let mut broken = run(Fake::new([1; 6]), fetch(2));
    assert!(matches!(broken.recv().await, Some(Ok(FetchEvent::Head { .. }))));
    assert_eq!(broken.recv().await.unwrap().unwrap_err().code, Code::Unavailable);
    assert!(broken.recv().await.is_none());

    let fake = Fake { code: Code::Revoked, ..Fake::new([0]) };
    let failed = fake.failed.clone();
    let mut refused = run(fake, fetch(2));
    assert_eq!(refused.recv().await.unwrap().unwrap_err().code, Code::Revoked);
    assert!(refused.recv().await.is_none());
    assert_eq!(*failed.lock().unwrap(), Some(Code::Revoked));
}

/// A shard that is away: every call waits for it as long as it may.
struct Away;

impl Source for Away {
    fn fetch(&self, _: Fetch) -> Answer {
        let told = async {
            tokio::time::sleep(PATIENCE).await;
            Err(Failure::unavailable("the shard is away"))
        };
        stream::once(told).boxed()
    }

    fn resume(&self, _: Resume) -> Answer {
        unreachable!("there is nothing to go on with")
    }

    fn failed(&self, _: &Failure) {}
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_away_is_waited_for_once() {
    let begun = Instant::now();
    let mut events = run(Away, fetch(2));
    assert_eq!(events.recv().await.unwrap().unwrap_err().code, Code::Unavailable);
    assert_eq!(begun.elapsed(), PATIENCE);
    assert!(events.recv().await.is_none());
}

/// Counts the streams that are open.
struct Counting(Fake, Arc<AtomicUsize>);

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Counting {
    fn count(&self, answer: Answer) -> Answer {
        self.1.fetch_add(1, Ordering::SeqCst);
        let open = Open(self.1.clone());
        // Never at its end by itself: only who drops it gives it up.
        stream::unfold((answer, open), |(mut answer, open)| async { answer.next().await.map(|e| (e, (answer, open))) })
            .boxed()
    }
}

impl Source for Counting {
    fn fetch(&self, fetch: Fetch) -> Answer {
        self.count(self.0.fetch(fetch))
    }

    fn resume(&self, resume: Resume) -> Answer {
        self.count(self.0.resume(resume))
    }

    fn failed(&self, failure: &Failure) {
        self.0.failed(failure);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_no_stream_and_misses_nothing_when_it_reads_on() {
    // Wherever it stops reading, and for how long.
    for first in 0..20 {
        for pause in [PARKED_AFTER / 2, PARKED_AFTER * 2] {
            let open = Arc::new(AtomicUsize::new(0));
            let mut events = run(Counting(Fake::new([]), open.clone()), fetch(2));
            let (send, read_on) = mpsc::channel(1);
            let reading = tokio::spawn(read(read_on));
            let mut taken = 0;
            while let Some(event) = events.recv().await {
                let _ = send.send(event).await;
                taken += 1;
                if taken == first {
                    tokio::time::sleep(pause).await;
                    assert!(pause < PARKED_AFTER || open.load(Ordering::SeqCst) == 0, "a stream is held after {first}");
                }
            }
            drop(send);
            assert_eq!(reading.await.unwrap(), expected(), "after {first}");
        }
    }
}

/// A shard that says nothing for ever.
struct Silent(#[expect(dead_code, reason = "held until the task ends")] oneshot::Sender<()>);

impl Source for Silent {
    fn fetch(&self, _: Fetch) -> Answer {
        stream::pending().boxed()
    }

    fn resume(&self, _: Resume) -> Answer {
        stream::pending().boxed()
    }

    fn failed(&self, _: &Failure) {}
}

#[tokio::test]
async fn nothing_goes_on_for_a_client_that_has_gone() {
    let (held, ended) = oneshot::channel();
    drop(run(Silent(held), fetch(2)));
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), ended).await;
    assert!(ended.expect("the task goes on").is_err());
}

#[test]
fn progress_counts_rows_and_octets_of_large_sections() {
    let fetch = fetch(3);
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
    assert_eq!((large.content, large.sections[0].0.path[0], large.done), (ContentId(40), 2, 1));
    progress.data(4);
    assert!(progress.large.is_none());
}
