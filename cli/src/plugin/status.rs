//! `kubectl sealpost status`
//!
//! Reads objects first; what changes too often to be in them is asked of the pods, where that is allowed. Needed rights: get and
//! list on MailServers, Mailboxes, Aliases and BackupPolicies. With list on MailboxBackups and MailboxRestores it tells of runs,
//! with list on pods and get on pods/proxy of sessions, waiting mail and lag.

use anyhow::bail;
use api::MailServer;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::show::{self, Objects, Screen};
use super::{Output, numbers, said};

/// `kubectl sealpost status [SERVER]`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The MailServer; all of the namespace unless told otherwise.
    server: Option<String>,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    output: Output,
}

/// Reads the objects and prints what they say.
pub async fn run(client: Client, namespace: &str, options: &Options) -> anyhow::Result<()> {
    let mut servers: Vec<MailServer> = list(&client, namespace).await?;
    if let Some(wanted) = &options.server {
        servers.retain(|server| server.name_any() == *wanted);
    }
    match (&options.server, servers.is_empty()) {
        (Some(server), true) => bail!("there is no MailServer `{server}` in the namespace {namespace}"),
        (None, true) => bail!("there is no MailServer in the namespace {namespace}\n  name another with -n"),
        _ => {}
    }
    let objects = Objects {
        mailboxes: list(&client, namespace).await?,
        aliases: list(&client, namespace).await?,
        policies: list(&client, namespace).await?,
        backups: list_if_allowed(&client, namespace).await?,
        restores: list_if_allowed(&client, namespace).await?,
    };
    let mut screens: Vec<Screen> = Vec::new();
    for server in &servers {
        let numbers = numbers::ask(&client, namespace, &server.name_any()).await;
        screens.push(show::screen(server, &objects, Some(numbers), Timestamp::now()));
    }
    match options.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&screens)?),
        Output::Text => screens.iter().for_each(|screen| print!("{screen}")),
    }
    Ok(())
}

async fn list<K>(client: &Client, namespace: &str) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = api.list(&ListParams::default()).await;
    Ok(found.map_err(said(format!("cannot list {}", K::plural(&()))))?.items)
}

/// None where that is not allowed.
async fn list_if_allowed<K>(client: &Client, namespace: &str) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match api.list(&ListParams::default()).await {
        Ok(found) => Ok(found.items),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Vec::new()),
        Err(error) => Err(said(format!("cannot list {}", K::plural(&())))(error)),
    }
}
