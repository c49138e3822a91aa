use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn told(frame: u32, commit: u64, time: i64) -> Commit {
    Commit { frame, commit, time: at(time) }
}

fn times(points: &[Point]) -> Vec<(u64, i64)> {
    points.iter().map(|point| (point.commit, point.time.as_second())).collect()
}

#[test]
fn the_number_before_a_life_follows_from_any_place_in_it() {
    let ends = [3, 4, 9];
    let cases = [
        (vec![], None),
        (vec![(0, 7)], Some(7)),
        (vec![(4, 12)], Some(10)),
        (vec![(0, 7), (9, 12)], Some(9)),
        (vec![(0, 7), (5, 12)], Some(7)),
        (vec![(9, 2)], None),
    ];
    for (known, before) in cases {
        assert_eq!(before_first(&ends, &known), before, "{known:?}");
    }
}

#[test]
fn a_commit_nobody_told_of_has_the_time_of_the_next_one_known() {
    let known = [told(4, 12, 50), told(8, 14, 70)];
    let found = points(&[2, 4, 6, 8, 10], 10, &known, at(5), at(90)).unwrap();
    assert_eq!(times(&found), [(11, 50), (12, 50), (13, 70), (14, 70), (15, 90)]);
}

#[test]
fn times_never_go_back_even_if_the_clock_does() {
    let known = [told(2, 11, 80), told(4, 12, 50)];
    let found = points(&[2, 4], 10, &known, at(60), at(90)).unwrap();
    assert_eq!(times(&found), [(11, 80), (12, 80)]);
    let found = points(&[2, 4], 10, &[], at(60), at(40)).unwrap();
    assert_eq!(times(&found), [(11, 60), (12, 60)]);
}

#[test]
fn another_number_than_counted_is_another_history() {
    let error = points(&[2, 4], 10, &[told(4, 13, 50)], at(0), at(90)).unwrap_err();
    assert_eq!(error, Renumbered { frame: 4, told: 13, counted: 12 });
}
