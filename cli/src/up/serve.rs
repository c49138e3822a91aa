//! Answers the other commands on the control socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::control::{Ask, Told, socket};

/// A question with the way back.
pub type Question = (Ask, oneshot::Sender<Told>);

/// Longest question: a key bundle with all its slots is some 20 KiB.
const MAX_QUESTION: u64 = 1 << 20;

/// Makes the socket. A stale one of an earlier run goes: the state folder's lock says that nobody uses it.
pub fn listen(state: &Path) -> anyhow::Result<UnixListener> {
    let path = socket(state);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| {
        format!(
            "cannot make the control socket {}\n  a socket's path may have 107 bytes: choose a shorter --state",
            path.display()
        )
    })?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Passes questions on to `up` until it ends.
pub async fn serve(listener: UnixListener, questions: mpsc::Sender<Question>) {
    while let Ok((stream, _)) = listener.accept().await {
        let questions = questions.clone();
        tokio::spawn(async move {
            // A client that went away is nobody's problem.
            let _ = answer(stream, questions).await;
        });
    }
}

async fn answer(stream: UnixStream, questions: mpsc::Sender<Question>) -> anyhow::Result<()> {
    use tokio::io::AsyncReadExt;
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_QUESTION)).read_line(&mut line).await?;
    let told = match serde_json::from_str(&line) {
        Ok(ask) => {
            let (back, answer) = oneshot::channel();
            questions.send((ask, back)).await?;
            answer.await?
        }
        Err(_) => Told::Refused("the question makes no sense; are both of the same version?".into()),
    };
    let mut text = serde_json::to_vec(&told)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    Ok(())
}
