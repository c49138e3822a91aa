//! The order of APPENDs of a session, also when a link breaks under several of them.
//!
//! The primary keeps the order in which calls come over one link. Therefore: an APPEND that goes out for the first time
//! waits for those before it that have not gone out over the same link, or have to go out again; one that goes out again
//! waits until all before it are over.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::SessionId;
use tokio::sync::Notify;

use crate::proto::LinkId;

/// What has become of an APPEND in flight so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Never,
    Over(LinkId),
    /// It has to go out again.
    Again,
}

/// All APPENDs in flight, by session and number.
#[derive(Debug, Default)]
pub struct Order {
    flights: Mutex<HashMap<SessionId, BTreeMap<u64, Sent>>>,
    changed: Notify,
}

/// The place of one APPEND, until it is dropped.
#[derive(Debug)]
pub struct Place {
    order: Arc<Order>,
    session: SessionId,
    seq: u64,
}

impl Order {
    /// Takes the place of an APPEND. Places are taken in the order of the commands.
    pub fn enter(self: &Arc<Self>, session: SessionId, seq: u64) -> Place {
        self.lock().entry(session).or_default().insert(seq, Sent::Never);
        Place { order: self.clone(), session, seq }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, BTreeMap<u64, Sent>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until it may go out over that link, and notes that it does.
    pub async fn turn(&self, link: LinkId) {
        loop {
            let changed = self.order.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change is missed.
            changed.as_mut().enable();
            if self.take(link) {
                return;
            }
            changed.await;
        }
    }

    fn take(&self, link: LinkId) -> bool {
        let mut flights = self.order.lock();
        let Some(flight) = flights.get_mut(&self.session) else { return true };
        let is_again = flight.get(&self.seq) == Some(&Sent::Again);
        let is_before = |sent: &Sent| if is_again { true } else { *sent != Sent::Over(link) };
        if flight.range(..self.seq).any(|(_, sent)| is_before(sent)) {
            return false;
        }
        if !is_again {
            flight.insert(self.seq, Sent::Over(link));
        }
        drop(flights);
        self.order.changed.notify_waiters();
        true
    }

    /// It did not arrive, or was not taken: it has to go out again.
    pub fn again(&self) {
        if let Some(flight) = self.order.lock().get_mut(&self.session) {
            flight.insert(self.seq, Sent::Again);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut flights = self.order.lock();
        if let Some(flight) = flights.get_mut(&self.session) {
            flight.remove(&self.seq);
            if flight.is_empty() {
                flights.remove(&self.session);
            }
        }
        drop(flights);
        self.order.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId([1; 16]);
    const FIRST: LinkId = LinkId([1; 16]);
    const SECOND: LinkId = LinkId([2; 16]);

    #[test]
    fn first_sendings_follow_each_other_over_one_link_and_repetitions_go_one_by_one() {
        let order = Arc::new(Order::default());
        let [a, b, c] = [1, 2, 3].map(|seq| order.enter(SESSION, seq));
        assert!(!b.take(FIRST), "the one before has not gone out");
        assert!(a.take(FIRST) && b.take(FIRST));
        // The link breaks; the last to notice is the first.
        b.again();
        assert!(!b.take(SECOND), "it is to be repeated behind the first");
        assert!(!c.take(SECOND), "those before went over another link");
        a.again();
        assert!(a.take(SECOND));
        assert!(!b.take(SECOND) && !c.take(SECOND), "the first has no answer yet");
        drop(a);
        assert!(b.take(SECOND));
        assert!(!c.take(SECOND));
        drop(b);
        assert!(c.take(SECOND));
        let other = order.enter(SessionId([2; 16]), 1);
        assert!(other.take(SECOND), "sessions do not wait for each other");
        drop((c, other));
        assert!(order.lock().is_empty());
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let order = Arc::new(Order::default());
        let (a, b) = (order.enter(SESSION, 1), order.enter(SESSION, 2));
        let waiting = tokio::spawn(async move { b.turn(FIRST).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        a.turn(FIRST).await;
        waiting.await.unwrap();
    }
}
