//! What goes wrong: processes killed and paused at random moments, the whole server stopped or cut off.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::actors::Endpoints;
use super::model::{self, Model, Rng};
use crate::harness::{Server, try_signal};

/// The processes, with how often each is hit.
const PROCESSES: [(&str, usize); 4] =
    [("primary-0", 50), ("secondary-imap-0", 17), ("secondary-imap-1", 17), ("secondary-mx-0", 16)];
/// Faults come at the latest so long after one another.
const LONGEST_QUIET: Duration = Duration::from_secs(4);

/// Makes trouble.
pub struct Faults<'m> {
    pub model: &'m Model,
    pub endpoints: &'m Endpoints,
    pub rng: Rng,
    /// Processes killed so far.
    pub kills: usize,
    /// Pauses so far.
    pub pauses: usize,
    /// Restarts of everything so far.
    pub restarts: usize,
}

impl Faults<'_> {
    /// Publishes where everything listens.
    pub fn publish(&self, server: &Server) {
        let status = server.status();
        let found = status["endpoints"].as_object().unwrap().iter();
        let found = found.map(|(name, address)| (name.clone(), address.as_str().unwrap().parse().unwrap()));
        *self.endpoints.lock().unwrap() = found.collect();
    }

    /// One round: so many kills, spread over so many operations; then waits for the operations.
    pub fn round(&mut self, server: &mut Server, kills: usize, operations: u64) {
        let (start, first_kill) = (self.acknowledged(), self.kills);
        let step = operations / (kills as u64 + 2);
        let restart_at = self.rng.below(kills.max(1));
        let mut done = 0;
        while done < kills && !self.model.over() {
            let at = self.acknowledged() + 1 + self.rng.next() % (2 * step).max(1);
            self.wait_for(at.min(start + operations));
            if done == restart_at && self.rng.percent(60) {
                self.restart(server);
            } else if self.rng.percent(30) {
                self.pause(server);
                continue;
            } else {
                self.kill(server);
            }
            done = self.kills - first_kill;
        }
        // The rest of the operations, without trouble: what was broken has to work again.
        self.wait_for(self.acknowledged() + step);
        let until = Instant::now() + Duration::from_mins(2);
        while self.acknowledged() < start + operations && !self.model.over() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.model.stop.store(true, Ordering::Relaxed);
    }

    fn acknowledged(&self) -> u64 {
        self.model.acknowledged.load(Ordering::Relaxed)
    }

    fn wait_for(&self, operations: u64) {
        let until = Instant::now() + LONGEST_QUIET;
        while self.acknowledged() < operations && Instant::now() < until && !self.model.over() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn choose(&mut self) -> &'static str {
        let mut left = self.rng.below(PROCESSES.iter().map(|(_, weight)| weight).sum());
        for (name, weight) in PROCESSES {
            if left < weight {
                return name;
            }
            left -= weight;
        }
        PROCESSES[0].0
    }

    fn kill(&mut self, server: &Server) {
        let name = self.choose();
        let asked = Instant::now();
        server.kill(name);
        self.killed(name, asked, Duration::ZERO);
    }

    fn killed(&mut self, name: &str, asked: Instant, paused: Duration) {
        self.kills += 1;
        self.model.note(model::PROCESSES, &format!("{name} was killed"));
        if name == "primary-0" {
            self.model.primary_killed(asked, paused);
        } else if name == "secondary-mx-0" {
            self.model.mx_ends.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// SIGSTOP, and SIGCONT 100 ms to 2 s later; sometimes the process is killed in between.
    fn pause(&mut self, server: &Server) {
        let name = self.choose();
        let Some(pid) = server.pid(name) else { return };
        let asked = Instant::now();
        if !try_signal(pid, "STOP") {
            return;
        }
        self.pauses += 1;
        self.model.note(model::PROCESSES, &format!("{name} was paused"));
        let pause = Duration::from_millis(100 + self.rng.next() % 1900);
        let until = asked + pause;
        // Nothing announces that time has passed, and that is the fault.
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        if self.rng.percent(25) {
            server.kill(name);
            self.killed(name, asked, Duration::ZERO);
        } else {
            try_signal(pid, "CONT");
        }
    }

    /// Everything ends, as by Ctrl-C or as by a power cut, and starts again.
    fn restart(&mut self, server: &mut Server) {
        self.restarts += 1;
        self.endpoints.lock().unwrap().clear();
        let asked = Instant::now();
        if self.rng.percent(50) {
            server.stop();
        } else {
            self.kills += server.crash();
            self.model.primary_killed(asked, Duration::ZERO);
        }
        self.model.mx_ends.fetch_add(1, Ordering::SeqCst);
        self.model.note(model::PROCESSES, "everything has ended");
        server.start();
        self.publish(server);
    }
}
