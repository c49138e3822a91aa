//! The Secrets of a MailServer.
//!
//! | Secret | keys | made | goes with the MailServer |
//! |---|---|---|---|
//! | `<server>-shard-<n>-key` | `shard.key` | once; never again while the claim carries its fingerprint | no |
//! | `<server>-secret` | `server.key` | once | no |
//! | `<server>-ca`, `<server>-public-ca` | `tls.crt`, `tls.key` | once | no |
//! | `<server>-shard-<n>-tls`, `<server>-imap-tls`, `<server>-mx-tls` | `tls.crt`, `tls.key`, `ca.crt` | when due | yes |
//! | `<server>-buckets` | `<policy>.accessKeyId`, ..., of all policies | as those change | yes |
//! | `<server>-public-tls` | `tls.crt`, `tls.key`, `ca.crt` | when due, where the MailServer names none | yes |
//!
//! Secrets are neither listed nor watched: each is read by its name, and what was read is good for a while.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use api::conditions::reason;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PostParams};
use kube::{Api, Client};
use tls::{Authority, Life, Pair, Subject};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::error::{code, is_forbidden};
use crate::{OperatorError, apply};

/// How long a Secret that was found is taken for unchanged.
const FOUND: Duration = Duration::from_mins(10);
/// The same for one that was missed.
pub const MISSED: Duration = Duration::from_secs(10);
/// Leaves live 90 days and are renewed at 60.
const LIFE: Life = Life { days: 90, renew: 30 };

/// Something to tell on a condition: reason and message.
pub type Problem = (&'static str, String);

/// The data of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// Secrets of one namespace.
pub struct Secrets {
    api: Api<Secret>,
    namespace: String,
    /// Who we are, for the command that gives us access.
    account: String,
    read: HashMap<String, (Instant, Option<Data>)>,
    /// Something does not work: what was found is looked at as often as what was missed.
    hurry: bool,
}

/// Why a Secret cannot be used.
#[derive(Debug)]
pub enum Trouble {
    /// A person has to do something.
    Problem(Problem),
    /// Anything else.
    Error(OperatorError),
}

impl From<OperatorError> for Trouble {
    fn from(error: OperatorError) -> Self {
        Self::Error(error)
    }
}

impl From<tls::TlsError> for Trouble {
    fn from(error: tls::TlsError) -> Self {
        Self::Error(error.into())
    }
}

impl Secrets {
    /// Nothing has been read.
    pub fn new(client: Client, namespace: &str, operator_namespace: &str) -> Self {
        let account = format!("{operator_namespace}:sealpost-operator");
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            account,
            read: HashMap::new(),
            hurry: false,
        }
    }

    /// The data of a Secret, if there is one.
    pub async fn get(&mut self, name: &str) -> Result<Option<Data>, Trouble> {
        if let Some((at, data)) = self.read.get(name) {
            let fresh = if data.is_some() && !self.hurry { FOUND } else { MISSED };
            if at.elapsed() < fresh {
                return Ok(data.clone());
            }
        }
        let found = self.api.get_opt(name).await.map_err(|error| self.refused(name, error))?;
        let data = found.map(|secret| secret.data.unwrap_or_default());
        self.read.insert(name.to_owned(), (Instant::now(), data.clone()));
        Ok(data)
    }

    /// Says whether something does not work that a Secret might be the cause of.
    pub fn hurry(&mut self, hurry: bool) {
        self.hurry = hurry;
    }

    /// The Secret, made by `make` if there is none; what is there is never replaced.
    pub async fn once(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
        make: impl FnOnce() -> Result<Data, OperatorError>,
    ) -> Result<Data, Trouble> {
        if let Some(data) = self.get(name).await? {
            return Ok(data);
        }
        let data = make()?;
        let metadata =
            ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.clone()), ..ObjectMeta::default() };
        let secret = Secret { metadata, data: Some(data.clone()), ..Secret::default() };
        self.read.remove(name);
        match self.api.create(&PostParams::default(), &secret).await {
            Ok(_) => Ok(data),
            // Somebody was faster: theirs counts.
            Err(error) if code(&error) == Some(409) => {
                let there = self.get(name).await?;
                there.ok_or_else(|| Trouble::Error(OperatorError::Ended("making a Secret")))
            }
            Err(error) => Err(self.refused(name, error)),
        }
    }

    /// Writes a Secret that is ours to replace.
    pub async fn put(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
        owner: &OwnerReference,
        data: Data,
    ) -> Result<(), Trouble> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels.clone()),
                owner_references: Some(vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            data: Some(data.clone()),
            ..Secret::default()
        };
        let written = self.api.patch(name, &apply::params(), &Patch::Apply(&secret)).await;
        written.map_err(|error| self.refused(name, error))?;
        self.read.insert(name.to_owned(), (Instant::now(), Some(data)));
        Ok(())
    }

    /// A CA, made once.
    pub async fn authority(
        &mut self,
        name: &str,
        subject: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Authority, Trouble> {
        let data = self.once(name, labels, || Ok(store(&Authority::mint(subject)?.1, None))).await?;
        let pair = pair(&data).ok_or_else(|| invalid(name, "tls.crt and tls.key of the CA"))?;
        Ok(Authority::load(subject, &pair)?)
    }

    /// A leaf of that CA for that subject, issued when it is due.
    pub async fn leaf(
        &mut self,
        name: &str,
        authority: &Authority,
        subject: Subject<'_>,
        labels: &BTreeMap<String, String>,
        owner: &OwnerReference,
    ) -> Result<(), Trouble> {
        let there = self.get(name).await?;
        let current = there.as_ref().and_then(pair);
        let trusted = there.as_ref().and_then(|data| data.get("ca.crt"));
        let trusts = trusted.is_some_and(|ca| ca.0 == authority.certificate().as_bytes());
        let good = |pair: Pair| authority.still_serves(&pair, subject, LIFE, Timestamp::now());
        if trusts && current.is_some_and(good) {
            return Ok(());
        }
        tracing::info!(secret = name, "a certificate is issued");
        let issued = authority.issue(subject, LIFE)?;
        self.put(name, labels, owner, store(&issued, Some(authority.certificate()))).await
    }

    fn refused(&self, name: &str, error: kube::Error) -> Trouble {
        if !is_forbidden(&error) {
            return Trouble::Error(OperatorError::api(format!("use Secret/{name}"))(error));
        }
        let message = format!(
            "the operator may not use Secrets here: kubectl -n {} create rolebinding sealpost-operator --clusterrole=sealpost-tenant --serviceaccount={}",
            self.namespace, self.account
        );
        Trouble::Problem((reason::SECRET_ACCESS_DENIED, message))
    }
}

/// What is wrong with a Secret that somebody provides.
pub fn invalid(name: &str, what: &str) -> Trouble {
    Trouble::Problem((reason::SECRET_INVALID, format!("Secret `{name}` does not hold {what}: mend or remove it")))
}

/// The first half of the SHA-256 of a shard key.
pub fn fingerprint(key: &[u8]) -> String {
    HEXLOWER.encode(&crypto::sha256(key)[..16])
}

/// The certificate and key of a Secret of the TLS form.
pub fn pair(data: &Data) -> Option<Pair> {
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(Pair { certificate: text("tls.crt")?, key: Zeroizing::new(text("tls.key")?) })
}

fn store(pair: &Pair, ca: Option<&str>) -> Data {
    let mut data = Data::from([
        ("tls.crt".to_owned(), ByteString(pair.certificate.clone().into_bytes())),
        ("tls.key".to_owned(), ByteString(pair.key.as_bytes().to_vec())),
    ]);
    data.extend(ca.map(|ca| ("ca.crt".to_owned(), ByteString(ca.as_bytes().to_vec()))));
    data
}
