//! Connecting: what the files of a moment say, and a client that was made from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use files::FilesError;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::{S3, Settings};
use crate::bucket::{BucketError, Refusal};

/// A server that does not even accept a connection in so long is away.
const CONNECT: Duration = Duration::from_secs(10);
/// No answer for so long: the request is lost. What it sends has its own time besides, see [`patience`].
const SILENCE: Duration = Duration::from_mins(1);
/// Bytes a second that a line carries at least. A slower one loses large requests again and again.
const SLOWEST: u64 = 16 << 10;
/// A body that stands still for so long is given up.
const STALLED: Duration = Duration::from_secs(30);

/// A client, and the files it was made from.
#[derive(Debug)]
pub struct Connection {
    files: Files,
    client: Client,
}

/// What the files say.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    /// Access key, secret, session token.
    keys: Option<Keys>,
    /// Trusted authorities, PEM.
    ca: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Keys {
    id: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("id", &self.keys.as_ref().map(|keys| &keys.id)).finish_non_exhaustive()
    }
}

impl S3 {
    /// A client with the credentials of this moment.
    pub(super) async fn client(&self) -> Result<Client, BucketError> {
        let settings = self.settings.clone();
        let files = tokio::task::spawn_blocking(move || read(&settings)).await;
        let files = files.map_err(|error| self.unusable(Refusal::Other, error.to_string()))??;
        let mut connection = self.connection.lock().await;
        if let Some(known) = connection.as_ref().filter(|known| known.files == files) {
            return Ok(known.client.clone());
        }
        let client = self.connect(&files).await?;
        *connection = Some(Connection { files, client: client.clone() });
        Ok(client)
    }

    async fn connect(&self, files: &Files) -> Result<Client, BucketError> {
        if let Some(pem) = &files.ca {
            let sound = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            let mut roots = rustls::RootCertStore::empty();
            let all = sound.is_ok_and(|all| !all.is_empty() && all.into_iter().all(|one| roots.add(one).is_ok()));
            if !all {
                return Err(self.unusable(Refusal::Other, "the trusted authorities are not certificates in PEM".into()));
            }
        }
        let s3 = &self.settings.bucket;
        let http = self.https(files.ca.as_deref());
        let region = Region::new(s3.region.clone());
        let credentials = match &files.keys {
            Some(keys) => {
                let token = keys.token.as_ref().map(|token| token.to_string());
                let (id, secret) = (keys.id.clone(), keys.secret.to_string());
                SharedCredentialsProvider::new(Credentials::new(id, secret, token, None, "files"))
            }
            None => ambient(self.https(None), region.clone())
                .await
                .ok_or_else(|| self.unusable(Refusal::Denied, "this machine has no credentials of its own".into()))?,
        };
        let mut config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .credentials_provider(credentials)
            .region(region)
            .force_path_style(s3.path_style)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(0))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALLED).build())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        config.set_endpoint_url(s3.endpoint.clone());
        Ok(Client::from_conf(config.build()))
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests resolve names themselves"))]
    fn https(&self, ca: Option<&[u8]>) -> SharedHttpClient {
        let trust = match ca {
            Some(pem) => TrustStore::empty().with_pem_certificate(pem),
            None => TrustStore::default(),
        };
        // It fails never: there is nothing in it that could.
        let context = TlsContext::builder().with_trust_store(trust).build().unwrap_or_default();
        let builder = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context);
        #[cfg(test)]
        if let Some(address) = self.resolve {
            return builder.build_with_resolver(super::tests::Fixed(address));
        }
        builder.build_https()
    }

    fn unusable(&self, refusal: Refusal, reason: String) -> BucketError {
        BucketError::Refused { action: "open", key: self.full_name(), refusal, reason }
    }
}

/// Settings for a request that sends so many bytes.
pub fn patience(bytes: u64) -> Builder {
    Builder::new().timeout_config(timeouts(bytes))
}

fn timeouts(bytes: u64) -> TimeoutConfig {
    let attempt = SILENCE + Duration::from_secs(bytes / SLOWEST);
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build()
}

/// What the machine itself may do: environment, profile, projected token, role of container or instance.
async fn ambient(http: SharedHttpClient, region: Region) -> Option<SharedCredentialsProvider> {
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http).region(region);
    loader.load().await.credentials_provider()
}

fn read(settings: &Settings) -> Result<Files, BucketError> {
    let mut files = read_once(settings)?;
    // Whoever renews several files does not do it at once: what is read twice alike is whole.
    for _ in 0..3 {
        let again = read_once(settings)?;
        if again == files {
            break;
        }
        files = again;
    }
    Ok(files)
}

fn read_once(settings: &Settings) -> Result<Files, BucketError> {
    let folder = settings.credentials.as_deref();
    let file = |folder: &Path, name: &str| folder.join(format!("{}{name}", settings.named));
    let ca = match (&settings.ca, folder) {
        (Some(path), _) => Some(needed(path)?),
        (None, Some(folder)) => optional(&file(folder, "ca.crt"))?,
        (None, None) => None,
    };
    let keys = match folder.filter(|_| !settings.bucket.ambient) {
        Some(folder) => {
            let text = |bytes: Vec<u8>| Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned());
            Some(Keys {
                id: text(needed(&file(folder, "accessKeyId"))?).to_string(),
                secret: text(needed(&file(folder, "secretAccessKey"))?),
                token: optional(&file(folder, "sessionToken"))?.map(text).filter(|token| !token.is_empty()),
            })
        }
        None => None,
    };
    Ok(Files { keys, ca })
}

fn needed(path: &Path) -> Result<Vec<u8>, BucketError> {
    optional(path)?.ok_or_else(|| BucketError::Refused {
        action: "open",
        key: path.display().to_string(),
        refusal: Refusal::Denied,
        reason: "there is no such file".to_owned(),
    })
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>, BucketError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FilesError::Io { action: "read", path: PathBuf::from(path), source }.into()),
    }
}
