//! What goes wrong, at random: processes killed anywhere and at named points, and paused; networks that delay, cut and
//! swallow; a disk that is full, does not write, does not sync; the power cut; the whole server stopped.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use files::fault::POINTS;

use super::actors::Endpoints;
use super::model::{self, Model, Rng};
use crate::harness::disk::{Disk, Trouble};
use crate::harness::{Server, try_signal};

/// The processes, with how often each is hit.
const PROCESSES: [(&str, usize); 4] =
    [("primary-0", 50), ("secondary-imap-0", 17), ("secondary-imap-1", 17), ("secondary-mx-0", 16)];
/// Faults come at the latest so long after one another.
const LONGEST_QUIET: Duration = Duration::from_secs(4);
/// Points armed at a time: some are passed rarely.
const ARMED: usize = 8;
/// Points that are not passed for so long are left alone.
const PASSED_WITHIN: Duration = Duration::from_millis(1500);
/// What a disk in trouble has not synced, it has after this.
const MENDED: Duration = Duration::from_secs(5);

/// How often each was done.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// `kill -9`, wherever the process was.
    pub kills: usize,
    /// Of those, at a named point, with its proof.
    pub points: usize,
    /// SIGSTOP.
    pub pauses: usize,
    /// Everything stopped in order.
    pub stops: usize,
    /// Everything killed, and what was not synced lost.
    pub power_cuts: usize,
    /// Writes or names that were lost by that.
    pub lost: usize,
    /// Networks cut, cut in the middle, stalled or slow.
    pub networks: usize,
    /// Disks full, without writes, or without syncs.
    pub disks: usize,
    /// Requests that the disk refused.
    pub refused: u64,
}

/// Makes trouble.
pub struct Faults<'m> {
    pub model: &'m Model,
    pub endpoints: &'m Endpoints,
    pub rng: Rng,
    /// What was done so far.
    pub counts: Counts,
    /// The last trouble of the disk: from, and until when flags may not have been synced.
    pub disk: Option<(Instant, Instant)>,
}

impl Faults<'_> {
    /// Publishes where everything listens.
    pub fn publish(&self, server: &Server) {
        *self.endpoints.lock().unwrap() = server.outside().into_iter().collect();
    }

    /// One round: so many kills, spread over so many operations; then waits for the operations.
    pub fn round(&mut self, server: &mut Server, kills: usize, operations: u64) {
        let (start, first_kill) = (self.acknowledged(), self.counts.kills);
        let step = operations / (kills as u64 + 2);
        let restart_at = self.rng.below(kills.max(1));
        let (mut done, mut restarted) = (0, false);
        while done < kills && !self.model.over() {
            let at = self.acknowledged() + 1 + self.rng.next() % (2 * step).max(1);
            self.wait_for(at.min(start + operations));
            if done >= restart_at && !std::mem::replace(&mut restarted, true) {
                self.restart(server);
            } else {
                match self.rng.below(100) {
                    0..30 => self.kill(server),
                    30..48 => self.kill_at_a_point(server),
                    48..60 => self.pause(server),
                    60..82 => self.network(server),
                    _ => self.disk(server),
                }
            }
            done = self.counts.kills - first_kill;
        }
        // The rest of the operations, without trouble: what was broken has to work again.
        self.wait_for(self.acknowledged() + step);
        let until = Instant::now() + Duration::from_mins(2);
        while self.acknowledged() < start + operations && !self.model.over() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.counts.refused = server.disk.as_ref().map_or(0, Disk::refused);
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
        self.killed(name, asked);
    }

    /// A process was killed.
    pub fn killed(&mut self, name: &str, asked: Instant) {
        self.counts.kills += 1;
        self.model.note(model::PROCESSES, &format!("{name} was killed"));
        if name == "primary-0" {
            self.lose_flags(asked);
        } else if name == "secondary-mx-0" {
            self.model.mx_ends.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What was not synced may be lost: of the last second, or since a disk began not to sync.
    fn lose_flags(&self, asked: Instant) {
        let since = self.disk.filter(|(_, until)| asked < *until).map_or(Duration::ZERO, |(from, _)| asked - from);
        self.model.primary_killed(asked, since);
    }

    /// `kill -9` of a process by itself, at whichever of some named points is passed first.
    fn kill_at_a_point(&mut self, server: &Server) {
        let mut armed: Vec<(&str, &str)> = Vec::new();
        for _ in 0..ARMED {
            let point = POINTS[self.rng.below(POINTS.len())];
            let role = point.roles[self.rng.below(point.roles.len())];
            if !armed.iter().any(|(_, other)| *other == point.name) {
                server.faults.arm(role, point.name, &format!("kill@{}", 1 + self.rng.below(8)));
                armed.push((role, point.name));
            }
        }
        let asked = Instant::now();
        while !armed.iter().any(|(_, point)| server.faults.hit(point)) && asked.elapsed() < PASSED_WITHIN {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Between a look and this one more may have acted.
        armed.retain(|(_, point)| !server.faults.disarm(point));
        for (role, point) in armed {
            self.counts.points += 1;
            self.model.note(model::PROCESSES, &format!("a {role} is killed at {point}"));
            // Of the secondaries it is not known which: the worst is assumed.
            self.killed(if role == "primary" { "primary-0" } else { "secondary-mx-0" }, Instant::now());
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
        self.counts.pauses += 1;
        self.model.note(model::PROCESSES, &format!("{name} was paused"));
        let pause = Duration::from_millis(100 + self.rng.next() % 1900);
        let until = asked + pause;
        // Nothing announces that time has passed, and that is the fault.
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        if self.rng.percent(25) {
            server.kill(name);
            self.killed(name, asked);
        } else {
            try_signal(pid, "CONT");
        }
    }

    /// A network between two processes, or before one.
    fn network(&mut self, server: &Server) {
        let which = self.rng.below(server.networks.len());
        let Some((name, network)) = server.networks.iter().nth(which) else { return };
        self.counts.networks += 1;
        let how = self.rng.below(4);
        self.model.note(model::PROCESSES, &format!("the network of {name} is bad: {how}"));
        let time = Duration::from_millis(50 + self.rng.next() % 2500);
        match how {
            0 => return network.cut(),
            1 => network.cut_after(u32::try_from(self.rng.below(200_000)).unwrap()),
            2 => network.stall(true),
            _ => network.delay(Duration::from_millis(1 + self.rng.next() % 40)),
        }
        std::thread::sleep(time);
        if self.rng.percent(30) {
            network.cut();
        }
        network.heal();
    }

    /// The shard's volume, for 50 ms to 2 s.
    fn disk(&mut self, server: &Server) {
        let Some(disk) = &server.disk else { return };
        self.counts.disks += 1;
        let how = self.rng.below(4);
        let trouble = match how {
            0 => Trouble::FULL,
            1 => Trouble::LOW,
            2 => Trouble::NO_SYNCS,
            _ => Trouble::NO_WRITES,
        };
        self.model.note(model::PROCESSES, &format!("the disk is in trouble: {how}"));
        let from = Instant::now();
        disk.set(trouble);
        std::thread::sleep(Duration::from_millis(50 + self.rng.next() % 1950));
        disk.set(Trouble::NONE);
        self.disk = Some((from, Instant::now() + MENDED));
        // A settlement that cannot be written is given up.
        self.model.mx_ends.fetch_add(1, Ordering::SeqCst);
    }

    /// Everything ends, as by Ctrl-C or as by a power cut, and starts again.
    fn restart(&mut self, server: &mut Server) {
        self.endpoints.lock().unwrap().clear();
        let asked = Instant::now();
        if self.rng.percent(30) {
            self.counts.stops += 1;
            server.stop();
        } else {
            self.counts.power_cuts += 1;
            self.counts.kills += server.crash();
            if let Some(disk) = &server.disk {
                self.counts.lost += disk.power_cut(self.rng.next());
            }
            self.lose_flags(asked);
        }
        self.model.mx_ends.fetch_add(1, Ordering::SeqCst);
        self.model.note(model::PROCESSES, "everything has ended");
        server.start();
        self.publish(server);
    }
}
