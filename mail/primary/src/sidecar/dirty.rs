//! `GET /v1/dirty`: what was committed, as soon as it is.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use control::DirtyBatch;
use model::BootId;

use super::parameter;
use crate::shard::Shard;

/// An answer comes after that time, whether anything happened or not.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Commits after a cursor of this start; those since this start for whoever comes from another one.
pub async fn dirty(State(shard): State<Arc<Shard>>, RawQuery(query): RawQuery) -> Json<DirtyBatch> {
    let notices = shard.archive.notices();
    let after = parameter(query.as_deref(), "after").unwrap_or(0);
    let (cursor, dirty) = if parameter::<BootId>(query.as_deref(), "boot") == Some(shard.boot) {
        tokio::select! {
            batch = notices.wait_after(after, PATIENCE) => batch,
            () = shard.stop.cancelled() => notices.after(after),
        }
    } else {
        notices.after(0)
    };
    Json(DirtyBatch { boot: shard.boot, cursor, dirty })
}
