//! Every way a line, a WAL and a record can stand to each other.

use control::{WalPosition, WalRecord};
use jiff::Timestamp;

use super::*;
use crate::format::Sha256;
use crate::ship::line::NOWHERE;
use crate::ship::{LastBase, Log};

const A: [u32; 2] = [1, 1];
const B: [u32; 2] = [2, 2];

fn at(salts: [u32; 2], frame: u32) -> WalPosition {
    WalPosition { salts, frame, checksum: [frame, frame] }
}

fn line(epoch: u64, at: WalPosition, commit: u64) -> Line {
    let time = Timestamp::UNIX_EPOCH;
    let base = LastBase { time, size: 0, shipped: 0 };
    Line { epoch, at, page_size: 4096, commit, time, head: Sha256([0; 32]), base }
}

fn log(salts: [u32; 2], holds: bool) -> Log {
    Log { salts, page_size: 4096, start: [0, 0], holds, size: 4096 }
}

fn record(epoch: u64, end: WalPosition, commit: u64, copied: bool) -> WalRecord {
    WalRecord { format: 1, epoch, end, commit, copied }
}

fn course(line: Option<&Line>, log: Option<Log>, record: Option<WalRecord>) -> &'static str {
    course_from(line, log, record, None)
}

fn course_from(line: Option<&Line>, log: Option<Log>, record: Option<WalRecord>, begins: Option<u64>) -> &'static str {
    match decide(line, &Seen { log, record, size: 8192, begins }) {
        Course::Continue => "continue",
        Course::Enter { .. } => "enter",
        Course::Begin => "begin",
        Course::Gap { .. } => "gap",
        Course::Fork { .. } => "fork",
    }
}

#[test]
fn the_archive_begins_with_a_base() {
    assert_eq!(course(None, None, None), "begin");
    assert_eq!(course(None, Some(log(A, false)), Some(record(3, at(B, 4), 9, false))), "begin");
}

#[test]
fn within_a_life_it_goes_on_from_the_frame_it_is_behind() {
    let here = line(1, at(A, 5), 7);
    assert_eq!(course(Some(&here), Some(log(A, true)), None), "continue");
    assert_eq!(course(Some(&here), Some(log(A, false)), None), "fork", "another frame is there");
    assert_eq!(course(Some(&here), None, None), "fork", "the WAL is gone");
    assert_eq!(course(Some(&here), Some(log(B, false)), None), "fork", "another life, and no record");
    // The record is written before the checkpoint, and the checkpoint may not come about.
    assert_eq!(course(Some(&here), Some(log(A, true)), Some(record(1, at(A, 4), 6, true))), "continue");
}

#[test]
fn at_the_start_of_a_life_nothing_can_be_missing() {
    assert_eq!(course(Some(&line(1, NOWHERE, 0)), None, None), "continue");
    assert_eq!(course(Some(&line(1, NOWHERE, 0)), Some(log(A, false)), None), "continue");
    assert_eq!(course(Some(&line(1, at(A, 0), 0)), None, None), "continue", "its header was never synced");
    assert_eq!(course(Some(&line(1, at(A, 0), 0)), Some(log(B, false)), None), "enter", "another header in its place");
    let ended = Some(record(1, at(A, 4), 6, true));
    assert_eq!(course(Some(&line(2, NOWHERE, 6)), Some(log(B, false)), ended), "continue");
}

#[test]
fn behind_a_life_that_is_whole_the_next_one_begins() {
    let ended = Some(record(1, at(A, 5), 7, true));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), Some(log(B, false)), ended), "enter");
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), None, ended), "enter");
    let ended = Some(record(1, at(A, 5), 7, false));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), None, ended), "enter", "all of it had been shipped anyway");
    let hidden = Some(record(2, at(B, 3), 9, false));
    let here = Some(line(1, at(A, 5), 7));
    assert_eq!(course_from(here.as_ref(), Some(log(B, false)), hidden, Some(7)), "enter", "the numbers say so");
    assert_eq!(course_from(here.as_ref(), Some(log(B, false)), hidden, Some(8)), "gap", "the numbers say otherwise");
}

#[test]
fn frames_that_were_folded_in_before_they_were_copied_are_a_gap() {
    let ended = Some(record(1, at(A, 9), 9, false));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), Some(log(B, false)), ended), "gap");
    assert_eq!(course(Some(&line(1, NOWHERE, 0)), None, ended), "gap");
    let later = Some(record(4, at(B, 9), 30, true));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), None, later), "gap", "two whole lives were missed");
}

#[test]
fn what_the_volume_does_not_have_any_more_is_a_fork() {
    let ended = Some(record(1, at(A, 4), 6, true));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), Some(log(B, false)), ended), "fork", "it ended before the line");
    let other = Some(record(1, WalPosition { checksum: [9, 9], ..at(A, 5) }, 7, true));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), None, other), "fork", "with another frame");
    let other = Some(record(1, at(B, 9), 12, true));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), None, other), "fork", "another WAL had that number");
    assert_eq!(course(Some(&line(3, at(A, 5), 7)), Some(log(B, false)), None), "fork", "the volume is younger");
    let back = Some(record(4, at(B, 2), 3, true));
    assert_eq!(course(Some(&line(1, at(A, 5), 7)), None, back), "fork", "the volume has fewer commits");
}
