//! Who is at the other end: certificates, identities and roles, and the TLS configurations that follow from them.
//!
//! Two worlds that never meet. *Internal links* carry an identity in the certificate's URI SAN
//! (`sealpost://<serverId>/<role>[/<shard>]`), are checked on both sides against the internal CA, and negotiate TLS 1.3
//! with X25519MLKEM768 or nothing. *Public listeners* show a certificate for a host name to mail clients, from TLS 1.2 on.
//!
//! Start with [`Identity`] for internal links, [`PublicCertificate`] for listeners, [`DevCa`] where nobody provides
//! certificates, [`Authority`] to issue them. Call [`install_provider`] first thing in `main`.
//!
//! Invariants:
//! * Host names play no part on internal links: the URI alone says who it is, so an address may change freely.
//! * Both kinds of certificates can be replaced without a restart ([`Identity::reload`], [`PublicCertificate::reload`],
//!   [`follow`]); files that cannot be used leave the previous ones in force.

mod dev_ca;
mod error;
mod follow;
mod identity;
mod issue;
mod pem;
mod pinned;
mod public;
mod role;
mod verify;

pub use dev_ca::DevCa;
pub use error::TlsError;
pub use follow::follow;
pub use identity::{Identity, IdentityFiles, internal_name};
pub use issue::{Authority, Life, Pair, Subject, expires};
pub use pinned::pinned_client_config;
pub use public::{PublicCertificate, PublicFiles};
pub use role::{Peer, PeerError, Role};

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Makes aws-lc-rs the cryptography of every rustls configuration in this process. Harmless when called again.
pub fn install_provider() {
    // An error says that a provider is installed already; the workspace holds only this one.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// For internal links: the hybrid key exchange and no other, so that recorded traffic stays closed to quantum computers.
fn internal_provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// For public listeners: hybrid first, classical groups for clients that know no better.
fn public_provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
