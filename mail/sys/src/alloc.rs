//! A global allocator that wipes what it frees.
//!
//! Message text passes through many short-lived buffers of many crates; wiping at the allocator covers them all. The
//! price is one memset of each freed block and a copy where `realloc` could have grown in place.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicBool, Ordering};

/// Set where freed memory is to keep what it held.
#[cfg(debug_assertions)]
static KEEPS: AtomicBool = AtomicBool::new(false);

/// Stops wiping, for a test that has to show that without it something is found. Not in an optimised build.
#[cfg(debug_assertions)]
pub fn keep_freed_memory() {
    KEEPS.store(true, Ordering::Relaxed);
}

/// The system allocator, with every block zeroed before it goes back. To be installed as `#[global_allocator]` by the
/// executable: freed memory then holds no mail and no key.
#[derive(Debug, Clone, Copy, Default)]
pub struct ZeroOnFree;

// SAFETY: every block comes from and goes back to `System` with the layout it was asked for; in between only bytes
// inside the block are written.
unsafe impl GlobalAlloc for ZeroOnFree {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a live block of `layout.size()` bytes, so writing to all of it is allowed.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if new_size <= layout.size() {
            // SAFETY: bytes from `new_size` on are inside the block, and the caller no longer wants them.
            unsafe { wipe(block.add(new_size), layout.size() - new_size) };
        }
        // `System.realloc` may move a block and free the old one as it is, so a block that cannot stay is moved here.
        // SAFETY: `new_size` is not 0 and does not overflow when aligned (the caller's promise for `realloc`).
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: as for `alloc`, with a layout of non-zero size.
        let moved = unsafe { System.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: both blocks are live, distinct, and at least this long.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size)) };
            // SAFETY: the old block is live and given up by the caller now that its contents have moved.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

/// Zeroes memory in a way that the optimiser does not remove although nobody reads it again.
///
/// # Safety
/// `start` must be valid for writes of `len` bytes.
pub(crate) unsafe fn wipe(start: *mut u8, len: usize) {
    #[cfg(debug_assertions)]
    if KEEPS.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the caller's promise. explicit_bzero is a memset the compiler must keep.
    unsafe { libc::explicit_bzero(start.cast(), len) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_their_contents_when_they_grow_and_shrink() {
        let allocator = ZeroOnFree;
        let layout = Layout::from_size_align(64, 8).unwrap();
        // SAFETY: one block, used within its size, grown, shrunk and freed with the layouts it has at that moment.
        unsafe {
            let block = allocator.alloc(layout);
            ptr::write_bytes(block, 0xA5, 64);
            let block = allocator.realloc(block, layout, 100_000);
            assert!(std::slice::from_raw_parts(block, 64).iter().all(|b| *b == 0xA5));
            let big = Layout::from_size_align(100_000, 8).unwrap();
            let block = allocator.realloc(block, big, 16);
            assert!(std::slice::from_raw_parts(block, 16).iter().all(|b| *b == 0xA5));
            allocator.dealloc(block, Layout::from_size_align(16, 8).unwrap());
        }
    }

    #[test]
    fn wiping_writes_zeros_and_only_inside_the_block() {
        let mut bytes = [1_u8; 40];
        // SAFETY: eight bytes inside a live array.
        unsafe { wipe(bytes.as_mut_ptr().add(16), 8) };
        assert!(bytes[16..24].iter().all(|b| *b == 0));
        assert!(bytes[..16].iter().chain(&bytes[24..]).all(|b| *b == 1));
    }
}
