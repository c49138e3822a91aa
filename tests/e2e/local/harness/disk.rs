//! A disk that fails on demand: see `tests/e2e/disk`, a program of its own. Needs root and `/dev/fuse`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use super::{have_root, project};

/// Error numbers.
pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// What the disk does instead of its work.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// Writes, and whatever makes a file longer, fail with that error; 0: they do not.
    pub writes: i32,
    /// The same for syncs of files and folders.
    pub syncs: i32,
    /// The same for reads.
    pub reads: i32,
    /// Free octets, as it tells them; -1: those there are.
    pub free: i64,
}

impl Trouble {
    /// It does its work.
    pub const NONE: Self = Self { writes: 0, syncs: 0, reads: 0, free: -1 };
    /// Nothing more can be written, and it says so.
    pub const FULL: Self = Self { writes: ENOSPC, free: 0, ..Self::NONE };
    /// It is not full yet, but below the floor.
    pub const LOW: Self = Self { free: 1 << 20, ..Self::NONE };
    /// Writes go, syncs do not.
    pub const NO_SYNCS: Self = Self { syncs: EIO, ..Self::NONE };
    /// Nothing can be written or synced; what is there can be read.
    pub const NO_WRITES: Self = Self { writes: EIO, syncs: EIO, ..Self::NONE };
    /// Nothing goes.
    pub const DEAD: Self = Self { reads: EIO, ..Self::NO_WRITES };
}

/// One mounted disk.
pub struct Disk {
    // Behind a lock, so that threads of a test can share the server.
    program: Mutex<(Child, BufReader<ChildStdout>)>,
}

impl Disk {
    /// Mounts a disk at an empty folder, its files in `below`. None where this machine cannot, and need not.
    pub fn mount(at: &Path, below: &Path) -> Option<Self> {
        if !have_root("/dev/fuse") {
            return None;
        }
        let mut child =
            Command::new(program()).args([at, below]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let disk = Self { program: Mutex::new((child, out)) };
        assert_eq!(disk.told(), "ready");
        Some(disk)
    }

    /// From now on it behaves like that.
    pub fn set(&self, trouble: Trouble) {
        let Trouble { writes, syncs, reads, free } = trouble;
        assert_eq!(self.ask(&format!("trouble {writes} {syncs} {reads} {free}")), "ok");
    }

    /// How many requests it has refused so far: the proof that trouble was felt.
    pub fn refused(&self) -> u64 {
        self.ask("refused").parse().unwrap()
    }

    /// The power goes and comes again; answers how much was lost. Everything that used the disk has been killed.
    pub fn power_cut(&self, seed: u64) -> usize {
        self.ask(&format!("cut {seed}")).parse().unwrap()
    }

    fn ask(&self, command: &str) -> String {
        let mut program = self.program.lock().unwrap();
        writeln!(program.0.stdin.as_mut().unwrap(), "{command}").unwrap();
        drop(program);
        self.told()
    }

    fn told(&self) -> String {
        let mut line = String::new();
        self.program.lock().unwrap().1.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut program = self.program.lock().unwrap();
        drop(program.0.stdin.take());
        let _ = program.0.wait();
    }
}

/// The program, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = project("tests/e2e/disk");
        // Beside the executable under test, whose folder is there and is not cleaned by itself.
        let target = Path::new(env!("CARGO_BIN_EXE_sealpost")).with_file_name("e2e-disk");
        let built = Command::new(env!("CARGO"))
            // The compiler of this build, also where a dependency's folder names another one.
            .env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"))
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(source.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status()
            .unwrap();
        assert!(built.success(), "the disk of tests does not build");
        target.join("debug/sealpost-e2e-disk")
    })
}
