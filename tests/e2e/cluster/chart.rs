//! The chart, where `helm` is installed.

use std::process::Command;

use crate::harness::{ANN, Tenant, image, project, scale_operator};

/// Runs `helm`, which must succeed.
fn helm(args: &[&str]) {
    let output = Command::new("helm").args(args).output().unwrap();
    assert!(output.status.success(), "helm {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn the_chart_installs_an_operator_for_its_own_namespace_and_mail_outlives_it() {
    if Command::new("helm").arg("version").output().is_err() {
        println!("without helm the chart is not installed");
        return;
    }
    let tenant = Tenant::new("chart");
    // Two operators of one namespace would each undo what the other says.
    scale_operator(0);
    tenant.kubectl(&["delete", "rolebinding", "sealpost-operator"]);
    let image = image();
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let set = format!("namespaced=true,crds.install=false,image.repository={repository},image.tag={tag}");
    let chart = project("charts/sealpost");
    let install = ["install", "sealpost", chart.to_str().unwrap(), "-n", &tenant.namespace, "--set", &set, "--wait"];
    helm(&install);
    tenant.apply_samples();
    tenant.ready(&["mailserver/mail", "mailbox/ann", "alias/info"]);
    helm(&["uninstall", "sealpost", "-n", &tenant.namespace, "--wait"]);
    let mail = tenant.mail();
    mail.send("info@example.org", "by chart");
    assert!(mail.read("ann@example.org", ANN).unwrap().contains("by chart"));
    scale_operator(1);
    tenant.end();
}
