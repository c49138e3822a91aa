//! What the operator starts are roles that this executable has, with configurations that they read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use api::MailServer;
use clap::Parser;
use model::ServerId;
use operator::children::{Child, Observed, plan};
use serde_json::Value;

use crate::args::{Args, Command};

fn planned() -> Vec<Child> {
    let mut server: MailServer = serde_json::from_value(serde_json::json!({
        "apiVersion": api::API_VERSION, "kind": "MailServer", "metadata": {"name": "mail", "namespace": "post", "uid": "u"},
        "spec": {"hostname": "mx.example.org", "domains": [{"name": "example.org"}], "shards": 2},
    }))
    .unwrap();
    server.metadata.generation = Some(1);
    plan(&Observed {
        server: &server,
        id: &ServerId("u".into()),
        image: "example/sealpost:1",
        public_secret: "mail-public-tls",
        operator_namespace: "sealpost-system",
    })
}

fn of<'a>(children: &'a [Child], kind: &'a str) -> impl Iterator<Item = &'a Child> {
    children.iter().filter(move |child| child.resource.kind == kind)
}

/// The configuration that a pod mounts.
fn config(children: &[Child], pod: &Value) -> Value {
    let volumes = pod["volumes"].as_array().unwrap();
    let name = volumes.iter().find_map(|volume| volume["configMap"]["name"].as_str()).unwrap();
    let map = of(children, "ConfigMap").find(|child| child.name == name).unwrap();
    serde_json::from_str(map.object["data"]["config.json"].as_str().unwrap()).unwrap()
}

/// Every text of a configuration that is a path.
fn paths(config: &Value, found: &mut BTreeSet<String>) {
    match config {
        Value::String(text) if text.starts_with('/') => drop(found.insert(text.clone())),
        Value::Array(all) => all.iter().for_each(|value| paths(value, found)),
        Value::Object(all) => all.values().for_each(|value| paths(value, found)),
        _ => {}
    }
}

/// Ports by name.
fn ports(container: &Value) -> BTreeMap<&str, u64> {
    let ports = container["ports"].as_array().unwrap();
    ports.iter().map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap())).collect()
}

#[test]
fn the_roles_read_what_the_operator_starts_them_with() {
    let children = planned();
    let mut roles = Vec::new();
    for child in of(&children, "StatefulSet").chain(of(&children, "Deployment")) {
        let pod = &child.object["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
        let parsed = Args::try_parse_from(["sealpost"].into_iter().chain(args)).unwrap();
        let (config, ports) = (config(&children, pod), ports(container));
        let (role, listens) = match parsed.command {
            Command::Primary(role) => {
                let config: primary::Config = serde_json::from_value(config.clone()).unwrap();
                (role, vec![("wire", config.listen)])
            }
            Command::Secondary(role) => {
                let config: secondary::Config = serde_json::from_value(config.clone()).unwrap();
                assert_eq!(config.shards.len(), 2);
                match config.listen {
                    secondary::Listen::Imap { imaps, imap, plain: None } => {
                        (role, vec![("imaps", imaps), ("imap", imap)])
                    }
                    secondary::Listen::Mx { smtp } => (role, vec![("smtp", smtp)]),
                    secondary::Listen::Imap { .. } => panic!("no clear text in a cluster"),
                }
            }
            other => panic!("{other:?}"),
        };
        for (name, address) in listens.into_iter().chain([("probes", role.probes.unwrap())]) {
            assert_eq!(Some(&u64::from(address.port())), ports.get(name), "{name} of {}", child.name);
            assert!(address.ip().is_unspecified());
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], "probes");
        }
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mut files = BTreeSet::from([role.config.to_str().unwrap().to_owned()]);
        paths(&config, &mut files);
        for file in files {
            let mounted = mounts.iter().any(|mount| Path::new(&file).starts_with(mount["mountPath"].as_str().unwrap()));
            assert!(mounted, "{file} of {} is on no volume", child.name);
        }
        roles.push(child.name.clone());
    }
    assert_eq!(roles, ["mail-shard-0", "mail-shard-1", "mail-imap", "mail-mx"]);
}

#[test]
fn an_operator_takes_its_place_from_flags() {
    let flags = "sealpost operator --namespace system --name pod-1 --probes 0.0.0.0:8080";
    let Command::Operator(options) = Args::try_parse_from(flags.split(' ')).unwrap().command else { panic!() };
    assert_eq!((options.namespace.as_str(), options.name.as_str()), ("system", "pod-1"));
    assert!(options.image.is_none() && options.watch_namespace.is_none() && options.probes.is_some());
}
