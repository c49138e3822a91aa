//! Every named fault point, one after the other as they are passed: the process is killed right there, under load, and
//! nothing that was acknowledged is lost, doubled or torn.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use files::fault::POINTS;

use super::actors::Endpoints;
use super::client::{Answer, Connection};
use super::faults::{Counts, Faults};
use super::model::{Model, Rng};
use super::session::Session;
use super::{cast, create_folders, keep, play, verify};
use crate::harness::{Options, Server, project};

/// All points have been passed by then.
const ALL_WITHIN: Duration = Duration::from_mins(4);

#[test]
fn a_process_killed_at_any_named_point_loses_doubles_and_tears_nothing() {
    let manifests = tempfile::tempdir().unwrap();
    for name in ["mailboxes.yaml", "mailserver.yaml"] {
        let text = std::fs::read(project("bench/manifests").join(name)).unwrap();
        std::fs::write(manifests.path().join(name), text).unwrap();
    }
    let mut server = Options::manifests(manifests.path()).replicas(2).faults().start();
    let (model, endpoints) = (Model::new(), Endpoints::new(HashMap::new()));
    let mut faults =
        Faults { model: &model, endpoints: &endpoints, rng: Rng(1), counts: Counts::default(), disk: None };
    faults.publish(&server);
    create_folders(&server);
    let mut rng = Rng(2);
    let (mut actors, mut senders) = cast(&model, &endpoints, 1, &mut rng);
    let strangers = Model::new();
    let mut newcomers =
        Newcomers { model: &strangers, over: &model.stop, endpoints: &endpoints, manifests: manifests.path(), made: 0 };
    let mut left: Vec<(&str, &str)> =
        POINTS.iter().flat_map(|point| point.roles.iter().map(|role| (*role, point.name))).collect();
    let total = left.len();
    play(&model, &mut actors, &mut senders, || {
        std::thread::scope(|threads| {
            threads.spawn(|| newcomers.come());
            kill_at_each(&server, &model, &mut faults, &mut left);
            model.stop.store(true, Ordering::Relaxed);
        });
    });
    assert!(left.is_empty(), "not passed in {ALL_WITHIN:?}: {left:?}\n{}", keep(&mut server));
    assert_eq!(faults.counts.points, total);
    assert_eq!(strangers.violations(), Vec::<String>::new(), "{}", keep(&mut server));
    verify(&model, &endpoints, &mut rng, &mut actors, &mut server, "after all points");
}

/// Arms what is left, each role's point of a name in its turn, until all have acted.
fn kill_at_each(server: &Server, model: &Model, faults: &mut Faults<'_>, left: &mut Vec<(&str, &str)>) {
    let started = Instant::now();
    let mut armed: Vec<(&str, &str)> = Vec::new();
    while !left.is_empty() && model.violations().is_empty() && started.elapsed() < ALL_WITHIN && !model.over() {
        for (role, point) in left.iter() {
            if !armed.iter().any(|(_, other)| other == point) {
                server.faults.arm(role, point, &format!("kill@{}", 1 + faults.rng.below(3)));
                armed.push((role, point));
            }
        }
        let hit: Vec<_> = armed.iter().filter(|(_, point)| server.faults.hit(point)).copied().collect();
        for (role, point) in hit {
            faults.counts.points += 1;
            faults.killed(if role == "primary" { "primary-0" } else { "secondary-mx-0" }, Instant::now());
            armed.retain(|one| *one != (role, point));
            left.retain(|one| *one != (role, point));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// New mailboxes, so that keysets, files and folders are made as well: each gets mail while it is locked, and one visit.
struct Newcomers<'m> {
    /// Of their own: nobody compares their mailboxes.
    model: &'m Model,
    over: &'m AtomicBool,
    endpoints: &'m Endpoints,
    manifests: &'m std::path::Path,
    made: usize,
}

impl Newcomers<'_> {
    fn come(&mut self) {
        while !self.over.load(Ordering::Relaxed) {
            self.made += 1;
            let name = format!("n{}", self.made);
            let mut text = String::new();
            let _ = write!(
                text,
                "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata:\n  name: {name}\nspec:\n  \
                 address: {name}@example.test\n  passwordSecretRef:\n    name: bench-password\n"
            );
            std::fs::write(self.manifests.join(format!("{name}.yaml")), text).unwrap();
            self.until(|this| this.deliver(&name));
            self.until(|this| this.visit(&name));
        }
    }

    /// Tries again and again, for the shard may be starting.
    fn until(&self, mut done: impl FnMut(&Self) -> Option<()>) {
        while !self.over.load(Ordering::Relaxed) && done(self).is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn address(&self, name: &str) -> Option<std::net::SocketAddr> {
        self.endpoints.lock().unwrap().get(name).copied()
    }

    fn deliver(&self, name: &str) -> Option<()> {
        let mut mx = Connection::open(self.address("mx")?).ok()?;
        mx.reply(self.model, "connecting").ok()?;
        let message = format!("Message-ID: <{name}@new.example>\r\n\r\nwelcome {name}\r\n");
        let rcpt = format!("RCPT TO:<{name}@example.test>");
        for line in ["EHLO new.example", "MAIL FROM:<a@new.example>", &rcpt] {
            mx.ask(self.model, line).ok().filter(|reply| reply.starts_with('2'))?;
        }
        mx.send(format!("BDAT {} LAST\r\n{message}", message.len()).as_bytes()).ok()?;
        mx.reply(self.model, "the message").ok().filter(|reply| reply.starts_with("250")).map(|_| ())
    }

    /// Finds its mail, once, and puts a large message beside it.
    fn visit(&self, name: &str) -> Option<()> {
        let user = format!("{name}@example.test");
        let mut session = Session::open_as(self.model, self.address("imap-plain")?, &user).ok()?;
        session.select("INBOX").ok().filter(|selected| *selected)?;
        let (answer, lines) = session.run("SEARCH HEADER Message-ID new.example").ok()?;
        if !matches!(answer, Answer::Ok(_)) {
            return None;
        }
        let found = lines.iter().find_map(|line| line.text.strip_prefix("* SEARCH"));
        if found.map(|numbers| numbers.split_whitespace().count()) != Some(1) {
            self.model.violate(format!("{user} finds {found:?} of the one message that was acknowledged"));
        }
        let mut large = b"Subject: large\r\n\r\n".to_vec();
        super::model::lines_of(&mut large, 2_000_000);
        let tag = session.tag();
        session.send(format!("{tag} APPEND Archive {{{}+}}\r\n", large.len()).as_bytes()).ok()?;
        session.send(&large).ok()?;
        session.send(b"\r\n").ok()?;
        session.finish(&tag, "APPEND").ok()?;
        // Flags alone, and then nothing: what syncs them is the flusher.
        session.run("STORE 1 +FLAGS (\\Flagged)").ok()?;
        session.listen(Duration::from_millis(1200)).ok()?;
        session.run("LOGOUT").ok().map(|_| ())
    }
}
