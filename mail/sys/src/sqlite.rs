//! SQLite and SQLCipher, where Rust bindings do not reach: the allocator, and keys as bytes.
//!
//! * [`start`] comes before a database is opened, once in a process: it is the only safe way to begin on several threads.
//! * [`install_allocator`] comes before any other use of SQLite in the process. SQLCipher puts its own wrapper around
//!   whatever allocator it finds, so ours stays underneath and sees every block.
//! * [`key`] hands SQLCipher a raw key as bytes. Written as `PRAGMA key` it would be SQL text, which a trace, an error
//!   message or a statement cache can show.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use libsqlite3_sys as ffi;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use zeroize::Zeroize;

use crate::SysError;
use crate::alloc::wipe;

/// The oldest SQLite that is trusted with mail: before 3.51.3 a checkpoint beside a writer could damage a WAL database.
const OLDEST: c_int = 3_051_003;
/// Length of SQLCipher's raw key in bytes (AES-256).
pub const KEY_LEN: usize = 32;
/// `x'`, 64 hexadecimal digits, `'`: the form in which SQLCipher takes a key as it is, without a derivation.
const LITERAL_LEN: usize = 2 + 2 * KEY_LEN + 1;

/// The allocator SQLite would use by itself. Set once, before ours is installed; never changed.
static INNER: OnceLock<Inner> = OnceLock::new();
/// Outcome of the one start.
static STARTED: OnceLock<Result<(), c_int>> = OnceLock::new();
/// Outcome of the one attempt.
static INSTALLED: OnceLock<Result<(), c_int>> = OnceLock::new();

/// The functions of SQLite's default allocator that ours calls.
struct Inner {
    alloc: unsafe extern "C" fn(c_int) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    size: unsafe extern "C" fn(*mut c_void) -> c_int,
}

/// Starts SQLite and SQLCipher, once; further calls only look. SQLite calls itself initialised before SQLCipher has finished
/// its part: without this, a second thread that opens its first database at that moment is refused its key.
pub fn start() -> Result<(), SysError> {
    // SAFETY: reads a constant.
    trusted(unsafe { ffi::sqlite3_libversion_number() })?;
    initialise().map_err(SysError::Start)
}

fn initialise() -> Result<(), c_int> {
    // SAFETY: no precondition; the lock lets one thread do it while the others wait.
    *STARTED.get_or_init(|| check(unsafe { ffi::sqlite3_initialize() }))
}

fn trusted(version: c_int) -> Result<(), SysError> {
    if version < OLDEST { Err(SysError::Version { found: version, oldest: OLDEST }) } else { Ok(()) }
}

/// Makes SQLite wipe every block it frees. Call it first thing in the process; further calls do nothing. An error says
/// that SQLite was in use already.
pub fn install_allocator() -> Result<(), SysError> {
    (*INSTALLED.get_or_init(install)).map_err(SysError::Allocator)
}

fn install() -> Result<(), c_int> {
    // SAFETY: a struct of optional function pointers and one data pointer; all zero is "none".
    let mut methods: ffi::sqlite3_mem_methods = unsafe { std::mem::zeroed() };
    // SAFETY: GETMALLOC writes one sqlite3_mem_methods to where its argument points.
    check(unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, &raw mut methods) })?;
    let (Some(alloc), Some(free), Some(size)) = (methods.xMalloc, methods.xFree, methods.xSize) else {
        return Err(ffi::SQLITE_MISUSE);
    };
    let inner = INNER.get_or_init(|| Inner { alloc, free, size });
    debug_assert!(ptr::fn_addr_eq(inner.alloc, alloc), "installed once");
    methods.xFree = Some(wipe_and_free);
    methods.xRealloc = Some(move_and_wipe);
    // SAFETY: SQLite copies the struct. Its functions keep the contract of `sqlite3_mem_methods`: blocks come from and go
    // back to the allocator it had, with sizes as that allocator reports them.
    check(unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw mut methods) })?;
    initialise()
}

/// `xFree`: SQLite calls it with a block of its allocator, once, and never with a null pointer.
unsafe extern "C" fn wipe_and_free(block: *mut c_void) {
    let Some(inner) = INNER.get().filter(|_| !block.is_null()) else { return };
    // SAFETY: a live block of that allocator, by the contract above.
    let size = unsafe { (inner.size)(block) };
    // SAFETY: the block is live, that long, and given up by the caller.
    unsafe { wipe(block.cast(), usize::try_from(size).unwrap_or(0)) };
    // SAFETY: a live block of that allocator, freed once.
    unsafe { (inner.free)(block) };
}

/// `xRealloc`: SQLite calls it with a live block and a new size above zero.
unsafe extern "C" fn move_and_wipe(block: *mut c_void, new_size: c_int) -> *mut c_void {
    let Some(inner) = INNER.get() else { return ptr::null_mut() };
    // SAFETY: any size is allowed; a failure is null.
    let moved = unsafe { (inner.alloc)(new_size) };
    if !moved.is_null() && !block.is_null() {
        // SAFETY: a live block of that allocator.
        let old_size = unsafe { (inner.size)(block) };
        let kept = usize::try_from(old_size.min(new_size)).unwrap_or(0);
        // SAFETY: both blocks are live and distinct; `kept` is within the sizes of both.
        unsafe { ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast::<u8>(), kept) };
        // SAFETY: SQLite gives the old block up once its contents have moved.
        unsafe { wipe_and_free(block) };
    }
    moved
}

/// Gives a connection that was just opened its raw key: no key derivation runs. Says nothing about whether the key is
/// right: the first read does.
pub fn key(connection: &Connection, raw: &[u8; KEY_LEN]) -> Result<(), SysError> {
    with_literal(raw, |literal| {
        // SAFETY: the handle is used only inside this block, in which the borrow keeps the connection open.
        let db = unsafe { connection.handle() };
        // SAFETY: a live handle, a name that is a C string, and a buffer with its length; SQLCipher copies the bytes.
        check(unsafe { ffi::sqlite3_key_v2(db, c"main".as_ptr(), literal.as_ptr().cast(), LITERAL_LEN as c_int) })
            .map_err(SysError::Key)
    })
}

/// Runs `use_it` with the literal form of a key, which is wiped afterwards.
fn with_literal<T>(raw: &[u8; KEY_LEN], use_it: impl FnOnce(&[u8; LITERAL_LEN]) -> T) -> T {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut literal = [b'\''; LITERAL_LEN];
    literal[0] = b'x';
    for (byte, digits) in raw.iter().zip(literal[2..].chunks_exact_mut(2)) {
        digits[0] = HEX[usize::from(byte >> 4)];
        digits[1] = HEX[usize::from(byte & 15)];
    }
    let result = use_it(&literal);
    literal.zeroize();
    result
}

/// Keeps closing the last connection from checkpointing the WAL: checkpoints are driven from outside, after their frames
/// have been archived.
pub fn no_checkpoint_on_close(connection: &Connection) -> Result<(), SysError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    set.map(|_| ()).map_err(SysError::Setting)
}

fn check(code: c_int) -> Result<(), c_int> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_with_known_damage_is_refused_and_ours_starts() {
        assert!(matches!(trusted(3_051_002), Err(SysError::Version { found: 3_051_002, oldest: OLDEST })));
        trusted(3_051_003).unwrap();
        start().unwrap();
        start().unwrap();
    }
}
