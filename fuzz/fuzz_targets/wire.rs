//! Any bytes are a message of either side of the wire. Run: `cargo +nightly fuzz run wire`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| wire::parse(raw));
