use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;

async fn start(health: &Health) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, health.clone(), stop.clone()));
    (address, stop)
}

/// Status line and body.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: probe\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_role_is_alive_from_the_start_and_ready_when_it_says_so() {
    let health = Health::starting();
    let (address, _stop) = start(&health).await;
    assert_eq!(get(address, "/livez").await.0, "HTTP/1.1 200 OK");
    assert_eq!(get(address, "/readyz").await, ("HTTP/1.1 503 Service Unavailable".into(), "starting\n".into()));
    health.ready();
    assert_eq!(get(address, "/readyz").await.0, "HTTP/1.1 200 OK");
    health.wait("draining");
    assert_eq!(get(address, "/readyz").await.1, "draining\n");
    assert_eq!(get(address, "/livez").await.0, "HTTP/1.1 200 OK");
    assert_eq!(get(address, "/secrets").await.0, "HTTP/1.1 404 Not Found");
}

#[tokio::test]
async fn metrics_show_what_is_counted_and_what_is_looked_up() {
    let health = Health::starting();
    health.collect(|out| gauge(out, "things", "How many there are", 7));
    let (address, _stop) = start(&health).await;
    let (_, text) = get(address, "/metrics").await;
    assert!(text.contains("sealpost_things 7\n") && text.contains("sealpost_ready 0\n"), "{text}");
    assert!(text.contains("sealpost_build_info{version=") && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_probes_from_an_answer() {
    let health = Health::starting();
    let (address, _stop) = start(&health).await;
    let mut silent = Vec::new();
    for _ in 0..2 * MOST {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // Well before the silent ones are timed out.
    let answered = tokio::time::timeout(DEADLINE / 2, get(address, "/livez")).await;
    assert_eq!(answered.unwrap().0, "HTTP/1.1 200 OK");
}
