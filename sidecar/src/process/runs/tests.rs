use std::collections::BTreeSet;

use control::{Adopt, AdoptMode, RunAssignment};
use jiff::{SignedDuration, Timestamp};
use model::MailboxId;
use model::backup::{Run, RunKind};

use super::super::backup::Backup;
use super::super::board::Failure;
use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn later(days: i64) -> Timestamp {
    NOW.checked_add(SignedDuration::from_hours(24 * days)).unwrap()
}

fn wanted(id: &str, mailbox: u8, executor: &str) -> RunAssignment {
    let kind = RunKind::Backup { mailbox: MailboxId::from_random([mailbox; 17]) };
    RunAssignment { run: Run { id: id.to_owned(), kind, deadline: later(1) }, executor: executor.to_owned() }
}

fn over(launch: &Launch, succeeded: bool, at: Timestamp) -> Closed {
    let mut record = launch.record.clone();
    (record.report.succeeded, record.report.completed) = (Some(succeeded), Some(at));
    Closed::Over(Box::new(record))
}

fn bound(launch: &Launch) -> Record {
    let mailbox = MailboxId::from_random([1; 17]);
    let adopt = Adopt { run: "a".to_owned(), folder: "f".to_owned(), mailbox, mode: AdoptMode::InPlace, commit: 1 };
    let (archive, reached_commit, reached_time, notes) = (String::new(), None, None, Vec::new());
    Record { intent: Some(Intent { adopt, archive, reached_commit, reached_time, notes }), ..launch.record.clone() }
}

/// Id, executor, outcome of all that is told.
fn told(table: &Table) -> Vec<(String, String, Option<bool>)> {
    table.reports(NOW).into_iter().map(|it| (it.id, it.executor, it.succeeded)).collect()
}

fn says(id: &str, executor: &str, succeeded: Option<bool>) -> Vec<(String, String, Option<bool>)> {
    vec![(id.to_owned(), executor.to_owned(), succeeded)]
}

#[test]
fn a_run_that_was_done_is_not_done_again_whoever_asks() {
    let mut table = Table::default();
    table.want(&[wanted("a", 1, "x")], NOW);
    let launch = table.begin(9).remove(0);
    assert!(table.begin(9).is_empty(), "it is at work");
    assert!(!table.closed("a", over(&launch, true, NOW), NOW));
    for executor in ["x", "y"] {
        table.want(&[wanted("a", 1, executor)], NOW);
        assert!(table.begin(9).is_empty());
        assert_eq!(told(&table), says("a", executor, Some(true)));
    }
    // Not wanted for a while, wanted again; also by another process.
    assert_eq!(table.want(&[], later(29)), Vec::<String>::new());
    let Closed::Over(record) = over(&launch, true, NOW) else { panic!() };
    for mut table in [table, Table::new(vec![*record])] {
        table.want(&[wanted("a", 1, "x")], later(29));
        assert!(table.begin(9).is_empty());
        assert_eq!(table.want(&[], later(31)), ["a"], "in the end it is forgotten");
    }
}

#[test]
fn one_that_failed_is_tried_again_only_under_another_executor_id() {
    let mut table = Table::default();
    table.want(&[wanted("a", 1, "x")], NOW);
    let launch = table.begin(9).remove(0);
    table.closed("a", over(&launch, false, NOW), NOW);
    table.want(&[wanted("a", 1, "x")], NOW);
    assert!(table.begin(9).is_empty());
    assert_eq!(told(&table), says("a", "x", Some(false)));
    table.want(&[wanted("a", 1, "y")], NOW);
    assert_eq!(table.begin(9).len(), 1);
    assert_eq!(told(&table), says("a", "y", None));
}

#[test]
fn work_stops_when_it_is_cancelled_or_given_to_another_executor() {
    let mut table = Table::default();
    table.want(&[wanted("a", 1, "x")], NOW);
    let first = table.begin(9).remove(0);
    table.want(&[wanted("a", 1, "y")], NOW);
    assert!(first.stop.is_cancelled() && table.begin(9).is_empty(), "it waits for the end of the other attempt");
    assert!(!table.closed("a", Closed::Stopped, NOW));
    let second = table.begin(9).remove(0);
    assert_eq!((second.record.report.executor.as_str(), second.stop.is_cancelled()), ("y", false));
    table.want(&[], NOW);
    assert!(second.stop.is_cancelled());
    assert!(table.closed("a", Closed::Stopped, NOW), "nothing is remembered of it");
    assert_eq!(told(&table), vec![]);
}

#[test]
fn one_that_cannot_stop_any_more_is_finished_whoever_wants_it() {
    let mut table = Table::default();
    table.want(&[wanted("a", 1, "x")], NOW);
    let record = bound(&table.begin(9).remove(0));
    // The process ended here; nobody has said what is wanted.
    let mut table = Table::new(vec![record]);
    let launch = table.begin(9).remove(0);
    assert!(launch.record.intent.is_some());
    assert_eq!(table.want(&[], NOW), Vec::<String>::new());
    table.closed("a", over(&launch, true, NOW), NOW);
    table.want(&[wanted("a", 1, "x")], NOW);
    assert_eq!(told(&table), says("a", "x", Some(true)));
}

#[test]
fn what_a_process_has_begun_begins_anew_if_it_is_still_wanted() {
    let record = Record::new(&wanted("a", 1, "x"), NOW);
    let mut table = Table::new(vec![record.clone()]);
    assert!(table.begin(9).is_empty(), "nobody has said that it is");
    table.want(&[wanted("a", 1, "x")], NOW);
    assert_eq!(table.begin(9).len(), 1);
    assert_eq!(Table::new(vec![record]).want(&[], NOW), ["a"]);
}

#[test]
fn few_are_at_work_at_a_time_and_one_of_each_mailbox() {
    let mut table = Table::default();
    let all = [wanted("a", 1, "x"), wanted("b", 1, "x"), wanted("c", 2, "x"), wanted("d", 3, "x")];
    table.want(&all, NOW);
    let begun: BTreeSet<String> = table.begin(2).into_iter().map(|launch| launch.record.run.id).collect();
    assert_eq!(begun, ["a".to_owned(), "c".to_owned()].into());
    assert!(table.begin(2).is_empty());
    table.closed("a", Closed::Lost, NOW);
    let next = table.begin(2).remove(0);
    assert_eq!(next.record.run.id, "b");
    assert_eq!(table.reports(NOW)[0].succeeded, Some(false), "one that broke off is not begun again and again");
}

#[test]
fn an_id_that_names_something_else_already_is_refused() {
    let mut table = Table::default();
    table.want(&[wanted("a", 1, "x")], NOW);
    let launch = table.begin(9).remove(0);
    table.closed("a", over(&launch, true, NOW), NOW);
    table.want(&[wanted("a", 2, "x")], NOW);
    assert!(table.begin(9).is_empty());
    assert_eq!(told(&table), says("a", "x", Some(false)));
}

#[tokio::test]
async fn what_was_done_is_on_disk_before_it_is_told_and_what_was_cancelled_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(dir.path()).unwrap();
    let mut table = Table::default();
    let now = Timestamp::now();
    let mut assignment = wanted("ns/a/1", 1, "x");
    assignment.run.deadline = now + SignedDuration::from_hours(1);
    table.want(&[assignment], now);
    let ticket = Ticket::new(table.begin(9).remove(0), records.clone());
    let (desk, mut requests) = Desk::new();
    let backup = Backup { mailbox: MailboxId::from_random([1; 17]), desk };
    let answer = async {
        let Some(Request::Turn(wish)) = requests.recv().await else { panic!() };
        drop(wish);
        let Some(Request::Snapshot(_, back)) = requests.recv().await else { panic!() };
        assert_eq!(records.load().len(), 1, "it is written down before anything is done");
        back.send(Err(Failure { reason: "NoSpace", message: String::new() })).unwrap();
    };
    let (Closed::Over(record), ()) = tokio::join!(ticket.carry_out(Errand::Backup(backup)), answer) else { panic!() };
    assert_eq!((record.report.succeeded, record.report.reason.as_str()), (Some(false), "NoSpace"));
    assert_eq!(records.load(), [*record]);

    let stopped = async {
        let mut assignment = wanted("ns/b/1", 2, "x");
        assignment.run.deadline = now;
        table.want(&[assignment], now);
        let launch = table.begin(9).remove(0);
        let stop = launch.stop.clone();
        let ticket = Ticket::new(launch, records.clone());
        let late = ticket.unless_stopped(std::future::pending::<()>()).await;
        assert!(matches!(late, Err(Broken::Failed(failure)) if failure.reason == "DeadlineExceeded"));
        stop.cancel();
        matches!(ticket.unless_stopped(async {}).await, Err(Broken::Stopped))
    };
    assert!(stopped.await);
    records.remove("ns/a/1").unwrap();
    assert_eq!(records.load(), []);
}

#[test]
fn a_start_removes_folders_of_restores_that_nobody_will_finish_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let names = [folder_of("a"), folder_of("b"), "somebodys".to_owned()];
    for name in &names {
        std::fs::create_dir_all(dir.path().join("staging").join(name)).unwrap();
    }
    let records = Records::open(&dir.path().join("sidecar")).unwrap();
    let mut table = Table::default();
    table.want(&[wanted("a", 1, "x"), wanted("b", 2, "x")], NOW);
    let launches = table.begin(9);
    records.save(&bound(&launches[0])).unwrap();
    records.save(&launches[1].record).unwrap();
    Runs::open(records, dir.path().join("staging"));
    let there = names.each_ref().map(|name| dir.path().join("staging").join(name).exists());
    assert_eq!(there, [true, false, true]);
}
