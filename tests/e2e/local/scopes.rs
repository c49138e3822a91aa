//! Who may speak to a primary, and about what: tried on a running server with its own certificates and with others.

use std::sync::Arc;
use std::time::Duration;

use model::verbs::{Attach, Code, Failure, Hint};
use model::{Address, Directory, MailboxId, ServerId, SessionId, ShardId};
use tls::{DevCa, Identity, IdentityFiles, Peer, Role};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::{ClientConfig, Events, HelloReply, LiveSession, ShardClient};

use crate::harness::{Options, Server};

/// Enough for a link on loopback that is going to come up at all.
const LINK: Duration = Duration::from_secs(3);

struct Deaf;

impl Events for Deaf {
    fn connected(&self, _: &HelloReply) {}
    fn disconnected(&self) {}
    fn live_sessions(&self) -> Vec<LiveSession> {
        Vec::new()
    }
    fn changed(&self, _: MailboxId, _: Hint) {}
    fn directory(&self, _: Arc<Directory>) {}
    fn revoked(&self, _: SessionId) {}
    fn draining(&self) {}
    async fn reattach(&self, _: SessionId, _: &HelloReply) -> Result<Attach, Failure> {
        Err(Failure::unavailable("no session"))
    }
    async fn key_query(&self, _: MailboxId, _: [u8; 16], _: &HelloReply) -> Option<Attach> {
        None
    }
}

/// Where the wire of primary 0 is: the MX was told.
fn wire_address(server: &Server) -> String {
    let config = std::fs::read(server.state().join("run/secondary-mx-0.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["shards"][0]["address"].as_str().unwrap().to_owned()
}

fn own_identity(server: &Server, role: &str) -> IdentityFiles {
    let pki = server.state().join("pki");
    let (certificate, key) = (pki.join(format!("{role}.crt")), pki.join(format!("{role}.key")));
    IdentityFiles { certificate, key, ca: pki.join("internal-ca.crt") }
}

fn client(server: &Server, files: &IdentityFiles) -> ShardClient {
    let identity = Identity::load(files).unwrap();
    let config = ClientConfig { shard: ShardId(0), address: wire_address(server), identity };
    ShardClient::connect(config, Arc::new(Deaf)).unwrap()
}

fn ann() -> Address {
    "ann@example.org".parse().unwrap()
}

#[tokio::test]
async fn with_an_mx_certificate_a_verb_about_mailboxes_is_refused() {
    tls::install_provider();
    let server = Options::samples().start();
    let imap = client(&server, &own_identity(&server, "imap"));
    assert!(imap.keyset(ann(), None).await.is_ok(), "the role imap may ask for a keyset");
    let mx = client(&server, &own_identity(&server, "mx"));
    mx.connected().await.unwrap();
    assert_eq!(mx.keyset(ann(), None).await.unwrap_err().code, Code::NoPerm);
    let request = mx.request(SessionId([7; 16]), model::verbs::Request::Quota).await;
    assert_eq!(request.unwrap_err().code, Code::NoPerm);
}

#[tokio::test]
async fn with_a_certificate_of_another_server_nothing_is_answered() {
    tls::install_provider();
    let server = Options::samples().start();
    // The same CA, so that only the name in the certificate differs; then a CA of its own.
    let ours = DevCa::load_or_create(&server.state().join("pki")).unwrap();
    let theirs = DevCa::load_or_create(&server.dir.path().join("other-pki")).unwrap();
    let other = Peer { server: ServerId("another".into()), role: Role::Imap };
    let world = std::fs::read(server.state().join("world.json")).unwrap();
    let world: serde_json::Value = serde_json::from_slice(&world).unwrap();
    let same_name = Peer { server: ServerId(world["server"].as_str().unwrap().into()), role: Role::Imap };
    let mut foreign_ca = theirs.identity(&same_name).unwrap();
    foreign_ca.ca = server.state().join("pki/internal-ca.crt");
    // A copy, so that the server's own file of that role stays as it is.
    let copies = server.dir.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    for name in ["internal-ca.crt", "internal-ca.key"] {
        std::fs::copy(server.state().join("pki").join(name), copies.join(name)).unwrap();
    }
    drop(ours);
    let other_name = DevCa::load_or_create(&copies).unwrap().identity(&other).unwrap();
    for (what, files) in [("another server's name", other_name), ("another CA", foreign_ca)] {
        let link = tokio::time::timeout(LINK, client(&server, &files).connected()).await;
        assert!(!matches!(link, Ok(Ok(_))), "a link came up with {what}");
    }
    let good = client(&server, &own_identity(&server, "imap"));
    good.connected().await.expect("the server itself is well");
}

#[tokio::test]
async fn without_a_certificate_nothing_is_answered_and_the_group_is_post_quantum() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    tls::install_provider();
    let server = Options::samples().start();
    let address = wire_address(&server);
    let identity = Identity::load(&own_identity(&server, "imap")).unwrap();
    let config = identity.client_config(Role::Primary(ShardId(0))).unwrap();
    let tcp = TcpStream::connect(&address).await.unwrap();
    let link = TlsConnector::from(config.clone()).connect(tls::internal_name(), tcp).await.unwrap();
    let group = link.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(link.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));

    let mut bare = config.as_ref().clone();
    bare.client_auth_cert_resolver = Arc::new(NoCertificate);
    let tcp = TcpStream::connect(&address).await.unwrap();
    // In TLS 1.3 the client learns of the refusal with its first read.
    let mut answer = Vec::new();
    if let Ok(mut link) = TlsConnector::from(Arc::new(bare)).connect(tls::internal_name(), tcp).await {
        let _ = link.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let _ = tokio::time::timeout(LINK, link.read_to_end(&mut answer)).await;
    }
    assert_eq!(answer, b"", "a client without a certificate got an answer");
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
