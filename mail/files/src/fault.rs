//! Named moments at which tests make a process fail. In release builds there is nothing of this.
//!
//! Where `SEALPOST_FAULTS` names a folder, [`point`] looks there, each time, for a file `armed/<name>` with one line
//!
//! ```text
//! <role> <action>[@<n>]        primary kill@3
//! ```
//!
//! * `role` is the first argument of the process it is meant for (`primary`, `secondary`, `sidecar`).
//! * `action` is `kill` (as by `kill -9`), `pause` (until the file is gone) or `error(EIO)`, `error(ENOSPC)`.
//! * With `@n` the n-th pass since the file was seen acts, once, and the file is moved to `hits/<name>`: that it is there
//!   proves that the fault was really injected. Without it every pass acts, and leaves `hits/<name>` too.

//!
//! In the same folder `via/<name>` may hold an address: see [`detour`].

/// A moment, and the roles that come by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// `<part>.<step>.<before | after>`.
    pub name: &'static str,
    /// First arguments of the processes that pass it.
    pub roles: &'static [&'static str],
}

const fn of(name: &'static str, roles: &'static [&'static str]) -> Point {
    Point { name, roles }
}

const PRIMARY: &[&str] = &["primary"];
const SECONDARY: &[&str] = &["secondary"];
const SIDECAR: &[&str] = &["sidecar"];
const BOTH: &[&str] = &["primary", "secondary"];

/// Every point that mail and its readers come by.
pub const POINTS: &[Point] = &[
    // Files outside SQLite: first keysets, new mailboxes and spools.
    of("file.sync.before", PRIMARY),
    of("file.sync.after", PRIMARY),
    of("file.rename.before", PRIMARY),
    of("file.rename.after", PRIMARY),
    of("file.link.before", PRIMARY),
    of("file.link.after", PRIMARY),
    of("dir.sync.before", PRIMARY),
    of("dir.sync.after", PRIMARY),
    // The directory, as the operator pushes it.
    of("directory.commit.before", PRIMARY),
    of("directory.commit.after", PRIMARY),
    of("keys.install.before", PRIMARY),
    of("keys.install.after", PRIMARY),
    // A mailbox.
    of("store.commit.before", PRIMARY),
    of("store.commit.after", PRIMARY),
    of("store.answer.before", PRIMARY),
    of("store.stage.after", PRIMARY),
    of("store.sync.before", PRIMARY),
    of("wal.record.before", PRIMARY),
    of("wal.record.after", PRIMARY),
    of("store.checkpoint.before", PRIMARY),
    of("store.checkpoint.after", PRIMARY),
    of("store.recover.before", PRIMARY),
    // A spool, and its drain.
    of("spool.commit.before", PRIMARY),
    of("spool.commit.after", PRIMARY),
    of("spool.remove.before", PRIMARY),
    of("spool.remove.after", PRIMARY),
    of("spool.settle.before", PRIMARY),
    of("spool.settle.after", PRIMARY),
    of("drain.batch.after", PRIMARY),
    of("drain.taken.after", PRIMARY),
    // Mail through the shard.
    of("deliver.live.before", PRIMARY),
    of("deliver.live.after", PRIMARY),
    of("deliver.seal.after", PRIMARY),
    of("deliver.answer.before", PRIMARY),
    of("settle.mailbox.before", PRIMARY),
    of("settle.mailbox.after", PRIMARY),
    // Keys on their way.
    of("attach.open.before", PRIMARY),
    of("attach.open.after", PRIMARY),
    of("attach.session.after", PRIMARY),
    of("query.ask.before", PRIMARY),
    of("handover.seal.before", SECONDARY),
    of("handover.seal.after", SECONDARY),
    // The wire: answers and pushes of a primary, requests of a secondary.
    of("wire.write.before", BOTH),
    of("wire.write.after", BOTH),
    of("push.hint.before", PRIMARY),
    // The MX.
    of("mx.deliver.before", SECONDARY),
    of("mx.deliver.after", SECONDARY),
    of("mx.settle.before", SECONDARY),
    of("mx.settle.after", SECONDARY),
];

/// The points that a primary comes by when its sidecar asks for something.
pub const ARCHIVE_POINTS: &[Point] = &[
    of("hold.taken.before", PRIMARY),
    of("hold.taken.after", PRIMARY),
    of("checkpoint.fold.before", PRIMARY),
    of("checkpoint.fold.after", PRIMARY),
    of("snapshot.folded.after", PRIMARY),
    of("snapshot.copied.after", PRIMARY),
    of("snapshot.verified.after", PRIMARY),
    of("snapshot.hashed.after", PRIMARY),
    of("archived.told.before", PRIMARY),
    of("archived.told.after", PRIMARY),
    of("adopt.begun.after", PRIMARY),
    of("adopt.merged.after", PRIMARY),
    of("adopt.aside.after", PRIMARY),
    of("adopt.moved.after", PRIMARY),
    of("adopt.marked.after", PRIMARY),
    of("adopt.placed.after", PRIMARY),
    of("adopt.keyed.after", PRIMARY),
    of("adopt.done.after", PRIMARY),
    // The first opening of what was restored.
    of("restored.jumped.after", PRIMARY),
    of("restored.checked.after", PRIMARY),
];

/// The points that a sidecar comes by when it restores.
pub const RESTORE_POINTS: &[Point] = &[
    of("restore.object.after", SIDECAR),
    of("restore.assembled.after", SIDECAR),
    of("restore.intended.after", SIDECAR),
    of("restore.adopted.after", SIDECAR),
    of("restore.archived.after", SIDECAR),
];

/// The points that a sidecar comes by when it archives, keeps and tries out.
pub const SIDECAR_POINTS: &[Point] = &[
    of("claim.put.after", SIDECAR),
    of("ship.keys.after", SIDECAR),
    of("ship.segment.before", SIDECAR),
    of("ship.segment.after", SIDECAR),
    of("ship.told.after", SIDECAR),
    of("ship.base.after", SIDECAR),
    of("ship.manifest.after", SIDECAR),
    of("ship.saved.after", SIDECAR),
    // HOLD and CHECKPOINT.
    of("fold.asked.before", SIDECAR),
    of("fold.held.after", SIDECAR),
    of("fold.tailed.after", SIDECAR),
    of("fold.folded.after", SIDECAR),
    of("ship.tail.before", SIDECAR),
    of("ship.tail.after", SIDECAR),
    // SNAPSHOT.
    of("snapshot.made.after", SIDECAR),
    of("snapshot.uploaded.after", SIDECAR),
    of("snapshot.noted.after", SIDECAR),
    of("retain.planned.after", SIDECAR),
    of("retain.named.after", SIDECAR),
    of("retain.removed.after", SIDECAR),
    of("verify.begun.after", SIDECAR),
    of("verify.assembled.after", SIDECAR),
    of("verify.compared.after", SIDECAR),
];

/// The points that a primary and its sidecar come by when a mailbox is purged.
pub const PURGE_POINTS: &[Point] = &[
    of("purge.quiet.after", SIDECAR),
    of("purge.noted.after", PRIMARY),
    of("purge.keys.after", PRIMARY),
    of("purge.file.after", PRIMARY),
    of("purge.folder.after", PRIMARY),
    of("purge.copies.after", PRIMARY),
    of("purge.done.after", PRIMARY),
    of("purge.volume.after", SIDECAR),
    of("purge.listed.after", SIDECAR),
    of("purge.removed.after", SIDECAR),
    of("purge.swept.after", SIDECAR),
    of("purge.proved.after", SIDECAR),
];

/// Every point there is.
pub fn points() -> impl Iterator<Item = &'static Point> {
    POINTS.iter().chain(ARCHIVE_POINTS).chain(RESTORE_POINTS).chain(SIDECAR_POINTS).chain(PURGE_POINTS)
}

/// The variable that names the folder.
pub const VARIABLE: &str = "SEALPOST_FAULTS";

/// True where faults are wanted: then what protects from crash loops steps back.
pub fn is_on() -> bool {
    cfg!(debug_assertions) && std::env::var_os(VARIABLE).is_some()
}

/// The address under which process `name` is to reach the shard: `address`, or what `via/<name>` says, which is where a
/// bad network of a test listens. It finds `address` in `wire`.
pub fn detour(name: &str, address: String) -> String {
    let Some(folder) = std::env::var_os(VARIABLE).filter(|_| is_on()).map(std::path::PathBuf::from) else {
        return address;
    };
    match std::fs::read_to_string(folder.join("via").join(name)) {
        Ok(via) if std::fs::write(folder.join("wire"), &address).is_ok() => via,
        _ => address,
    }
}

/// This moment is passed. An error that is armed here is of no effect: see [`io`].
#[inline]
pub fn point(name: &'static str) {
    // Whoever comes by here has no way to fail.
    let _ = io(name);
}

/// This moment is passed, and may fail.
#[cfg(not(debug_assertions))]
#[inline]
pub fn io(_: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
pub use armed::io;

#[cfg(debug_assertions)]
mod armed {
    use std::collections::HashMap;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::{VARIABLE, points};

    struct Faults {
        folder: PathBuf,
        role: String,
        /// Passes by rule: a file that is armed again is counted anew.
        passes: Mutex<HashMap<(&'static str, String), u64>>,
    }

    fn faults() -> Option<&'static Faults> {
        static FAULTS: OnceLock<Option<Faults>> = OnceLock::new();
        let read = || {
            let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
            Some(Faults { folder, role: std::env::args().nth(1).unwrap_or_default(), passes: Mutex::default() })
        };
        FAULTS.get_or_init(read).as_ref()
    }

    /// This moment is passed, and may fail.
    pub fn io(name: &'static str) -> std::io::Result<()> {
        debug_assert!(points().any(|point| point.name == name), "{name} is not listed");
        faults().map_or(Ok(()), |faults| faults.pass(name))
    }

    impl Faults {
        fn pass(&self, name: &'static str) -> std::io::Result<()> {
            let armed = self.folder.join("armed").join(name);
            let Ok(line) = std::fs::read_to_string(&armed) else { return Ok(()) };
            let Some((meant_for, rule)) = line.trim().split_once(' ') else { return Ok(()) };
            if meant_for != self.role {
                return Ok(());
            }
            let (action, nth) = match rule.split_once('@') {
                Some((action, nth)) => (action, nth.parse().ok()),
                None => (rule, None),
            };
            let hit = self.folder.join("hits").join(name);
            if let Some(nth) = nth {
                let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
                let count = passes.entry((name, line.clone())).or_default();
                *count += 1;
                // Moved first: a process that starts again does not fail here again, and of two only one does.
                if *count < nth || std::fs::rename(&armed, &hit).is_err() {
                    return Ok(());
                }
                passes.remove(&(name, line.clone()));
            } else {
                std::fs::copy(&armed, &hit)?;
            }
            act(action, &armed)
        }
    }

    fn act(action: &str, armed: &Path) -> std::io::Result<()> {
        match action {
            "kill" => {
                // Nothing can be done where a process may not kill itself; it goes on.
                let _ = kill_process(getpid(), Signal::KILL);
            }
            "pause" => {
                while armed.exists() {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            "error(EIO)" => return Err(rustix::io::Errno::IO.into()),
            "error(ENOSPC)" => return Err(rustix::io::Errno::NOSPC.into()),
            _ => {}
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_nth_pass_fails_once_and_leaves_its_proof() {
            let folder = tempfile::tempdir().unwrap();
            for sub in ["armed", "hits"] {
                std::fs::create_dir(folder.path().join(sub)).unwrap();
            }
            let faults = Faults { folder: folder.path().to_owned(), role: "primary".into(), passes: Mutex::default() };
            let (armed, hit) = (folder.path().join("armed/dir.sync.after"), folder.path().join("hits/dir.sync.after"));
            assert!(faults.pass("dir.sync.after").is_ok());
            std::fs::write(&armed, "secondary error(EIO)@1").unwrap();
            assert!(faults.pass("dir.sync.after").is_ok(), "meant for another process");
            std::fs::write(&armed, "primary error(ENOSPC)@2").unwrap();
            assert!(faults.pass("dir.sync.after").is_ok() && !hit.exists());
            let failed = faults.pass("dir.sync.after").unwrap_err();
            assert_eq!(failed.kind(), std::io::ErrorKind::StorageFull);
            assert!(hit.exists() && !armed.exists());
            assert!(faults.pass("dir.sync.after").is_ok());
            std::fs::write(&armed, "primary error(EIO)").unwrap();
            assert!((0..3).all(|_| faults.pass("dir.sync.after").is_err()), "every pass");
        }

        #[test]
        fn names_are_there_once() {
            for (n, point) in points().enumerate() {
                assert!(!points().take(n).any(|other| other.name == point.name), "{}", point.name);
            }
        }
    }
}
