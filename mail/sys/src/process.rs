//! What a data-plane process asks of the kernel for itself.
//!
//! Everything here is best effort: where the system refuses, the process runs on, and the [`HardenReport`] says so once,
//! in the log of the start.

use std::io;

use crate::SysError;

/// What [`harden_process`] reached.
#[derive(Debug)]
pub struct HardenReport {
    /// Not dumpable: no core, no debugger, and `/proc/<pid>/mem` only for root.
    pub undumpable: Result<(), SysError>,
    /// Core files have size 0.
    pub no_core: Result<(), SysError>,
    /// How many descriptors may be open; a server of many mailboxes needs many.
    pub descriptors: Result<u64, SysError>,
}

impl HardenReport {
    /// Each refusal, for the log.
    pub fn refusals(&self) -> Vec<&SysError> {
        let errors = [self.undumpable.as_ref().err(), self.no_core.as_ref().err(), self.descriptors.as_ref().err()];
        errors.into_iter().flatten().collect()
    }
}

/// Keeps keys and mail of this process out of core files and debuggers, and raises the descriptor limit to the hard one.
/// First thing in every data-plane process.
pub fn harden_process() -> HardenReport {
    HardenReport { undumpable: forbid_dumps(), no_core: forbid_core_files(), descriptors: raise_descriptors() }
}

/// Makes the C library overwrite blocks that C code frees (compression contexts hold message text, TLS holds records).
/// Rust's and SQLite's own blocks are wiped by [`crate::ZeroOnFree`] and [`crate::sqlite::install_allocator`], small ones
/// too, which this does not reach. False where the C library cannot do it.
pub fn overwrite_freed_c_memory() -> bool {
    #[cfg(target_env = "gnu")]
    {
        /// Any byte but 0, which would switch it off.
        const FILL: libc::c_int = 0xA5;
        // SAFETY: mallopt only changes a setting of the allocator, under its own lock.
        unsafe { libc::mallopt(libc::M_PERTURB, FILL) == 1 }
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

/// True where the process may not be dumped or traced by its own user.
pub fn is_undumpable() -> bool {
    // SAFETY: PR_GET_DUMPABLE takes no further argument and writes nowhere.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) == 0 }
}

/// Lets the kernel send SIGTERM to this process when its parent ends. Called by a child at its start; `parent` is the
/// process id it was given, so that a parent that died in between is noticed (then the answer is `false`, and the child
/// should end).
///
/// The kernel means the parent's *thread* that made the child: start children from a thread that lives as long as the
/// process.
pub fn die_with_parent(parent: u32) -> Result<bool, SysError> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and writes nowhere.
    let answer = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    check(answer, "a signal at the parent's death")?;
    Ok(std::os::unix::process::parent_id() == parent)
}

fn forbid_dumps() -> Result<(), SysError> {
    // SAFETY: PR_SET_DUMPABLE takes a number and writes nowhere.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }, "not being dumpable")
}

fn forbid_core_files() -> Result<(), SysError> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: setrlimit only reads the struct, which outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) }, "a core file limit of 0")
}

fn raise_descriptors() -> Result<u64, SysError> {
    let attribute = "more file descriptors";
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills the struct, which outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, attribute)?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: setrlimit only reads the struct, which outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, attribute)?;
    Ok(limit.rlim_cur)
}

fn check(answer: libc::c_int, attribute: &'static str) -> Result<(), SysError> {
    if answer == 0 { Ok(()) } else { Err(SysError::Process { attribute, source: io::Error::last_os_error() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardened_process_is_not_dumpable() {
        assert!(!is_undumpable());
        let report = harden_process();
        assert!(report.refusals().is_empty(), "{report:?}");
        assert!(is_undumpable());
        assert!(report.descriptors.unwrap() > 0);
    }

    #[test]
    fn a_child_whose_parent_is_another_learns_it() {
        assert!(die_with_parent(std::os::unix::process::parent_id()).unwrap());
        assert!(!die_with_parent(u32::MAX).unwrap());
    }
}
