//! What was acknowledged, and therefore must be there.
//!
//! * A **message** is named by the number in its `X-Soak` field; its bytes follow from the number ([`content`]).
//! * Per mailbox and message a **count** `lo..=hi`: what is acknowledged moves both ends, what is in doubt (the connection
//!   broke before the answer, or `[UNAVAILABLE]`) only the one that it may move.
//! * A **placement** is (UIDVALIDITY, UID): which message, and whether it is there. A UID means one message for ever.
//! * **Claims** make an actor the only one that changes a message of a mailbox. What is in doubt keeps its claim until the
//!   next check: a request whose connection died may still be carried out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The mailboxes: the last one is locked, nobody but the checks logs in.
pub const USERS: [&str; 4] = ["ua@example.test", "ub@example.test", "uc@example.test", "ud@example.test"];
/// The one that is locked.
pub const LOCKED: usize = 3;
/// An acknowledged STORE is durable after this: a second, and another one for a machine that is busy with this.
const FLAGS_DURABLE: Duration = Duration::from_secs(2);

/// An attempt to deliver that nobody waits for any more comes in within this: as patient as wire and primary are, together
/// with a pause.
const LATE: Duration = Duration::from_mins(1);

/// Flags without `\Recent`.
pub type Flags = BTreeSet<String>;
/// (UIDVALIDITY, UID).
pub type Place = (u32, u32);

/// Random numbers that follow from a seed (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    /// True with that many percent.
    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }
}

/// True where the message has a Message-ID: a sender's retries of it must not double it.
pub fn has_message_id(id: u64) -> bool {
    !id.is_multiple_of(4)
}

/// The bytes of a message: mostly small, some with an attachment that others have too, a few larger than what is held in
/// memory whole.
pub fn content(id: u64) -> Vec<u8> {
    let mut rng = Rng(id);
    let mut text = format!("From: <soak@elsewhere.example>\r\nX-Soak: {id}\r\nSubject: number {id}\r\n");
    if has_message_id(id) {
        text += &format!("Message-ID: <{id}@elsewhere.example>\r\n");
    }
    match rng.below(200) {
        0 => {
            text += "\r\n";
            lines(&mut text, &mut rng, 1_700_000);
        }
        1..=9 => {
            text += "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\n\r\n";
            lines(&mut text, &mut rng, 300);
            text += "--cut\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
            lines(&mut text, &mut Rng(id % 5), 60_000);
            text += "--cut--\r\n";
        }
        _ => {
            text += "\r\n";
            let size = 50 + rng.below(4000);
            lines(&mut text, &mut rng, size);
        }
    }
    text.into_bytes()
}

/// Lines that are valid base64 as well, so many octets or a little more.
fn lines(text: &mut String, rng: &mut Rng, size: usize) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let end = text.len() + size;
    while text.len() < end {
        let mut bits = 0;
        for n in 0..76 {
            if n % 10 == 0 {
                bits = rng.next();
            }
            text.push(char::from(LETTERS[(bits & 63) as usize]));
            bits >>= 6;
        }
        text.push_str("\r\n");
    }
}

/// So many octets that do not compress well.
pub fn lines_of(message: &mut Vec<u8>, size: usize) {
    let mut text = String::new();
    lines(&mut text, &mut Rng(size as u64), size);
    message.extend_from_slice(text.as_bytes());
}

/// How often a message may be in a mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// At least, where positive.
    pub lo: i64,
    /// At most.
    pub hi: i64,
}

/// What is known of a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Acknowledged, and nothing done to it since that could remove it.
    There,
    /// Its removal is in doubt.
    Doubt,
    /// Its removal was acknowledged.
    Gone,
}

/// One placement.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Which message.
    pub id: u64,
    /// See [`State`].
    pub state: State,
    /// Acknowledged values with the time of the acknowledgement, the newest last; none: not known.
    pub flags: Vec<(Instant, Flags)>,
}

/// One mailbox.
#[derive(Default)]
pub struct Mailbox {
    /// By message.
    pub counts: HashMap<u64, Count>,
    /// Every placement ever seen.
    pub placed: HashMap<Place, Placed>,
    /// UIDNEXT seen, by UIDVALIDITY.
    pub uidnext: HashMap<u32, u32>,
    /// HIGHESTMODSEQ seen, by UIDVALIDITY.
    pub modseq: HashMap<u32, u64>,
    /// (octets, messages) as read last.
    pub total: (u64, u64),
    /// Attempts without a Message-ID that were given up, and when: each may still come in.
    late: HashMap<u64, Vec<Instant>>,
    claims: HashSet<u64>,
}

impl Mailbox {
    /// Moves the ends of a count.
    pub fn count(&mut self, id: u64, lo: i64, hi: i64) {
        let count = self.counts.entry(id).or_default();
        (count.lo, count.hi) = (count.lo + lo, count.hi + hi);
    }

    /// An attempt to deliver was given up, and nothing tells it from another message.
    pub fn gave_up(&mut self, id: u64) {
        self.late.entry(id).or_default().push(Instant::now());
    }

    /// How often a message may still come in.
    pub fn to_come(&self, id: u64) -> i64 {
        let attempts = self.late.get(&id).into_iter().flatten();
        attempts.filter(|at| at.elapsed() < LATE).count().try_into().unwrap()
    }

    /// Notes that a placement holds a message; says what is wrong if it held another.
    pub fn saw(&mut self, place: Place, id: u64) -> Result<(), String> {
        let next = self.uidnext.entry(place.0).or_default();
        *next = (*next).max(place.1 + 1);
        let placed = self.placed.entry(place).or_insert(Placed { id, state: State::There, flags: Vec::new() });
        if placed.id == id { Ok(()) } else { Err(format!("{place:?} was message {}, now it is {id}", placed.id)) }
    }

    /// Takes a message for one actor, if it is there for certain and nobody has it.
    pub fn claim(&mut self, place: Place) -> Option<u64> {
        let placed = self.placed.get(&place).filter(|placed| placed.state == State::There)?;
        self.claims.insert(placed.id).then_some(placed.id)
    }

    /// Gives it back.
    pub fn release(&mut self, id: u64) {
        self.claims.remove(&id);
    }

    /// All doubts are resolved.
    pub fn release_all(&mut self) {
        self.claims.clear();
    }

    /// Changes the state of a placement.
    pub fn mark(&mut self, place: Place, state: State) {
        if let Some(placed) = self.placed.get_mut(&place) {
            placed.state = state;
        }
    }
}

/// Everything that is shared.
pub struct Model {
    /// In the order of [`USERS`].
    pub mailboxes: [Mutex<Mailbox>; USERS.len()],
    /// Operations acknowledged so far.
    pub acknowledged: AtomicU64,
    /// Rises whenever the MX ends, and settlements in its memory with it.
    pub mx_ends: AtomicU64,
    /// When flags may have been lost: from a kill of the primary back to the start of the last pause before it.
    losses: Mutex<Vec<(Instant, Instant)>>,
    /// The round is over.
    pub stop: AtomicBool,
    violations: Mutex<Vec<String>>,
    started: Instant,
    history: Mutex<HashMap<u64, Vec<String>>>,
}

/// The history of the processes, in [`Model::note`].
pub const PROCESSES: u64 = 0;

impl Model {
    /// Nothing happened.
    pub fn new() -> Self {
        Self {
            mailboxes: std::array::from_fn(|_| Mutex::default()),
            acknowledged: AtomicU64::new(0),
            mx_ends: AtomicU64::new(0),
            losses: Mutex::default(),
            stop: AtomicBool::new(false),
            violations: Mutex::default(),
            started: Instant::now(),
            history: Mutex::default(),
        }
    }

    /// One mailbox, for the moment.
    pub fn with<R>(&self, user: usize, act: impl FnOnce(&mut Mailbox) -> R) -> R {
        act(&mut self.mailboxes[user].lock().unwrap())
    }

    /// An operation was acknowledged.
    pub fn done(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// A promise was broken. The run goes to its end of round, and fails.
    pub fn violate(&self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("VIOLATION: {what}");
        self.violations.lock().unwrap().push(what);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Remembers what happened to a message, for whoever has to find out why it is not where it must be.
    pub fn note(&self, id: u64, what: &str) {
        let line = format!("  {:9.3} s {what}\n", self.started.elapsed().as_secs_f64());
        self.history.lock().unwrap().entry(id).or_default().push(line);
    }

    /// What was remembered of a message, and of the processes, in order.
    pub fn told(&self, id: u64) -> String {
        let history = self.history.lock().unwrap();
        let mut lines: Vec<_> = [id, PROCESSES].iter().filter_map(|id| history.get(id)).flatten().cloned().collect();
        lines.sort();
        lines.concat()
    }

    /// A check has passed: what was remembered is of no use any more.
    pub fn forget(&self) {
        self.history.lock().unwrap().clear();
    }

    /// What was broken.
    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// True at the end of a round.
    pub fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The primary was killed; it had been paused before, which kept it from syncing.
    pub fn primary_killed(&self, asked: Instant, paused: Duration) {
        let from = asked.checked_sub(FLAGS_DURABLE + paused).unwrap_or(asked);
        self.losses.lock().unwrap().push((from, Instant::now()));
    }

    /// True where flags acknowledged then may have been lost.
    pub fn may_be_lost(&self, acknowledged: Instant) -> bool {
        self.losses.lock().unwrap().iter().any(|(from, to)| (*from..=*to).contains(&acknowledged))
    }

    /// The values that the flags of a placement may have; none: any.
    pub fn allowed_flags<'a>(&self, placed: &'a Placed) -> Vec<&'a Flags> {
        let mut allowed = Vec::new();
        for (at, flags) in placed.flags.iter().rev() {
            allowed.push(flags);
            if !self.may_be_lost(*at) {
                break;
            }
        }
        // The oldest value could be lost as well, and what was before it is not known.
        let oldest_lost = placed.flags.first().is_some_and(|(at, _)| self.may_be_lost(*at));
        if oldest_lost && allowed.len() == placed.flags.len() { Vec::new() } else { allowed }
    }
}
