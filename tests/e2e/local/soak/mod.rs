//! A model checker of mail: senders, IMAP clients and faults at random, against a model of what was acknowledged.
//!
//! A run follows from its seed as far as real processes allow: the same actors decide the same things in the same order;
//! how they interleave is the machine's business. `SEALPOST_SOAK_SEED`, `SEALPOST_SOAK_OPS` and `SEALPOST_SOAK_KILLS` set
//! seed, acknowledged operations and kills. See `docs/testing.md`.

mod actors;
mod changes;
mod check;
mod client;
mod faults;
mod model;
mod points;
mod quota;
mod sender;
mod session;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actors::{Actor, Endpoints, SHARED};
use faults::{Counts, Faults};
pub use model::Rng;
use model::{LOCKED, Model, USERS};
use sender::Sender;

use crate::harness::{Options, Server};

/// Whose mailboxes the IMAP clients use: two on the first two, a visitor on the third.
const CLIENTS: [usize; 5] = [0, 0, 1, 1, 2];
/// Mail servers.
const SENDERS: usize = 2;
/// Kills between two checks.
const KILLS_OF_A_ROUND: usize = 16;

#[test]
fn nothing_acknowledged_is_lost_doubled_or_torn_by_kills_and_pauses() {
    run(1500, 24);
}

#[test]
#[ignore = "takes hours: see docs/testing.md"]
fn a_soak_of_many_hours_loses_and_doubles_nothing() {
    run(100_000, 1000);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

fn run(operations: u64, kills: u64) {
    let seed = setting("SEALPOST_SOAK_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap_or(u64::MAX) % 1_000_000
    });
    let operations = setting("SEALPOST_SOAK_OPS").unwrap_or(operations);
    let kills = usize::try_from(setting("SEALPOST_SOAK_KILLS").unwrap_or(kills)).unwrap();
    eprintln!("SEALPOST_SOAK_SEED={seed} SEALPOST_SOAK_OPS={operations} SEALPOST_SOAK_KILLS={kills}");
    let started = Instant::now();
    let mut server = Options::bench().replicas(2).disk().network().start();
    let (model, endpoints) = (Model::new(), Endpoints::new(HashMap::new()));
    let counts = Counts::default();
    let mut faults = Faults { model: &model, endpoints: &endpoints, rng: Rng(seed), counts, disk: None };
    faults.publish(&server);
    create_folders(&server);
    let mut rng = Rng(seed ^ 1);
    let (mut actors, mut senders) = cast(&model, &endpoints, seed, &mut rng);
    let rounds = kills.div_ceil(KILLS_OF_A_ROUND).max(1);
    for round in 0..rounds {
        model.stop.store(false, Ordering::Relaxed);
        let left = kills.saturating_sub(faults.counts.kills);
        play(&model, &mut actors, &mut senders, || {
            faults.round(&mut server, left.div_ceil(rounds - round), operations / rounds as u64);
        });
        verify(&model, &endpoints, &mut rng, &mut actors, &mut server, &format!("seed {seed}, round {round}"));
        let acknowledged = model.acknowledged.load(Ordering::Relaxed);
        eprintln!("round {round}: {acknowledged} operations, {:?}, {:?}", faults.counts, started.elapsed());
        check::empty_locked(&model, &endpoints);
    }
    assert!(faults.counts.kills >= kills, "{} of {kills} kills", faults.counts.kills);
    for user in 0..USERS.len() {
        check::mailbox(&model, &endpoints, &mut rng, user, &mut actors);
    }
    drop((actors, senders));
    server.stop();
    quota::sums(&model, &server);
    let violations = model.violations();
    assert!(violations.is_empty(), "seed {seed}, at the end:\n{}\n{}", violations.join("\n"), keep(&mut server));
}

/// Who acts: IMAP clients and mail servers.
fn cast<'m>(model: &'m Model, endpoints: &'m Endpoints, seed: u64, rng: &mut Rng) -> (Vec<Actor<'m>>, Vec<Sender<'m>>) {
    let number = |actor: usize| (seed % 0xFFFF) << 40 | (actor as u64) << 32;
    let actors = CLIENTS.iter().enumerate().map(|(n, &user)| Actor {
        model,
        endpoints,
        user,
        replica: 0,
        rng: Rng(rng.next()),
        next_id: number(n),
        visitor: user == CLIENTS[4],
        session: None,
        own: None,
        tainted: false,
    });
    let actors = actors.collect();
    let senders =
        (0..SENDERS).map(|n| Sender { model, endpoints, rng: Rng(rng.next()), next_id: number(100 + n) }).collect();
    (actors, senders)
}

/// Everybody acts while `trouble` goes on.
fn play(model: &Model, actors: &mut [Actor<'_>], senders: &mut [Sender<'_>], trouble: impl FnOnce()) {
    std::thread::scope(|threads| {
        for actor in actors {
            threads.spawn(|| actor.work());
        }
        for sender in senders {
            threads.spawn(|| sender.work());
        }
        // Whatever becomes of it, nobody goes on for ever.
        let caught = catch_unwind(AssertUnwindSafe(trouble));
        model.stop.store(true, Ordering::Relaxed);
        caught.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

/// Reads everything, and compares.
fn verify(
    model: &Model,
    endpoints: &Endpoints,
    rng: &mut Rng,
    actors: &mut [Actor<'_>],
    server: &mut Server,
    when: &str,
) {
    for user in 0..USERS.len() {
        check::mailbox(model, endpoints, rng, user, actors);
    }
    let violations = model.violations();
    assert!(violations.is_empty(), "{when}:\n{}\n{}", violations.join("\n"), keep(server));
    model.forget();
}

/// The folders that all clients of a mailbox use.
fn create_folders(server: &Server) {
    for user in USERS.iter().take(LOCKED) {
        let mut imap = server.imap(user, "pass");
        for name in &SHARED[1..] {
            imap.ok(&format!("CREATE \"{name}\""));
        }
    }
}

/// Leaves state and logs of a run that failed, and says where.
fn keep(server: &mut Server) -> String {
    server.dir.disable_cleanup(true);
    format!("state and logs are kept in {}", server.state().display())
}
