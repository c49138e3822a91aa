//! What is freed in this process is wiped.

/// Where debug builds have this in their environment, nothing is wiped: a test shows what is found in a process then.
#[cfg(debug_assertions)]
const KEEPS: &str = "SEALPOST_TEST_KEEPS_FREED_MEMORY";

/// Lets the C library overwrite what its users free. Rust's and SQLite's allocators wipe by themselves.
pub fn wipe_freed_memory() {
    #[cfg(debug_assertions)]
    if std::env::var_os(KEEPS).is_some() {
        sys::keep_freed_memory();
        return;
    }
    sys::process::overwrite_freed_c_memory();
}
