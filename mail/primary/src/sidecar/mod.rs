//! What the sidecar asks of its primary: HTTP on a unix socket, as [`control`] has it.
//!
//! Start with [`serve`]. One module per verb: `holds` (HOLD, CHECKPOINT, RELEASE), `dirty`, `snapshot`, `adopt`,
//! `purge`, `policies`.
//!
//! Invariants:
//! * Only processes of our own user are answered: what is served moves files of the volume and lets writers wait.
//! * Nothing here opens a mailbox without its key, and no key, DEK or credential goes through the socket.
//! * A sidecar that dies holds nobody up: holds end by themselves (`holds`).

mod adopt;
mod dirty;
mod holds;
mod listen;
mod policies;
mod purge;
mod snapshot;

pub use holds::Holds;
pub use listen::{Own, serve};
pub use policies::Wanted;

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use control::{Hello, Refusal, Shard as Identity, VERSION};
use model::{Class, MailboxId};
use store::StoreError;

use crate::shard::Shard;

/// Largest body in octets: a list of 100,000 mailboxes.
const MAX_BODY: usize = 16 << 20;

/// The routes.
fn router(shard: Arc<Shard>) -> Router {
    Router::new()
        .route("/v1/hello", post(hello))
        .route("/v1/dirty", get(dirty::dirty))
        .route("/v1/policies", get(policies::wanted))
        .route("/v1/report", put(policies::report))
        .route("/v1/hold", post(holds::hold))
        .route("/v1/checkpoint", post(holds::checkpoint))
        .route("/v1/release", post(holds::release))
        .route("/v1/snapshot", post(snapshot::snapshot))
        .route("/v1/archived", post(snapshot::archived))
        .route("/v1/adopt", post(adopt::adopt))
        .route("/v1/purge", post(purge::purge))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(shard.clone(), heard))
        .with_state(shard)
}

/// A parameter of a request, if it is there and makes sense.
fn parameter<T: FromStr>(query: Option<&str>, name: &str) -> Option<T> {
    let mut all = query?.split('&').filter_map(|pair| pair.split_once('='));
    all.find(|(known, _)| *known == name)?.1.parse().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whatever is asked is a sign of life.
async fn heard(State(shard): State<Arc<Shard>>, request: Request, next: Next) -> Response {
    shard.wanted.heard();
    next.run(request).await
}

async fn hello(State(shard): State<Arc<Shard>>, Json(hello): Json<Hello>) -> Result<Json<Identity>, Refused> {
    if hello.version != VERSION {
        return Err(Refused::conflict(format!("this primary speaks version {VERSION}, not {}", hello.version)));
    }
    tracing::info!(run = hello.run, "the sidecar is here");
    Ok(Json(Identity {
        version: VERSION,
        server: shard.server.clone(),
        shard: shard.id,
        volume: shard.volume.clone(),
        term: shard.term,
        boot: shard.boot,
    }))
}

/// Why something was not done: see `control` for what each status means.
#[derive(Debug)]
pub struct Refused(StatusCode, String);

impl Refused {
    fn conflict(text: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, text.into())
    }

    fn unknown(mailbox: MailboxId) -> Self {
        Self(StatusCode::NOT_FOUND, format!("{mailbox} is not a mailbox of this shard"))
    }

    fn locked(mailbox: MailboxId) -> Self {
        Self(StatusCode::LOCKED, format!("the key of {mailbox} is not here"))
    }

    fn fenced(mailbox: MailboxId) -> Self {
        Self(StatusCode::LOCKED, format!("{mailbox} is fenced: its files stay closed until that is taken away"))
    }

    fn later(text: impl Into<String>) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, text.into())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        // A person has to look only at what does not pass by itself.
        match error.class() {
            Class::Transient => tracing::warn!(%error, "a request of the sidecar failed"),
            class => tracing::error!(%error, ?class, "a request of the sidecar failed"),
        }
        Self::later(error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Refusal { error: self.1 })).into_response()
    }
}
