//! `kubectl sealpost status`

use anyhow::bail;
use api::{Alias, BackupPolicy, MailServer, Mailbox};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::show::{self, Screen};
use super::{Output, said};

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
    let servers: Vec<MailServer> = list(&client, namespace).await?;
    let (mailboxes, aliases) = (list::<Mailbox>(&client, namespace).await?, list::<Alias>(&client, namespace).await?);
    let policies: Vec<BackupPolicy> = list(&client, namespace).await?;
    let wanted =
        |server: &&MailServer| options.server.is_none() || server.metadata.name.as_deref() == options.server.as_deref();
    let screens: Vec<Screen> =
        servers.iter().filter(wanted).map(|server| show::screen(server, &mailboxes, &aliases, &policies)).collect();
    match (&options.server, screens.is_empty()) {
        (Some(server), true) => bail!("there is no MailServer `{server}` in the namespace {namespace}"),
        (None, true) => bail!("there is no MailServer in the namespace {namespace}\n  name another with -n"),
        _ => {}
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
