//! Any bytes are a `keys.json`. Run: `.ci/fuzz`.
#![no_main]

use crypto::Keyset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let Ok(keyset) = Keyset::from_json(raw) else { return };
    let written = keyset.to_json();
    let again = Keyset::from_json(&written).expect("what was read and written can be read");
    assert_eq!(again.to_json(), written);
    let _ = keyset.sealing_public();
    let stripped = keyset.strip_wraps().to_json();
    Keyset::from_json(&stripped).expect("without its wraps it can still be read");
});
