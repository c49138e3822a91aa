use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crypto::Dek;
use model::MailboxId;

use super::*;
use crate::Layout;

fn writer(folder: &Path) -> Writer {
    let (layout, id, dek) = (Layout::new(folder), MailboxId::from_random([1; 17]), Dek::from_bytes(&[1; 32]));
    open::create(&layout, id, &dek, 1_700_000_000).unwrap();
    let mut writer = Writer::new(Noter::new(Arc::default(), id, control::Database::Mailbox));
    writer.open(&layout.mailbox(id), &ShieldedDek::new(&dek)).unwrap();
    writer
}

type Told = oneshot::Receiver<Result<(), StoreError>>;

/// A write of so many bytes that counts how often it runs.
fn writing(bytes: usize, runs: &Arc<AtomicUsize>) -> (Box<dyn Job>, Told) {
    let runs = runs.clone();
    Task::job(Durability::Full, move |tx: &mut WriteTx<'_>| {
        runs.fetch_add(1, Ordering::Relaxed);
        let id = tx.content_id();
        tx.connection.execute("INSERT INTO mail(id, meta) VALUES(?, zeroblob(?))", [id, bytes as i64])?;
        tx.modseq();
        Ok(())
    })
}

fn run(writer: &mut Writer, jobs: Jobs) -> Committed {
    let (committed, answers) = writer.run(jobs, Policy::default(), 1);
    for (job, failed) in answers {
        job.answer(failed);
    }
    committed
}

#[test]
fn when_a_full_disk_undoes_the_group_the_others_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    let pages: i64 = writer.connection().unwrap().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    writer.connection().unwrap().query_row(&format!("PRAGMA max_page_count = {}", pages + 20), [], |_| Ok(())).unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let (jobs, told): (Vec<_>, Vec<_>) = [10, 1_000_000, 10].map(|bytes| writing(bytes, &runs)).into_iter().unzip();
    let committed = run(&mut writer, jobs);
    let told: Vec<_> = told.into_iter().map(|told| told.blocking_recv().unwrap().is_ok()).collect();
    assert_eq!(told, [true, false, true]);
    assert_eq!(committed.hint.unwrap().modseq, ModSeq(3));
    assert!(runs.load(Ordering::Relaxed) >= 4);
    let state = State::load(writer.connection().unwrap()).unwrap();
    assert_eq!((state.commits, state.next_content), (3, 3), "one commit for each that ran again");
}

#[test]
fn a_member_that_is_refused_loses_its_changes_and_its_modseq() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    let runs = Arc::new(AtomicUsize::new(0));
    let (first, first_told) = writing(10, &runs);
    let (refused, refused_told) = Task::<(), _>::job(Durability::Full, |tx: &mut WriteTx<'_>| {
        tx.connection.execute("DELETE FROM mail", [])?;
        tx.modseq();
        Err(StoreError::Stopped)
    });
    run(&mut writer, vec![first, refused]);
    assert!(first_told.blocking_recv().unwrap().is_ok() && refused_told.blocking_recv().unwrap().is_err());
    let state = State::load(writer.connection().unwrap()).unwrap();
    assert_eq!((state.modseq, state.commits, runs.load(Ordering::Relaxed)), (2, 2, 1));
    let kept: i64 = writer.connection().unwrap().query_row("SELECT count(*) FROM mail", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

#[test]
fn flags_are_marked_as_unsynced_and_a_durable_commit_takes_the_mark_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    let changing = |durability| {
        Task::job(durability, |tx: &mut WriteTx<'_>| {
            tx.connection.execute("UPDATE folder SET hms = ?", [tx.modseq().0 as i64])?;
            Ok(())
        })
        .0
    };
    let synchronous = |writer: &Writer| -> i64 {
        writer.connection().unwrap().query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap()
    };
    assert!(run(&mut writer, vec![changing(Durability::Soon)]).unsynced);
    assert_eq!(synchronous(&writer), 2, "the mark itself is synced");
    let ceiling = State::load(writer.connection().unwrap()).unwrap().ceiling;
    assert!(run(&mut writer, vec![changing(Durability::Soon)]).unsynced);
    assert_eq!(synchronous(&writer), 1);
    assert!(!run(&mut writer, vec![changing(Durability::Soon), changing(Durability::Full)]).unsynced);
    assert_eq!(synchronous(&writer), 2);
    let state = State::load(writer.connection().unwrap()).unwrap();
    assert!(!state.unsynced && state.modseq < ceiling);
    assert!(run(&mut writer, Vec::new()).hint.is_none());
}

#[test]
fn what_waits_for_a_sync_goes_on_waiting_when_a_later_write_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    let (flags, _) = Task::job(Durability::Soon, |tx: &mut WriteTx<'_>| {
        tx.connection.execute("UPDATE folder SET hms = ?", [tx.modseq().0 as i64])?;
        Ok(())
    });
    assert!(run(&mut writer, vec![flags]).unsynced);
    let before = State::load(writer.connection().unwrap()).unwrap();
    let (failing, told) = Task::<(), _>::job(Durability::Full, |tx: &mut WriteTx<'_>| {
        tx.connection.execute("DELETE FROM folder", [])?;
        Err(StoreError::Stopped)
    });
    assert!(run(&mut writer, vec![failing]).unsynced);
    assert!(told.blocking_recv().unwrap().is_err());
    assert_eq!(State::load(writer.connection().unwrap()).unwrap(), before);
}

#[test]
fn a_member_that_panics_leaves_nothing_behind_and_the_next_write_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    let (panicking, _) = Task::<(), _>::job(Durability::Full, |tx: &mut WriteTx<'_>| {
        tx.connection.execute("INSERT INTO mail(id, meta) VALUES(77, x'00')", [])?;
        panic!("a member that fails by our fault")
    });
    let ran = std::panic::AssertUnwindSafe(|| run(&mut writer, vec![panicking]));
    assert!(std::panic::catch_unwind(ran).is_err());
    let (job, told) = writing(10, &Arc::default());
    run(&mut writer, vec![job]);
    told.blocking_recv().unwrap().unwrap();
    let count = "SELECT count(*) FROM mail";
    let kept: i64 = writer.connection().unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}
