//! The listener.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::Health;

/// How long a connection may take, from its first byte to the answer's last.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Connections at a time; for one more, the oldest ends.
pub const MOST: usize = 64;
/// After an accept failed (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers probes until `stop`.
pub async fn serve(listener: TcpListener, health: Health, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => {
                oldest.retain(|task| !task.is_finished());
                continue;
            }
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                if oldest.len() >= MOST
                    && let Some(task) = oldest.pop_front()
                {
                    task.abort();
                }
                // Whoever is too slow, or goes away, has no answer; that is all.
                let conversation = tokio::time::timeout(DEADLINE, converse(stream, health.clone()));
                oldest.push_back(tasks.spawn(async move { drop(conversation.await) }));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept probes");
                let _ = tokio::time::timeout(ACCEPT_PAUSE, stop.cancelled()).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, health: Health) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let answer = answer(&request, &health);
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/livez" => say(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => match health.waits() {
            None => say(StatusCode::OK, "text/plain", "ok\n".to_owned()),
            Some(what) => say(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{what}\n")),
        },
        "/metrics" => match health.metrics() {
            Ok(text) => say(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text),
            Err(_) => {
                say(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n".to_owned())
            }
        },
        _ => say(StatusCode::NOT_FOUND, "text/plain", "there are /livez, /readyz and /metrics\n".to_owned()),
    }
}

fn say(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
