//! Certificates that are replaced while everything runs: nobody is restarted, nobody is cut off.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tls::{DevCa, Peer, Role};

use crate::harness::imap::Client;
use crate::harness::{Options, Server, project, wait_until};
use crate::up::Manifests;

const HOST: &str = "mx.example.org";

/// True where the IMAP listener shows a certificate of that CA.
fn shows(server: &Server, ca: &Path) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(HOST).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = std::net::TcpStream::connect(server.endpoint("imaps")).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut tcp).is_err() {
            return false;
        }
    }
    true
}

fn took_up(server: &Server, process: &str, what: &str) -> bool {
    let log = std::fs::read_to_string(server.state().join(format!("log/{process}.log"))).unwrap();
    log.lines().any(|line| line.contains("a certificate was replaced") && line.contains(what))
}

fn put(from: &Path, to: &Path) {
    // As it should be done: never half a file.
    let beside = to.with_extension("new");
    std::fs::copy(from, &beside).unwrap();
    std::fs::rename(beside, to).unwrap();
}

fn server_id(server: &Server) -> model::ServerId {
    let world = std::fs::read(server.state().join("world.json")).unwrap();
    let world: serde_json::Value = serde_json::from_slice(&world).unwrap();
    serde_json::from_value(world["server"].clone()).unwrap()
}

#[test]
fn every_certificate_can_be_replaced_on_disk_without_a_restart() {
    let server = Options::samples().start();
    let pki = server.state().join("pki");
    let mut imap = server.imap("ann@example.org", "correct horse battery staple");
    imap.ok("SELECT INBOX");
    let pids = server.status()["pids"].clone();
    let (other, id) = (tempfile::tempdir().unwrap(), server_id(&server));
    let ca = DevCa::load_or_create(other.path()).unwrap();

    // Another CA for mail clients, of which `up` issues a certificate at once.
    assert!(shows(&server, &pki.join("public-ca.crt")) && !shows(&server, ca.public_ca()));
    for name in ["public-ca.key", "public-ca.crt"] {
        put(&other.path().join(name), &pki.join(name));
    }
    wait_until("a new certificate is shown", || shows(&server, ca.public_ca()));

    // Another CA for the links, and with it every identity.
    for role in [Role::Operator, Role::Primary(model::ShardId(0)), Role::Imap, Role::Mx] {
        let files = ca.identity(&Peer::new(id.clone(), role)).unwrap();
        let name = |path: &Path| pki.join(path.file_name().unwrap());
        put(&files.key, &name(&files.key));
        put(&files.certificate, &name(&files.certificate));
    }
    put(ca.internal_ca(), &pki.join("internal-ca.crt"));
    let processes =
        [("primary-0", "the shard's"), ("secondary-imap-0", "the front end's"), ("secondary-mx-0", "the front end's")];
    for (process, what) in processes {
        wait_until("it is taken up", || took_up(&server, process, what));
    }
    imap.ok("NOOP");
    assert_eq!(server.status()["pids"], pids, "nobody was started again");

    // A front end that starts now has the new identity only: the primary that has run all the time admits it.
    server.kill("secondary-mx-0");
    let message = b"From: <a@elsewhere.example>\r\nMessage-ID: <rotated@elsewhere.example>\r\n\r\nhello\r\n";
    wait_until("the MX is back", || server.status()["endpoints"]["mx"].is_string());
    server.smtp().deliver("a@elsewhere.example", &["ann@example.org"], message);
    wait_until("mail arrives", || imap.count("INBOX") == 1);
    // And a primary that starts now knows the new CA only: the front end that has run all the time is admitted, and so
    // is `up`, which plays the operator.
    server.kill("primary-0");
    imap.ok("NOOP");
    assert_eq!(imap.bodies().len(), 1);
    wait_until("the operator is admitted", || server.status()["ready"] == true);
}

fn secret(manifests: &Manifests, ca: &DevCa) {
    let files = ca.public(HOST).unwrap();
    let pem = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| ["    ", line, "\n"].concat()).collect::<String>()
    };
    manifests.write(
        "tls.yaml",
        &format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: public-tls}}\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
            pem(&files.certificate),
            pem(&files.key)
        ),
    );
}

fn is_found(server: &Server, text: &str) -> bool {
    server.status()["findings"].as_array().unwrap().iter().any(|finding| finding.as_str().unwrap().contains(text))
}

#[test]
fn a_tls_secret_that_is_named_and_missing_is_told_and_never_replaced_by_a_development_certificate() {
    let manifests = Manifests::samples();
    let mailserver = std::fs::read_dir(project("config/samples")).unwrap().flatten().find_map(|entry| {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        text.contains("kind: MailServer").then(|| (entry.file_name().into_string().unwrap(), text))
    });
    let (file, text) = mailserver.unwrap();
    let named = text.replacen("\nspec:\n", "\nspec:\n  tls: {secretRefs: [{name: public-tls}]}\n", 1);
    assert_ne!(named, text);
    manifests.write(&file, &named);
    let server = Options::manifests(manifests.path()).start_unready();
    assert!(is_found(&server, "there is no Secret `public-tls`"), "{}", server.status());
    assert!(server.status()["endpoints"]["imaps"].is_null(), "{}", server.status());

    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = [0, 1].map(|n| DevCa::load_or_create(folders[n].path()).unwrap());
    secret(&manifests, &first);
    wait_until("the front ends run", || server.status()["endpoints"]["imaps"].is_string());
    assert!(shows(&server, first.public_ca()));
    wait_until("all is well", || server.status()["ready"] == true && !is_found(&server, "public-tls"));

    secret(&manifests, &second);
    wait_until("the new one is shown", || shows(&server, second.public_ca()));
    manifests.remove("tls.yaml");
    wait_until("it is missed", || is_found(&server, "the last good one stays in force"));
    assert!(shows(&server, second.public_ca()));
    manifests.write(
        "tls.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: public-tls}\nstringData: {tls.crt: x, tls.key: y}\n",
    );
    wait_until("it is looked at", || is_found(&server, "cannot be used"));
    assert!(shows(&server, second.public_ca()));
    let mut imaps = Client::connect(server.endpoint("imap-plain"));
    imaps.ok("LOGIN ann@example.org \"correct horse battery staple\"");
}
