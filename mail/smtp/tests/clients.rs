//! Ordinary clients against a real socket. A tool that is not installed is passed over.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::process::Stdio;
use std::sync::Arc;

use support::{Memory, config, directory};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server that takes connections until the task is dropped; its port.
async fn serve(delivery: Memory) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let run =
                sealpost_smtp::run(stream, peer, Arc::new(config()), delivery.clone(), None, CancellationToken::new());
            tokio::spawn(run);
        }
    });
    (port, task)
}

/// False if the tool is not there.
async fn run(tool: &str, args: &[&str], input: &[u8]) -> bool {
    let mut command = tokio::process::Command::new(tool);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let Ok(mut child) = command.spawn() else {
        eprintln!("{tool} is not installed: passed over");
        return false;
    };
    child.stdin.take().unwrap().write_all(input).await.unwrap();
    let output = tokio::time::timeout(support::DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

const MAIL: &[u8] = b"Subject: real client\r\n\r\n.dot\r\n..\r\nend\r\n";

#[tokio::test]
async fn curl_delivers() {
    let memory = Memory::new(Some(directory()));
    let (port, _server) = serve(memory.clone()).await;
    let url = format!("smtp://127.0.0.1:{port}/c.example");
    let args = ["-sS", &url, "--mail-from", "x@y.example", "--mail-rcpt", "team@example.org", "-T", "-"];
    if run("curl", &args, MAIL).await {
        assert_eq!(memory.messages().iter().map(support::body).collect::<Vec<_>>(), [MAIL]);
        assert_eq!(memory.messages()[0].recipients.len(), 2);
    }
}

#[tokio::test]
async fn swaks_delivers_with_pipelining() {
    let memory = Memory::new(Some(directory()));
    let (port, _server) = serve(memory.clone()).await;
    let server = format!("127.0.0.1:{port}");
    let data = "Subject: real client\\n\\n.dot\\n..\\nend";
    let args = [
        "--server",
        &server,
        "--pipeline",
        "--ehlo",
        "c.example",
        "--from",
        "x@y.example",
        "--to",
        "ann@example.org",
        "--data",
        data,
    ];
    if run("swaks", &args, b"").await {
        let messages = memory.messages();
        assert_eq!(messages.len(), 1);
        assert!(support::body(&messages[0]).starts_with(b"Subject: real client\r\n\r\n.dot\r\n..\r\nend\r\n"));
        assert_eq!(memory.settled().len(), 1);
    }
}
