//! Handshakes over an in-memory pipe: who gets in, who does not, and what is negotiated.

// Helpers are tests too; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use model::{ServerId, ShardId};
use rustls::{ClientConfig, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use sealpost_tls::{self as tls, DevCa, Identity, Peer, PublicCertificate, Role, internal_name};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const SHARD: Role = Role::Primary(ShardId(0));

struct World {
    _dir: TempDir,
    ca: DevCa,
}

impl World {
    fn new() -> Self {
        tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let ca = DevCa::load_or_create(dir.path()).unwrap();
        Self { _dir: dir, ca }
    }

    fn identity(&self, server: &str, role: Role) -> Identity {
        // Each in its own folder: files are named after the role alone.
        let peer = Peer::new(ServerId(server.to_owned()), role);
        Identity::load(&self.ca.identity(&peer).unwrap()).unwrap()
    }
}

#[derive(Debug)]
struct Negotiated {
    group: Option<NamedGroup>,
    version: Option<ProtocolVersion>,
    peer: Option<Peer>,
}

fn seen(connection: &rustls::CommonState) -> Negotiated {
    Negotiated {
        group: connection.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name),
        version: connection.protocol_version(),
        peer: Peer::from_chain(connection.peer_certificates()).ok(),
    }
}

/// One handshake and one byte each way, so that a refusal of the client's certificate shows on both sides.
async fn link(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: ServerName<'static>,
) -> std::io::Result<(Negotiated, Negotiated)> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serve = async move {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await?;
        std::io::Result::Ok(seen(stream.get_ref().1))
    };
    let dial = async move {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_u8(7).await?;
        stream.flush().await?;
        stream.read_u8().await?;
        std::io::Result::Ok(seen(stream.get_ref().1))
    };
    tokio::try_join!(dial, serve)
}

async fn internal(client: &Identity, server: &Identity, expected: Role) -> std::io::Result<(Negotiated, Negotiated)> {
    link(client.client_config(expected).unwrap(), server.server_config().unwrap(), internal_name()).await
}

#[tokio::test]
async fn internal_links_know_each_other_and_use_the_hybrid_group() {
    let world = World::new();
    let (primary, mx) = (world.identity("s1", SHARD), world.identity("s1", Role::Mx));
    let (client, server) = internal(&mx, &primary, SHARD).await.unwrap();
    assert_eq!(client.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(server.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(client.version, Some(ProtocolVersion::TLSv1_3));
    assert_eq!(server.peer, Some(mx.peer()));
    assert_eq!(client.peer, Some(primary.peer()));
}

#[tokio::test]
async fn another_shard_or_role_is_not_taken_for_the_one_expected() {
    let world = World::new();
    let (primary, imap) = (world.identity("s1", SHARD), world.identity("s1", Role::Imap));
    assert!(internal(&imap, &primary, Role::Primary(ShardId(1))).await.is_err());
    assert!(internal(&imap, &imap, SHARD).await.is_err());
}

#[tokio::test]
async fn another_server_of_the_same_ca_is_refused_on_both_sides() {
    let world = World::new();
    let ours = world.identity("s1", SHARD);
    let theirs = world.identity("s2", Role::Mx);
    assert!(internal(&theirs, &ours, SHARD).await.is_err());
    // The server's side alone: the stranger's own check would stop it first.
    let lenient = lenient_client(Some(&world.ca.identity(&theirs.peer()).unwrap()));
    assert!(link(lenient, ours.server_config().unwrap(), internal_name()).await.is_err());
}

#[tokio::test]
async fn no_certificate_or_one_of_another_ca_is_refused() {
    let (world, other) = (World::new(), World::new());
    let primary = world.identity("s1", SHARD);
    let stranger = other.identity("s1", Role::Mx);
    assert!(internal(&stranger, &primary, SHARD).await.is_err());
    let theirs = other.ca.identity(&stranger.peer()).unwrap();
    let config = primary.server_config().unwrap();
    assert!(link(lenient_client(Some(&theirs)), config.clone(), internal_name()).await.is_err());
    assert!(link(lenient_client(None), config.clone(), internal_name()).await.is_err());
    // The lenient client does get in with the right certificate, so the refusals above are the server's.
    let ours = world.ca.identity(&Peer::new(ServerId("s1".to_owned()), Role::Mx)).unwrap();
    link(lenient_client(Some(&ours)), config, internal_name()).await.unwrap();
}

#[tokio::test]
async fn classical_groups_and_old_versions_are_refused_on_internal_links() {
    let world = World::new();
    let primary = world.identity("s1", SHARD);
    let ours = world.ca.identity(&Peer::new(ServerId("s1".to_owned()), Role::Mx)).unwrap();
    let mut classical = (*lenient_client(Some(&ours))).clone();
    let mut provider = (**classical.crypto_provider()).clone();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    classical = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_cert_resolver(classical.client_auth_cert_resolver.clone());
    assert!(link(Arc::new(classical), primary.server_config().unwrap(), internal_name()).await.is_err());
}

#[tokio::test]
async fn a_reloaded_certificate_is_shown_to_the_next_client() {
    let world = World::new();
    let (primary, mx) = (world.identity("s1", SHARD), world.identity("s1", Role::Mx));
    assert!(!primary.reload().unwrap());
    let files = world.ca.identity(&primary.peer()).unwrap();
    std::fs::remove_file(&files.key).unwrap();
    assert!(primary.reload().is_err());
    internal(&mx, &primary, SHARD).await.expect("the previous certificate stays in force");
    world.ca.identity(&primary.peer()).unwrap();
    assert!(primary.reload().unwrap());
    internal(&mx, &primary, SHARD).await.unwrap();
}

#[tokio::test]
async fn mail_clients_see_the_public_certificate_with_old_and_new_tls() {
    let world = World::new();
    let files = world.ca.public("mx.example.test").unwrap();
    let server = PublicCertificate::load(&files).unwrap().server_config().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(world.ca.public_ca()).unwrap()).unwrap();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for name in ["mx.example.test", "localhost", "127.0.0.1"] {
            let client = ClientConfig::builder_with_protocol_versions(&[version])
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            let name = ServerName::try_from(name).unwrap();
            let (client, _) = link(Arc::new(client), server.clone(), name).await.unwrap();
            assert_eq!(client.version, Some(version.version));
        }
    }
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("other.example.test").unwrap();
    assert!(link(Arc::new(client), server, name).await.is_err());
}

/// A client that trusts anyone, so that only the server's checks are tested.
fn lenient_client(files: Option<&tls::IdentityFiles>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
    let config = match files {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
            let key = rustls_pki_types::PrivateKeyDer::from_pem_file(&files.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    Arc::new(config)
}

#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_runs_takes_a_replaced_certificate() {
    let world = World::new();
    let (primary, mx) = (world.identity("s1", SHARD), world.identity("s1", Role::Mx));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let following = primary.clone();
    let task = tokio::spawn(tls::follow("internal", move || {
        let reloaded = following.reload();
        let _ = tell.send(reloaded.as_ref().is_ok_and(|changed| *changed));
        reloaded
    }));
    assert!(!told.recv().await.unwrap());
    std::fs::remove_file(world.ca.identity(&primary.peer()).unwrap().key).unwrap();
    world.ca.identity(&primary.peer()).unwrap();
    assert!(told.recv().await.unwrap());
    internal(&mx, &primary, SHARD).await.unwrap();
    task.abort();
}
