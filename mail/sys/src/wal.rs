//! Where commits end in the WAL: SQLite's hook, with a value of our own behind it, which Rust bindings do not offer.
//!
//! * The hook only notes a number. It never checkpoints: SQLite's own hook, which does, is replaced by it.
//! * `PRAGMA wal_autocheckpoint` removes any hook, so it comes before [`watch`] and never after.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use libsqlite3_sys as ffi;
use rusqlite::Connection;

use crate::SysError;

/// The last frame of the last commit of one connection.
#[derive(Debug)]
pub struct CommitFrames(Arc<AtomicU32>);

impl CommitFrames {
    /// The number of the last frame in the WAL, counted from 1, if the connection has committed anything since the last
    /// call. Of several commits in between, the last one's.
    pub fn take(&self) -> Option<u32> {
        let frame = self.0.swap(0, Ordering::Relaxed);
        (frame > 0).then_some(frame)
    }
}

/// Notes from now on where commits of this connection end in the WAL.
pub fn watch(connection: &Connection) -> Result<CommitFrames, SysError> {
    let frames = Arc::new(AtomicU32::new(0));
    let kept = Arc::into_raw(frames.clone()).cast_mut().cast::<c_void>();
    // SAFETY: the handle is used only inside this function, in which the borrow keeps the connection open.
    let db = unsafe { connection.handle() };
    // SAFETY: a live handle, a name that is a C string, and a pointer that the destructor takes back exactly once: when
    // the connection closes, when the name gets another value, or, by SQLite's contract, when this call fails.
    let code = unsafe { ffi::sqlite3_set_clientdata(db, c"sealpost.commits".as_ptr(), kept, Some(release)) };
    if code != ffi::SQLITE_OK {
        return Err(SysError::Hook(code));
    }
    // SAFETY: a live handle. `kept` is valid as long as the connection owns it, and a hook is not called after its close;
    // a hook set by an earlier call, whose value was just released, is replaced before the connection is used again.
    unsafe { ffi::sqlite3_wal_hook(db, Some(committed), kept) };
    Ok(CommitFrames(frames))
}

/// `xCallback` of `sqlite3_wal_hook`: called after a commit, with the number of frames in the WAL.
unsafe extern "C" fn committed(kept: *mut c_void, _: *mut ffi::sqlite3, _: *const c_char, frames: c_int) -> c_int {
    // SAFETY: the pointer given to `sqlite3_wal_hook`, alive by the contract there.
    let noted = unsafe { &*kept.cast::<AtomicU32>() };
    noted.store(u32::try_from(frames).unwrap_or(0), Ordering::Relaxed);
    ffi::SQLITE_OK
}

/// Destructor of the value that the connection owns.
unsafe extern "C" fn release(kept: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` of the same type, and given back once.
    drop(unsafe { Arc::from_raw(kept.cast::<AtomicU32>()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &tempfile::TempDir) -> Connection {
        let connection = Connection::open(folder.path().join("x.sqlite")).unwrap();
        let set = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x);";
        connection.execute_batch(set).unwrap();
        connection
    }

    #[test]
    fn every_commit_tells_its_last_frame_and_what_changes_nothing_tells_none() {
        let folder = tempfile::tempdir().unwrap();
        let connection = database(&folder);
        let frames = watch(&connection).unwrap();
        assert_eq!(frames.take(), None);
        let mut last = 0;
        for _ in 0..5 {
            connection.execute_batch("BEGIN; INSERT INTO t VALUES(zeroblob(9000)); COMMIT").unwrap();
            let frame = frames.take().unwrap();
            let length = std::fs::metadata(folder.path().join("x.sqlite-wal")).unwrap().len();
            assert_eq!(length, 32 + u64::from(frame) * (24 + 4096));
            assert!(frame > last);
            last = frame;
        }
        connection.execute_batch("BEGIN IMMEDIATE; COMMIT; BEGIN; INSERT INTO t VALUES(1); ROLLBACK").unwrap();
        assert_eq!(frames.take(), None);
    }

    #[test]
    fn settings_leave_the_hook_and_a_second_watch_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let connection = database(&folder);
        let first = watch(&connection).unwrap();
        connection
            .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 0; PRAGMA synchronous = FULL;")
            .unwrap();
        connection.execute_batch("INSERT INTO t VALUES(1)").unwrap();
        assert!(first.take().is_some());
        let second = watch(&connection).unwrap();
        connection.execute_batch("INSERT INTO t VALUES(1)").unwrap();
        assert!(first.take().is_none() && second.take().is_some());
        let kept = first.0.clone();
        drop(first);
        assert_eq!(Arc::strong_count(&kept), 1, "the connection has given it back");
        let kept = second.0.clone();
        drop((second, connection));
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
