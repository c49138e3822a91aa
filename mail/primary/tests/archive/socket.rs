//! A whole primary as its sidecar sees it: over the real socket, with real mail, and the bytes of the volume.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::world::{Reply, SESSION, Sidecar, Told, World, message, messages, wanted, within};
use control::{Database, WalPosition, WalRecord};
use hyper::{Method, StatusCode};
use model::MailboxId;
use model::verbs::Accepted;
use wire::ShardClient;

const SOON: Duration = Duration::from_secs(20);

/// ann's session, which keeps her key here.
async fn log_in(world: &World) -> (ShardClient, Told) {
    let (imap, events) = world.secondary(tls::Role::Imap);
    events.sessions(&[SESSION]);
    imap.attach(|hello| Ok(events.attach(SESSION, [5; 16], hello))).await.unwrap();
    (imap, events)
}

fn record(world: &World, database: &str) -> WalRecord {
    let path = world.layout().mailbox_dir(world.ann).join(format!("{database}.wal.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn wal(world: &World, database: &str) -> Vec<u8> {
    std::fs::read(world.layout().mailbox_dir(world.ann).join(format!("{database}.sqlite-wal"))).unwrap()
}

fn status<T: std::fmt::Debug>(told: Reply<T>) -> StatusCode {
    told.unwrap_err().0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_learns_whose_volume_it_is_and_another_version_is_refused() {
    let world = World::ready().await;
    let sidecar = world.sidecar();
    let shard = sidecar.hello(control::VERSION).await.unwrap();
    let identity: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.layout().data().join("identity.json")).unwrap()).unwrap();
    assert_eq!((shard.volume.as_str(), shard.term), (identity["volume"].as_str().unwrap(), model::Term(1)));
    assert_eq!(shard.boot, world.status().await.boot);
    assert_eq!(status(sidecar.hello(control::VERSION + 1).await), StatusCode::CONFLICT);
    assert!(world.status().await.sidecar.heard.is_some());
    assert_eq!(std::fs::metadata(&sidecar.socket).unwrap().permissions().mode() & 0o777, 0o600);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_is_told_once_acknowledged_and_from_the_start_after_a_restart() {
    let mut world = World::ready().await;
    let sidecar = world.sidecar();
    let keys = sidecar.dirty(None, 0).await;
    assert!(matches!(&keys.dirty[..], [keys] if keys.database == Database::Keys && keys.salts.is_none()));
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    let (waiting, delivered) =
        tokio::join!(sidecar.dirty(Some(keys.boot), keys.cursor), async { world.deliver(&mx, 1, message(1)).await });
    assert_eq!(delivered, [Accepted::Stored]);
    // What made the spool may come by itself.
    let mut last = waiting;
    within(SOON, async {
        while last.dirty.iter().flat_map(|dirty| &dirty.commits).all(|commit| commit.commit < 2) {
            last = sidecar.dirty(Some(keys.boot), last.cursor).await;
        }
    })
    .await;
    let told = last.dirty.iter().find(|dirty| dirty.database == Database::Spool).unwrap();
    let end = told.commits.last().unwrap();
    let bytes = wal(&world, "spool");
    assert_eq!(bytes.len(), 32 + end.frame as usize * 4120);
    assert_eq!(told.salts.unwrap()[0].to_be_bytes(), bytes[16..20]);
    let boot = last.boot;
    world.restart().await;
    let anew = sidecar.dirty(Some(boot), last.cursor).await;
    assert_ne!(anew.boot, boot, "begin with a scan");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_mailbox_is_held_its_writers_wait_readers_do_not_and_a_checkpoint_folds_all_of_it_in() {
    let world = World::ready().await;
    world.back_up().await;
    let sidecar = world.sidecar();
    assert_eq!(status(sidecar.hold(world.ann, Database::Mailbox, 500).await), StatusCode::LOCKED);
    let (imap, _events) = log_in(&world).await;
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);

    let hold = sidecar.hold(world.ann, Database::Mailbox, 2000).await.unwrap();
    let copied = wal(&world, "mailbox");
    assert_eq!(copied.len(), 32 + hold.end.frame as usize * 4120);
    let begun = Instant::now();
    let (delivered, (seen, done)) = tokio::join!(world.deliver(&mx, 2, message(2)), async {
        let seen = messages(&imap).await;
        let end = hold.end;
        let wrong = WalPosition { frame: end.frame - 1, ..end };
        assert_eq!(wal(&world, "mailbox"), copied, "nobody writes");
        (seen, (sidecar.checkpoint("0123", end).await, sidecar.checkpoint(&hold.token, end).await, wrong))
    });
    assert_eq!((delivered, seen), (vec![Accepted::Stored], 1));
    assert!(begun.elapsed() < Duration::from_secs(2), "the writer went on with the checkpoint, not with the deadline");
    let (unknown, checkpointed, wrong) = done;
    assert_eq!(status(unknown), StatusCode::CONFLICT);
    assert!(checkpointed.unwrap().done);
    let recorded = record(&world, "mailbox");
    assert_eq!((recorded.end, recorded.commit, recorded.copied), (hold.end, hold.commit, true));
    assert_ne!(wal(&world, "mailbox")[16..24], copied[16..24], "another life");

    // Once more, with an end that is not its own: refused, and over.
    let hold = sidecar.hold(world.ann, Database::Mailbox, 2000).await.unwrap();
    assert_eq!(hold.commit, recorded.commit + 1);
    assert_eq!(status(sidecar.checkpoint(&hold.token, wrong).await), StatusCode::CONFLICT);
    assert_eq!(status(sidecar.release(&hold.token).await), StatusCode::CONFLICT);
    assert_eq!(world.deliver(&mx, 3, message(3)).await, [Accepted::Stored]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_by_itself_and_then_nothing_is_folded_in() {
    let world = World::ready().await;
    world.back_up().await;
    let (sidecar, (mx, _mx_events)) = (world.sidecar(), world.secondary(tls::Role::Mx));
    assert_eq!(status(sidecar.hold(world.ann, Database::Spool, 500).await), StatusCode::NOT_FOUND);
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
    let hold = sidecar.hold(world.ann, Database::Spool, 100).await.unwrap();
    let second = sidecar.hold(world.ann, Database::Spool, 2000).await.unwrap();
    assert_eq!((second.end, second.commit), (hold.end, hold.commit), "it waited for the first to end");
    assert_eq!(status(sidecar.checkpoint(&hold.token, hold.end).await), StatusCode::CONFLICT);
    sidecar.release(&second.token).await.unwrap();
    assert_eq!(world.deliver(&mx, 2, message(2)).await, [Accepted::Stored]);
    assert!(!world.layout().mailbox_dir(world.ann).join("spool.wal.json").exists());
    let hold = sidecar.hold(world.ann, Database::Spool, 2000).await.unwrap();
    assert!(sidecar.checkpoint(&hold.token, hold.end).await.unwrap().done && wal(&world, "spool").is_empty());
    let stranger = MailboxId::from_random([9; 17]);
    assert_eq!(status(sidecar.hold(stranger, Database::Spool, 500).await), StatusCode::NOT_FOUND);
    assert_eq!(status(sidecar.hold(world.ann, Database::Keys, 500).await), StatusCode::BAD_REQUEST);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_policy_holds_the_wal_stays_for_the_sidecar_and_without_one_it_is_folded_in_as_ever() {
    for backed_up in [false, true] {
        let mut world = World::ready().await;
        if backed_up {
            world.back_up().await;
            // What was pushed holds also while the operator is away.
            world.restart().await;
        }
        let (mx, _mx_events) = world.secondary(tls::Role::Mx);
        let (imap, events) = log_in(&world).await;
        assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
        drop((imap, events, mx));
        world.end().await;
        let mailbox = wal(&world, "mailbox");
        assert_eq!(mailbox.is_empty(), !backed_up);
        assert_eq!(world.layout().mailbox_dir(world.ann).join("mailbox.wal.json").exists(), !backed_up);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_reach_the_sidecar_and_no_credential_is_kept_with_them() {
    let mut world = World::ready().await;
    let sidecar = world.sidecar();
    let none = sidecar.policies(None).await;
    assert!(none.policies.is_none() && none.runs.is_empty());
    let (batch, ()) = tokio::join!(sidecar.policies(Some(none.cursor)), world.back_up());
    assert_eq!(batch.policies.as_ref().unwrap().of(world.ann).unwrap().0, "p");
    let run = serde_json::json!({"run": {"id": "ns/one/1", "deadline": "2030-01-01T00:00:00Z",
        "kind": {"backup": {"mailbox": world.ann}}}, "executor": "e1"});
    let mut push: serde_json::Value = serde_json::from_slice(&wanted("q")).unwrap();
    push["runs"] = serde_json::json!([run]);
    let body = serde_json::to_vec(&push).unwrap();
    assert_eq!(world.operator(Method::PUT, "/v1/policies", body).await.0, StatusCode::NO_CONTENT);
    let next = sidecar.policies(Some(batch.cursor)).await;
    assert_eq!((next.runs[0].executor.as_str(), next.policies.unwrap().default.as_deref()), ("e1", Some("q")));
    assert_eq!(world.operator(Method::PUT, "/v1/policies", b"{}".to_vec()).await.0, StatusCode::BAD_REQUEST);
    let refused = world.control(tls::Role::Imap, Method::PUT, "/v1/policies", wanted("p")).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    let kept = std::fs::read_to_string(world.layout().data().join("policies.json")).unwrap();
    assert!(kept.contains("\"q\"") && !kept.contains("a-secret-of-the-bucket"), "{kept}");
    world.restart().await;
    let anew = sidecar.policies(Some(next.cursor)).await;
    assert!(anew.runs.is_empty() && anew.policies.unwrap().default.as_deref() == Some("q"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sidecar_says_of_itself_is_in_the_status() {
    let world = World::ready().await;
    let report = serde_json::json!({"run": "r1", "time": "2030-01-01T00:00:00Z", "policies": {}, "troubles": [
        {"mailbox": world.ann, "reason": "Gap", "message": "m", "since": "2030-01-01T00:00:00Z"}], "runs": [], "queue": []});
    let sidecar: Sidecar = world.sidecar();
    let told = sidecar.call(Method::PUT, "/v1/report", serde_json::to_vec(&report).unwrap()).await;
    assert_eq!(told.0, StatusCode::NO_CONTENT, "{}", told.1);
    let shown = world.status().await.sidecar.report.unwrap();
    assert_eq!((shown.run.as_str(), shown.troubles[0].mailbox), ("r1", world.ann));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_of_a_fenced_mailbox_waits_and_others_go_on() {
    let world = World::ready().await;
    world.back_up().await;
    let sidecar = world.sidecar();
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
    sidecar.hold(world.ann, Database::Spool, 100).await.unwrap();
    assert_eq!(world.status().await.mailboxes[0].waiting, 1);
    world.fence(2, true).await;
    within(SOON, async { while !world.status().await.mailboxes[0].fenced {} }).await;
    let status_now = world.status().await;
    assert_eq!((status_now.mailboxes[0].waiting, &status_now.mailboxes[0].fault), (1, &None), "as it was known");
    for database in [Database::Mailbox, Database::Spool] {
        assert_eq!(status(sidecar.hold(world.ann, database, 100).await), StatusCode::LOCKED);
    }
    assert_eq!(status(sidecar.snapshot(world.ann, None).await), StatusCode::LOCKED);
    let adopt = control::Adopt {
        run: "1".repeat(32),
        mailbox: world.ann,
        folder: "x".to_owned(),
        mode: control::AdoptMode::InPlace,
        commit: 1,
    };
    assert_eq!(status(sidecar.adopt(&adopt).await), StatusCode::LOCKED);
    // It is told of all mailboxes at once, and may not stumble over this one.
    sidecar.archived(world.ann, Database::Mailbox, 1).await.unwrap();
    world.fence(3, false).await;
    within(SOON, async { while world.status().await.mailboxes[0].fenced {} }).await;
    sidecar.hold(world.ann, Database::Spool, 100).await.unwrap();
    world.stop().await;
}
