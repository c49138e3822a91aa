//! A bad network: what stands between two processes, and delays, cuts and swallows.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a read may block before the mood is looked at.
const SLICE: Duration = Duration::from_millis(10);

type Target = Box<dyn Fn() -> Option<SocketAddr> + Send>;

/// One place where connections pass.
pub struct Network {
    /// Where whoever is to have a bad network connects.
    pub address: SocketAddr,
    mood: Arc<Mood>,
}

#[derive(Default)]
struct Mood {
    over: AtomicBool,
    /// Nothing passes, and nothing is read: connections are accepted and stay silent.
    stalled: AtomicBool,
    /// Connections made so far, and how many of them lead nowhere any more.
    made: AtomicU64,
    stranded: AtomicU64,
    /// Milliseconds that every piece takes.
    delay: AtomicU64,
    /// Octets that may still pass before all connections are cut in their middle; below zero: any number.
    left: AtomicI64,
    /// Rises when all connections are to be cut.
    cuts: AtomicU64,
    passed: AtomicU64,
}

/// When a connection was made.
#[derive(Clone, Copy)]
struct Made {
    /// Which one it is, from 1.
    number: u64,
    /// [`Mood::cuts`] then.
    cuts: u64,
}

impl Network {
    /// Between whoever connects and where `target` says, asked for each connection.
    pub fn new(target: impl Fn() -> Option<SocketAddr> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(Mood::default());
        mood.left.store(-1, Ordering::Relaxed);
        let (shared, target): (_, Target) = (mood.clone(), Box::new(target));
        let target = Arc::new(Mutex::new(target));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                let (mood, target) = (shared.clone(), target.clone());
                std::thread::spawn(move || connect(&mood, client, &target));
            }
        });
        Self { address, mood }
    }

    /// Cuts everything now; what connects afterwards passes.
    pub fn cut(&self) {
        self.mood.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Cuts everything once so many more octets have passed: in the middle of a frame, a line, a literal.
    pub fn cut_after(&self, octets: u32) {
        self.mood.left.store(i64::from(octets), Ordering::Relaxed);
    }

    /// From now on nothing passes, nothing is read and nothing is closed: half-open; or everything again.
    pub fn stall(&self, stalled: bool) {
        self.mood.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Whatever is connected now stays so, and nothing passes there ever again; what connects afterwards passes.
    pub fn strand(&self) {
        self.mood.stranded.store(self.mood.made.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// From now on every piece takes so long.
    pub fn delay(&self, delay: Duration) {
        self.mood.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// A good network again.
    pub fn heal(&self) {
        self.stall(false);
        self.delay(Duration::ZERO);
        self.mood.left.store(-1, Ordering::Relaxed);
    }

    /// Octets that have passed so far.
    pub fn passed(&self) -> u64 {
        self.mood.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.mood.over.store(true, Ordering::Relaxed);
        self.cut();
        // The listener looks up.
        let _ = TcpStream::connect(self.address);
    }
}

impl Mood {
    /// Waits while nothing passes; false once this connection is cut.
    fn waits(&self, Made { number, cuts }: Made) -> bool {
        let silent = || self.stalled.load(Ordering::Relaxed) || number <= self.stranded.load(Ordering::Relaxed);
        while silent() && self.cuts.load(Ordering::Relaxed) == cuts {
            std::thread::sleep(SLICE);
        }
        self.cuts.load(Ordering::Relaxed) == cuts
    }

    /// How much of a piece passes before everything is cut.
    fn admits(&self, size: usize) -> usize {
        let left = self.left.load(Ordering::Relaxed);
        if left < 0 {
            return size;
        }
        let size = i64::try_from(size).unwrap();
        let before = self.left.fetch_sub(size, Ordering::Relaxed);
        if before >= size {
            return usize::try_from(size).unwrap();
        }
        self.left.store(-1, Ordering::Relaxed);
        self.cuts.fetch_add(1, Ordering::Relaxed);
        usize::try_from(before.max(0)).unwrap()
    }
}

fn connect(mood: &Arc<Mood>, client: TcpStream, target: &Mutex<Target>) {
    let number = mood.made.fetch_add(1, Ordering::Relaxed) + 1;
    let made = Made { number, cuts: mood.cuts.load(Ordering::Relaxed) };
    if !mood.waits(made) {
        return;
    }
    let address = target.lock().unwrap()();
    let Some(server) = address.and_then(|address| TcpStream::connect(address).ok()) else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SLICE)).unwrap();
    }
    let (Ok(back), Ok(forth)) = (server.try_clone(), client.try_clone()) else { return };
    let other = mood.clone();
    std::thread::spawn(move || pump(&other, back, forth, made));
    pump(mood, client, server, made);
}

fn pump(mood: &Mood, mut from: TcpStream, mut to: TcpStream, made: Made) {
    let mut piece = [0; 16 << 10];
    while mood.waits(made) {
        let size = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(size) => size,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                continue;
            }
            Err(_) => break,
        };
        std::thread::sleep(Duration::from_millis(mood.delay.load(Ordering::Relaxed)));
        if !mood.waits(made) {
            break;
        }
        let size = mood.admits(size);
        if to.write_all(&piece[..size]).is_err() {
            break;
        }
        mood.passed.fetch_add(size as u64, Ordering::Relaxed);
    }
    // One side gone is both gone: nobody here half-closes and goes on.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
