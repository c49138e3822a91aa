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
use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{IdentityFiles, Peer, PublicFiles, TlsError, pem, public_provider};

/// Ten years: a development CA that expires teaches nobody anything.
const CA_DAYS: i64 = 3650;
/// As long as Apple's clients accept from a CA a person has installed, with a margin.
const LEAF_DAYS: i64 = 397;
/// A leaf with less than this to live is issued again at the next start.
const RENEW_DAYS: i64 = 30;

/// Two development CAs.
#[derive(Debug)]
pub struct DevCa {
    folder: PathBuf,
    internal: Authority,
    public: Authority,
}

struct Authority {
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authority").field(&self.certificate).finish()
    }
}

impl DevCa {
    /// The CAs of that folder, which is made where it is missing.
    pub fn load_or_create(folder: &Path) -> Result<Self, TlsError> {
        durable::create_dir_all(folder)?;
        let internal = Authority::load_or_create(folder, "internal-ca", "Sealpost internal CA (development)")?;
        let public = Authority::load_or_create(folder, "public-ca", "Sealpost public CA (development)")?;
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
        let uri = peer.to_string().try_into()?;
        let name = peer.role.to_string().replace('/', "-");
        let (certificate, key) = self.leaf(&self.internal, &name, &peer.to_string(), vec![SanType::URI(uri)])?;
        Ok(IdentityFiles { certificate, key, ca: self.internal.certificate.clone() })
    }

    /// A certificate for mail clients: for that host name, and for `localhost`, `127.0.0.1` and `::1`; kept while it is
    /// valid.
    pub fn public(&self, hostname: &str) -> Result<PublicFiles, TlsError> {
        let mut names = vec![SanType::DnsName(hostname.try_into()?)];
        if hostname != "localhost" {
            names.push(SanType::DnsName("localhost".try_into()?));
        }
        names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
        let (certificate, key) = self.leaf(&self.public, &format!("public-{hostname}"), hostname, names)?;
        Ok(PublicFiles { certificate, key })
    }

    fn leaf(
        &self,
        authority: &Authority,
        file: &str,
        subject: &str,
        names: Vec<SanType>,
    ) -> Result<(PathBuf, PathBuf), TlsError> {
        let (certificate, key) = (self.folder.join(format!("{file}.crt")), self.folder.join(format!("{file}.key")));
        if authority.still_serves(&certificate, &key, &names) {
            return Ok((certificate, key));
        }
        let pair = KeyPair::generate()?;
        let mut params = params(subject, LEAF_DAYS);
        params.subject_alt_names = names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let issued = params.signed_by(&pair, &authority.issuer)?;
        durable::write(&key, pair.serialize_pem().as_bytes())?;
        durable::write(&certificate, issued.pem().as_bytes())?;
        Ok((certificate, key))
    }
}

impl Authority {
    fn load_or_create(folder: &Path, file: &str, subject: &str) -> Result<Self, TlsError> {
        let (certificate, key) = (folder.join(format!("{file}.crt")), folder.join(format!("{file}.key")));
        if certificate.exists() && key.exists() {
            // Subject and key id follow from constants and the key: an issuer needs nothing from the certificate.
            let text = fs::read_to_string(&key).map_err(TlsError::read(&key))?;
            let issuer = Issuer::new(authority_params(subject), KeyPair::from_pem(&text)?);
            return Ok(Self { certificate, issuer });
        }
        let pair = KeyPair::generate()?;
        let params = authority_params(subject);
        let own = params.self_signed(&pair)?;
        durable::write(&key, pair.serialize_pem().as_bytes())?;
        durable::write(&certificate, own.pem().as_bytes())?;
        Ok(Self { certificate, issuer: Issuer::new(params, pair) })
    }

    /// True where the files hold a pair of this CA with exactly these names and enough time left.
    fn still_serves(&self, certificate: &Path, key: &Path, names: &[SanType]) -> bool {
        if pem::certified_key(certificate, key, &public_provider()).is_err() {
            return false;
        }
        let Ok(leaf) = CertificateDer::from_pem_file(certificate) else { return false };
        let Ok((_, parsed)) = X509Certificate::from_der(&leaf) else { return false };
        let renew_from = parsed.validity().not_after.timestamp() - RENEW_DAYS * 24 * 60 * 60;
        let found = parsed.subject_alternative_name().ok().flatten();
        let found: Vec<String> =
            found.map(|names| names.value.general_names.iter().map(spell).collect()).unwrap_or_default();
        self.signed(&leaf)
            && Timestamp::now().as_second() < renew_from
            && found == names.iter().map(spell_wanted).collect::<Vec<_>>()
    }

    fn signed(&self, leaf: &CertificateDer<'_>) -> bool {
        let Ok(roots) = pem::authorities(&self.certificate) else { return false };
        let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
        let algorithms = public_provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], UnixTime::now(), algorithms).is_ok()
    }
}

fn spell(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
        _ => String::new(),
    }
}

fn spell_wanted(name: &SanType) -> String {
    match name {
        SanType::DnsName(name) | SanType::URI(name) => name.as_str().to_owned(),
        SanType::IpAddress(std::net::IpAddr::V4(ip)) => format!("{:?}", ip.octets()),
        SanType::IpAddress(std::net::IpAddr::V6(ip)) => format!("{:?}", ip.octets()),
        _ => String::new(),
    }
}

/// Valid from yesterday, so that a clock that is somewhat off does no harm.
fn params(subject: &str, days: i64) -> CertificateParams {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let date = |day: civil::Date| rcgen::date_time_ymd(i32::from(day.year()), day.month() as u8, day.day() as u8);
    let mut params = CertificateParams::default();
    params.not_before = date(today.saturating_sub(1.day()));
    params.not_after = date(today.saturating_add(days.days()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

fn authority_params(subject: &str) -> CertificateParams {
    let mut params = params(subject, CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
mod tests;
