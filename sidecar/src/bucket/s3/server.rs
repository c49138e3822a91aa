//! S3 servers for tests, over TLS: `s3s-fs` inside this process, and MinIO where it is there.
//!
//! `s3s-fs` checks signatures, keeps objects as files, and knows parts and conditions. What it lacks beside servers that
//! people run is added here: a folder is no object, of two conditional writes at a time one is refused, uploads that never
//! ended can be listed. And it can be told to fail.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use s3s::dto::*;
use s3s::host::SingleDomain;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

// Beside this file, from wherever it is included.
#[path = "trouble.rs"]
mod trouble;

pub use trouble::{Keys, Trouble, Way};

/// Where it is.
pub const DOMAIN: &str = "localhost";
/// The bucket there is.
pub const BUCKET: &str = "mail";
/// What opens it.
pub const ID: &str = "reader-and-writer";
/// See [`ID`].
pub const SECRET: &str = "a secret of forty characters, more or less";

/// A server that runs.
pub struct Server {
    port: u16,
    dir: TempDir,
    /// What it does wrong on purpose, and what it saw; only of the one in this process.
    pub quirks: Arc<Quirks>,
    /// What is wrong on the way to the one in this process.
    pub way: Arc<Way>,
    /// What opens the one in this process.
    pub keys: Keys,
    _child: Option<Killed>,
}

/// What a server does wrong on purpose, and what it saw.
#[derive(Default)]
pub struct Quirks {
    /// So many parts from now on fail, behind so many good ones.
    pub parts_before: AtomicUsize,
    /// See above.
    pub parts_failing: AtomicUsize,
    /// Parts it was sent.
    pub parts_seen: AtomicUsize,
    /// The next upload is put together, and its answer is an error.
    pub complete_lies: AtomicBool,
    /// The next small object is stored, and the answer is an error.
    pub put_lies: AtomicBool,
    /// Conditions are not implemented, and are refused.
    pub no_conditions: AtomicBool,
    /// Conditions are not implemented, and are ignored.
    pub ignores_conditions: AtomicBool,
    /// Conditions are not implemented at the end of an upload, and are refused there.
    pub no_final_conditions: AtomicBool,
    /// Uploads that have not ended.
    pub uploads: Mutex<HashMap<String, (String, Timestamp)>>,
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// `s3s-fs` on a free port.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        certify(dir.path());
        std::fs::create_dir_all(dir.path().join("data").join(BUCKET)).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let quirks = Arc::new(Quirks::default());
        let root = dir.path().join("data").canonicalize().unwrap();
        let store = FileSystem::new(&root).unwrap();
        let mut builder = S3ServiceBuilder::new(Quirky {
            store,
            root,
            quirks: quirks.clone(),
            writing: tokio::sync::Mutex::default(),
        });
        let (way, keys) = (Arc::new(Way::default()), Keys::new(ID, SECRET));
        builder.set_auth(keys.clone());
        builder.set_host(SingleDomain::new(&format!("{DOMAIN}:{port}")).unwrap());
        let (service, acceptor) = (builder.build(), TlsAcceptor::from(tls(dir.path())));
        let front = way.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(front.clone().serve(socket, acceptor.clone(), service.clone()));
            }
        });
        Self { port, dir, quirks, way, keys, _child: None }
    }

    /// MinIO, an executable, on a free port. It takes a while until it answers.
    pub fn minio(executable: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        certify(dir.path());
        let certs = dir.path().join("certs");
        std::fs::create_dir_all(&certs).unwrap();
        std::fs::copy(dir.path().join("tls.crt"), certs.join("public.crt")).unwrap();
        std::fs::copy(dir.path().join("tls.key"), certs.join("private.key")).unwrap();
        // A bucket is a folder there too.
        std::fs::create_dir_all(dir.path().join("data").join(BUCKET)).unwrap();
        let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new(executable);
        command.args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}"), "--certs-dir"]).arg(&certs);
        command.arg(dir.path().join("data")).env("MINIO_DOMAIN", DOMAIN).env("HOME", dir.path());
        command.env("MINIO_ROOT_USER", ID).env("MINIO_ROOT_PASSWORD", SECRET).env("MINIO_BROWSER", "off");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (way, keys) = (Arc::default(), Keys::new(ID, SECRET));
        Self { port, dir, quirks: Arc::default(), way, keys, _child: Some(Killed(child)) }
    }

    /// `https://...`
    pub fn endpoint(&self) -> String {
        format!("https://{DOMAIN}:{}", self.port)
    }

    /// Where the one in this process keeps the objects of the bucket, as plain files.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("data").join(BUCKET)
    }

    /// The folder of files that open it.
    pub fn credentials(&self) -> PathBuf {
        let folder = self.dir.path().join("credentials");
        if !folder.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("accessKeyId"), ID).unwrap();
            std::fs::write(folder.join("secretAccessKey"), format!("{SECRET}\n")).unwrap();
            std::fs::copy(self.dir.path().join("ca.crt"), folder.join("ca.crt")).unwrap();
        }
        folder
    }

    /// The folder's secret, right or wrong.
    pub fn set_secret(&self, right: bool) {
        let secret = if right { SECRET } else { "something else" };
        std::fs::write(self.credentials().join("secretAccessKey"), secret).unwrap();
    }
}

/// `ca.crt`, `tls.crt` and `tls.key`.
fn certify(dir: &Path) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let authority = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec![DOMAIN.to_owned(), format!("{BUCKET}.{DOMAIN}")];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(dir.join("ca.crt"), authority.pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), leaf.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
}

fn tls(dir: &Path) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(dir.join("tls.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join("tls.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// `s3s-fs` with quirks.
struct Quirky {
    store: FileSystem,
    root: PathBuf,
    quirks: Arc<Quirks>,
    writing: tokio::sync::Mutex<()>,
}

impl Quirky {
    fn is_folder(&self, bucket: &str, key: &str) -> bool {
        self.root.join(bucket).join(key).is_dir()
    }

    fn condition(&self, condition: &mut Option<IfNoneMatch>) -> S3Result<()> {
        if condition.is_some() && self.quirks.no_conditions.load(Relaxed) {
            return Err(s3_error!(NotImplemented));
        }
        if self.quirks.ignores_conditions.load(Relaxed) {
            *condition = None;
        }
        Ok(())
    }
}

fn one_less(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[async_trait::async_trait]
impl s3s::S3 for Quirky {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        if self.is_folder(&req.input.bucket, &req.input.key) {
            return Err(s3_error!(NoSuchKey));
        }
        self.store.get_object(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        if self.is_folder(&req.input.bucket, &req.input.key) {
            return Err(s3_error!(NoSuchKey));
        }
        self.store.head_object(req).await
    }

    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let _one_at_a_time = self.writing.lock().await;
        self.condition(&mut req.input.if_none_match)?;
        if !self.root.join(&req.input.bucket).exists() {
            return Err(s3_error!(NoSuchBucket));
        }
        let done = self.store.put_object(req).await;
        if self.quirks.put_lies.swap(false, Relaxed) { Err(s3_error!(InternalError)) } else { done }
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.store.delete_object(req).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.store.list_objects_v2(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let key = req.input.key.clone();
        let begun = self.store.create_multipart_upload(req).await?;
        let id = begun.output.upload_id.clone().unwrap();
        self.quirks.uploads.lock().unwrap().insert(id, (key, std::time::SystemTime::now().into()));
        Ok(begun)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.quirks.parts_seen.fetch_add(1, Relaxed);
        if !self.quirks.uploads.lock().unwrap().contains_key(&req.input.upload_id) {
            return Err(s3_error!(NoSuchUpload));
        }
        if !one_less(&self.quirks.parts_before) && one_less(&self.quirks.parts_failing) {
            return Err(s3_error!(SlowDown));
        }
        self.store.upload_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        mut req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let _one_at_a_time = self.writing.lock().await;
        self.condition(&mut req.input.if_none_match)?;
        if req.input.if_none_match.is_some() && self.quirks.no_final_conditions.load(Relaxed) {
            return Err(s3_error!(NotImplemented));
        }
        let id = req.input.upload_id.clone();
        let done = self.store.complete_multipart_upload(req).await?;
        self.quirks.uploads.lock().unwrap().remove(&id);
        if self.quirks.complete_lies.swap(false, Relaxed) { Err(s3_error!(InternalError)) } else { Ok(done) }
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        if self.quirks.uploads.lock().unwrap().remove(&req.input.upload_id).is_none() {
            return Err(s3_error!(NoSuchUpload));
        }
        self.store.abort_multipart_upload(req).await
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let uploads = self.quirks.uploads.lock().unwrap();
        let mut found: Vec<_> = uploads.iter().filter(|(_, (key, _))| key.starts_with(&prefix)).collect();
        found.sort_by_key(|(id, (key, _))| ((*key).clone(), (*id).clone()));
        let behind = req.input.key_marker.zip(req.input.upload_id_marker);
        found.retain(|(id, (key, _))| behind.as_ref().is_none_or(|behind| (key, *id) > (&behind.0, &behind.1)));
        // Two at a time, so that there are pages.
        let more = found.len() > 2;
        found.truncate(2);
        let last = found.last().filter(|_| more).map(|(id, (key, _))| (key.clone(), (*id).clone()));
        let uploads = found.iter().map(|(id, (key, began))| MultipartUpload {
            key: Some(key.clone()),
            upload_id: Some((*id).clone()),
            initiated: Some(began.clone()),
            ..Default::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            is_truncated: Some(more),
            next_key_marker: last.as_ref().map(|(key, _)| key.clone()),
            next_upload_id_marker: last.map(|(_, id)| id),
            ..Default::default()
        }))
    }
}
