//! What the operator starts are roles that this executable has, with configurations that they read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use api::MailServer;
use clap::Parser;
use model::ServerId;
use operator::children::{Child, Observed, plan};
use serde_json::Value;

use crate::args::{Args, Command, Role};

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
        buckets: &BTreeSet::new(),
    })
}

fn of<'a>(children: &'a [Child], kind: &'a str) -> impl Iterator<Item = &'a Child> {
    children.iter().filter(move |child| child.resource.kind == kind)
}

/// A configuration that a pod mounts.
fn config(children: &[Child], pod: &Value, file: &Path) -> Value {
    let volumes = pod["volumes"].as_array().unwrap();
    let name = volumes.iter().find_map(|volume| volume["configMap"]["name"].as_str()).unwrap();
    let map = of(children, "ConfigMap").find(|child| child.name == name).unwrap();
    let file = file.file_name().unwrap().to_str().unwrap();
    serde_json::from_str(map.object["data"][file].as_str().unwrap()).unwrap()
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

/// A role as it is started, and where its configuration says that it listens.
fn started(children: &[Child], pod: &Value, container: &Value) -> (Role, Value, Vec<(&'static str, SocketAddr)>) {
    let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
    let parsed = Args::try_parse_from(["sealpost"].into_iter().chain(args)).unwrap();
    let read = |role: &Role| config(children, pod, &role.config);
    match parsed.command {
        Command::Primary(role) => {
            let config: primary::Config = serde_json::from_value(read(&role)).unwrap();
            assert!(config.sidecar.is_some_and(|socket| socket.as_os_str().len() <= 107));
            let read = read(&role);
            (role, read, vec![("wire", config.listen)])
        }
        Command::Sidecar(role) => {
            let _: sidecar::process::Config = serde_json::from_value(read(&role)).unwrap();
            let read = read(&role);
            (role, read, Vec::new())
        }
        Command::Secondary(role) => {
            let config: secondary::Config = serde_json::from_value(read(&role)).unwrap();
            assert_eq!(config.shards.len(), 2);
            let listens = match config.listen {
                secondary::Listen::Imap { imaps, imap, plain: None } => vec![("imaps", imaps), ("imap", imap)],
                secondary::Listen::Mx { smtp } => vec![("smtp", smtp)],
                secondary::Listen::Imap { .. } => panic!("no clear text in a cluster"),
            };
            let read = read(&role);
            (role, read, listens)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_roles_read_what_the_operator_starts_them_with() {
    let children = planned();
    let mut roles = Vec::new();
    for child in of(&children, "StatefulSet").chain(of(&children, "Deployment")) {
        let pod = &child.object["spec"]["template"]["spec"];
        for container in [&pod["initContainers"][0], &pod["containers"][0]].into_iter().filter(|it| it.is_object()) {
            let (role, config, listens) = started(&children, pod, container);
            let (name, ports) = (container["name"].as_str().unwrap(), ports(container));
            let probes = if name == "sidecar" { "sidecar-probes" } else { "probes" };
            for (port, address) in listens.into_iter().chain([(probes, role.probes.unwrap())]) {
                assert_eq!(Some(&u64::from(address.port())), ports.get(port), "{port} of {}", child.name);
                assert!(address.ip().is_unspecified());
            }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                // Mail does not wait for a sidecar.
                let wanted = if name == "sidecar" && probe != "livenessProbe" { Value::Null } else { probes.into() };
                assert_eq!(container[probe]["httpGet"]["port"], wanted);
            }
            let mounts = container["volumeMounts"].as_array().unwrap();
            let mounts = mounts.iter().map(|mount| mount["mountPath"].as_str().unwrap());
            // Of the volume a sidecar has parts.
            let all: Vec<&str> = mounts.chain((name == "sidecar").then_some("/var/lib/sealpost")).collect();
            let mut files = BTreeSet::from([role.config.to_str().unwrap().to_owned()]);
            paths(&config, &mut files);
            for file in files {
                assert!(
                    all.iter().any(|mount| Path::new(&file).starts_with(mount)),
                    "{file} of {name} is on no volume"
                );
            }
            roles.push(format!("{} {name}", child.name));
        }
    }
    let shard = |number: u32| ["sidecar", "primary"].map(|name| format!("mail-shard-{number} {name}"));
    let fronts = ["imap", "mx"].map(|name| format!("mail-{name} {name}"));
    assert_eq!(roles, [&shard(0)[..], &shard(1), &fronts].concat());
}

#[test]
fn an_operator_takes_its_place_from_flags() {
    let flags = "sealpost operator --namespace system --name pod-1 --probes 0.0.0.0:8080";
    let Command::Operator(options) = Args::try_parse_from(flags.split(' ')).unwrap().command else { panic!() };
    assert_eq!((options.namespace.as_str(), options.name.as_str()), ("system", "pod-1"));
    assert!(options.image.is_none() && options.watch_namespace.is_none() && options.probes.is_some());
}
