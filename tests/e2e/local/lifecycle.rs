//! How the processes of `up` end, and how they come back.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::first_light::ANN;
use crate::harness::{Options, Server, have, project, sealpost, signal, wait_until};

const MESSAGE: &[u8] = b"From: <a@elsewhere.example>\r\nSubject: lifecycle\r\n\r\nhello\r\n";

fn deliver(server: &Server) {
    server.smtp().deliver("a@elsewhere.example", &["ann@example.org"], MESSAGE);
}

/// A process that ended and that nobody has asked about yet counts as gone.
fn gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

fn pids(server: &Server) -> Vec<u32> {
    let status = server.status();
    status["pids"].as_object().unwrap().values().map(|pid| u32::try_from(pid.as_u64().unwrap()).unwrap()).collect()
}

#[test]
fn every_killed_child_comes_back_on_the_ports_it_had() {
    let server = Options::samples().replicas(2).start();
    let before = server.status();
    for name in ["secondary-imap-0", "secondary-imap-1", "secondary-mx-0", "primary-0"] {
        server.kill(name);
        wait_until("everything serves again", || server.status()["ready"] == true);
        let now = server.status();
        assert_eq!(now["endpoints"], before["endpoints"], "after {name} was killed");
        assert_ne!(now["pids"][name], before["pids"][name]);
        deliver(&server);
    }
    for endpoint in ["imap-plain", "imap-plain-1"] {
        assert_eq!(server.imap_at(endpoint, "ann@example.org", ANN).count("INBOX"), 4);
    }
}

#[test]
fn a_killed_up_leaves_no_process_and_the_next_one_has_all_mail() {
    let mut server = Options::samples().start();
    deliver(&server);
    let mut session = server.imap("ann@example.org", ANN);
    session.append("INBOX", MESSAGE);
    let children = pids(&server);
    assert_eq!(children.len(), 4);
    server.kill_up();
    // At once, while the old children may still be ending: the volume's lock keeps the two apart.
    server.start();
    wait_until("the children of the killed one are gone", || children.iter().all(|pid| gone(*pid)));
    deliver(&server);
    assert_eq!(server.imap("ann@example.org", ANN).count("INBOX"), 3);
}

#[test]
fn both_signals_end_it_cleanly_and_idle_clients_are_told() {
    let mut server = Options::samples().start();
    for name in ["TERM", "INT"] {
        let mut clients: Vec<_> = (0..3).map(|_| server.imap("ann@example.org", ANN)).collect();
        for client in &mut clients {
            client.ok("SELECT INBOX");
            client.idle();
        }
        let children = pids(&server);
        let started = Instant::now();
        server.signal(name);
        for client in &mut clients {
            client.wait_for("* BYE");
        }
        server.wait_ended();
        assert!(started.elapsed() < Duration::from_secs(8), "{name} took {:?}", started.elapsed());
        assert!(children.iter().all(|pid| gone(*pid)), "{name} left a process");
        server.start();
    }
}

#[test]
fn a_primary_that_hangs_is_reported_and_does_not_keep_up_from_ending() {
    let mut server = Options::samples().start();
    let primary = server.pid("primary-0").unwrap();
    signal(primary, "STOP");
    let mut status = sealpost();
    status.args(["status", "-o", "json", "--state"]).arg(server.state()).stdin(Stdio::null()).stdout(Stdio::piped());
    wait_until("`status` answers, and says that not all is well", || {
        let mut asked = status.spawn().unwrap();
        wait_until("`status` answers", || asked.try_wait().unwrap().is_some());
        let said: serde_json::Value = serde_json::from_reader(asked.stdout.take().unwrap()).unwrap();
        said["ready"] == false
    });
    server.signal("TERM");
    server.wait_line("stopping");
    signal(primary, "CONT");
    server.wait_ended();
}

/// What `up` says when it must not start.
fn refuses(server: &Server) -> String {
    let mut command = sealpost();
    command.arg("up").arg("-f").arg(project("config/samples")).args(["--ports", "auto", "--state"]).arg(server.state());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "it must refuse to serve");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_lost_key_of_a_volume_is_never_made_anew() {
    let mut server = Options::samples().start();
    deliver(&server);
    server.stop();
    for file in ["keys/shard-0.key", "keys/server.key", "world.json"] {
        let (path, aside) = (server.state().join(file), server.dir.path().join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        let said = refuses(&server);
        assert!(said.contains(file) && said.contains("restore it"), "{said}");
        assert!(!path.exists(), "{file} was made anew");
        std::fs::rename(&aside, &path).unwrap();
    }
    server.start();
    assert_eq!(server.imap("ann@example.org", ANN).count("INBOX"), 1);
}

#[test]
fn a_tls_secret_is_shown_to_clients_instead_of_a_development_certificate() {
    if !have("openssl") || !have("curl") {
        return;
    }
    let manifests = crate::up::Manifests::samples();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=mx.example.org".split(' '),
        )
        .args([
            "-addext",
            "subjectAltName=DNS:mx.example.org,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mail = manifests.read("mailserver.yaml") + "  tls:\n    secretRefs:\n      - name: public\n";
    manifests.write("mailserver.yaml", &mail);
    manifests.write("tls.yaml", &tls_secret(&cert, &key));
    let server = Options::manifests(manifests.path()).start();
    for (endpoint, scheme) in [("imaps", "imaps"), ("imap", "imap"), ("mx", "smtp")] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--ssl-reqd", "--cacert"]).arg(&cert);
        if scheme == "smtp" {
            curl.args(["--request", "NOOP"]);
        } else {
            curl.args(["--user", &format!("ann@example.org:{ANN}")]);
        }
        let output = curl.arg(format!("{scheme}://{}/", server.endpoint(endpoint))).output().unwrap();
        assert!(output.status.success(), "{endpoint}: {output:?}");
    }
    drop(server);

    std::fs::write(&key, "not a key").unwrap();
    manifests.write("tls.yaml", &tls_secret(&cert, &key));
    let mut command = sealpost();
    command
        .arg("up")
        .arg("-f")
        .arg(manifests.path())
        .args(["--ports", "auto", "--state"])
        .arg(dir.path().join("state"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("Secret/public"), "{said}");
}

fn tls_secret(cert: &Path, key: &Path) -> String {
    let block = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        format!("    {}\n", text.trim_end().replace('\n', "\n    "))
    };
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: public\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        block(cert),
        block(key)
    )
}
