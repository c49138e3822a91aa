use super::*;

#[test]
fn a_wal_is_folded_in_when_it_is_large_or_old_or_space_is_short() {
    let tuning = Tuning { fold_bytes: 16 << 20, fold_seconds: 3600, ..Tuning::default() };
    let hour = Duration::from_hours(1);
    let cases = [
        (0, hour, true, false, false),
        (1, hour, false, false, true),
        (1, Duration::ZERO, false, false, false),
        ((16 << 20) + 1, Duration::ZERO, false, false, true),
        (16 << 20, Duration::ZERO, false, false, false),
        ((1 << 20) + 1, Duration::ZERO, true, false, true),
        (1 << 20, Duration::ZERO, true, false, false),
        (64 << 20, hour, true, true, false),
    ];
    for (bytes, age, tight, outbox_full, folded) in cases {
        let grounds = Grounds { bytes, age, tight, outbox_full };
        assert_eq!(wants(grounds, &tuning), folded, "{grounds:?}");
    }
}
