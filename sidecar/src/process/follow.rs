//! Following the primary: what it says comes in as [`Event`]s; what it is to know goes out until it has heard it.

use std::time::Duration;

use control::report::Report;
use control::{Dirty, Hello, PolicyBatch, Shard};
use files::fault;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Client;
use super::untold::Untold;

/// Wait before the primary is asked again after it did not answer: a fraction of the shortest lag.
const AGAIN: Duration = Duration::from_millis(250);

/// What the primary says.
#[derive(Debug)]
pub enum Event {
    /// It is there, or is there again: what was heard before is worth nothing.
    Primary(Shard),
    /// It does not answer.
    Away,
    /// Commits.
    Dirty(Vec<Dirty>),
    /// Other policies or runs.
    Policies(Box<PolicyBatch>),
}

/// Follows commits until `stop`.
pub async fn commits(client: Client, hello: Hello, events: mpsc::Sender<Event>, stop: CancellationToken) {
    let follow = async {
        let mut told_away = false;
        loop {
            match client.hello(&hello).await {
                Ok(shard) => {
                    told_away = false;
                    if follow_boot(&client, shard, &events).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "no primary"),
            }
            if !told_away && events.send(Event::Away).await.is_err() {
                return;
            }
            told_away = true;
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = follow => {}
        () = stop.cancelled() => {}
    }
}

/// Follows one start of the primary. An error means that nobody listens to the events any more.
async fn follow_boot(client: &Client, shard: Shard, events: &mpsc::Sender<Event>) -> Result<(), ()> {
    let (boot, mut cursor) = (shard.boot, 0);
    events.send(Event::Primary(shard)).await.map_err(drop)?;
    loop {
        match client.dirty(boot, cursor).await {
            Ok(batch) if batch.boot == boot => {
                cursor = batch.cursor;
                if !batch.dirty.is_empty() {
                    events.send(Event::Dirty(batch.dirty)).await.map_err(drop)?;
                }
            }
            Ok(_) => return Ok(()),
            Err(error) => {
                tracing::debug!(%error, "the primary was lost");
                return Ok(());
            }
        }
    }
}

/// Follows policies until `stop`.
pub async fn policies(client: Client, events: mpsc::Sender<Event>, stop: CancellationToken) {
    let follow = async {
        let mut cursor = 0;
        loop {
            match client.policies(cursor).await {
                Ok(batch) if batch.cursor == cursor => {}
                Ok(batch) => {
                    cursor = batch.cursor;
                    if events.send(Event::Policies(Box::new(batch))).await.is_err() {
                        return;
                    }
                }
                Err(_) => {
                    // Another start of the primary counts from the beginning.
                    cursor = 0;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = stop.cancelled() => {}
    }
}

/// Tells the primary what is safe and how things are, until `stop`.
pub async fn tell(
    client: Client,
    untold: Untold,
    mut report: watch::Receiver<Option<Report>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            (all, waiting) = untold.take() => {
                let told = client.archived(&all).await;
                fault::point("ship.told.after");
                if let Err(error) = told {
                    tracing::debug!(%error, "the primary was not told what is archived");
                    // Who waits for it goes on without: what is told later would be of numbers that mean something else.
                    // The next turn of the mailbox makes up for it.
                    if waiting.is_empty() {
                        untold.put_back(&all);
                        tokio::time::sleep(AGAIN).await;
                    }
                }
                for back in waiting {
                    let _ = back.send(());
                }
            }
            changed = report.changed() => {
                let Ok(()) = changed else { return };
                let now = report.borrow_and_update().clone();
                if let Some(now) = now && let Err(error) = client.report(&now).await {
                    tracing::debug!(%error, "the primary did not take the report");
                }
            }
            () = stop.cancelled() => return,
        }
    }
}
