//! The data plane of `up`: a primary with its sidecar, IMAP processes, an MX.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use api::MailServer;
use model::{ServerId, ShardId, Term};
use operator::ShardClient;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::buckets;
use super::child::{Endpoints, Spec, Supervised};
use super::pki::Pki;
use super::ports::Chooser;
use super::reconcile::Reconciler;
use super::state::{Memory, StateDir};
use super::status::Status;
use crate::args::Up;

/// The processes and what they need.
pub struct Plane {
    server: ServerId,
    hostname: String,
    term: Term,
    pki: Pki,
    chooser: Chooser,
    operator: Arc<rustls::ClientConfig>,
    /// Takes up an operator's certificate that was replaced on disk.
    _follow: AbortOnDropHandle<()>,
    shard_key: PathBuf,
    server_secret: PathBuf,
    primary: Option<Supervised>,
    sidecar: Option<Supervised>,
    fronts: Vec<(Supervised, u16)>,
    tasks: JoinSet<()>,
    stop_primary: CancellationToken,
    stop_sidecar: CancellationToken,
    stop_fronts: CancellationToken,
}

impl Plane {
    /// Nothing runs yet.
    pub fn new(
        state: &StateDir,
        memory: &Memory,
        server: &MailServer,
        pki: Pki,
        chooser: Chooser,
    ) -> anyhow::Result<Self> {
        let identity = tls::Identity::load(&pki.operator)?;
        Ok(Self {
            server: memory.server.clone(),
            term: memory.term,
            hostname: server.spec.hostname.clone(),
            operator: identity.client_config(tls::Role::Primary(ShardId(0)))?,
            _follow: AbortOnDropHandle::new(tokio::spawn(async move {
                tls::follow("the operator's", || identity.reload()).await;
            })),
            pki,
            chooser,
            shard_key: state.secret("shard-0.key")?,
            server_secret: state.secret("server.key")?,
            primary: None,
            sidecar: None,
            fronts: Vec::new(),
            tasks: JoinSet::new(),
            stop_primary: CancellationToken::new(),
            stop_sidecar: CancellationToken::new(),
            stop_fronts: CancellationToken::new(),
        })
    }

    /// Starts the primary and waits until it serves.
    pub async fn start_primary(&mut self, state: &StateDir) -> anyhow::Result<()> {
        let base = primary::Config {
            server: self.server.clone(),
            shard: ShardId(0),
            term: self.term,
            data: state.path("shard-0"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identity: self.pki.primary.clone(),
            shard_key: self.shard_key.clone(),
            server_secret: self.server_secret.clone(),
            sidecar: Some(state.path("run/sidecar.sock")),
            // The disk is shared with everything else on this machine: a share of it says nothing, 256 MiB do.
            tuning: primary::Tuning { floor_percent: 0, ..primary::Tuning::default() },
        };
        let chooser = self.chooser;
        let configure = move |before: &Endpoints| {
            let listen = chooser.choose("wire", 0, before);
            to_json(&primary::Config { listen, ..base.clone() })
        };
        let spec = spec(state, "primary-0", "primary", configure);
        let primary = Supervised::start(spec, self.stop_primary.clone(), &mut self.tasks);
        primary.ready().await.context("the primary does not start")?;
        self.primary = Some(primary);
        Ok(())
    }

    /// Starts the sidecar beside the primary. It finds the primary, and mail does not wait for it.
    pub async fn start_sidecar(&mut self, state: &StateDir) -> anyhow::Result<()> {
        let config = sidecar::process::Config {
            server: self.server.clone(),
            shard: ShardId(0),
            data: state.path("shard-0"),
            socket: state.path("run/sidecar.sock"),
            credentials: state.path(buckets::FOLDER),
            // As for the primary: the disk is not the volume's alone.
            tuning: sidecar::process::Tuning { floor_bytes: 256 << 20, ..sidecar::process::Tuning::default() },
        };
        let configure = move |_: &Endpoints| to_json(&config);
        let spec = spec(state, "sidecar-0", "sidecar", configure);
        let sidecar = Supervised::start(spec, self.stop_sidecar.clone(), &mut self.tasks);
        sidecar.ready().await.context("the sidecar does not start")?;
        self.sidecar = Some(sidecar);
        Ok(())
    }

    /// Starts the front ends and waits until they serve.
    pub async fn start_secondaries(
        &mut self,
        state: &StateDir,
        public: &tls::PublicFiles,
        options: &Up,
    ) -> anyhow::Result<()> {
        let chooser = self.chooser;
        for replica in 0..options.imap_replicas {
            let name = format!("secondary-imap-{replica}");
            let (base, dev_plain) = (self.secondary(&name, &self.pki.imap, public)?, options.dev_plain);
            let configure = move |before: &Endpoints| {
                let choose = |name| chooser.choose(name, replica, before);
                let plain = dev_plain.then(|| choose("imap-plain"));
                let listen = secondary::Listen::Imap { imaps: choose("imaps"), imap: choose("imap"), plain };
                to_json(&secondary::Config { listen, ..base.clone() })
            };
            let spec = spec(state, &name, "secondary", configure);
            self.fronts.push((Supervised::start(spec, self.stop_fronts.clone(), &mut self.tasks), replica));
        }
        let base = self.secondary("secondary-mx-0", &self.pki.mx, public)?;
        let configure = move |before: &Endpoints| {
            let listen = secondary::Listen::Mx { smtp: chooser.choose("mx", 0, before) };
            to_json(&secondary::Config { listen, ..base.clone() })
        };
        let spec = spec(state, "secondary-mx-0", "secondary", configure);
        self.fronts.push((Supervised::start(spec, self.stop_fronts.clone(), &mut self.tasks), 0));
        for (front, _) in &self.fronts {
            front.ready().await.with_context(|| format!("{} does not start", front.name))?;
        }
        Ok(())
    }

    /// True once front ends were started.
    pub fn has_fronts(&self) -> bool {
        !self.fronts.is_empty()
    }

    fn secondary(
        &self,
        name: &str,
        identity: &tls::IdentityFiles,
        public: &tls::PublicFiles,
    ) -> anyhow::Result<secondary::Config> {
        Ok(secondary::Config {
            server: self.server.clone(),
            hostname: self.hostname.clone(),
            shards: vec![secondary::Shard {
                id: ShardId(0),
                address: files::fault::detour(name, self.wire()?.to_string()),
            }],
            identity: identity.clone(),
            public: public.clone(),
            listen: secondary::Listen::Mx { smtp: SocketAddr::from(([127, 0, 0, 1], 0)) },
        })
    }

    fn wire(&self) -> anyhow::Result<SocketAddr> {
        let endpoints = self.primary.as_ref().and_then(|primary| primary.observed().endpoints);
        match endpoints.and_then(|endpoints| endpoints.get("wire").copied()) {
            Some(address) => Ok(address),
            None => bail!("the primary does not serve now"),
        }
    }

    /// The shard's control endpoint, while the primary serves.
    pub fn shard(&self) -> anyhow::Result<ShardClient> {
        Ok(ShardClient { address: self.wire()?.to_string(), tls: self.operator.clone() })
    }

    /// Stops the front ends, then the sidecar, then the primary.
    pub async fn stop(&mut self) {
        let behind = usize::from(self.primary.is_some()) + usize::from(self.sidecar.is_some());
        self.stop_fronts.cancel();
        while !self.fronts.is_empty() && self.tasks.len() > behind {
            self.tasks.join_next().await;
        }
        self.stop_sidecar.cancel();
        while self.sidecar.is_some() && self.tasks.len() > usize::from(self.primary.is_some()) {
            self.tasks.join_next().await;
        }
        self.stop_primary.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// What runs, and where.
    pub fn status(&self) -> Status {
        let mut status = Status { ready: self.primary.is_some() && !self.fronts.is_empty(), ..Status::default() };
        let behind = self.primary.iter().chain(&self.sidecar).map(|child| (child, 0));
        let all = behind.chain(self.fronts.iter().map(|(f, replica)| (f, *replica)));
        for (child, replica) in all {
            let observed = child.observed();
            status.ready &= observed.endpoints.is_some();
            status.pids.extend(observed.pid.map(|pid| (child.name.clone(), pid)));
            for (name, address) in observed.endpoints.into_iter().flatten().filter(|(name, _)| name != "wire") {
                let name = if replica == 0 { name } else { format!("{name}-{replica}") };
                status.endpoints.insert(name, address.to_string());
            }
        }
        status
    }

    /// What a person reads once everything serves.
    pub fn greeting(&self, reconciler: &Reconciler) -> String {
        let mut status = self.status();
        status.mailboxes.clone_from(&reconciler.mailboxes);
        let mut text = status.to_string();
        if let Some(ca) = &reconciler.public.ca {
            let _ = writeln!(text, "mail clients have to trust {}", ca.display());
        }
        let mx = status.endpoints.get("mx").cloned().unwrap_or_default();
        let to = reconciler.mailboxes.iter().find(|(_, mailbox)| mailbox.state == "Ready").map(|(address, _)| address);
        if let Some(to) = to {
            let _ = writeln!(text, "try: swaks --server {mx} --tls --to {to}");
        }
        let awaiting = reconciler.mailboxes.iter().find(|(_, mailbox)| mailbox.state == "AwaitingOwner");
        if let Some((address, _)) = awaiting {
            let _ = writeln!(text, "try: sealpost password {address} --state {}", reconciler.state.root().display());
        }
        text + "stop with Ctrl-C\n"
    }
}

fn spec(
    state: &StateDir,
    name: &str,
    role: &'static str,
    configure: impl Fn(&Endpoints) -> serde_json::Value + Send + Sync + 'static,
) -> Spec {
    Spec {
        name: name.to_owned(),
        role,
        config: state.path(&format!("run/{name}.json")),
        log: state.path(&format!("log/{name}.log")),
        configure: Box::new(configure),
    }
}

fn to_json<T: serde::Serialize>(config: &T) -> serde_json::Value {
    // A configuration is plain data with text keys: it always has a JSON form.
    serde_json::to_value(config).unwrap_or_default()
}
