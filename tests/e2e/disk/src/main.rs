//! A disk that fails on demand: a FUSE file system over a folder.
//!
//! `sealpost-e2e-disk <mount point> <folder>` mounts, and then takes commands from standard input, one a line, each
//! answered by a line:
//!
//! | command | what happens | answer |
//! |---|---|---|
//! | `trouble <writes> <syncs> <reads> <free>` | those requests fail with these error numbers (0: they do not), and so many octets are free (-1: as below) | `ok` |
//! | `refused` | | how many requests it has refused so far |
//! | `cut <seed>` | the power goes and comes again; nobody may have a file open | how many changes were lost |
//!
//! * It knows what was synced. A power cut takes back what was not: of each file some of the writes since its last fsync, of
//!   each folder all names that were made, moved or removed since its own.
//! * After an fsync that failed, what was written before counts as lost although it can be read, whatever is synced later:
//!   so does Linux.
//!
//! It unmounts and ends when standard input closes.

mod files;
mod undo;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use fuser::{BackgroundSession, Config, Errno, MountOption};

use files::Files;
use undo::Journal;

/// What the disk does instead of its work.
#[derive(Debug, Clone, Copy, Default)]
struct Trouble {
    /// Writes, and whatever makes a file longer, fail.
    writes: Option<Errno>,
    /// Syncs of files and folders fail.
    syncs: Option<Errno>,
    /// Reads fail.
    reads: Option<Errno>,
    /// Free octets, as it tells them; none: those of the folder below.
    free: Option<u64>,
}

/// What the file system and the commands share.
struct Shared {
    below: PathBuf,
    trouble: Mutex<Trouble>,
    /// Requests that were refused.
    refused: AtomicU64,
    journal: Mutex<Journal>,
}

impl Shared {
    fn trouble(&self) -> Trouble {
        *self.trouble.lock().unwrap()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap()
    }

    fn refuse(&self, error: Errno) -> Errno {
        self.refused.fetch_add(1, Ordering::Relaxed);
        error
    }
}

fn main() {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [at, below] = &args[..] else { panic!("usage: sealpost-e2e-disk <mount point> <folder>") };
    for folder in [at, &below.join("files"), &below.join("saved")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let shared = Arc::new(Shared {
        below: below.join("files"),
        trouble: Mutex::default(),
        refused: AtomicU64::new(0),
        journal: Mutex::new(Journal::new(&below.join("saved"))),
    });
    let mut session = mount(&shared, at);
    println!("ready");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["trouble", writes, syncs, reads, free] => {
                let error = |text: &str| Some(text.parse().unwrap()).filter(|n| *n != 0).map(Errno::from_i32);
                let free = free.parse::<i64>().unwrap();
                *shared.trouble.lock().unwrap() = Trouble {
                    writes: error(writes),
                    syncs: error(syncs),
                    reads: error(reads),
                    free: u64::try_from(free).ok(),
                };
                println!("ok");
            }
            ["refused"] => println!("{}", shared.refused.load(Ordering::Relaxed)),
            ["cut", seed] => {
                session.umount_and_join().unwrap();
                let mut state: u64 = seed.parse().unwrap();
                let lost = shared.journal().power_cut(&mut |n| below_of(&mut state, n));
                *shared.trouble.lock().unwrap() = Trouble::default();
                session = mount(&shared, at);
                println!("{lost}");
            }
            _ => panic!("unknown command {line}"),
        }
    }
    // Nobody waits any more for what would fail.
    *shared.trouble.lock().unwrap() = Trouble::default();
    let _ = session.umount_and_join();
}

fn mount(shared: &Arc<Shared>, at: &Path) -> BackgroundSession {
    let mut options = Config::default();
    options.mount_options = vec![MountOption::FSName("sealpost-e2e-disk".to_owned())];
    fuser::spawn_mount(Files::new(shared.clone()), at, &options).unwrap()
}

/// One of `0..n`, from a seed (splitmix64).
fn below_of(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
}
