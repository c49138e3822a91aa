//! The task that keeps a link up: connects, reads, pings, and begins again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::verbs::{Code, Failure};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::lane::Lane;
use super::{ClientConfig, Link, Shared};
use crate::codec::{decode, encode};
use crate::limits::{
    BACKOFF, CONNECT_LIMIT, HURRY, LIVE_EVERY, MAX_CALLS, MAX_DIRECTORY, MAX_KEY_QUERIES, MAX_REQUEST, MAX_STREAMS,
    PING_EVERY, SESSIONS_PER_MESSAGE, SILENCE,
};
use crate::outbox::{Writer, outbox};
use crate::proto::{self, Hello, HelloReply, LinkId, OLDEST, PATH, ToPrimary, ToSecondary, VERSION};
use crate::socket::{End, MessageReader, MessageWriter};
use crate::{WireError, socket};

type Tls = TlsStream<TcpStream>;

/// A socket past Hello.
struct Dialled {
    hello: HelloReply,
    writer: MessageWriter<WriteHalf<Tls>>,
    reader: MessageReader<ReadHalf<Tls>>,
}

/// Everything a connection is made of.
struct Keeper {
    config: ClientConfig,
    tls: TlsConnector,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// Starts the task; it ends with `stop`.
pub fn start(config: ClientConfig, shared: Arc<Shared>, stop: CancellationToken) -> Result<(), WireError> {
    let role = tls::Role::Primary(config.shard);
    let tls = TlsConnector::from(config.identity.client_config(role)?);
    let keeper = Keeper { config, tls, shared, stop: stop.clone() };
    // Owned by the token: the last client cancels it.
    tokio::spawn(async move { stop.run_until_cancelled_owned(Box::pin(keeper.run())).await });
    Ok(())
}

impl Keeper {
    async fn run(&self) {
        let mut pause = BACKOFF.0;
        // One line per outage, not one per attempt.
        let mut told = false;
        // A primary that said goodbye comes back soon, and it should not have to wait for us then.
        let mut hurry = Instant::now();
        loop {
            match self.connect().await {
                Ok((link, tasks)) => {
                    tracing::info!(shard = %self.config.shard, boot = %link.hello.boot, "connected to the shard");
                    (pause, told) = (BACKOFF.0, false);
                    let error = self.hold(link.clone(), tasks).await;
                    if link.draining.load(Ordering::Relaxed) {
                        hurry = Instant::now() + HURRY;
                    }
                    tracing::warn!(shard = %self.config.shard, %error, "the link to the shard broke");
                }
                Err(error) if told => tracing::debug!(shard = %self.config.shard, %error, "the shard is still away"),
                Err(error) => {
                    tracing::warn!(shard = %self.config.shard, %error, "the shard cannot be reached");
                    told = true;
                }
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = if Instant::now() < hurry { BACKOFF.0 } else { (pause * 2).min(BACKOFF.1) };
        }
    }

    /// Both sockets, their tasks running.
    async fn connect(&self) -> Result<(Arc<Link>, JoinSet<Result<(), WireError>>), WireError> {
        let id = LinkId(random());
        let first = self.dial(id, proto::Lane::Control).await?;
        let second = self.dial(id, proto::Lane::Bulk).await?;
        if first.hello.boot != second.hello.boot {
            return Err(WireError::Protocol("two different primaries answered"));
        }
        let ((control, control_writer), (bulk, bulk_writer)) = (outbox(), outbox());
        let link = Arc::new(Link {
            id,
            hello: first.hello.clone(),
            control: Lane::new(control, MAX_CALLS),
            bulk: Lane::new(bulk, MAX_STREAMS),
            closed: self.stop.child_token(),
            draining: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        spawn_socket(&mut tasks, &self.shared, &link, link.control.clone(), first, control_writer);
        spawn_socket(&mut tasks, &self.shared, &link, link.bulk.clone(), second, bulk_writer);
        tasks.spawn(ping(self.shared.clone(), link.clone()));
        Ok((link, tasks))
    }

    /// Until the link breaks; why it did.
    async fn hold(&self, link: Arc<Link>, mut tasks: JoinSet<Result<(), WireError>>) -> WireError {
        let held = Held { shared: &self.shared, link: link.clone() };
        // The primary must know who is here before mail for them comes.
        if let Err(error) = report(&self.shared, &link).await {
            return error;
        }
        self.shared.events.connected(&link.hello);
        self.shared.link.send_replace(Some(link));
        let ended = tasks.join_next().await;
        drop(held);
        tasks.shutdown().await;
        match ended {
            Some(Ok(Err(error))) => error,
            _ => WireError::Closed,
        }
    }

    async fn dial(&self, link: LinkId, lane: proto::Lane) -> Result<Dialled, WireError> {
        let dialling = async {
            let tcp = TcpStream::connect(&self.config.address).await?;
            socket::tune(&tcp);
            let stream = self.tls.connect(tls::internal_name(), tcp).await?;
            let url = format!("ws://sealpost{PATH}");
            let (upgraded, _) = tokio_tungstenite::client_async(url, stream).await.map_err(WireError::web_socket)?;
            // The primary says nothing before Hello, so no octet of it can be in there.
            let (mut writer, mut reader) = socket::messages(upgraded.into_inner(), End::Client, MAX_DIRECTORY);
            let directory = self.shared.directory();
            let (generation, keyed) = (directory.as_ref().map(|d| d.generation), proto::keyed(directory.as_deref()));
            let hello = Hello { version: VERSION, oldest: OLDEST, link, lane, generation, keyed };
            writer.send(encode(&ToPrimary::Hello(hello), MAX_REQUEST)?).await?;
            let hello = welcome(&reader.next(CONNECT_LIMIT).await?)?;
            if hello.shard != self.config.shard {
                return Err(WireError::Protocol("another shard answered"));
            }
            Ok(Dialled { hello, writer, reader })
        };
        tokio::time::timeout(CONNECT_LIMIT, dialling).await.map_err(|_| WireError::Silent)?
    }
}

fn welcome(message: &[u8]) -> Result<HelloReply, WireError> {
    match decode(message)? {
        ToSecondary::Welcome(reply) if reply.version >= OLDEST => Ok(reply),
        ToSecondary::Welcome(reply) => {
            let text = format!("the primary speaks version {} only", reply.version);
            Err(WireError::Refused(Failure::new(Code::Cannot, text)))
        }
        ToSecondary::Refused(failure) => Err(WireError::Refused(failure)),
        _ => Err(WireError::Protocol("no answer to Hello")),
    }
}

/// Takes the link away again, however its task ends.
struct Held<'a> {
    shared: &'a Arc<Shared>,
    link: Arc<Link>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.link.closed.cancel();
        self.link.control.close();
        self.link.bulk.close();
        if self.shared.link.send_replace(None).is_some() {
            self.shared.events.disconnected();
        }
    }
}

fn spawn_socket(
    tasks: &mut JoinSet<Result<(), WireError>>,
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    lane: Arc<Lane>,
    dialled: Dialled,
    writer: Writer,
) {
    tasks.spawn(writer.run(dialled.writer, link.closed.clone()));
    let (shared, link) = (shared.clone(), link.clone());
    tasks.spawn(async move {
        let mut reader =
            Reader { shared, link, lane, queries: JoinSet::new(), room: Semaphore::new(MAX_KEY_QUERIES).into() };
        reader.run(dialled.reader).await
    });
}

struct Reader {
    shared: Arc<Shared>,
    link: Arc<Link>,
    lane: Arc<Lane>,
    queries: JoinSet<()>,
    room: Arc<Semaphore>,
}

impl Reader {
    async fn run(&mut self, mut stream: MessageReader<ReadHalf<Tls>>) -> Result<(), WireError> {
        loop {
            let message = stream.next(SILENCE).await?;
            while self.queries.try_join_next().is_some() {}
            match decode(&message)? {
                ToSecondary::Welcome(_) | ToSecondary::Refused(_) => {
                    return Err(WireError::Protocol("a second answer to Hello"));
                }
                ToSecondary::Reply { id, result } => self.lane.reply(id, result)?,
                ToSecondary::Event { id, event } => self.lane.event(id, event, message.len())?,
                ToSecondary::End { id, result } => self.lane.end(id, result),
                ToSecondary::Credit { id, bytes } => self.lane.credit(id, bytes),
                ToSecondary::Pong => {}
                ToSecondary::Changed { mailbox, hint } => self.shared.events.changed(mailbox, hint),
                ToSecondary::Directory(directory) => {
                    if self.shared.take_directory(&directory) {
                        self.shared.events.directory(directory);
                    }
                }
                ToSecondary::Revoked { session } => self.shared.events.revoked(session),
                ToSecondary::Draining => {
                    self.link.draining.store(true, Ordering::Relaxed);
                    self.shared.events.draining();
                }
                ToSecondary::KeyQuery { query, mailbox, nonce } => self.key_query(query, mailbox, nonce),
            }
        }
    }

    fn key_query(&mut self, query: u32, mailbox: model::MailboxId, nonce: [u8; 16]) {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            self.lane.urgent(&ToPrimary::KeyAnswer { query, attach: None });
            return;
        };
        let (shared, link, lane) = (self.shared.clone(), self.link.clone(), self.lane.clone());
        self.queries.spawn(async move {
            let attach = shared.events.key_query_dyn(mailbox, nonce, &link.hello).await;
            lane.urgent(&ToPrimary::KeyAnswer { query, attach: attach.map(Box::new) });
            drop(permit);
        });
    }
}

/// Shows both ends that the other is there, and renews the leases of all sessions.
async fn ping(shared: Arc<Shared>, link: Arc<Link>) -> Result<(), WireError> {
    let mut tick = tokio::time::interval(PING_EVERY);
    let mut reported = Instant::now();
    loop {
        tick.tick().await;
        link.control.urgent(&ToPrimary::Ping);
        link.bulk.urgent(&ToPrimary::Ping);
        if reported.elapsed() >= LIVE_EVERY {
            report(&shared, &link).await?;
            reported = Instant::now();
        }
    }
}

/// Reports all live sessions, also that there are none.
async fn report(shared: &Shared, link: &Link) -> Result<(), WireError> {
    let sessions = shared.events.live_sessions();
    let mut rest = sessions.as_slice();
    loop {
        let (part, behind) = rest.split_at(rest.len().min(SESSIONS_PER_MESSAGE));
        rest = behind;
        let message = ToPrimary::Live { sessions: part.to_vec(), last: rest.is_empty() };
        let sent = link.control.send(&message).await.map_err(|_| WireError::Closed)?;
        sent.map_err(|_| WireError::Protocol("a report of live sessions over the limit"))?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Between half and all of it, so that secondaries do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let [share, ..] = random();
    pause.mul_f64(0.5 + f64::from(share) / 512.0)
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Only before the system has any entropy. An id that is taken is refused, and the next attempt draws again.
        tracing::error!("the system gives no randomness");
    }
    bytes
}
