//! Deliveries against a real volume; secondaries come in `tests/wire.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use model::verbs::{
    Accepted, Answer, Attach, Code, Envelope, Fetch, FetchEvent, FetchItems, Part, Recipient, Request, Section,
    SectionData, Settle, View,
};
use model::{DeliveryId, MailboxId, SessionId, SlotId, TxId, Uid, UidSet};
use serde_bytes::ByteBuf;
use store::{Inserted, NewWaiting};
use tokio::sync::mpsc;
use wire::LinkId;

use super::{Arrival, deliver, settle};
use crate::shard::Shard;
use crate::testing::Volume;
use crate::wire_service::attach;

const LINK: LinkId = LinkId([1; 16]);
const SESSION: SessionId = SessionId([2; 16]);

fn message(n: usize) -> Vec<u8> {
    format!("Message-ID: <{n}@example.org>\r\nSubject: {n}\r\n\r\nbody \u{e4} {n}\r\n{}", "x".repeat(n * 7))
        .into_bytes()
}

fn arrival(txid: [u8; 16], body: Vec<u8>, second: usize) -> Arc<Arrival> {
    let envelope = Envelope {
        mail_from: "sender@example.net".into(),
        helo: "h".into(),
        peer: [127, 0, 0, 1].into(),
        received: Timestamp::from_second(1_700_000_000 + i64::try_from(second).unwrap()).unwrap(),
    };
    Arc::new(Arrival::new(TxId(txid), envelope, body.into(), Timestamp::now()))
}

fn tx(n: usize) -> [u8; 16] {
    (n as u128).to_le_bytes()
}

async fn send(shard: &Arc<Shard>, to: MailboxId, n: usize) -> Accepted {
    send_as(shard, to, tx(n), message(n)).await
}

async fn send_as(shard: &Arc<Shard>, to: MailboxId, txid: [u8; 16], body: Vec<u8>) -> Accepted {
    send_at(shard, to, txid, body, 0).await
}

/// What the MX had whole at that second.
async fn send_at(shard: &Arc<Shard>, to: MailboxId, txid: [u8; 16], body: Vec<u8>, second: usize) -> Accepted {
    let to =
        Recipient { mailbox: to, rcpt_to: "ann@example.org".into(), trace: Bytes::from_static(b"Received: x\r\n") };
    deliver(shard, arrival(txid, body, second), &[to]).await.remove(0)
}

/// The sender of that transaction has read its 250.
async fn settled(shard: &Arc<Shard>, to: MailboxId, n: usize) {
    settle(shard, Settle { transactions: vec![(TxId(tx(n)), vec![to])] }).await.unwrap();
}

async fn log_in(volume: &Volume, shard: &Arc<Shard>) -> u64 {
    attach(shard, LINK, volume.attach(shard, SESSION)).await.unwrap().waiting
}

fn log_out(shard: &Arc<Shard>) {
    let ended = shard.sessions().detach(SESSION, LINK);
    shard.end(ended);
}

/// Every message of INBOX, in UID order, after the drain.
async fn inbox(shard: &Arc<Shard>, id: MailboxId) -> Vec<Vec<u8>> {
    shard.lanes.drained(id).await;
    let mailbox = shard.attached(id).unwrap();
    let select = Request::Select { name: "INBOX".into(), read_only: true };
    let Answer::Selected(selected) = mailbox.request(SESSION, select).await.unwrap() else { panic!() };
    let fetch = Fetch {
        view: View { folder: selected.folder, since: selected.modseq, uidnext: selected.uidnext, keywords: 0 },
        uids: UidSet::range(Uid(1), Uid(u32::MAX)),
        items: FetchItems::default(),
        sections: vec![Section { path: Vec::new(), part: Part::All, partial: None }],
        changed_since: None,
        mark_seen: false,
    };
    let (events, mut rows) = mpsc::channel(4);
    let read = async {
        let mut all = Vec::new();
        while let Some(event) = rows.recv().await {
            match event {
                FetchEvent::Rows(rows) => all.extend(rows.sections.iter().map(|section| match section {
                    SectionData::Inline(bytes) => bytes.to_vec(),
                    SectionData::Large(_) => Vec::new(),
                    SectionData::Nil => panic!("a message without bytes"),
                })),
                FetchEvent::Data(bytes) => all.last_mut().unwrap().extend_from_slice(&bytes),
                FetchEvent::Head { .. } => {}
            }
        }
        all
    };
    let (fetched, all) = tokio::join!(mailbox.fetch(SESSION, fetch, events), read);
    fetched.unwrap();
    all
}

fn with_trace(n: usize) -> Vec<u8> {
    [b"Received: x\r\n".to_vec(), message(n)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_a_locked_mailbox_waits_sealed_and_is_all_there_in_order_after_attach() {
    let volume = Volume::new();
    {
        let shard = volume.open().await;
        for n in 0..230 {
            assert_eq!(send(&shard, volume.ann, n).await, Accepted::Stored);
            if n == 100 {
                spoil(&shard, volume.ann).await;
            }
        }
        volume.close(shard).await;
    }
    assert!(volume.has_nowhere(b"body \xc3\xa4 17"));
    let shard = volume.open().await;
    assert_eq!(log_in(&volume, &shard).await, 231);
    let found = inbox(&shard, volume.ann).await;
    let (notices, mail): (Vec<_>, Vec<_>) = found.into_iter().partition(|m| !m.starts_with(b"Received: x\r\n"));
    assert!(mail.into_iter().eq((0..230).map(with_trace)));
    assert_eq!(notices.len(), 1);
    assert!(String::from_utf8_lossy(&notices[0]).contains("could not be put into your mailbox"));
    let spool = shard.spools.of(volume.ann).state().await.unwrap();
    assert_eq!((spool.waiting, spool.aside), (0, 1));
    volume.close(shard).await;
}

/// A row that no key opens.
async fn spoil(shard: &Arc<Shard>, id: MailboxId) {
    let row = NewWaiting {
        delivery: DeliveryId([9; 16]),
        txid: TxId([9; 16]),
        fp: None,
        began: Timestamp::now(),
        size: 10,
        at: Timestamp::now(),
        sealed: Bytes::from_static(b"SPSM\x01 damaged"),
        limit: None,
        until: None,
    };
    assert_eq!(shard.spools.of(id).insert(row).await.unwrap(), Inserted::Stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_mailbox_and_spool_doubles_nothing() {
    let volume = Volume::new();
    let shard = volume.open().await;
    for n in 0..5 {
        send(&shard, volume.ann, n).await;
    }
    // What the crash leaves: the rows are in the mailbox, and still in the spool.
    let rows = shard.spools.of(volume.ann).batch(10, u64::MAX).await.unwrap();
    log_in(&volume, &shard).await;
    assert_eq!(inbox(&shard, volume.ann).await.len(), 5);
    for row in rows {
        let (delivery, txid, fp, began, size, at) = (row.delivery, row.txid, row.fp, row.began, row.size, row.at);
        let sealed = row.sealed.into();
        let again = NewWaiting { delivery, txid, fp, began, size, at, sealed, limit: None, until: None };
        assert_eq!(shard.spools.of(volume.ann).insert(again).await.unwrap(), Inserted::Stored);
    }
    // A resend that finds such a row, whose sender reads its 250.
    assert_eq!(send_at(&shard, volume.ann, tx(101), message(1), 1).await, Accepted::Duplicate);
    settled(&shard, volume.ann, 101).await;
    shard.drain(volume.ann);
    assert_eq!(inbox(&shard, volume.ann).await.len(), 5);
    assert_eq!(shard.spools.of(volume.ann).state().await.unwrap().waiting, 0);
    assert_eq!(send_at(&shard, volume.ann, tx(102), message(1), 2).await, Accepted::Stored, "a repeat that is meant");
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_is_suppressed_until_the_sender_has_read_the_250() {
    let volume = Volume::new();
    let shard = volume.open().await;
    let resend = |n: usize| send_as(&shard, volume.ann, tx(100 + n), message(1));
    assert_eq!(send(&shard, volume.ann, 1).await, Accepted::Stored);
    assert_eq!(resend(1).await, Accepted::Duplicate);
    // Live, with the fingerprint in the spool or already in the mailbox.
    log_in(&volume, &shard).await;
    assert_eq!(inbox(&shard, volume.ann).await.len(), 1);
    assert_eq!(resend(2).await, Accepted::Duplicate);
    // The last one is the one whose 250 the sender may have read.
    settled(&shard, volume.ann, 102).await;
    assert_eq!(resend(3).await, Accepted::Stored);
    assert_eq!(inbox(&shard, volume.ann).await.len(), 2);
    // Locked again, settled while locked, and a repeat that is meant: the settle comes before the drain.
    log_out(&shard);
    settled(&shard, volume.ann, 103).await;
    assert_eq!(resend(4).await, Accepted::Stored);
    log_in(&volume, &shard).await;
    assert_eq!(inbox(&shard, volume.ann).await.len(), 3);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_retry_is_stored_once_also_without_a_message_id() {
    let volume = Volume::new();
    let shard = volume.open().await;
    let plain = || b"Subject: plain\r\n\r\nx".to_vec();
    assert_eq!(send_as(&shard, volume.ann, tx(1), plain()).await, Accepted::Stored);
    assert_eq!(send_as(&shard, volume.ann, tx(1), plain()).await, Accepted::Duplicate);
    assert_eq!(send_as(&shard, volume.ann, tx(2), plain()).await, Accepted::Stored);
    log_in(&volume, &shard).await;
    assert_eq!(inbox(&shard, volume.ann).await.len(), 2);
    assert_eq!(send_as(&shard, volume.ann, tx(2), plain()).await, Accepted::Duplicate);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_while_attached_goes_straight_in() {
    let volume = Volume::new();
    let shard = volume.open().await;
    log_in(&volume, &shard).await;
    assert_eq!(send(&shard, volume.ann, 3).await, Accepted::Stored);
    assert_eq!(shard.spools.of(volume.ann).state().await.unwrap().waiting, 0);
    assert_eq!(inbox(&shard, volume.ann).await, [with_trace(3)]);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_refused_and_nothing_is_kept() {
    let volume = Volume::new();
    let shard = volume.open().await;
    let code = |accepted| match accepted {
        Accepted::Failed(failure) => failure.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(send(&shard, volume.bob, 1).await), Code::Unavailable);
    assert_eq!(code(send(&shard, MailboxId::from_random([77; 17]), 1).await), Code::Unavailable);
    assert_eq!(code(send(&shard, volume.ann, 200_000).await), Code::OverQuota);
    assert_eq!(shard.spools.of(volume.ann).state().await.unwrap().waiting, 0);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attach_has_to_prove_slot_key_and_moment() {
    let volume = Volume::new();
    let shard = volume.open().await;
    let good = volume.attach(&shard, SESSION);
    let refused = |change: &dyn Fn(&mut Attach)| {
        let mut attempt = good.clone();
        change(&mut attempt);
        let shard = shard.clone();
        async move { attach(&shard, LINK, attempt).await.unwrap_err().code }
    };
    assert_eq!(refused(&|a| a.slot = SlotId(99)).await, Code::Revoked);
    assert_eq!(refused(&|a| a.keys_version = 0).await, Code::Revoked);
    assert_eq!(refused(&|a| a.nonce = [0; 16]).await, Code::NotAttached);
    assert_eq!(refused(&|a| a.session = SessionId([8; 16])).await, Code::NotAttached);
    assert_eq!(refused(&|a| a.sealed_dek = ByteBuf::from(vec![0; 1200])).await, Code::NotAttached);
    let wrong = volume.attach_with(&shard, SESSION, &crypto::Dek::from_bytes(&[5; 32]));
    assert_eq!(attach(&shard, LINK, wrong).await.unwrap_err().code, Code::Revoked);
    assert_eq!(shard.sessions().count(), 0);
    attach(&shard, LINK, good).await.unwrap();
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_that_waited_is_not_doubled_though_its_sender_has_read_the_250() {
    let volume = Volume::new();
    let shard = volume.open().await;
    log_in(&volume, &shard).await;
    // The first went straight in; its sender never read the answer, and tries again when the owner has gone.
    assert_eq!(send(&shard, volume.ann, 1).await, Accepted::Stored);
    log_out(&shard);
    assert_eq!(send_as(&shard, volume.ann, tx(101), message(1)).await, Accepted::Stored);
    settled(&shard, volume.ann, 101).await;
    log_in(&volume, &shard).await;
    assert_eq!(inbox(&shard, volume.ann).await.len(), 1);
    // Now the sender knows: what it sends again is meant.
    assert_eq!(send_as(&shard, volume.ann, tx(102), message(1)).await, Accepted::Stored);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_waits_for_mail_on_its_way_into_the_mailbox() {
    let volume = Volume::new();
    let shard = volume.open().await;
    send(&shard, volume.ann, 1).await;
    let lane = shard.lanes.of(volume.ann);
    let batch = lane.batch().await;
    log_in(&volume, &shard).await;
    let settling = Settle { transactions: vec![(TxId(tx(1)), vec![volume.ann])] };
    let mut settling = tokio::spawn({
        let shard = shard.clone();
        async move { settle(&shard, settling).await }
    });
    // Silence: as long as the batch is out, nothing is settled.
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut settling).await.is_err());
    drop(batch);
    settling.await.unwrap().unwrap();
    assert_eq!(inbox(&shard, volume.ann).await.len(), 1);
    assert_eq!(send_as(&shard, volume.ann, tx(2), message(1)).await, Accepted::Stored);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_given_up_and_comes_in_after_a_later_one_is_no_other_message() {
    // Whether the mailbox was open when the later one came, and when the late one came.
    for (n, (open_then, open_now)) in
        [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate()
    {
        let volume = Volume::new();
        let shard = volume.open().await;
        let attempt = |second| send_at(&shard, volume.ann, tx(second), message(n), second);
        if open_then {
            log_in(&volume, &shard).await;
        }
        assert_eq!(attempt(5).await, Accepted::Stored);
        settled(&shard, volume.ann, 5).await;
        if open_then && !open_now {
            log_out(&shard);
        } else if open_now && !open_then {
            log_in(&volume, &shard).await;
        }
        // Where it cannot look into the mailbox, it goes to the spool: what it is shows at the drain.
        let late = attempt(4).await;
        assert!(matches!(late, Accepted::Stored | Accepted::Duplicate), "{late:?}");
        if !open_now {
            log_in(&volume, &shard).await;
        }
        assert_eq!(inbox(&shard, volume.ann).await.len(), 1, "{open_then} {open_now}");
        assert_eq!(attempt(6).await, Accepted::Stored, "a repeat that is meant");
        volume.close(shard).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_that_its_mx_brings_twice_is_no_other_message() {
    // Whether the mailbox is open when the resend comes, and when it comes again.
    for (n, (open_then, open_now)) in
        [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate()
    {
        let volume = Volume::new();
        let shard = volume.open().await;
        let attempt = async |second| {
            let accepted = send_at(&shard, volume.ann, tx(second), message(n), second).await;
            assert!(!matches!(accepted, Accepted::Failed(_)), "{accepted:?}");
            accepted
        };
        log_in(&volume, &shard).await;
        assert_eq!(attempt(1).await, Accepted::Stored);
        if !open_then {
            log_out(&shard);
        }
        // Its answer is lost with the link to the MX.
        attempt(2).await;
        if open_now {
            log_in(&volume, &shard).await;
            shard.lanes.drained(volume.ann).await;
        } else if open_then {
            log_out(&shard);
        }
        // That of the second time is read.
        attempt(2).await;
        let lane = shard.lanes.of(volume.ann);
        let drain_waits = lane.batch().await;
        log_in(&volume, &shard).await;
        shard.attached(volume.ann).unwrap().settle(vec![TxId(tx(2))]).await.unwrap();
        drop(drain_waits);
        assert_eq!(inbox(&shard, volume.ann).await.len(), 1, "{open_then} {open_now}");
        settled(&shard, volume.ann, 2).await;
        assert_eq!(attempt(3).await, Accepted::Stored, "a repeat that is meant");
        volume.close(shard).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_of_mail_on_its_way_into_the_mailbox_waits_and_its_settlement_counts() {
    let volume = Volume::new();
    let shard = volume.open().await;
    send(&shard, volume.ann, 1).await;
    let lane = shard.lanes.of(volume.ann);
    let batch = lane.batch().await;
    log_in(&volume, &shard).await;
    let mut resend = tokio::spawn({
        let (shard, ann) = (shard.clone(), volume.ann);
        async move { send_at(&shard, ann, tx(101), message(1), 1).await }
    });
    // Silence: what is in the batch is not brought by another transaction any more.
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut resend).await.is_err());
    drop(batch);
    // After the drain it finds nothing in the spool, and waits there itself.
    let accepted = resend.await.unwrap();
    assert!(matches!(accepted, Accepted::Stored | Accepted::Duplicate), "{accepted:?}");
    settled(&shard, volume.ann, 101).await;
    assert_eq!(inbox(&shard, volume.ann).await.len(), 1);
    assert_eq!(send_at(&shard, volume.ann, tx(102), message(1), 2).await, Accepted::Stored, "a repeat that is meant");
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_counts_for_live_mail_too() {
    let volume = Volume::new();
    let shard = volume.open().await;
    let large = |id: &str| format!("Message-ID: <{id}>\r\n\r\n{}", "x".repeat(600_000)).into_bytes();
    assert_eq!(send_as(&shard, volume.ann, tx(1), large("a")).await, Accepted::Stored);
    let lane = shard.lanes.of(volume.ann);
    let held = lane.batch().await;
    log_in(&volume, &shard).await;
    // Of ann's megabyte more than half waits, and cannot come in yet.
    let refused = send_as(&shard, volume.ann, tx(2), large("b")).await;
    assert!(matches!(&refused, Accepted::Failed(failure) if failure.code == Code::OverQuota), "{refused:?}");
    drop(held);
    assert_eq!(inbox(&shard, volume.ann).await.len(), 1);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_mailbox_is_unavailable_and_never_a_wrong_password() {
    let volume = Volume::new();
    let shard = volume.open().await;
    std::fs::write(shard.layout.mailbox(volume.ann), [7; 8192]).unwrap();
    let refused = attach(&shard, LINK, volume.attach(&shard, SESSION)).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    volume.close(shard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_repeat_that_comes_while_the_mailbox_opens_overtakes_neither_the_first_nor_its_settlement() {
    let volume = Volume::new();
    let shard = volume.open().await;
    // The first waits in the spool, settled; then the first is in the mailbox, and its settlement waits in the spool.
    for (first, in_mailbox) in [(10, false), (20, true)] {
        if in_mailbox {
            log_in(&volume, &shard).await;
        }
        assert_eq!(send_as(&shard, volume.ann, tx(first), message(first)).await, Accepted::Stored);
        if in_mailbox {
            log_out(&shard);
        }
        settled(&shard, volume.ann, first).await;
        let lane = shard.lanes.of(volume.ann);
        let drain_waits = lane.batch().await;
        log_in(&volume, &shard).await;
        let (own, ann) = (shard.clone(), volume.ann);
        let mut repeat = tokio::spawn(async move { send_as(&own, ann, tx(first + 1), message(first)).await });
        // It may wait for the drain, or not; but it must not do harm meanwhile.
        let early = tokio::time::timeout(Duration::from_millis(300), &mut repeat).await;
        drop(drain_waits);
        let accepted = match early {
            Ok(accepted) => accepted,
            Err(_) => repeat.await,
        };
        assert_eq!(accepted.unwrap(), Accepted::Stored);
        let found = inbox(&shard, volume.ann).await;
        assert_eq!(found.iter().filter(|message| **message == with_trace(first)).count(), 2, "{first}");
        log_out(&shard);
    }
    volume.close(shard).await;
}
