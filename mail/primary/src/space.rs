//! The floor under the volume's free space: below it mail is refused, so that expunging and flags still have room.

use std::path::{Path, PathBuf};

use model::verbs::Failure;

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
}

impl Floor {
    /// The floor of a volume.
    pub fn new(data: &Path, tuning: &Tuning) -> Self {
        Self { data: data.to_owned(), percent: tuning.floor_percent, bytes: tuning.floor_bytes }
    }

    /// Refuses mail of that size where it would go below the floor.
    pub fn admit(&self, size: u64) -> Result<(), Failure> {
        match self.look() {
            Ok(space) if self.is_below(space, size) => {
                Err(Failure::unavailable("the volume of this shard is almost full"))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "the free space of the volume cannot be read");
                Err(Failure::unavailable("the volume of this shard does not answer"))
            }
        }
    }

    fn is_below(&self, space: Space, size: u64) -> bool {
        let floor = self.bytes.max(space.total / 100 * self.percent);
        space.free.saturating_sub(size) < floor
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
        assert!(Floor::new(Path::new("/no/such/volume"), &Tuning::default()).admit(1).is_err());
        let none = Tuning { floor_percent: 0, floor_bytes: 0, ..Tuning::default() };
        assert!(Floor::new(Path::new("/"), &none).admit(0).is_ok());
    }
}
