//! Certificates of `up`: one development CA for the wire, one for mail clients, unless a TLS Secret is declared.

use std::path::PathBuf;

use anyhow::Context;
use api::{MailServer, Object};
use files::durable;
use model::{ServerId, ShardId};
use tls::{DevCa, IdentityFiles, Peer, PublicFiles, Role};

use super::state::StateDir;

/// Where the certificates are.
pub struct Pki {
    /// For the wire, by role.
    pub operator: IdentityFiles,
    /// The primary's.
    pub primary: IdentityFiles,
    /// The IMAP front ends'.
    pub imap: IdentityFiles,
    /// The MX's.
    pub mx: IdentityFiles,
    /// What clients see.
    pub public: PublicFiles,
    /// The CA that clients have to trust; none where a TLS Secret is declared.
    pub public_ca: Option<PathBuf>,
}

/// Issues what is missing.
pub fn prepare(state: &StateDir, id: &ServerId, server: &MailServer, objects: &[Object]) -> anyhow::Result<Pki> {
    let ca = DevCa::load_or_create(&state.path("pki")).context("cannot make the development certificates")?;
    let identity = |role| ca.identity(&Peer { server: id.clone(), role });
    let declared = declared(state, server, objects)?;
    let public_ca = declared.is_none().then(|| ca.public_ca().to_owned());
    let public = match declared {
        Some(files) => files,
        None => ca.public(&server.spec.hostname)?,
    };
    Ok(Pki {
        operator: identity(Role::Operator)?,
        primary: identity(Role::Primary(ShardId(0)))?,
        imap: identity(Role::Imap)?,
        mx: identity(Role::Mx)?,
        public,
        public_ca,
    })
}

/// The TLS Secret of the MailServer, as files.
fn declared(state: &StateDir, server: &MailServer, objects: &[Object]) -> anyhow::Result<Option<PublicFiles>> {
    let Some(reference) = server.spec.tls.as_ref().and_then(|tls| tls.secret_refs.first()) else { return Ok(None) };
    let secret = objects.iter().find_map(|object| match object {
        Object::Secret(secret) if secret.name == reference.name => Some(secret),
        _ => None,
    });
    let Some((cert, key)) = secret.and_then(|s| Some((s.data.get("tls.crt")?, s.data.get("tls.key")?))) else {
        return Ok(None);
    };
    let files = PublicFiles { certificate: state.path("pki/declared.crt"), key: state.path("pki/declared.key") };
    durable::write(&files.certificate, cert)?;
    durable::write(&files.key, key)?;
    tls::PublicCertificate::load(&files).with_context(|| {
        format!(
            "Secret/{} cannot be used as the MailServer's certificate\n  mend its tls.crt and tls.key",
            reference.name
        )
    })?;
    Ok(Some(files))
}
