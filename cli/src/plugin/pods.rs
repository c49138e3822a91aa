//! Which containers write which logs, and how they are read.

use api::MailServer;
use futures_util::{AsyncBufRead, AsyncBufReadExt, Stream, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};
use operator::names;

use super::said;

/// A process of a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Mail clients.
    Imap,
    /// Other mail servers.
    Mx,
    /// The owner of a shard's mailboxes.
    Primary,
    /// What archives them.
    Sidecar,
    /// What brings the cluster to what is declared; in a namespace of its own.
    Operator,
}

impl Role {
    /// Its container.
    pub fn container(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Mx => "mx",
            Self::Primary => "primary",
            Self::Sidecar => "sidecar",
            Self::Operator => "operator",
        }
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Namespace of its pod.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// Its name.
    pub container: String,
}

impl Source {
    /// `mail-shard-0-0/primary`; what says the same twice only once.
    pub fn prefix(&self) -> String {
        format!("{}/{}", self.pod, self.container)
    }

    /// Its log, line by line, each after its time.
    pub async fn lines(
        &self,
        client: &Client,
        follow: bool,
        since: i64,
    ) -> anyhow::Result<impl Stream<Item = std::io::Result<String>> + use<>> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let wanted = LogParams {
            container: Some(self.container.clone()),
            follow,
            since_seconds: Some(since),
            timestamps: true,
            ..LogParams::default()
        };
        let stream = pods.log_stream(&self.pod, &wanted).await;
        let stream = stream.map_err(said(format!("cannot read the log of {}", self.prefix())))?;
        Ok(lines(stream))
    }

    /// All of that.
    pub async fn all(&self, client: &Client, since: i64) -> anyhow::Result<Vec<String>> {
        Ok(self.lines(client, false, since).await?.try_collect().await?)
    }
}

fn lines(stream: impl AsyncBufRead) -> impl Stream<Item = std::io::Result<String>> {
    stream.lines()
}

/// The pods of a MailServer, or of all in the namespace.
pub async fn of(client: &Client, namespace: &str, server: Option<&str>) -> anyhow::Result<Vec<Pod>> {
    let label = server.map_or_else(
        || format!("{},{}={}", names::SERVER, names::MANAGED_BY, names::MANAGER),
        |server| format!("{}={server}", names::SERVER),
    );
    list(client, namespace, &label).await
}

/// Those of the operator.
pub async fn of_operator(client: &Client, namespace: &str) -> anyhow::Result<Vec<Pod>> {
    list(client, namespace, "app.kubernetes.io/name=sealpost-operator").await
}

async fn list(client: &Client, namespace: &str, label: &str) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(label)).await;
    Ok(found.map_err(said(format!("cannot list pods of the namespace {namespace}")))?.items)
}

/// The containers of a pod that have begun, but for those of other roles or shards.
pub fn sources(pod: &Pod, roles: &[Role], shard: Option<u32>) -> Vec<Source> {
    let label = pod.labels().get(names::SHARD).and_then(|shard| shard.parse::<u32>().ok());
    if shard.is_some() && label != shard {
        return Vec::new();
    }
    let status = pod.status.as_ref();
    let all = status.into_iter().flat_map(|s| s.init_container_statuses.iter().chain(&s.container_statuses).flatten());
    let wanted = |name: &str| roles.is_empty() || roles.iter().any(|role| role.container() == name);
    let begun = all.filter(|container| {
        let ran = container.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        ran && wanted(&container.name)
    });
    let source =
        |container: String| Source { namespace: pod.namespace().unwrap_or_default(), pod: pod.name_any(), container };
    begun.map(|container| source(container.name.clone())).collect()
}

/// Fails where there is no such MailServer: no pods would look like silence.
pub async fn exists(client: &Client, namespace: &str, server: &str) -> anyhow::Result<()> {
    let servers: Api<MailServer> = Api::namespaced(client.clone(), namespace);
    let found = servers.get_opt(server).await.map_err(said(format!("cannot read mailserver/{server}")))?;
    anyhow::ensure!(
        found.is_some(),
        "there is no MailServer `{server}` in the namespace {namespace}\n  name another with -n"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_chosen_by_role_and_shard_and_those_that_wait_have_no_log() {
        let running = |name: &str| {
            json!({"name": name, "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
            "state": {"running": {}}})
        };
        let mut waiting = running("late");
        waiting["state"] = json!({"waiting": {}});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "mail-shard-1-0", "namespace": "post", "labels": {names::SHARD: "1"}},
            "status": {"initContainerStatuses": [running("sidecar")], "containerStatuses": [running("primary"), waiting]},
        }))
        .unwrap();
        let found = |roles: &[Role], shard| sources(&pod, roles, shard).iter().map(Source::prefix).collect::<Vec<_>>();
        assert_eq!(found(&[], None), ["mail-shard-1-0/sidecar", "mail-shard-1-0/primary"]);
        assert_eq!(found(&[Role::Primary, Role::Mx], Some(1)), ["mail-shard-1-0/primary"]);
        assert_eq!(found(&[], Some(0)), Vec::<String>::new());
    }
}
