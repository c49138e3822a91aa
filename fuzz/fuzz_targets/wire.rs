//! Any bytes are a message of either side of the wire, and frames on it. Run: `.ci/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    wire::parse(raw);
    wire::frames(raw);
});
