//! What people are told of runs.

use super::*;

fn at(second: i64) -> At {
    At { generation: Some(1), now: Timestamp::from_second(second).unwrap() }
}

fn said(second: i64) -> RunReport {
    let mut report = RunReport::pending("post/b/u".into(), "mail-shard-0".into(), at(second).now);
    "Running".clone_into(&mut report.reason);
    report
}

fn of(said: Option<&RunReport>) -> Seen<'_> {
    Seen::Assigned { executor: "mail-shard-0", said }
}

fn told(conditions: &[Condition]) -> String {
    format!("{} {} {}", conditions[0].type_, conditions[0].status, conditions[0].reason)
}

#[test]
fn a_run_has_a_start_and_an_executor_before_anybody_works_on_it() {
    let status = backup(None, 60, of(None), at(100));
    assert_eq!(told(&status.conditions), "Succeeded Unknown Pending");
    assert!(is_begun(status.executor.as_ref(), status.start_time.as_ref()));
    assert!(!is_begun(None, status.start_time.as_ref()));
    // The start stays, whoever looks later.
    let later = backup(Some(&status), 60, of(None), at(130));
    assert_eq!(later, status);
}

#[test]
fn a_heartbeat_and_the_words_of_progress_are_written_now_and_then() {
    let begun = backup(None, 3600, of(None), at(100));
    let mut report = RunReport { progress: (1, 10), message: "reading".into(), ..said(101) };
    let first = backup(Some(&begun), 3600, of(Some(&report)), at(102));
    assert_eq!(told(&first.conditions), "Succeeded Unknown Running");
    assert_eq!(first.conditions[0].message, "reading; 1 of 10 bytes");
    (report.progress, report.heartbeat) = ((5, 10), at(110).now);
    assert_eq!(backup(Some(&first), 3600, of(Some(&report)), at(111)), first, "nothing is written");
    report.heartbeat = at(131).now;
    let second = backup(Some(&first), 3600, of(Some(&report)), at(132));
    assert_eq!(second.conditions[0].message, "reading; 5 of 10 bytes");
    assert_eq!(second.executor.unwrap().heartbeat_time.unwrap().0, at(131).now);
}

#[test]
fn the_end_of_a_run_is_told_at_once_with_what_came_of_it() {
    let begun = restore(None, 3600, of(None), at(100));
    let report = RunReport {
        succeeded: Some(true),
        reason: "Completed".into(),
        completed: Some(at(105).now),
        reached_commit: Some(7),
        reached_time: Some(at(90).now),
        ..said(105)
    };
    let status = restore(Some(&begun), 3600, of(Some(&report)), at(106));
    assert_eq!(told(&status.conditions), "Succeeded True Completed");
    assert_eq!((status.completion_time.unwrap().0, status.reached_commit), (at(105).now, Some(7)));
    assert_eq!((status.reached_time.unwrap().0, status.start_time.unwrap().0), (at(90).now, at(100).now));
    let report = RunReport { archive: Some("a/b/t1".into()), ..report };
    let status = backup(None, 3600, of(Some(&report)), at(106));
    assert_eq!(status.archive_id.as_deref(), Some("a/b/t1"));
}

#[test]
fn a_run_that_no_shard_can_have_waits_until_its_deadline_unless_it_never_can_be_done() {
    let waiting = Seen::Unassigned(reason::MAILBOX_NOT_FOUND, "declare it", false);
    let status = restore(None, 60, waiting, at(100));
    assert_eq!(told(&status.conditions), "Succeeded Unknown MailboxNotFound");
    assert_eq!(restore(Some(&status), 60, waiting, at(160)), status);
    let late = restore(Some(&status), 60, waiting, at(161));
    assert_eq!(told(&late.conditions), "Succeeded False DeadlineExceeded");
    assert!(late.conditions[0].message.contains("declare it") && late.completion_time.is_some());
    let never = restore(None, 60, Seen::Unassigned(reason::ARCHIVE_OF_ANOTHER, "no", true), at(100));
    assert_eq!(told(&never.conditions), "Succeeded False ArchiveOfAnotherMailbox");
}

#[test]
fn a_sidecar_that_never_answers_is_not_waited_for_for_ever() {
    let begun = backup(None, 60, of(None), at(100));
    assert_eq!(told(&backup(Some(&begun), 60, of(None), at(220)).conditions), "Succeeded Unknown Pending");
    assert_eq!(told(&backup(Some(&begun), 60, of(None), at(221)).conditions), "Succeeded False DeadlineExceeded");
}
