//! Any bytes are a command and a folder name. Run: `.ci/fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let _ = imap::parse::parse(raw);
    if let Some(name) = imap::parse::name::decode(raw) {
        assert_eq!(imap::parse::name::decode(imap::parse::name::encode(&name).as_bytes()), Some(name));
    }
});
