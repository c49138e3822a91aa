//! Certificates where nobody provides any: two small CAs in one folder, one for internal links, one for mail clients.
//!
//! Files: `internal-ca.{crt,key}`, `public-ca.{crt,key}` (PEM, 0600). Whoever trusts the public CA in a mail client does
//! not thereby let anyone onto the internal links, and the other way round.
//!
//! What a crash leaves: at most a key without its certificate, which the next start replaces. A leaf is written key first,
//! and a pair that does not match is issued again.

use std::fs;
use std::path::{Path, PathBuf};

use files::durable;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::{Authority, IdentityFiles, Life, Pair, Peer, PublicFiles, Subject, TlsError};

/// As long as Apple's clients accept from a CA a person has installed, with a margin; issued again at the start in the
/// last month.
const LIFE: Life = Life { days: 397, renew: 30 };

/// Two development CAs.
#[derive(Debug)]
pub struct DevCa {
    folder: PathBuf,
    internal: Stored,
    public: Stored,
}

#[derive(Debug)]
struct Stored {
    certificate: PathBuf,
    authority: Authority,
}

impl DevCa {
    /// The CAs of that folder, which is made where it is missing.
    pub fn load_or_create(folder: &Path) -> Result<Self, TlsError> {
        durable::create_dir_all(folder)?;
        let internal = Stored::load_or_create(folder, "internal-ca", "Sealpost internal CA (development)")?;
        let public = Stored::load_or_create(folder, "public-ca", "Sealpost public CA (development)")?;
        Ok(Self { folder: folder.to_owned(), internal, public })
    }

    /// The certificate that a mail client must trust.
    pub fn public_ca(&self) -> &Path {
        &self.public.certificate
    }

    /// The certificate that internal links trust.
    pub fn internal_ca(&self) -> &Path {
        &self.internal.certificate
    }

    /// An identity for internal links, in files named after its role; kept while it is valid.
    pub fn identity(&self, peer: &Peer) -> Result<IdentityFiles, TlsError> {
        let name = peer.role.to_string().replace('/', "-");
        let (certificate, key) = self.leaf(&self.internal, &name, Subject::Peer(peer))?;
        Ok(IdentityFiles { certificate, key, ca: self.internal.certificate.clone() })
    }

    /// A certificate for mail clients: for that host name, and for `localhost`, `127.0.0.1` and `::1`; kept while it is
    /// valid.
    pub fn public(&self, hostname: &str) -> Result<PublicFiles, TlsError> {
        let (certificate, key) = self.leaf(&self.public, &format!("public-{hostname}"), Subject::Host(hostname))?;
        Ok(PublicFiles { certificate, key })
    }

    fn leaf(&self, ca: &Stored, file: &str, subject: Subject<'_>) -> Result<(PathBuf, PathBuf), TlsError> {
        let (certificate, key) = (self.folder.join(format!("{file}.crt")), self.folder.join(format!("{file}.key")));
        let there = read(&certificate, &key);
        if there.is_ok_and(|pair| ca.authority.still_serves(&pair, subject, LIFE, Timestamp::now())) {
            return Ok((certificate, key));
        }
        write(&certificate, &key, &ca.authority.issue(subject, LIFE)?)?;
        Ok((certificate, key))
    }
}

impl Stored {
    fn load_or_create(folder: &Path, file: &str, subject: &str) -> Result<Self, TlsError> {
        let (certificate, key) = (folder.join(format!("{file}.crt")), folder.join(format!("{file}.key")));
        if certificate.exists() && key.exists() {
            let authority = Authority::load(subject, &read(&certificate, &key)?)?;
            return Ok(Self { certificate, authority });
        }
        let (authority, pair) = Authority::mint(subject)?;
        write(&certificate, &key, &pair)?;
        Ok(Self { certificate, authority })
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    let text = fs::read_to_string(certificate).map_err(TlsError::read(certificate))?;
    let secret = fs::read_to_string(key).map(Zeroizing::new).map_err(TlsError::read(key))?;
    Ok(Pair { certificate: text, key: secret })
}

fn write(certificate: &Path, key: &Path, pair: &Pair) -> Result<(), TlsError> {
    durable::write(key, pair.key.as_bytes())?;
    durable::write(certificate, pair.certificate.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests;
