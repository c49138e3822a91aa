//! A key in a page of its own.
//!
//! Invariants:
//! * The page is never written to swap (`mlock`), a core file (`MADV_DONTDUMP`) or a forked child (`MADV_WIPEONFORK`),
//!   as far as the system allows; [`ArenaReport`] says how far.
//! * It is overwritten before it is unmapped.
//! * No other value shares it, so no overrun of a neighbour reads it: the pages before and after are not mapped readable.

use std::io;
use std::ptr::{self, NonNull};

use zeroize::Zeroize;

use crate::SysError;

/// How well a [`LockedKey`] is protected. None of it is fatal: containers often have no `RLIMIT_MEMLOCK` to speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArenaReport {
    /// The page cannot be swapped out.
    pub locked: bool,
    /// The page is left out of core files.
    pub undumpable: bool,
    /// A forked child sees zeros.
    pub wiped_on_fork: bool,
}

impl ArenaReport {
    /// True where the system granted everything.
    pub fn is_complete(&self) -> bool {
        self.locked && self.undumpable && self.wiped_on_fork
    }
}

/// 32 bytes of key material between two guard pages.
pub struct LockedKey {
    base: NonNull<u8>,
    page: usize,
    report: ArenaReport,
}

// SAFETY: the mapping belongs to this value alone, does not depend on the thread it was made on, and is written only in
// `new` (before it is shared) and in `drop` (after it was).
unsafe impl Send for LockedKey {}
// SAFETY: as above; between `new` and `drop` there are only reads.
unsafe impl Sync for LockedKey {}

impl LockedKey {
    /// Length of the key in bytes.
    pub const LEN: usize = 32;

    /// Maps the page, protects it as far as the system allows, and lets `fill` write the key into it directly. An error of
    /// `fill` is handed on.
    pub fn new<E: From<SysError>>(fill: impl FnOnce(&mut [u8; Self::LEN]) -> Result<(), E>) -> Result<Self, E> {
        let page = page_size();
        let base = map_guarded(page)?;
        // SAFETY: `map_guarded` gave three pages of which the middle one, at `base + page`, is readable and writable.
        let middle = unsafe { base.as_ptr().add(page) };
        let report = protect(middle, page);
        let key = Self { base, page, report };
        // SAFETY: the middle page is mapped, writable, zero-filled (so initialised), at least 32 bytes long and page
        // aligned; `key` is not shared yet, so this is the only reference into it.
        fill(unsafe { &mut *middle.cast::<[u8; Self::LEN]>() })?;
        Ok(key)
    }

    /// The key, for as long as one operation needs it. Do not copy it to where it is not wiped.
    pub fn bytes(&self) -> &[u8; Self::LEN] {
        // SAFETY: the middle page is mapped and initialised for as long as `self` lives, and nothing writes to it until
        // `drop`, which needs the value back.
        unsafe { &*self.base.as_ptr().add(self.page).cast::<[u8; Self::LEN]>() }
    }

    /// How well the page is protected.
    pub fn report(&self) -> ArenaReport {
        self.report
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        // SAFETY: the middle page is mapped and writable, and `&mut self` says that nobody else looks at it.
        unsafe { &mut *self.base.as_ptr().add(self.page).cast::<[u8; Self::LEN]>() }.zeroize();
        // SAFETY: exactly the region that `map_guarded` mapped, unmapped once. Unmapping unlocks it too.
        unsafe { libc::munmap(self.base.as_ptr().cast(), 3 * self.page) };
    }
}

impl std::fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockedKey").field("report", &self.report).finish_non_exhaustive()
    }
}

fn page_size() -> usize {
    // SAFETY: sysconf only reads its argument.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Three pages: the middle one may be used, its neighbours fault.
fn map_guarded(page: usize) -> Result<NonNull<u8>, SysError> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
    let base = unsafe { libc::mmap(ptr::null_mut(), 3 * page, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(SysError::Map(io::Error::last_os_error()));
    }
    // SAFETY: the middle page lies inside the mapping just made; nothing refers to it yet.
    let opened = unsafe { libc::mprotect(base.byte_add(page), page, libc::PROT_READ | libc::PROT_WRITE) };
    if opened != 0 {
        let refusal = SysError::Map(io::Error::last_os_error());
        // SAFETY: exactly the region mapped above, which nobody else has seen.
        unsafe { libc::munmap(base, 3 * page) };
        return Err(refusal);
    }
    NonNull::new(base.cast()).ok_or_else(|| SysError::Map(io::Error::from(io::ErrorKind::OutOfMemory)))
}

fn protect(page_start: *mut u8, page: usize) -> ArenaReport {
    let start = page_start.cast::<libc::c_void>();
    // SAFETY: the three calls change how the kernel treats one page that this crate mapped and owns; none changes its
    // contents in this process.
    unsafe {
        ArenaReport {
            locked: libc::mlock(start, page) == 0,
            undumpable: libc::madvise(start, page, libc::MADV_DONTDUMP) == 0,
            wiped_on_fork: libc::madvise(start, page, libc::MADV_WIPEONFORK) == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_and_its_page_is_kept_from_core_files() {
        let key = LockedKey::new(|bytes| -> Result<(), SysError> {
            bytes.fill(7);
            Ok(())
        })
        .unwrap();
        assert_eq!(key.bytes(), &[7; 32]);
        assert!(key.report().undumpable && key.report().wiped_on_fork, "{key:?}");
        assert!(!format!("{key:?}").contains('7'));
    }

    #[test]
    fn an_error_while_filling_is_handed_on() {
        let error = LockedKey::new(|_| Err(SysError::Key(1))).unwrap_err();
        assert!(matches!(error, SysError::Key(1)));
    }
}
