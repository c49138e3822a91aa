//! The identity of this process on internal links, and the configurations made from it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

use crate::verify::Verifier;
use crate::{Pair, Peer, Role, TlsError, internal_provider, pem};

/// Where a process finds its identity. Paths only, no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityFiles {
    /// Certificate chain, leaf first (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Certificates of the internal CA (PEM): two while it is being replaced.
    pub ca: PathBuf,
}

/// The identity of this process. Configurations made from it follow [`Identity::reload`].
#[derive(Debug, Clone)]
pub struct Identity {
    /// None where it came as text.
    files: Option<IdentityFiles>,
    live: Arc<Live>,
}

/// What is in force now; replaced as a whole.
#[derive(Debug)]
pub(crate) struct Live(RwLock<Arc<Loaded>>);

/// One state of the files.
#[derive(Debug)]
pub(crate) struct Loaded {
    key: Arc<CertifiedKey>,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
    pub(crate) peer: Peer,
}

impl Identity {
    /// Reads and checks the files.
    pub fn load(files: &IdentityFiles) -> Result<Self, TlsError> {
        let live = Arc::new(Live(RwLock::new(Arc::new(read(files)?))));
        Ok(Self { files: Some(files.clone()), live })
    }

    /// An identity from text, for a process that issues its own; there is nothing to reload.
    pub fn from_pair(pair: &Pair, ca: &str) -> Result<Self, TlsError> {
        let provider = internal_provider();
        let key = pem::pair(pair.certificate.as_bytes(), pair.key.as_bytes(), &provider)?;
        let loaded = check(key, pem::roots(ca.as_bytes())?, provider, Path::new("tls.crt"), Path::new("ca.crt"))?;
        Ok(Self { files: None, live: Arc::new(Live(RwLock::new(Arc::new(loaded)))) })
    }

    /// Who we are.
    pub fn peer(&self) -> Peer {
        self.live.loaded().peer.clone()
    }

    /// Reads the files again: new handshakes use them, connections stay. True where the certificate is another one.
    /// After an error the previous state stays in force.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(files) = &self.files else { return Ok(false) };
        let fresh = Arc::new(read(files)?);
        let mut current = self.live.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.key.cert != fresh.key.cert;
        *current = fresh;
        Ok(changed)
    }

    /// For listeners of internal links: every process of our own server may connect and must show its certificate; what
    /// it may ask follows from its role.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = internal_provider();
        let verifier = Verifier::new(self.live.clone(), provider.clone(), None);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Config)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.live.clone());
        // A resumed session would skip the check of a certificate that may have been replaced meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// For a link to that role of our own server.
    pub fn client_config(&self, expected: Role) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = internal_provider();
        let verifier = Verifier::new(self.live.clone(), provider.clone(), Some(expected));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Config)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(self.live.clone());
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// The server name to give to rustls on internal links, where it is not looked at (and not sent).
pub fn internal_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into())
}

fn read(files: &IdentityFiles) -> Result<Loaded, TlsError> {
    let provider = internal_provider();
    let key = pem::certified_key(&files.certificate, &files.key, &provider)?;
    check(key, pem::authorities(&files.ca)?, provider, &files.certificate, &files.ca)
}

/// The paths name the pieces in errors.
fn check(
    key: Arc<CertifiedKey>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    certificate: &Path,
    ca: &Path,
) -> Result<Loaded, TlsError> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider)
        .build()
        .map_err(|_| TlsError::NoAuthority { path: ca.to_owned() })?;
    let peer =
        Peer::from_chain(Some(&key.cert)).map_err(|source| TlsError::Peer { path: certificate.to_owned(), source })?;
    Ok(Loaded { key, roots, clients, peer })
}

impl Live {
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Live {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.loaded().key.clone())
    }
}

impl ResolvesClientCert for Live {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.loaded().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
