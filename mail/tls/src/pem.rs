//! Certificates and keys from PEM.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::TlsError;

/// A chain (leaf first) and its key from files, proved to be a pair.
pub fn certified_key(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(certificate, &fs::read(certificate).map_err(TlsError::read(certificate))?)?;
    let text = Zeroizing::new(fs::read(key).map_err(TlsError::read(key))?);
    certify(certificate, chain, key, &text, provider)
}

/// The same from text.
pub fn pair(certificate: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let name = Path::new("tls.crt");
    certify(name, certificates(name, certificate)?, Path::new("tls.key"), key, provider)
}

fn certify(
    certificate: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: &Path,
    text: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let private = PrivateKeyDer::from_pem_slice(text).map_err(TlsError::pem(key, "private key"))?;
    let certified = CertifiedKey::from_der(chain, private, provider)
        .map_err(|source| TlsError::Certificate { path: certificate.to_owned(), source })?;
    Ok(Arc::new(certified))
}

/// Every certificate of a bundle as a trust anchor. While a CA is replaced the bundle holds the old and the new one.
pub fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    trust(path, &fs::read(path).map_err(TlsError::read(path))?)
}

/// The same from text.
pub fn roots(bundle: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
    trust(Path::new("ca.crt"), bundle)
}

fn trust(path: &Path, bundle: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(certificates(path, bundle)?);
    if added == 0 || ignored > 0 {
        return Err(TlsError::NoAuthority { path: path.to_owned() });
    }
    Ok(Arc::new(roots))
}

/// All certificates of a text, at least one.
pub fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = read.map_err(TlsError::pem(path, "certificate"))?;
    if found.is_empty() {
        return Err(TlsError::pem(path, "certificate")(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}
