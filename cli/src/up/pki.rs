//! Certificates of `up`: one development CA for the wire, one for mail clients, unless a TLS Secret is named.
//!
//! A Secret that is named and missing is never replaced by a development certificate: clients would be told to trust another
//! server. The last one that was good stays in force; without any, the front ends wait for it, and `status` says why.

use std::path::{Path, PathBuf};

use anyhow::Context;
use api::{MailServer, Object};
use files::durable;
use model::{ServerId, ShardId};
use tls::{DevCa, IdentityFiles, Peer, PublicFiles, Role};

use super::state::StateDir;

/// Where the certificates of internal links are.
pub struct Pki {
    /// For the wire, by role.
    pub operator: IdentityFiles,
    /// The primary's.
    pub primary: IdentityFiles,
    /// The IMAP front ends'.
    pub imap: IdentityFiles,
    /// The MX's.
    pub mx: IdentityFiles,
}

/// What mail clients see.
#[derive(Default)]
pub struct Public {
    /// Certificate and key; none while there is none that may be shown.
    pub files: Option<PublicFiles>,
    /// The CA that clients have to trust; none where a TLS Secret is named.
    pub ca: Option<PathBuf>,
    /// What is wrong with it.
    pub finding: Option<String>,
    /// A Secret is there and is no certificate.
    pub broken: bool,
}

/// Issues what is missing.
pub fn prepare(state: &StateDir, id: &ServerId) -> anyhow::Result<Pki> {
    let ca = authorities(state)?;
    let identity = |role| ca.identity(&Peer { server: id.clone(), role });
    Ok(Pki {
        operator: identity(Role::Operator)?,
        primary: identity(Role::Primary(ShardId(0)))?,
        imap: identity(Role::Imap)?,
        mx: identity(Role::Mx)?,
    })
}

/// The certificate for mail clients as it is declared now, on disk: processes that run take it up by themselves.
pub fn public(state: &StateDir, server: &MailServer, objects: &[Object]) -> anyhow::Result<Public> {
    let Some(reference) = server.spec.tls.as_ref().and_then(|tls| tls.secret_refs.first()) else {
        let ca = authorities(state)?;
        let files = ca.public(&server.spec.hostname)?;
        return Ok(Public { files: Some(files), ca: Some(ca.public_ca().to_owned()), finding: None, broken: false });
    };
    let files = PublicFiles { certificate: state.path("pki/declared.crt"), key: state.path("pki/declared.key") };
    let declared = find(objects, &reference.name);
    let broken = declared.is_some();
    let finding = match declared {
        Some((certificate, key)) => take_up(state, &files, certificate, key)
            .err()
            .map(|error| format!("Secret/{} cannot be used: {error:#}: mend its tls.crt and tls.key", reference.name)),
        None => Some(format!(
            "there is no Secret `{}` with tls.crt and tls.key, which spec.tls of the MailServer names: add it to the manifests",
            reference.name
        )),
    };
    let has_one = tls::PublicCertificate::load(&files).is_ok();
    let then = if has_one { "until then the last good one stays in force" } else { "until then no front end runs" };
    let finding = finding.map(|finding| format!("{finding}\n  {then}"));
    Ok(Public { files: Some(files).filter(|_| has_one), ca: None, broken: broken && finding.is_some(), finding })
}

fn authorities(state: &StateDir) -> anyhow::Result<DevCa> {
    DevCa::load_or_create(&state.path("pki")).context("cannot make the development certificates")
}

fn find<'a>(objects: &'a [Object], name: &str) -> Option<(&'a [u8], &'a [u8])> {
    let secret = objects.iter().find_map(|object| match object {
        Object::Secret(secret) if secret.name == name => Some(secret),
        _ => None,
    })?;
    Some((secret.data.get("tls.crt")?, secret.data.get("tls.key")?))
}

/// Puts a pair in force, once it is known to be one.
fn take_up(state: &StateDir, files: &PublicFiles, certificate: &[u8], key: &[u8]) -> anyhow::Result<()> {
    if holds(&files.certificate, certificate) && holds(&files.key, key) {
        return Ok(());
    }
    let tried = PublicFiles { certificate: state.path("pki/tried.crt"), key: state.path("pki/tried.key") };
    durable::write(&tried.certificate, certificate)?;
    durable::write(&tried.key, key)?;
    tls::PublicCertificate::load(&tried)?;
    durable::rename(&tried.key, &files.key)?;
    Ok(durable::rename(&tried.certificate, &files.certificate)?)
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|found| found == bytes)
}
