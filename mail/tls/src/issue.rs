//! Issuing certificates: a CA in memory, and the pairs it signs. Who keeps them, and where, is the caller's business.

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
use zeroize::Zeroizing;

use crate::{Peer, TlsError, pem, public_provider};

/// Ten years: a CA that expires takes everything with it.
const CA_DAYS: i64 = 3650;

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Pair {
    /// Chain, leaf first.
    pub certificate: String,
    /// The key; wiped when dropped.
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// How long a leaf lives, in days.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// From its issue to its end.
    pub days: i64,
    /// With less than this to live it is issued again.
    pub renew: i64,
}

/// Whom a leaf is for.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A process on internal links.
    Peer(&'a Peer),
    /// A host name that mail clients connect to; `localhost` and the loopback addresses are added.
    Host(&'a str),
}

/// A CA.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Authority {
    /// Another CA, with the pair that brings it back.
    pub fn mint(subject: &str) -> Result<(Self, Pair), TlsError> {
        let key = KeyPair::generate()?;
        let params = params(subject, CA_DAYS, true);
        let own = params.self_signed(&key)?.pem();
        let pair = Pair { certificate: own.clone(), key: Zeroizing::new(key.serialize_pem()) };
        Ok((Self { certificate: own, issuer: Issuer::new(params, key) }, pair))
    }

    /// The CA of that subject and pair.
    pub fn load(subject: &str, pair: &Pair) -> Result<Self, TlsError> {
        // Subject and key id follow from the name and the key: an issuer needs nothing from the certificate.
        let issuer = Issuer::new(params(subject, CA_DAYS, true), KeyPair::from_pem(&pair.key)?);
        Ok(Self { certificate: pair.certificate.clone(), issuer })
    }

    /// Its certificate (PEM): what others trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A leaf.
    pub fn issue(&self, subject: Subject<'_>, life: Life) -> Result<Pair, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = params(&spell_subject(subject), life.days, false);
        params.subject_alt_names = names(subject)?;
        let issued = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: issued.pem(), key: Zeroizing::new(key.serialize_pem()) })
    }

    /// True where this is a pair of this CA for exactly that subject, with enough time left.
    pub fn still_serves(&self, pair: &Pair, subject: Subject<'_>, life: Life, now: Timestamp) -> bool {
        let Ok(wanted) = names(subject) else { return false };
        if pem::pair(pair.certificate.as_bytes(), pair.key.as_bytes(), &public_provider()).is_err() {
            return false;
        }
        let Ok(leaf) = CertificateDer::from_pem_slice(pair.certificate.as_bytes()) else { return false };
        let Ok((_, parsed)) = X509Certificate::from_der(&leaf) else { return false };
        let renew_from = parsed.validity().not_after.timestamp() - life.renew * 24 * 60 * 60;
        let found = parsed.subject_alternative_name().ok().flatten();
        let found: Vec<String> =
            found.map(|names| names.value.general_names.iter().map(spell).collect()).unwrap_or_default();
        self.signed(&leaf)
            && now.as_second() < renew_from
            && found == wanted.iter().map(spell_wanted).collect::<Vec<_>>()
    }

    fn signed(&self, leaf: &CertificateDer<'_>) -> bool {
        let Ok(roots) = pem::roots(self.certificate.as_bytes()) else { return false };
        let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
        let algorithms = public_provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], UnixTime::now(), algorithms).is_ok()
    }
}

/// When a certificate ends.
pub fn expires(certificate: &[u8]) -> Option<Timestamp> {
    let leaf = CertificateDer::from_pem_slice(certificate).ok()?;
    let (_, parsed) = X509Certificate::from_der(&leaf).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn spell_subject(subject: Subject<'_>) -> String {
    match subject {
        Subject::Peer(peer) => peer.to_string(),
        Subject::Host(host) => host.to_owned(),
    }
}

fn names(subject: Subject<'_>) -> Result<Vec<SanType>, TlsError> {
    let hostname = match subject {
        Subject::Peer(peer) => return Ok(vec![SanType::URI(peer.to_string().try_into()?)]),
        Subject::Host(hostname) => hostname,
    };
    let mut names = vec![SanType::DnsName(hostname.try_into()?)];
    if hostname != "localhost" {
        names.push(SanType::DnsName("localhost".try_into()?));
    }
    names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
    Ok(names)
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
fn params(subject: &str, days: i64, authority: bool) -> CertificateParams {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let date = |day: civil::Date| rcgen::date_time_ymd(i32::from(day.year()), day.month() as u8, day.day() as u8);
    let mut params = CertificateParams::default();
    params.not_before = date(today.saturating_sub(1.day()));
    params.not_after = date(today.saturating_add(days.days()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
    }
    params
}

#[cfg(test)]
mod tests {
    use model::ServerId;

    use super::*;
    use crate::Role;

    const LIFE: Life = Life { days: 90, renew: 30 };

    fn peer(server: &str) -> Peer {
        Peer::new(ServerId(server.into()), Role::Mx)
    }

    #[test]
    fn a_leaf_serves_its_own_subject_until_it_is_due() {
        let (ca, kept) = Authority::mint("test CA").unwrap();
        let leaf = ca.issue(Subject::Peer(&peer("a")), LIFE).unwrap();
        let again = Authority::load("test CA", &kept).unwrap();
        let now = Timestamp::now();
        assert!(again.still_serves(&leaf, Subject::Peer(&peer("a")), LIFE, now));
        assert!(!again.still_serves(&leaf, Subject::Peer(&peer("b")), LIFE, now));
        assert!(!again.still_serves(&leaf, Subject::Host("a"), LIFE, now));
        let due = expires(leaf.certificate.as_bytes()).unwrap() - (30 * 24).hours();
        assert!(!again.still_serves(&leaf, Subject::Peer(&peer("a")), LIFE, due));
        let (other, _) = Authority::mint("test CA").unwrap();
        assert!(!other.still_serves(&leaf, Subject::Peer(&peer("a")), LIFE, now));
    }

    #[test]
    fn an_identity_of_a_pair_works_like_one_of_files() {
        let (ca, _) = Authority::mint("test CA").unwrap();
        let leaf = ca.issue(Subject::Peer(&peer("a")), LIFE).unwrap();
        let identity = crate::Identity::from_pair(&leaf, ca.certificate()).unwrap();
        assert_eq!(identity.peer(), peer("a"));
        assert!(!identity.reload().unwrap());
        let other = ca.issue(Subject::Peer(&peer("a")), LIFE).unwrap();
        let torn = Pair { certificate: other.certificate, key: leaf.key };
        assert!(crate::Identity::from_pair(&torn, ca.certificate()).is_err());
    }
}
