//! The listener of a primary: TLS, HTTP, WebSockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tls::{Identity, Peer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Link};
use super::service::Service;
use crate::limits::{CONNECT_LIMIT, MAX_CONNECTIONS};
use crate::proto::{LinkId, PATH};
use crate::{WireError, socket};

/// After an accept failed (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a [`Service`].
#[derive(Debug)]
pub struct Server<S>(Arc<Shared<S>>);

#[derive(Debug)]
pub(super) struct Shared<S> {
    pub service: Arc<S>,
    pub stop: CancellationToken,
    /// Every connection and every call.
    pub tasks: TaskTracker,
    pub links: Mutex<HashMap<LinkId, Link>>,
}

/// Counts a connection for as long as it lives, also after it became a WebSocket.
#[derive(Debug, Clone)]
struct Room {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<S: Service> Server<S> {
    /// Serves until `stop`: then links close, calls that run come to their end.
    pub fn new(service: Arc<S>, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared { service, stop, tasks: TaskTracker::new(), links: Mutex::default() }))
    }

    /// Accepts connections until stopped, then waits until the last call has ended. `control` is served beside the wire;
    /// its handlers find out who asks by `Extension<tls::Peer>` and check the role themselves.
    pub async fn serve(self, listener: TcpListener, identity: &Identity, control: Router) -> Result<(), WireError> {
        let acceptor = TlsAcceptor::from(identity.server_config()?);
        let app = control.merge(Router::new().route(PATH, any(upgrade::<S>)).with_state(self.0.clone()));
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.0.stop.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    let _ = tokio::time::timeout(ACCEPT_PAUSE, self.0.stop.cancelled()).await;
                    continue;
                }
            };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                tracing::warn!(limit = MAX_CONNECTIONS, "too many connections: one was closed at once");
                continue;
            };
            let (room, acceptor, app) = (Room { _permit: Arc::new(permit) }, acceptor.clone(), app.clone());
            let stop = self.0.stop.clone();
            self.0.tasks.spawn(async move {
                stop.run_until_cancelled(http(stream, acceptor, app, room)).await;
            });
        }
        drop(listener);
        self.0.tasks.close();
        self.0.tasks.wait().await;
        Ok(())
    }
}

async fn http(stream: TcpStream, acceptor: TlsAcceptor, app: Router, room: Room) {
    socket::tune(&stream);
    let stream = match tokio::time::timeout(CONNECT_LIMIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::warn!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let peer = match Peer::from_chain(stream.get_ref().1.peer_certificates()) {
        Ok(peer) => peer,
        Err(error) => return tracing::error!(%error, "a verified certificate names nobody"),
    };
    let app = app.layer(Extension(peer)).layer(Extension(room));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECT_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// The handshake of a WebSocket (RFC 6455 section 4.2); the socket itself is ours.
async fn upgrade<S: Service>(
    State(shared): State<Arc<Shared<S>>>,
    Extension(peer): Extension<Peer>,
    Extension(room): Extension<Room>,
    mut request: Request,
) -> Response {
    let Some(key) = key_of(request.headers()) else { return answer(StatusCode::BAD_REQUEST, &[]) };
    let upgraded = hyper::upgrade::on(&mut request);
    shared.tasks.clone().spawn(async move {
        let role = peer.role;
        let served = match upgraded.await {
            Ok(socket) => connection::run(shared, peer, socket).await,
            Err(error) => Err(WireError::web_socket(error)),
        };
        if let Err(error) = served {
            connection::log(role, &error);
        }
        drop(room);
    });
    let accept = derive_accept_key(key.as_bytes());
    let fields =
        [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_ACCEPT, &accept)];
    answer(StatusCode::SWITCHING_PROTOCOLS, &fields)
}

/// The key of a request for a WebSocket of version 13; none where it is no such request.
fn key_of(headers: &HeaderMap) -> Option<String> {
    let is = |name, value: &str| {
        headers.get(name).is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    let connection = headers.get(header::CONNECTION)?.to_str().ok()?.to_ascii_lowercase();
    let asked =
        connection.contains("upgrade") && is(header::UPGRADE, "websocket") && is(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked)?;
    key.to_str().ok().map(str::to_owned)
}

fn answer(status: StatusCode, fields: &[(header::HeaderName, &str)]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    for (name, value) in fields {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

impl<S> Shared<S> {
    pub fn with_links<T>(&self, act: impl FnOnce(&mut HashMap<LinkId, Link>) -> T) -> T {
        act(&mut self.links.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
