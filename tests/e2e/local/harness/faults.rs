//! Arms the fault points of a server's processes, and sees them act: see `files::fault`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The folder of faults.
#[derive(Debug, Clone)]
pub struct Faults(PathBuf);

impl Faults {
    /// Nothing is armed.
    pub fn new(folder: &Path) -> Self {
        for sub in ["armed", "hits", "via", "endpoints"] {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        Self(folder.to_owned())
    }

    /// What processes are told.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// From now on that happens at a point, in processes of that role: `kill@3`, `pause`, `error(EIO)`.
    pub fn arm(&self, role: &str, point: &str, action: &str) {
        assert!(files::fault::points().any(|known| known.name == point), "{point}");
        let _ = fs::remove_file(self.0.join("hits").join(point));
        // In one step: a process may look at any moment.
        let aside = self.0.join(format!("{point}.new"));
        fs::write(&aside, format!("{role} {action}\n")).unwrap();
        fs::rename(aside, self.0.join("armed").join(point)).unwrap();
    }

    /// Nothing happens there any more; false where it has happened already.
    pub fn disarm(&self, point: &str) -> bool {
        fs::remove_file(self.0.join("armed").join(point)).is_ok()
    }

    /// True once it has happened.
    pub fn hit(&self, point: &str) -> bool {
        self.0.join("hits").join(point).exists()
    }

    /// A process reaches the shard there.
    pub fn via(&self, name: &str, address: SocketAddr) {
        fs::write(self.0.join("via").join(name), address.to_string()).unwrap();
    }

    /// Where the shard really is; none before its first start.
    pub fn wire(&self) -> Option<SocketAddr> {
        address(&self.0.join("wire"))
    }

    /// An endpoint is there now.
    pub fn listens(&self, name: &str, address: &str) {
        fs::write(self.0.join("endpoints").join(name), address).unwrap();
    }

    /// Where an endpoint was last.
    pub fn where_listens(&self, name: &str) -> Option<SocketAddr> {
        address(&self.0.join("endpoints").join(name))
    }
}

fn address(path: &Path) -> Option<SocketAddr> {
    fs::read_to_string(path).ok()?.parse().ok()
}
