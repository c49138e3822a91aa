//! QUIT (RFC 5321 section 4.1.1.10).

use crate::Delivery;
use crate::reply::Reply;
use crate::session::State;

impl<D: Delivery> State<D> {
    pub(crate) fn quit(&mut self) -> Reply {
        self.transaction = None;
        Reply::new(221, "2.0.0", "Bye").closing()
    }
}
