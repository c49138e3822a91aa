//! What the operator asks of a shard: HTTP on the wire's listener, JSON, for the role `operator` alone (others get
//! 403).
//!
//! | request | body | answer |
//! |---|---|---|
//! | `PUT /v1/directory` | a [`control::operator::Push`] | 204; 409 by the rules of [`crate::directory`]; 400 where it does not
//! parse |
//! | `GET /v1/directory` | | 200 and the [`control::operator::Push`] in force; 204 before the first |
//! | `PUT /v1/keys/{mailboxId}` | a `keys.json` | 201; 409 `KeysExist`; 404 for a mailbox that is not of this shard;
//! 400 for no keyset |
//! | `DELETE /v1/keys/{mailboxId}/slots/{slot}` | | 204 when the slot is gone and its sessions have ended; 404 where there is
//! no such slot; 409 for the last one that opens the mailbox |
//! | `PUT /v1/policies` | a [`control::operator::Wanted`] | 204, when it is on disk; 400 where it does not parse |
//! | `GET /v1/policies` | | 200 and the [`model::backup::Policies`] in force; 204 before the first |
//! | `GET /v1/status` | | 200 and a [`control::operator::Status`] |
//!
//! Answers that are no success are `{"error": "..."}`, one line for people.

mod spools;
mod status;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Extension, Json, Router};
use control::operator::Push;
use jiff::Timestamp;
use model::{MailboxId, SlotId};
use store::StoreError;
use tls::{Peer, Role};

use crate::directory::PushError;
use crate::keysets::InstallError;
use crate::shard::Shard;
use crate::wire_service;

pub use spools::SeenSpools;

/// Largest directory in octets: 200,000 addresses.
const MAX_DIRECTORY: usize = 64 << 20;

/// The routes, to be served beside the wire.
pub fn router(shard: Arc<Shard>) -> Router {
    Router::new()
        .route("/v1/directory", put(push).get(pushed).layer(DefaultBodyLimit::max(MAX_DIRECTORY)))
        .route("/v1/keys/{mailbox}", put(keys))
        .route("/v1/keys/{mailbox}/slots/{slot}", delete(slot))
        .route("/v1/policies", put(policies).get(in_force).layer(DefaultBodyLimit::max(MAX_DIRECTORY)))
        .route("/v1/status", get(status))
        .layer(middleware::from_fn(operators_only))
        .with_state(shard)
}

async fn operators_only(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    if peer.role == Role::Operator {
        return next.run(request).await;
    }
    refuse(StatusCode::FORBIDDEN, &format!("the role {} may not use the control endpoints", peer.role))
}

async fn pushed(State(shard): State<Arc<Shard>>) -> Response {
    match shard.routes.pushed().await {
        Ok(Some(push)) => Json(push).into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn push(State(shard): State<Arc<Shard>>, body: Bytes) -> Response {
    let pushed: Push = match serde_json::from_slice(&body) {
        Ok(pushed) => pushed,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("not a directory: {error}")),
    };
    let generation = pushed.directory.generation;
    match shard.routes.push(pushed, Timestamp::now()).await {
        Ok(()) => {
            tracing::info!(%generation, "the directory is in force");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(PushError::Refused(refusal)) => {
            tracing::warn!(%generation, %refusal, "a directory was refused");
            refuse(StatusCode::CONFLICT, &refusal.to_string())
        }
        Err(PushError::Store(error)) => unavailable(&error),
    }
}

async fn keys(State(shard): State<Arc<Shard>>, Path(mailbox): Path<String>, body: Bytes) -> Response {
    let known = mailbox.parse::<MailboxId>().ok().filter(|id| shard.entry(*id).is_ok());
    let Some(mailbox) = known else {
        return refuse(StatusCode::NOT_FOUND, &format!("{mailbox} is not a mailbox of this shard"));
    };
    match shard.keysets.install(mailbox, body.to_vec()).await {
        Ok(()) => {
            tracing::info!(%mailbox, "keys are installed");
            shard.routes.keyed(mailbox).await;
            StatusCode::CREATED.into_response()
        }
        Err(InstallError::Store(StoreError::KeysExist)) => {
            // Perhaps by a request whose connection broke before this was noted.
            shard.routes.keyed(mailbox).await;
            refuse(StatusCode::CONFLICT, &format!("KeysExist: {mailbox} has keys already"))
        }
        Err(InstallError::Store(error)) => unavailable(&error),
        Err(InstallError::Crypto(error)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn slot(State(shard): State<Arc<Shard>>, Path((mailbox, slot)): Path<(String, u32)>) -> Response {
    let known = mailbox.parse::<MailboxId>().ok().filter(|id| shard.entry(*id).is_ok());
    let Some(mailbox) = known else {
        return refuse(StatusCode::NOT_FOUND, &format!("{mailbox} is not a mailbox of this shard"));
    };
    match shard.keysets.remove_slot(mailbox, SlotId(slot)).await {
        Ok(true) => {
            tracing::info!(%mailbox, slot, "a slot was revoked");
            wire_service::revoke(&shard, mailbox, Some(SlotId(slot)));
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(false) => refuse(StatusCode::NOT_FOUND, &format!("{mailbox} has no slot {slot}")),
        Err(InstallError::Store(error)) => unavailable(&error),
        Err(InstallError::Crypto(error)) => refuse(StatusCode::CONFLICT, &error.to_string()),
    }
}

async fn policies(State(shard): State<Arc<Shard>>, body: Bytes) -> Response {
    let wanted = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("no policies: {error}")),
    };
    match shard.wanted.push(wanted).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn in_force(State(shard): State<Arc<Shard>>) -> Response {
    shard.wanted.policies().map_or_else(|| StatusCode::NO_CONTENT.into_response(), |it| Json(it).into_response())
}

async fn status(State(shard): State<Arc<Shard>>) -> Response {
    match status::observe(&shard).await {
        Ok(status) => Json(status).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &StoreError) -> Response {
    tracing::error!(%error, "a control request failed");
    refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, Json(serde_json::json!({ "error": text }))).into_response()
}
