//! For tools beside a server: a client that knows the server's certificates themselves, whoever issued them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{TlsError, pem, public_provider};

/// A configuration that accepts the leaf certificates of these files (PEM) and no others. For a listener on this machine
/// whose files are at hand: its name and its issuer say nothing more.
pub fn pinned_client_config(certificates: &[PathBuf]) -> Result<Arc<ClientConfig>, TlsError> {
    let leaves = certificates.iter().map(|path| leaf(path)).collect::<Result<Vec<_>, _>>()?;
    let provider = public_provider();
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { leaves, provider }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn leaf(path: &Path) -> Result<CertificateDer<'static>, TlsError> {
    // There is a first one: a file without any is an error.
    let text = fs::read(path).map_err(TlsError::read(path))?;
    Ok(pem::certificates(path, &text)?.swap_remove(0))
}

#[derive(Debug)]
struct Pinned {
    leaves: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.leaves.iter().any(|leaf| leaf.as_ref() == shown.as_ref()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
