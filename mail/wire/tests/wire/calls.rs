//! A round trip of each kind of call, and the scopes.

use bytes::Bytes;
use model::verbs::{
    Accepted, Answer, Append, Code, Deliver, Envelope, Failure, FetchEvent, FolderQuery, Pattern, Recipient, Request,
    Settle,
};
use model::{TxId, Uid};
use sealpost_wire::Body;
use tls::Role;

use crate::secondary::attach;
use crate::shard::message;
use crate::world::{SESSION, World, fetch, mailbox, soon, view};

pub fn append(seq: u64, size: u64) -> Append {
    Append { seq, folder: "INBOX".to_owned(), flags: Vec::new(), internal_date: None, size, view: None }
}

pub fn deliver(size: u64) -> Deliver {
    let envelope = Envelope {
        mail_from: "a@b.test".to_owned(),
        helo: "b.test".to_owned(),
        peer: [192, 0, 2, 1].into(),
        received: jiff::Timestamp::UNIX_EPOCH,
    };
    let recipient =
        |n| Recipient { mailbox: mailbox(n), rcpt_to: "c@d.test".to_owned(), trace: Bytes::from("Received: x\r\n") };
    Deliver { txid: TxId([4; 16]), envelope, recipients: vec![recipient(1), recipient(2)], size }
}

#[tokio::test]
async fn a_session_asks_and_is_answered() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.client(Role::Imap, served.address);
    let address: model::Address = "ann@example.test".parse().unwrap();
    let keyset = soon(client.keyset(address, None)).await.unwrap();
    assert_eq!((&keyset.keys[..], keyset.mailbox), (&b"ann@example.test"[..], mailbox(1)));

    let attached = soon(client.attach(|hello| Ok(attach(SESSION, [0; 16], hello)))).await.unwrap();
    assert_eq!((attached.waiting, attached.boot), (3, served.shard.boot));
    assert_eq!(client.hello().unwrap().boot, served.shard.boot);
    assert!(
        matches!(soon(client.request(SESSION, Request::Quota)).await, Ok(Answer::Quota(quota)) if quota.messages == 2)
    );

    let appended = soon(client.append(SESSION, append(9, 5), Body::from(b"hello".to_vec()))).await.unwrap();
    assert_eq!(appended.uid, Uid(9));
    assert_eq!(served.shard.appended.lock().unwrap()[&9], b"hello");

    soon(client.detach(SESSION)).await;
    assert!(served.shard.attached.lock().unwrap().is_empty());
    served.kill().await;
}

#[tokio::test]
async fn mail_is_brought_and_settled() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.client(Role::Mx, served.address);
    let body = vec![Bytes::from("From: a\r\n"), Bytes::new(), Bytes::from("\r\nhi\r\n")];
    let accepted = soon(client.deliver(deliver(15), Body::Held(body))).await.unwrap();
    assert_eq!(accepted, [Accepted::Stored, Accepted::Stored]);
    assert_eq!(served.shard.delivered.lock().unwrap()[0], b"From: a\r\n\r\nhi\r\n");
    let settle = Settle { transactions: vec![(TxId([4; 16]), vec![mailbox(1)])] };
    soon(client.settle(settle.clone())).await.unwrap();
    assert_eq!(*served.shard.settled.lock().unwrap(), [settle]);
    served.kill().await;
}

#[tokio::test]
async fn an_answer_of_several_megabytes_arrives() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let mut asked = view(1);
    asked.uidnext = Uid(300_000);
    let Answer::Synced(delta) = soon(client.request(SESSION, Request::Sync(asked))).await.unwrap() else {
        panic!("another answer");
    };
    assert_eq!(delta.appeared.len(), 300_000);
    served.kill().await;
}

#[tokio::test]
async fn a_command_over_the_limit_fails_alone() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, secondary) = world.attached(served.address).await;
    let patterns = vec![Pattern("x".repeat(sealpost_wire::limits::MAX_REQUEST))];
    let huge = Request::Folders(FolderQuery { patterns, ..FolderQuery::default() });
    assert_eq!(soon(client.request(SESSION, huge)).await.unwrap_err().code, Code::Limit);
    soon(client.request(SESSION, Request::Quota)).await.unwrap();
    assert_eq!(secondary.told.borrow().len(), 1, "the link was never lost: {:?}", secondary.told.borrow());
    served.kill().await;
}

#[tokio::test]
async fn a_handler_that_panics_answers_and_harms_nobody_else() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let request = Request::Select { name: "panic".to_owned(), read_only: true };
    assert_eq!(soon(client.request(SESSION, request)).await.unwrap_err().code, Code::ServerBug);
    soon(client.request(SESSION, Request::Quota)).await.unwrap();
    served.kill().await;
}

#[tokio::test]
async fn an_mx_may_bring_mail_and_nothing_else() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.client(Role::Mx, served.address);
    let refused = |failure: Failure| assert_eq!(failure.code, Code::NoPerm, "{failure}");
    refused(soon(client.keyset("ann@example.test".parse().unwrap(), None)).await.unwrap_err());
    refused(soon(client.attach(|hello| Ok(attach(SESSION, [0; 16], hello)))).await.unwrap_err());
    refused(soon(client.request(SESSION, Request::Quota)).await.unwrap_err());
    refused(soon(client.append(SESSION, append(1, 3), Body::from(b"abc".to_vec()))).await.unwrap_err());
    // Refused before the body was read.
    let large = message(4_000_000);
    refused(soon(client.append(SESSION, append(1, 4_000_000), Body::from(large))).await.unwrap_err());
    let event: Result<FetchEvent, Failure> = soon(client.fetch(SESSION, fetch(10)).next()).await.unwrap();
    refused(event.unwrap_err());
    soon(client.deliver(deliver(2), Body::from(b"ab".to_vec()))).await.unwrap();
    assert!(served.shard.attached.lock().unwrap().is_empty() && served.shard.appended.lock().unwrap().is_empty());
    served.kill().await;
}

#[tokio::test]
async fn imap_may_not_bring_mail_and_submission_may_not_attach() {
    let world = World::new();
    let served = world.serve(1).await;
    let (imap, _) = world.client(Role::Imap, served.address);
    let failure = soon(imap.deliver(deliver(2), Body::from(b"ab".to_vec()))).await.unwrap_err();
    assert_eq!(failure.code, Code::NoPerm);
    let (submission, _) = world.client(Role::Submission, served.address);
    soon(submission.keyset("ann@example.test".parse().unwrap(), None)).await.unwrap();
    let failure = soon(submission.attach(|hello| Ok(attach(SESSION, [0; 16], hello)))).await.unwrap_err();
    assert_eq!(failure.code, Code::NoPerm);
    assert!(served.shard.delivered.lock().unwrap().is_empty());
    served.kill().await;
}
