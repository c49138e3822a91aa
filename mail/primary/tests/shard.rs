//! A whole primary over real TLS: what the operator, an IMAP secondary and an MX see of it.

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "shared with the other tests")]
mod world;

use std::time::Duration;

use hyper::{Method, StatusCode};
use model::MailboxId;
use model::verbs::{Accepted, Code, Request};
use world::{SESSION, World, message, messages, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_pushes_routes_and_first_keys_and_nobody_else_does() {
    let world = World::start().await;
    let (directory, keys) = (world.directory(1), world.keys());
    let keys_path = format!("/v1/keys/{}", world.ann);
    assert_eq!(world.operator(Method::PUT, &keys_path, keys.clone()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.operator(Method::PUT, "/v1/directory", directory.clone()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.operator(Method::PUT, "/v1/directory", world.directory(0)).await.0, StatusCode::CONFLICT);
    assert_eq!(world.operator(Method::PUT, "/v1/directory", b"{}".to_vec()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.operator(Method::PUT, &keys_path, b"{}".to_vec()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.operator(Method::PUT, &keys_path, keys.clone()).await.0, StatusCode::CREATED);
    let (status, text) = world.operator(Method::PUT, &keys_path, keys).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(text.contains("KeysExist"), "{text}");
    let status = world.status().await;
    assert_eq!(status.mailboxes.iter().map(|m| (m.id, m.keyed)).collect::<Vec<_>>(), [(world.ann, true)]);
    assert_eq!(status.generation.unwrap().seq, 1);
    let refused = world.control(tls::Role::Imap, Method::PUT, "/v1/directory", directory).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_address_gets_a_keyset_that_looks_like_any_other() {
    let world = World::ready().await;
    let (imap, _events) = world.secondary(tls::Role::Imap);
    let ann = imap.keyset("ann@example.org".parse().unwrap(), None).await.unwrap();
    assert_eq!(ann.mailbox, world.ann);
    let nobody = imap.keyset("nobody@example.org".parse().unwrap(), None).await.unwrap();
    assert_eq!(imap.keyset("nobody@example.org".parse().unwrap(), None).await.unwrap(), nobody);
    let parse = |reply: &model::verbs::KeysetReply| crypto::Keyset::from_json(&reply.keys).unwrap();
    assert_eq!(parse(&ann).slots().len(), parse(&nobody).slots().len());
    assert!(parse(&nobody).unlock(&crypto::Secret::new("sesame")).is_err());
    assert!(nobody.allowed);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_reaches_an_attached_session_with_a_hint_and_survives_a_restart() {
    let mut world = World::ready().await;
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
    let (imap, mut events) = world.secondary(tls::Role::Imap);
    events.sessions(&[SESSION]);
    let attached = imap.attach(|hello| Ok(events.attach(SESSION, [5; 16], hello))).await.unwrap();
    assert_eq!(attached.waiting, 1);
    assert_eq!(messages(&imap).await, 1);
    events.forget_hints();
    assert_eq!(world.deliver(&mx, 2, message(2)).await, [Accepted::Stored]);
    assert_eq!(within(Duration::from_secs(5), events.hint()).await, world.ann);
    assert_eq!(messages(&imap).await, 2);
    world.restart().await;
    // The session's next command brings its key again.
    assert_eq!(messages(&imap).await, 2);
    assert_eq!(world.deliver(&mx, 2, message(2)).await, [Accepted::Duplicate]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_a_live_session_without_a_key_here_asks_for_the_key() {
    let world = World::ready().await;
    let (imap, mut events) = world.secondary(tls::Role::Imap);
    events.sessions(&[SESSION]);
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    imap.connected().await.unwrap();
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
    assert_eq!(within(Duration::from_secs(5), events.asked()).await, world.ann);
    assert_eq!(world.status().await.mailboxes[0].waiting, 0);
    assert_eq!(messages(&imap).await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_attached_is_told_so_and_strangers_get_nothing() {
    let world = World::ready().await;
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    let refused = mx.request(SESSION, Request::Quota).await.unwrap_err();
    assert_eq!(refused.code, Code::NoPerm);
    let refused = mx.keyset("ann@example.org".parse().unwrap(), None).await.unwrap_err();
    assert_eq!(refused.code, Code::NoPerm);
    let (imap, _events) = world.secondary(tls::Role::Imap);
    assert_eq!(imap.request(SESSION, Request::Quota).await.unwrap_err().code, Code::Revoked);
    let unknown = world.deliver_to(&mx, MailboxId::from_random([9; 17]), 3, message(3)).await;
    assert!(matches!(&unknown[0], Accepted::Failed(failure) if failure.class.is_retryable()), "{unknown:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_count_at_the_shard_whichever_front_end_they_come_through() {
    let world = World::ready().await;
    let (one, _events) = world.secondary(tls::Role::Imap);
    let (other, _other_events) = world.secondary(tls::Role::Imap);
    let ann: model::Address = "ann@example.org".parse().unwrap();
    let [bad, good] = [1, 2].map(|n| std::net::IpAddr::from([192, 0, 2, n]));
    one.connected().await.unwrap();
    for _ in 0..8 {
        one.login_outcome(ann.clone(), bad, false).await;
    }
    let slowed = other.keyset(ann.clone(), Some(bad)).await.unwrap();
    assert!(slowed.wait_ms >= 5_000 && slowed.suspect, "{} ms", slowed.wait_ms);
    one.keyset(ann.clone(), Some(bad)).await.unwrap_err();
    let elsewhere = one.keyset(ann.clone(), Some(good)).await.unwrap();
    assert_eq!((elsewhere.wait_ms, elsewhere.suspect), (0, true), "an owner elsewhere is not slowed");
    other.login_outcome(ann.clone(), bad, true).await;
    assert_eq!(one.keyset(ann, Some(bad)).await.unwrap().wait_ms, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_app_password_ends_its_sessions_at_once_and_no_others() {
    let world = World::start().await;
    let device = world.add_app_password();
    world.install().await;
    let (imap, mut events) = world.secondary(tls::Role::Imap);
    let (phone, desk) = (SESSION, model::SessionId([2; 16]));
    events.sessions(&[phone, desk]);
    imap.attach(|hello| Ok(events.attach_with(device, phone, hello))).await.unwrap();
    imap.attach(|hello| Ok(events.attach(desk, [5; 16], hello))).await.unwrap();
    let path = format!("/v1/keys/{}/slots/{device}", world.ann);
    assert_eq!(world.control(tls::Role::Imap, Method::DELETE, &path, Vec::new()).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.status().await.sessions, 2);
    assert_eq!(world.operator(Method::DELETE, &path, Vec::new()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(within(Duration::from_secs(5), events.ended()).await, phone);
    assert_eq!(world.status().await.sessions, 1);
    imap.request(desk, Request::Quota).await.unwrap();
    let refused = imap.attach(|hello| Ok(events.attach_with(device, phone, hello))).await.unwrap_err();
    assert_eq!(refused.code, Code::Revoked);
    assert_eq!(world.operator(Method::DELETE, &path, Vec::new()).await.0, StatusCode::NOT_FOUND);
    // The last way in stays.
    let path = format!("/v1/keys/{}/slots/{}", world.ann, world.password_slot());
    assert_eq!(world.operator(Method::DELETE, &path, Vec::new()).await.0, StatusCode::CONFLICT);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_with_too_many_sessions_refuses_one_more_and_no_other_mailbox_notices() {
    let world = World::start_with(|tuning| tuning.sessions_per_mailbox = 3).await;
    world.install().await;
    let (imap, events) = world.secondary(tls::Role::Imap);
    let sessions: Vec<_> = (1..=4).map(|n| model::SessionId([n; 16])).collect();
    events.sessions(&sessions);
    for session in &sessions[..3] {
        imap.attach(|hello| Ok(events.attach(*session, [5; 16], hello))).await.unwrap();
    }
    let refused = imap.attach(|hello| Ok(events.attach(sessions[3], [5; 16], hello))).await.unwrap_err();
    assert_eq!(refused.code, Code::Limit);
    imap.request(sessions[0], Request::Quota).await.unwrap();
    imap.detach(sessions[1]).await;
    imap.attach(|hello| Ok(events.attach(sessions[3], [5; 16], hello))).await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_cannot_be_read_is_shown_and_hides_nothing_else() {
    let world = World::ready().await;
    let spool = world.spool();
    std::fs::create_dir_all(spool.parent().unwrap()).unwrap();
    std::fs::write(&spool, vec![7; 8192]).unwrap();
    let status = world.status().await;
    assert_eq!(status.generation.unwrap().seq, 1);
    assert!(status.mailboxes[0].fault.is_some() && status.mailboxes[0].keyed, "{status:?}");
    world.stop().await;
}
