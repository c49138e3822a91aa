//! The certificate that mail clients see.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::{TlsError, pem, public_provider};

/// Where a listener finds its certificate. Paths only, no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublicFiles {
    /// Certificate chain, leaf first (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// The certificate of the public listeners. Configurations made from it follow [`PublicCertificate::reload`].
#[derive(Debug, Clone)]
pub struct PublicCertificate {
    files: PublicFiles,
    live: Arc<Live>,
}

#[derive(Debug)]
struct Live(RwLock<Arc<CertifiedKey>>);

impl PublicCertificate {
    /// Reads and checks the files.
    pub fn load(files: &PublicFiles) -> Result<Self, TlsError> {
        let live = Arc::new(Live(RwLock::new(read(files)?)));
        Ok(Self { files: files.clone(), live })
    }

    /// Reads the files again: new handshakes use them, connections stay. True where the certificate is another one.
    /// After an error the previous one stays in force.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let fresh = read(&self.files)?;
        let mut current = self.live.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.cert != fresh.cert;
        *current = fresh;
        Ok(changed)
    }

    /// For IMAP, POP3 and SMTP listeners: TLS 1.2 and 1.3, no client certificates. Make it once for all listeners of a
    /// process: the keys of its session tickets live in it.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(public_provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Config)?
            .with_no_client_auth()
            .with_cert_resolver(self.live.clone());
        // Mail clients come back often; a ticket spares them a signature and us the memory of a session.
        config.ticketer = Ticketer::new().map_err(TlsError::Config)?;
        Ok(Arc::new(config))
    }
}

fn read(files: &PublicFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    pem::certified_key(&files.certificate, &files.key, &public_provider())
}

impl ResolvesServerCert for Live {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
