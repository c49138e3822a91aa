//! `kubectl sealpost password`
//!
//! The secret is minted and shown here and nowhere else. What goes to the cluster is a Secret with the wrapped keys, which
//! the Mailbox is made to name; whoever reads it still needs the password. Needed rights: get, list and patch on Mailboxes,
//! create on Secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use api::{Mailbox, conditions};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use model::Address;
use serde_json::json;
use tokio::time::Instant;

use super::{find, said};
use crate::commands::password::{mint, show};

/// How long the operator may take to install the keys.
const INSTALL: Duration = Duration::from_mins(2);
/// How often the Mailbox is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// `kubectl sealpost password MAILBOX`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The Mailbox's name, or its address.
    mailbox: String,
    /// Also make a recovery key: a second secret to be kept on paper.
    #[arg(long)]
    recovery: bool,
}

/// Makes the keys, has them installed, shows the secrets.
pub async fn run(client: Client, namespace: &str, options: &Options) -> anyhow::Result<()> {
    let mailboxes: Api<Mailbox> = Api::namespaced(client.clone(), namespace);
    let mailbox = find(&mailboxes, namespace, &options.mailbox).await?;
    let name = mailbox.name_any();
    refuse(&mailbox)?;
    let address: Address = mailbox.spec.address.parse().context("the Mailbox's address is none")?;
    let minted = mint(&address, options.recovery)?;
    let secret = format!("{name}-keys");
    store(&Api::namespaced(client, namespace), &secret, minted.keys.as_bytes()).await?;
    let patch = json!({"spec": {"keysSecretRef": {"name": secret}}});
    let patched = mailboxes.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map_err(said(format!("cannot make mailbox/{name} name the keys in secret/{secret}")))?;
    installed(&mailboxes, &name).await?;
    show(&minted.password, minted.recovery.as_ref(), false).await
}

/// Before anything is made: a password for a mailbox that cannot take it helps nobody.
fn refuse(mailbox: &Mailbox) -> anyhow::Result<()> {
    let name = mailbox.name_any();
    let known = mailbox.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    if api::condition(known, conditions::KEYS_INSTALLED).is_some_and(|c| c.status == "True") {
        bail!("mailbox/{name} has its keys already: nobody but their owner can change the password");
    }
    if let Some(secret) = &mailbox.spec.password_secret_ref {
        bail!("mailbox/{name} takes its password from secret/{}: make that Secret", secret.name);
    }
    if let Some(secret) = &mailbox.spec.keys_secret_ref {
        bail!(
            "mailbox/{name} takes its keys from secret/{}, which are yet to be installed: see its conditions",
            secret.name
        );
    }
    Ok(())
}

async fn store(secrets: &Api<Secret>, name: &str, keys: &[u8]) -> anyhow::Result<()> {
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("keys.json".to_owned(), ByteString(keys.to_vec()))])),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => bail!(
            "secret/{name} exists already\n  if nobody has its password, take it away: kubectl delete secret {name}"
        ),
        Err(error) => Err(said(format!("cannot make secret/{name}"))(error)),
    }
}

/// Waits until the mailbox's shard has the keys.
async fn installed(mailboxes: &Api<Mailbox>, name: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let found = mailboxes.get(name).await.map_err(said(format!("cannot read mailbox/{name}")))?;
        let known = found.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        match api::condition(known, conditions::KEYS_INSTALLED) {
            Some(keys) if keys.status == "True" => return Ok(()),
            keys if start.elapsed() > INSTALL => {
                let why = keys.map_or("the operator has not looked at it", |keys| keys.message.as_str());
                bail!("the keys of mailbox/{name} were made and are not installed: {why}")
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
