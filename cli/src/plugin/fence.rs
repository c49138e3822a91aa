//! `kubectl sealpost fence` and `kubectl sealpost unfence`
//!
//! A fence is an annotation (see [`api::fence`]): the operator tells the shard, which closes the files and refuses to open them.
//! The command waits until that is so; one that is ended changes nothing. Needed rights: get, list and patch on Mailboxes, for
//! a shard get and patch on MailServers.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use api::conditions::{self, reason};
use api::{MailServer, Mailbox, fence};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use model::ShardId;
use serde_json::json;
use tokio::time::Instant;

use super::{find, said};
use crate::args::Output;

/// How long the shard may take: it waits for what is being written.
const CLOSE: Duration = Duration::from_mins(2);
/// How often the object is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// How often a fence of a shard is tried while others change the same object.
const TRIES: usize = 5;

/// `kubectl sealpost fence MAILBOX|SERVER/SHARD`
#[derive(Debug, clap::Args)]
pub struct Fence {
    /// The Mailbox's name or address, or a shard as `mail/0`.
    #[arg(value_name = "MAILBOX|SERVER/SHARD")]
    target: Target,
    /// Why: whoever looks at the Mailbox is told.
    #[arg(long, value_name = "TEXT", default_value = "for repair")]
    reason: String,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    output: Output,
}

/// `kubectl sealpost unfence MAILBOX|SERVER/SHARD`
#[derive(Debug, clap::Args)]
pub struct Unfence {
    /// The Mailbox's name or address, or a shard as `mail/0`.
    #[arg(value_name = "MAILBOX|SERVER/SHARD")]
    target: Target,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    output: Output,
}

/// What is fenced.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Mailbox(String),
    Shard(String, ShardId),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((server, number)) = text.split_once('/') else { return Ok(Self::Mailbox(text.to_owned())) };
        let number = number.parse().map_err(|_| "a shard is SERVER/NUMBER, for example mail/0".to_owned())?;
        Ok(Self::Shard(server.to_owned(), ShardId(number)))
    }
}

/// Closes it, and waits until it is closed.
pub async fn fence(client: Client, namespace: &str, options: &Fence) -> anyhow::Result<()> {
    let (object, named) = set(&client, namespace, &options.target, Some(&options.reason)).await?;
    match options.output {
        Output::Json => println!("{}", json!({"object": object, "fenced": true})),
        Output::Text => println!(
            "{object} is fenced: its files are closed, mail waits at its senders\n  when it is mended: kubectl sealpost unfence {named}"
        ),
    }
    Ok(())
}

/// Lets it be opened again, and waits until it can be.
pub async fn unfence(client: Client, namespace: &str, options: &Unfence) -> anyhow::Result<()> {
    let (object, _) = set(&client, namespace, &options.target, None).await?;
    match options.output {
        Output::Json => println!("{}", json!({"object": object, "fenced": false})),
        Output::Text => println!("{object} is open again: its owner can log in, mail arrives"),
    }
    Ok(())
}

/// Fences it for that reason, or takes the fence away, and waits until that is so. What it is called, and its name for commands.
async fn set(client: &Client, namespace: &str, target: &Target, why: Option<&str>) -> anyhow::Result<(String, String)> {
    let (object, named) = match target {
        Target::Mailbox(wanted) => {
            let name = set_mailbox(client, namespace, wanted, why).await?;
            (format!("mailbox/{name}"), name)
        }
        Target::Shard(server, shard) => {
            set_shard(client, namespace, server, *shard, why.is_some()).await?;
            (format!("shard {shard} of mailserver/{server}"), format!("{server}/{shard}"))
        }
    };
    wait(client, namespace, target, &named, why.is_some()).await?;
    Ok((object, named))
}

/// Sets or takes away the annotation of a Mailbox; its name.
async fn set_mailbox(client: &Client, namespace: &str, wanted: &str, why: Option<&str>) -> anyhow::Result<String> {
    let mailboxes: Api<Mailbox> = Api::namespaced(client.clone(), namespace);
    let name = find(&mailboxes, namespace, wanted).await?.name_any();
    let patch = json!({"metadata": {"annotations": {fence::MAILBOX: why}}});
    let patched = mailboxes.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map_err(said(format!("cannot annotate mailbox/{name}")))?;
    Ok(name)
}

/// Adds a shard to those of the annotation, or takes it out.
async fn set_shard(client: &Client, namespace: &str, server: &str, shard: ShardId, fenced: bool) -> anyhow::Result<()> {
    let servers: Api<MailServer> = Api::namespaced(client.clone(), namespace);
    for _ in 0..TRIES {
        let object = servers.get(server).await.map_err(said(format!("cannot read mailserver/{server}")))?;
        let patch = json!({"metadata": {
            // Another shard may be fenced at the same time.
            "resourceVersion": object.resource_version(),
            "annotations": {fence::SHARDS: fence::render(&shards(&object, shard, fenced)?)},
        }});
        match servers.patch(server, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(said(format!("cannot annotate mailserver/{server}"))(error)),
        }
    }
    bail!("mailserver/{server} is changed by others all the time\n  try again")
}

/// The shards that are fenced then.
fn shards(server: &MailServer, shard: ShardId, fenced: bool) -> anyhow::Result<BTreeSet<ShardId>> {
    let count = server.spec.shards;
    if i64::from(shard.0) >= i64::from(count) {
        bail!("mailserver/{} has {count} shards, counted from 0: there is no shard {shard}", server.name_any());
    }
    let mut shards = fence::shards(server);
    if fenced {
        shards.insert(shard);
    } else {
        shards.remove(&shard);
    }
    Ok(shards)
}

/// Waits until the shard has done it.
async fn wait(client: &Client, namespace: &str, target: &Target, named: &str, fenced: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let (done, why) = match target {
            Target::Mailbox(_) => {
                let mailboxes: Api<Mailbox> = Api::namespaced(client.clone(), namespace);
                let found = mailboxes.get(named).await.map_err(said(format!("cannot read mailbox/{named}")))?;
                let known = found.status.map(|status| status.conditions).unwrap_or_default();
                look(api::condition(&known, conditions::FENCED), fenced)
            }
            Target::Shard(server, shard) => {
                let servers: Api<MailServer> = Api::namespaced(client.clone(), namespace);
                let found = servers.get(server).await.map_err(said(format!("cannot read mailserver/{server}")))?;
                let all = found.status.map(|status| status.shards).unwrap_or_default();
                let known = all.iter().find(|known| u32::try_from(known.index).ok() == Some(shard.0));
                let ready = known.and_then(|known| api::condition(&known.conditions, conditions::READY));
                look(ready.filter(|ready| is_about_fences(&ready.reason)), fenced)
            }
        };
        if done {
            return Ok(());
        }
        if start.elapsed() > CLOSE {
            let wanted = if fenced { "closed" } else { "opened" };
            bail!("it is declared, and its files are not {wanted} yet: {why}\n  see kubectl sealpost status");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_about_fences(word: &str) -> bool {
    [reason::FENCED, reason::CLOSING, reason::OPENING].contains(&word)
}

/// Whether what is wanted is so, and what is in the way.
fn look(told: Option<&Condition>, fenced: bool) -> (bool, String) {
    let done = match told {
        Some(told) => fenced && told.reason == reason::FENCED,
        None => !fenced,
    };
    (done, told.map_or_else(|| "the operator has not looked at it".to_owned(), |told| told.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_makes_a_shard() {
        let parse = |text: &str| text.parse::<Target>();
        assert_eq!(parse("mail/2"), Ok(Target::Shard("mail".into(), ShardId(2))));
        assert_eq!(parse("ann@example.org"), Ok(Target::Mailbox("ann@example.org".into())));
        assert!(parse("mailbox/ann").is_err());
    }

    #[test]
    fn one_shard_more_or_less_leaves_the_others_as_they_are() {
        let object = json!({
            "apiVersion": api::API_VERSION, "kind": "MailServer",
            "metadata": {"name": "mail", "annotations": {fence::SHARDS: "0,2"}},
            "spec": {"hostname": "mx.example.org", "domains": [], "shards": 3},
        });
        let server: MailServer = serde_json::from_value(object).unwrap();
        let after = |shard, fenced| shards(&server, ShardId(shard), fenced).map(|all| fence::render(&all));
        assert_eq!(after(1, true).unwrap().as_deref(), Some("0,1,2"));
        assert_eq!(after(0, false).unwrap().as_deref(), Some("2"));
        assert!(after(3, true).unwrap_err().to_string().contains("3 shards"));
    }

    #[test]
    fn a_fence_is_waited_for_until_the_files_are_closed() {
        let told = |reason: &str| -> Condition {
            serde_json::from_value(json!({"type": "Fenced", "status": "True", "reason": reason, "message": "because",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}))
            .unwrap()
        };
        let look = |reason: Option<&str>, fenced| look(reason.map(told).as_ref(), fenced).0;
        assert_eq!((look(None, true), look(Some("Closing"), true), look(Some("Fenced"), true)), (false, false, true));
        assert_eq!(
            (look(Some("Fenced"), false), look(Some("Opening"), false), look(None, false)),
            (false, false, true)
        );
    }
}
