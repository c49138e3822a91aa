//! The one error of this crate.

use model::Class;

use crate::shard::ShardError;

/// What keeps the operator from doing its work.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The API server did not do what was asked.
    #[error("cannot {what}")]
    Api {
        /// What was asked, for example `apply StatefulSet/mail-shard-0`.
        what: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server's address or our credentials cannot be found.
    #[error("the API server is not known")]
    Config(#[source] Box<kube::Error>),
    /// A shard did not do what was asked.
    #[error("shard {shard}")]
    Shard {
        /// Which.
        shard: model::ShardId,
        /// What it said.
        #[source]
        source: ShardError,
    },
    /// A certificate cannot be made or used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// Keys cannot be made.
    #[error(transparent)]
    Crypto(#[from] crypto::CryptoError),
    /// A password that is no text.
    #[error("the password is not UTF-8")]
    NotText,
    /// Nobody said what MailServers are to run.
    #[error("no image is known for MailServers that name none")]
    NoImage,
    /// The Lease is another's, or could not be renewed in time.
    #[error("the Lease was lost")]
    LeaseLost,
    /// A watch or a server's loop ended by itself.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
}

impl OperatorError {
    /// Names what was asked of the API server.
    pub fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { what: what.into(), source: Box::new(source) }
    }

    /// What kind of failure this is.
    pub fn class(&self) -> Class {
        match self {
            Self::Api { source, .. } if is_forbidden(source) => Class::Blocked,
            Self::Api { source, .. } if code(source) == Some(422) => Class::Invalid,
            Self::Api { .. } | Self::LeaseLost | Self::Ended(_) => Class::Transient,
            Self::Config(_) | Self::NoImage => Class::Blocked,
            Self::Shard { source, .. } => source.class(),
            Self::Tls(error) => error.class(),
            Self::Crypto(error) => error.class(),
            Self::NotText => Class::Invalid,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Api { source, .. } if is_forbidden(source) => {
                Some("give the operator its roles again: apply the chart or dist/install.yaml".to_owned())
            }
            Self::Config(_) => Some("run it in a pod with a service account, or set KUBECONFIG".to_owned()),
            Self::NoImage => Some("start it with --image, or under its pod's name".to_owned()),
            _ => None,
        }
    }
}

/// The HTTP status of an answer.
pub fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// True where our roles do not allow it.
pub fn is_forbidden(error: &kube::Error) -> bool {
    code(error) == Some(403)
}
