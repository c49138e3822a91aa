//! Honest status: what is wrong shows on a condition with a reason and the next step, and goes when it is mended.

use crate::harness::{Tenant, kubectl};

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn what_is_wrong_with_addresses_and_secrets_of_mailboxes_is_told_and_goes_when_mended() {
    let tenant = Tenant::with_samples("honest-mailboxes");
    let mailbox = |name: &str, address: &str, more: &str| {
        format!(
            "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {{name: {name}}}\nspec: {{address: {address}{more}}}\n"
        )
    };
    tenant.apply(&mailbox("ann2", "ann@example.org", ""));
    let told = tenant.soon("mailbox/ann2", "Ready", "False", "AddressConflict");
    assert!(told.contains("ann"), "{told}");
    tenant.apply(&mailbox("cat", "cat@example.net", ""));
    tenant.soon("mailbox/cat", "Ready", "False", "DomainNotServed");
    tenant.apply(&mailbox("dan", "dan@example.org", ", passwordSecretRef: {name: dan-password}"));
    tenant.soon("mailbox/dan", "KeysInstalled", "False", "SecretNotFound");
    tenant.apply(&mailbox("eve", "eve@example.org", ", serverRef: {name: nowhere}"));
    tenant.soon("mailbox/eve", "Ready", "False", "ServerNotFound");

    tenant.kubectl(&["create", "secret", "generic", "dan-password", "--from-literal=password=of dan and nobody else"]);
    tenant.ready(&["mailbox/dan"]);
    tenant.patch("mailserver/mail", r#"{"spec":{"domains":[{"name":"example.org"},{"name":"example.net"}]}}"#);
    tenant.soon("mailbox/cat", "Ready", "False", "AwaitingOwner");
    tenant.kubectl(&["delete", "mailbox", "ann2"]);
    tenant.ready(&["mailserver/mail", "mailbox/ann", "mailbox/dan"]);
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn what_is_wrong_with_certificates_volumes_and_pods_is_told_and_goes_when_mended() {
    let tenant = Tenant::with_samples("honest-server");
    let server = "mailserver/mail";
    tenant.patch(server, r#"{"spec":{"tls":{"secretRefs":[{"name":"own"}]}}}"#);
    let told = tenant.soon(server, "CertificatesValid", "False", "SecretNotFound");
    assert!(told.contains("own"), "{told}");
    tenant.kubectl(&["create", "secret", "generic", "own", "--from-literal=tls.crt=no", "--from-literal=tls.key=no"]);
    tenant.wait(server, "CertificatesValid", "False", Some("SecretInvalid"));
    tenant.patch(server, r#"{"spec":{"tls":null}}"#);
    tenant.soon(server, "CertificatesValid", "True", "SelfSigned");
    tenant.ready(&[server]);

    tenant.patch(server, r#"{"spec":{"storage":{"size":"1Gi"}}}"#);
    tenant.soon(server, "StorageResizing", "False", "ShrinkRefused");
    tenant.patch(server, r#"{"spec":{"storage":null}}"#);
    tenant.ready(&[server]);

    tenant.patch(server, r#"{"spec":{"primary":{"scheduling":{"nodeSelector":{"there-is":"none"}}}}}"#);
    tenant.wait(server, "ShardsAvailable", "False", Some("PodsNotReady"));
    let told = crate::harness::within("the scheduler's words", || {
        let told = tenant.wait(server, "ShardsAvailable", "False", Some("PodsNotReady"));
        if told.contains("node") { Ok(told) } else { Err(told) }
    });
    assert!(told.contains("mail-shard-0-0"), "{told}");
    tenant.patch(server, r#"{"spec":{"primary":null}}"#);
    tenant.ready(&[server]);

    tenant.patch(server, r#"{"spec":{"paused":true}}"#);
    tenant.soon(server, "Paused", "True", "LeftAlone");
    tenant.patch(server, r#"{"spec":{"paused":false}}"#);
    tenant.ready(&[server]);
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn an_object_that_says_so_is_not_deleted_by_mistake() {
    let tenant = Tenant::with_samples("guarded");
    tenant.kubectl(&["annotate", "mailbox", "ann", "sealpost.dev/protect=true"]);
    let told = tenant.try_kubectl(&["delete", "mailbox", "ann"]).unwrap_err();
    assert!(told.contains("sealpost.dev/protect"), "{told}");
    // A namespace takes everything with it.
    kubectl(&["delete", "namespace", &tenant.namespace, "--timeout=60s"]);
}
