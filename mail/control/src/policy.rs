//! What the operator wants from the sidecar, relayed by the primary.

use model::backup::{Policies, Run};
use serde::{Deserialize, Serialize};

/// Answer to `GET /v1/policies`: what the operator pushed, see [`crate::operator::Wanted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyBatch {
    /// Ask with it next.
    pub cursor: u64,
    /// Policies in force; absent before the first push ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Policies>,
    /// True once the operator has spoken to this start of the primary: only then are `runs` all that are wanted.
    #[serde(default)]
    pub pushed: bool,
    /// Runs that are wanted; one that is gone was cancelled.
    pub runs: Vec<RunAssignment>,
}

/// A run and who may execute it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunAssignment {
    /// What to do.
    pub run: Run,
    /// Fences executors: a sidecar works on a run only under the executor id given here. Another one asks for another
    /// attempt at a run that has failed; one that was done is not done again.
    pub executor: String,
}
