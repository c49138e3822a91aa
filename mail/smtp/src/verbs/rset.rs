//! RSET (RFC 5321 section 4.1.1.5).

use crate::Delivery;
use crate::reply::{self, Reply};
use crate::session::State;

impl<D: Delivery> State<D> {
    pub(crate) fn rset(&mut self) -> Reply {
        self.transaction = None;
        reply::ok()
    }
}
