//! The node's own view of a pod's processes, where the node is this machine: their files and their memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use memchr::memmem::Finder;

use super::Tenant;

/// A process of a container.
#[derive(Debug, Clone, Copy)]
pub struct Process(u32);

impl Tenant {
    /// The process of that role in that pod; none where the pod runs on another machine.
    pub fn process(&self, pod: &str, role: &str) -> Option<Process> {
        let uid = self.json(&format!("pod/{pod}")).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
        let ours = |pid: u32| {
            let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let cgroup = String::from_utf8_lossy(&read("cgroup")).replace('_', "-");
            let arguments = read("cmdline");
            cgroup.contains(&uid) && arguments.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes())
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.into_iter().find(|pid| ours(*pid)).map(Process)
    }
}

impl Process {
    /// Whether it can read a file of that path: its container's view.
    pub fn sees(self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The names in a folder, as its container has it.
    pub fn list(self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Whether these bytes are anywhere in its memory, or in what it was started with.
    pub fn holds(self, needle: &[u8]) -> bool {
        let pid = self.0;
        let finder = Finder::new(needle);
        let started = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
        if ["environ", "cmdline"].iter().any(|name| finder.find(&started(name)).is_some()) {
            return true;
        }
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let mut read_any = false;
        for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|access| access.starts_with('r'))) {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // The kernel's own pages cannot be read.
            if memory.read_exact_at(&mut bytes, start).is_err() {
                continue;
            }
            read_any = true;
            if finder.find(&bytes).is_some() {
                return true;
            }
        }
        assert!(read_any, "the memory of process {pid} cannot be read");
        false
    }

    fn path(self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.0))
    }
}
