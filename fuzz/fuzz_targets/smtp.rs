//! Any bytes are a command line, the content of a DATA, and a message. Run: `.ci/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| smtp::parse(raw));
