//! The floor under the volume's free space: below it mail is refused, so that expunging and flags still have room.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::verbs::{Code, Failure};

use crate::config::Tuning;

/// Free space of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Space {
    /// Bytes this process may still use.
    free: u64,
    /// Bytes of the whole volume.
    total: u64,
}

/// Watches the free space of the volume.
pub struct Floor {
    data: PathBuf,
    percent: u64,
    bytes: u64,
    /// Why mail is refused, while it is.
    trouble: Mutex<Option<String>>,
}

impl Floor {
    /// The floor of a volume.
    pub fn new(data: &Path, tuning: &Tuning) -> Self {
        Self {
            data: data.to_owned(),
            percent: tuning.floor_percent,
            bytes: tuning.floor_bytes,
            trouble: Mutex::default(),
        }
    }

    /// Refuses mail of that size where it would go below the floor.
    pub fn admit(&self, size: u64) -> Result<(), Failure> {
        match self.watch() {
            Ok(space) if self.is_below(space, size) => {
                Err(Failure::new(Code::NoSpace, "the volume of this shard is almost full"))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::unavailable("the volume of this shard does not answer")),
        }
    }

    /// True where there is so little left that nothing is kept for others any more: twice the floor.
    pub fn is_tight(&self) -> bool {
        self.look().is_ok_and(|space| space.free < self.floor(space).saturating_mul(2))
    }

    /// What a person has to do about the volume, if anything: looked at now.
    pub fn finding(&self) -> Option<String> {
        // It is in the finding.
        let _ = self.watch();
        self.trouble().clone()
    }

    /// Free bytes of the volume; none where it does not say.
    pub fn free(&self) -> Option<u64> {
        self.look().ok().map(|space| space.free)
    }

    /// Looks, and says once when mail begins to be refused, and once when it is taken again.
    fn watch(&self) -> Result<Space, rustix::io::Errno> {
        let found = self.look();
        let now = match found {
            Ok(space) if self.is_below(space, 0) => Some(format!(
                "the volume of this shard has {} MiB free, less than the floor of {} MiB: mail is refused (452) until there \
                 is room; enlarge the volume or expunge mail",
                space.free >> 20,
                self.floor(space) >> 20
            )),
            Ok(_) => None,
            Err(error) => {
                Some(format!("the free space of this shard's volume cannot be read ({error}): mail is refused"))
            }
        };
        let mut trouble = self.trouble();
        match (&*trouble, &now) {
            (None, Some(text)) => tracing::error!("{text}"),
            (Some(_), None) => tracing::info!("there is room on the volume again: mail is taken"),
            _ => {}
        }
        *trouble = now;
        found
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn floor(&self, space: Space) -> u64 {
        self.bytes.max(space.total / 100 * self.percent)
    }

    fn is_below(&self, space: Space, size: u64) -> bool {
        space.free.saturating_sub(size) < self.floor(space)
    }

    fn look(&self) -> Result<Space, rustix::io::Errno> {
        let found = rustix::fs::statvfs(&self.data)?;
        Ok(Space { free: found.f_bavail * found.f_frsize, total: found.f_blocks * found.f_frsize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_larger_of_share_and_bytes() {
        let tuning = Tuning { floor_percent: 5, floor_bytes: 100, ..Tuning::default() };
        let floor = Floor::new(Path::new("/"), &tuning);
        assert!(!floor.is_below(Space { free: 150, total: 1000 }, 50));
        assert!(floor.is_below(Space { free: 150, total: 1000 }, 51));
        assert!(floor.is_below(Space { free: 150, total: 10_000 }, 0));
    }

    #[test]
    fn a_volume_that_cannot_be_asked_takes_no_mail() {
        let floor = Floor::new(Path::new("/no/such/volume"), &Tuning::default());
        assert_eq!(floor.admit(1).unwrap_err().code, Code::Unavailable);
        assert!(floor.finding().unwrap().contains("cannot be read"));
        let none = Tuning { floor_percent: 0, floor_bytes: 0, ..Tuning::default() };
        let floor = Floor::new(Path::new("/"), &none);
        assert!(floor.admit(0).is_ok() && floor.finding().is_none());
        let all = Tuning { floor_percent: 0, floor_bytes: u64::MAX, ..Tuning::default() };
        let floor = Floor::new(Path::new("/"), &all);
        assert_eq!(floor.admit(0).unwrap_err().code, Code::NoSpace);
        assert!(floor.is_tight());
        assert!(floor.finding().unwrap().contains("less than the floor"));
    }
}
