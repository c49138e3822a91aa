//! A primary as whoever archives it sees it: over the real socket, with real mail, and the bytes of the volume.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod kills;
mod restores;
mod socket;
#[path = "../world/mod.rs"]
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "shared with the other tests")]
mod world;

/// The process of [`world::World::start_apart`].
#[test]
#[ignore = "a process of other tests"]
fn serve() {
    world::serve_apart();
}
