//! APPEND: a request with a body stream.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Delta, View};
use crate::{Uid, UidValidity};

/// One message to add to a folder; its bytes follow as a stream of `size` octets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// See the invariants of [`super`].
    pub seq: u64,
    /// The target folder's name.
    pub folder: String,
    /// Names of system flags and keywords.
    pub flags: Vec<String>,
    /// INTERNALDATE; none = now.
    pub internal_date: Option<Timestamp>,
    /// Octets of the message.
    pub size: u64,
    /// The selected folder's view, if one is selected: the answer then carries its delta.
    pub view: Option<View>,
}

/// Answer to [`Append`]: the message is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The folder's UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// The message's UID.
    pub uid: Uid,
    /// Delta of `view`, read after the append.
    pub delta: Option<Delta>,
}
