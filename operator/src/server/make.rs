//! Makes what a MailServer consists of: keys, certificates, claims, then the children.

use std::collections::BTreeMap;

use api::MailServer;
use api::conditions::reason;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use model::{ServerId, ShardId};
use serde_json::json;
use tls::{Authority, Identity, Life, Peer, Role, Subject};

use super::secrets::{self, Data, Trouble};
use super::volumes::{self, Growth};
use super::{Found, Identified, Server};
use crate::children::{Observed, owner, plan};
use crate::metrics::Wrote;
use crate::names;
use crate::shard::ShardClient;
use crate::{OperatorError, error};

/// Subject of the CA of internal links.
const INTERNAL: &str = "Sealpost internal CA";
/// Subject of the CA that signs for mail clients where nobody else does.
const PUBLIC: &str = "Sealpost public CA";
/// The operator's own certificate is in memory only, and another one with every start.
const OPERATOR_LIFE: Life = Life { days: 397, renew: 30 };

impl Server {
    /// Brings everything to what it should be. What a person has to mend is noted, and the rest goes on.
    pub(super) async fn make(&mut self, server: &MailServer) -> Result<(), OperatorError> {
        self.found = Found { image: self.image(server), ..Found::default() };
        match self.try_make(server).await {
            Ok(()) => Ok(()),
            Err(Trouble::Problem(problem)) => {
                self.found.blocked = Some(problem);
                Ok(())
            }
            Err(Trouble::Error(OperatorError::Api { what, source })) if is_refusal(&source) => {
                self.found.blocked = Some((reason::APPLY_FAILED, format!("cannot {what}: {source}")));
                Ok(())
            }
            Err(Trouble::Error(error)) => Err(error),
        }
    }

    async fn try_make(&mut self, server: &MailServer) -> Result<(), Trouble> {
        let name = server.name_any();
        let labels = names::labels(&name);
        let id = self.id(server);
        let internal = self.secrets.authority(&format!("{name}-ca"), INTERNAL, &labels).await?;
        let random = || Ok(Data::from([("server.key".to_owned(), ByteString(crypto::random::<32>().to_vec()))]));
        self.secrets.once(&format!("{name}-secret"), &labels, random).await?;
        self.identify(server, &id, &internal)?;
        let shards: Vec<ShardId> = (0..u32::try_from(server.spec.shards).unwrap_or(1)).map(ShardId).collect();
        for shard in shards {
            self.volume(server, &id, shard).await?;
            let peer = Peer::new(id.clone(), Role::Primary(shard));
            self.leaf(server, &format!("{}-tls", names::shard(&name, shard)), &internal, Subject::Peer(&peer)).await?;
        }
        for (front, role) in [("imap", Role::Imap), ("mx", Role::Mx)] {
            let peer = Peer::new(id.clone(), role);
            self.leaf(server, &format!("{name}-{front}-tls"), &internal, Subject::Peer(&peer)).await?;
        }
        let public_secret = self.public_certificate(server, &labels).await?;
        let buckets = self.buckets(server);
        let observed = Observed {
            server,
            id: &id,
            image: &self.found.image,
            public_secret: &public_secret,
            operator_namespace: &self.context.config.namespace,
            buckets: &buckets,
        };
        let children = plan(&observed);
        for child in children {
            // A shard whose key is lost must not start with another one.
            let lost =
                |shard: &ShardId| child.resource.kind == "StatefulSet" && child.name == names::shard(&name, *shard);
            if self.found.shards.keys().any(lost) {
                continue;
            }
            if self.applied.apply(&self.context.client, &self.key.0, &child).await? {
                self.context.metrics.wrote(Wrote::Child);
            }
        }
        Ok(())
    }

    /// The image: what is declared, else what runs, else our own.
    fn image(&self, server: &MailServer) -> String {
        let running = || {
            let index = self.context.watched.index();
            let set = index.sets.get(&(self.key.0.clone(), names::shard(&self.key.1, ShardId(0))))?;
            let pod = set.spec.as_ref()?.template.spec.as_ref()?;
            pod.containers.iter().find(|container| container.name == "primary")?.image.clone()
        };
        let declared = server.spec.image.clone();
        declared.or_else(running).unwrap_or_else(|| self.context.image.clone())
    }

    /// The id that the first claim carries, else the object's own.
    fn id(&self, server: &MailServer) -> ServerId {
        let index = self.context.watched.index();
        let claim = index.claims.get(&(self.key.0.clone(), names::claim(&self.key.1, ShardId(0))));
        let kept = claim.and_then(|claim| claim.annotations().get(names::SERVER_ID).cloned());
        ServerId(kept.unwrap_or_else(|| server.uid().unwrap_or_default()))
    }

    /// Our own certificate, and the way to each shard with it.
    fn identify(&mut self, server: &MailServer, id: &ServerId, internal: &Authority) -> Result<(), Trouble> {
        let count = usize::try_from(server.spec.shards).unwrap_or(1);
        let known = self.identity.as_ref().is_some_and(|known| {
            known.id == *id && known.shards.len() == count && known.authority == internal.certificate()
        });
        if known {
            return Ok(());
        }
        let peer = Peer::new(id.clone(), Role::Operator);
        let pair = internal.issue(Subject::Peer(&peer), OPERATOR_LIFE)?;
        let identity = Identity::from_pair(&pair, internal.certificate())?;
        let mut shards = BTreeMap::new();
        for shard in (0..u32::try_from(count).unwrap_or(1)).map(ShardId) {
            let address = names::wire_address(&self.key.0, &self.key.1, shard);
            shards.insert(shard, ShardClient { address, tls: identity.client_config(Role::Primary(shard))? });
        }
        self.identity = Some(Identified { id: id.clone(), authority: internal.certificate().to_owned(), shards });
        Ok(())
    }

    async fn leaf(
        &mut self,
        server: &MailServer,
        name: &str,
        authority: &Authority,
        subject: Subject<'_>,
    ) -> Result<(), Trouble> {
        let labels = names::labels(&server.name_any());
        self.secrets.leaf(name, authority, subject, &labels, &owner(server)).await
    }

    /// The Secret with the certificate that mail clients see.
    async fn public_certificate(
        &mut self,
        server: &MailServer,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, Trouble> {
        let name = server.name_any();
        let declared = server.spec.tls.as_ref().and_then(|tls| tls.secret_refs.first());
        let Some(declared) = declared else {
            let public = self.secrets.authority(&format!("{name}-public-ca"), PUBLIC, labels).await?;
            let secret = format!("{name}-public-tls");
            self.leaf(server, &secret, &public, Subject::Host(&server.spec.hostname)).await?;
            self.found.self_signed = true;
            return Ok(secret);
        };
        let data = self.secrets.get(&declared.name).await?;
        let usable = data.as_ref().and_then(secrets::pair);
        self.found.certificates = match (data, usable) {
            (None, _) => {
                let message = format!("there is no Secret `{}`: make one of type kubernetes.io/tls", declared.name);
                Some((reason::SECRET_NOT_FOUND, message))
            }
            (Some(_), None) => match secrets::invalid(&declared.name, "tls.crt and tls.key") {
                Trouble::Problem(problem) => Some(problem),
                Trouble::Error(_) => None,
            },
            (Some(_), Some(pair)) => expiry(&declared.name, &pair.certificate),
        };
        Ok(declared.name.clone())
    }

    /// Key and claim of a shard. A key is minted only where no volume waits for another one.
    async fn volume(&mut self, server: &MailServer, id: &ServerId, shard: ShardId) -> Result<(), Trouble> {
        let name = server.name_any();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), &self.key.0);
        let claim_name = names::claim(&name, shard);
        let found = claims.get_opt(&claim_name).await.map_err(OperatorError::api(format!("read {claim_name}")))?;
        let expected = found.as_ref().and_then(|claim| claim.annotations().get(names::FINGERPRINT).cloned());
        let secret = names::shard_key(&name, shard);
        if expected.is_some() && self.secrets.get(&secret).await?.is_none() {
            let message = format!(
                "Secret `{secret}` is gone, and PersistentVolumeClaim `{claim_name}` was made with it: restore the Secret from a backup"
            );
            self.found.shards.insert(shard, (reason::SHARD_KEY_MISSING, message));
            return Ok(());
        }
        let random = || Ok(Data::from([("shard.key".to_owned(), ByteString(crypto::random::<32>().to_vec()))]));
        let data = self.secrets.once(&secret, &names::of_shard(&name, shard), random).await?;
        let Some(key) = data.get("shard.key").filter(|key| key.0.len() == 32) else {
            return Err(secrets::invalid(&secret, "the 32 bytes of shard.key"));
        };
        let print = secrets::fingerprint(&key.0);
        if expected.as_ref().is_some_and(|expected| *expected != print) {
            let message = format!(
                "Secret `{secret}` is not the one that PersistentVolumeClaim `{claim_name}` was made with: restore the right one"
            );
            self.found.shards.insert(shard, (reason::SHARD_KEY_MISSING, message));
            return Ok(());
        }
        let Some(claim) = found else {
            let fresh = volumes::claim(server, id, shard, &print);
            let made = claims.create(&PostParams::default(), &fresh).await;
            made.map_err(OperatorError::api(format!("create {claim_name}")))?;
            return Ok(());
        };
        let mut patch = json!({});
        if expected.is_none() {
            patch["metadata"]["annotations"] = json!({names::FINGERPRINT: print, names::SERVER_ID: id});
        }
        match volumes::growth(server, &claim) {
            Growth::Settled => {}
            Growth::Ask => {
                patch["spec"]["resources"]["requests"]["storage"] = json!(volumes::wanted(server));
                self.found.storage = Some((reason::GROWING, format!("{claim_name} grows")));
            }
            Growth::Underway(problem) | Growth::Refused(problem) => self.found.storage = Some(problem),
        }
        if patch != json!({}) {
            let params = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
            let patched = claims.patch(&claim_name, &params, &Patch::Merge(&patch)).await;
            patched.map_err(OperatorError::api(format!("patch {claim_name}")))?;
        }
        Ok(())
    }
}

/// A certificate that has ended is worse than none.
fn expiry(secret: &str, certificate: &str) -> Option<(&'static str, String)> {
    let Some(ends) = tls::expires(certificate.as_bytes()) else {
        return Some((reason::SECRET_INVALID, format!("Secret `{secret}` holds no certificate: mend its tls.crt")));
    };
    let over = ends <= jiff::Timestamp::now();
    over.then(|| (reason::SECRET_INVALID, format!("the certificate in Secret `{secret}` ended at {ends}: renew it")))
}

/// True where asking again changes nothing.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error::code(error), Some(400 | 403 | 422))
}
