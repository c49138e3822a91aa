//! Certificates and keys from PEM files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;

/// A chain (leaf first) and its key, proved to be a pair.
pub fn certified_key(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(certificate)?;
    let text = fs::read(key).map_err(TlsError::read(key))?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(TlsError::pem(key, "private key"))?;
    let certified = CertifiedKey::from_der(chain, private, provider)
        .map_err(|source| TlsError::Certificate { path: certificate.to_owned(), source })?;
    Ok(Arc::new(certified))
}

/// Every certificate of a bundle as a trust anchor. While a CA is replaced the bundle holds the old and the new one.
pub fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 || ignored > 0 {
        return Err(TlsError::NoAuthority { path: path.to_owned() });
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = fs::read(path).map_err(TlsError::read(path))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = read.map_err(TlsError::pem(path, "certificate"))?;
    if found.is_empty() {
        return Err(TlsError::pem(path, "certificate")(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}
