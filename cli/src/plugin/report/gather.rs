//! What there is to tell, as the API server has it; and what of it must not be told.

use std::collections::BTreeMap;

use api::{AliasTarget, MailServer};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use operator::names;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Options;
use super::redact::Redactor;
use crate::plugin::pods::{self, Source};
use crate::plugin::said;
use crate::plugin::show::Objects;

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Facts {
    /// Where.
    pub namespace: String,
    /// Versions of this program and of the cluster.
    pub versions: BTreeMap<String, String>,
    /// Our objects, typed: what is to be redacted is known by field.
    pub servers: Vec<MailServer>,
    /// The others.
    pub objects: Objects,
    /// Objects of the cluster, by the name of their file.
    pub cluster: BTreeMap<&'static str, Vec<Value>>,
    /// Logs, by container.
    pub logs: Vec<(Source, Vec<String>)>,
    /// What could not be had.
    pub missing: Vec<String>,
}

/// Asks for all of it. Without the objects there is no report; of the rest what cannot be had is missing.
pub async fn gather(client: &Client, namespace: &str, options: &Options) -> anyhow::Result<Facts> {
    let mut facts = Facts { namespace: namespace.to_owned(), ..Facts::default() };
    facts.versions.insert("kubectl-sealpost".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    if let Ok(version) = client.apiserver_version().await {
        facts.versions.insert("kubernetes".to_owned(), version.git_version);
    }
    facts.servers = list(client, namespace, "").await?;
    facts.objects = Objects {
        mailboxes: list(client, namespace, "").await?,
        aliases: list(client, namespace, "").await?,
        policies: list(client, namespace, "").await?,
        backups: list(client, namespace, "").await?,
        restores: list(client, namespace, "").await?,
    };
    // What else is in the namespace is nobody's business.
    let ours = format!("{}={}", names::MANAGED_BY, names::MANAGER);
    facts.add::<Pod>("pods", client, &ours).await;
    facts.add::<PersistentVolumeClaim>("claims", client, &ours).await;
    facts.add::<StatefulSet>("statefulsets", client, &ours).await;
    facts.add::<Deployment>("deployments", client, &ours).await;
    facts.add::<Event>("events", client, "").await;
    facts.keep_our_events();
    facts.add_logs(client, options).await?;
    Ok(facts)
}

impl Facts {
    async fn add<K>(&mut self, file: &'static str, client: &Client, labels: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        match list::<K>(client, &self.namespace, labels).await {
            Ok(found) => {
                let found = found.iter().filter_map(|object| serde_json::to_value(object).ok());
                self.cluster.insert(file, found.collect());
            }
            Err(error) => self.missing.push(error.to_string()),
        }
    }

    /// Events about our objects, and about what they consist of.
    fn keep_our_events(&mut self) {
        let all = self.cluster.iter().filter(|(file, _)| **file != "events").flat_map(|(_, all)| all);
        let names: Vec<String> =
            all.filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect();
        let is_ours = |event: &Value| {
            let about = &event["involvedObject"];
            let name = about["name"].as_str().unwrap_or_default();
            // Those between a Deployment and its pods are called after it.
            let part =
                |known: &String| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
            about["apiVersion"].as_str().is_some_and(|version| version.starts_with(api::GROUP))
                || names.iter().any(part)
        };
        self.cluster.entry("events").or_default().retain(is_ours);
    }

    async fn add_logs(&mut self, client: &Client, options: &Options) -> anyhow::Result<()> {
        let mut all = pods::of(client, &self.namespace, options.server.as_deref()).await?;
        match pods::of_operator(client, &options.operator_namespace).await {
            Ok(found) => all.extend(found),
            Err(error) => self.missing.push(error.to_string()),
        }
        for source in all.iter().flat_map(|pod| pods::sources(pod, &[], None)) {
            match source.all(client, options.since.as_secs().max(1)).await {
                Ok(lines) => self.logs.push((source, lines)),
                Err(error) => self.missing.push(error.to_string()),
            }
        }
        Ok(())
    }

    /// What must not be told. Names of MailServers, BackupPolicies and namespaces stay: pods are called after them.
    pub fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::default();
        self.servers.iter().for_each(|server| of_server(server, &mut redactor));
        for mailbox in &self.objects.mailboxes {
            let spec = &mailbox.spec;
            redactor.address(&spec.address);
            redactor.word("name", name(mailbox));
            for secret in spec.keys_secret_ref.iter().chain(&spec.password_secret_ref) {
                redactor.word("secret", &secret.name);
            }
            if let Some(why) = api::fence::mailbox(mailbox) {
                redactor.text("text", why);
            }
        }
        for alias in &self.objects.aliases {
            redactor.address(&alias.spec.address);
            redactor.word("name", name(alias));
            alias.spec.targets.iter().flatten().for_each(|target| of_target(target, &mut redactor));
            if let Some(reject) = &alias.spec.reject {
                redactor.text("text", &reject.message);
            }
        }
        for policy in &self.objects.policies {
            let s3 = &policy.spec.destination.s3;
            s3.endpoint.iter().for_each(|endpoint| redactor.url(endpoint));
            redactor.word("bucket", &s3.bucket);
            s3.prefix.iter().for_each(|prefix| redactor.word("prefix", prefix));
            for secret in s3.credentials_secret_ref.iter().chain(&s3.ca_secret_ref) {
                redactor.word("secret", &secret.name);
            }
        }
        // They are called after mailboxes, or as somebody liked.
        self.objects.backups.iter().for_each(|run| redactor.word("run", name(run)));
        self.objects.restores.iter().for_each(|run| redactor.word("run", name(run)));
        redactor
    }
}

fn of_server(server: &MailServer, redactor: &mut Redactor) {
    let spec = &server.spec;
    redactor.word("host", &spec.hostname);
    for domain in &spec.domains {
        redactor.word("domain", &domain.name);
        domain.dkim.iter().for_each(|key| redactor.word("secret", &key.key_secret_ref.name));
    }
    spec.tls.iter().flat_map(|tls| &tls.secret_refs).for_each(|secret| redactor.word("secret", &secret.name));
    if let Some(relay) = spec.outbound.as_ref().and_then(|outbound| outbound.relay.as_ref()) {
        redactor.word("host", &relay.host);
        relay.credentials_secret_ref.iter().for_each(|secret| redactor.word("secret", &secret.name));
    }
}

fn of_target(target: &AliasTarget, redactor: &mut Redactor) {
    target.address.iter().for_each(|address| redactor.address(address));
    if let Some(hook) = &target.webhook {
        redactor.url(&hook.url);
        hook.secret_ref.iter().for_each(|secret| redactor.word("secret", &secret.name));
    }
}

fn name(object: &impl Resource) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

async fn list<K>(client: &Client, namespace: &str, labels: &str) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = api.list(&ListParams::default().labels(labels)).await;
    Ok(found.map_err(said(format!("cannot list {}", K::plural(&()))))?.items)
}
