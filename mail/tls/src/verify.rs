//! Verification on internal links: the internal CA signed it, it belongs to our server, and it has the expected role.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::identity::Live;
use crate::{Peer, Role};

/// What is asked of the other end beyond a valid chain and our own server id.
#[derive(Debug)]
pub struct Verifier {
    live: Arc<Live>,
    provider: Arc<CryptoProvider>,
    /// None = any role; what it may do is decided by scope.
    expected: Option<Role>,
}

/// Why a valid certificate of our CA is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Names(#[from] crate::PeerError),
    #[error("the peer is {found}, of another server than {ours}")]
    Server { found: Peer, ours: Peer },
    #[error("the peer is {found}, not {expected}")]
    Role { found: Peer, expected: Role },
}

impl Verifier {
    pub fn new(live: Arc<Live>, provider: Arc<CryptoProvider>, expected: Option<Role>) -> Arc<Self> {
        Arc::new(Self { live, provider, expected })
    }

    /// The URI names our server and the expected role.
    fn check_names(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let ours = &self.live.loaded().peer;
        let check = || -> Result<(), Refusal> {
            let found = Peer::from_certificate(leaf)?;
            if found.server != ours.server {
                return Err(Refusal::Server { found, ours: ours.clone() });
            }
            match self.expected {
                Some(expected) if expected != found.role => Err(Refusal::Role { found, expected }),
                _ => Ok(()),
            }
        };
        check().map_err(|refusal| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal)))))
    }

    fn verify_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let loaded = self.live.loaded();
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &loaded.roots, intermediates, now, algorithms)?;
        self.check_names(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Every peer of ours has exactly one certificate: nothing to choose.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.live.loaded().clients.verify_client_cert(end_entity, intermediates, now)?;
        self.check_names(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS 1.2 is not offered on internal links, so rustls never asks.
fn tls12_refused() -> Error {
    Error::General("internal links speak TLS 1.3 only".to_owned())
}
