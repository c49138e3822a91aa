//! Any bytes are a message. Run: `.ci/fuzz`. Inputs that fail go to `regressions/mime`, which the
//! ordinary tests of `mail/mime` replay.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let skeleton = mime::parse(raw);
    for part in skeleton.parts() {
        let body = &raw[part.body_range()];
        if let Some((layout, decoded)) = mime::Layout::decode(body) {
            assert_eq!(layout.encode_range(&decoded, 0..u64::MAX), body);
        }
    }
    let header = &raw[skeleton.header()];
    mime::envelope(header);
    mime::sent_date(header);
    mime::header_fields(header, &["subject"], true);
    mime::header_text(raw, &skeleton);
    mime::body_structure(raw, &skeleton, true);
    mime::preview(raw, &skeleton);
    for text in mime::search_text(raw, &skeleton) {
        mime::fold(&text);
    }
});
