//! A real S3 server in the tenant's namespace, over TLS, with one bucket.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tls::{Authority, Life, Subject};

use super::{Reach, Tenant, within};

/// Who may do everything there.
const ACCESS: &str = "e2e-access-key-id";
const SECRET: &str = "e2e-secret-access-key-nobody-else-has";
/// The bucket.
const BUCKET: &str = "mail";
/// Its port, in the pod and in the Service.
const PORT: u16 = 9000;

/// The server, as the test sees it.
pub struct S3 {
    host: String,
    reach: Reach,
    folder: tempfile::TempDir,
}

impl Tenant {
    /// Starts it, and makes the bucket.
    pub fn s3(&self) -> S3 {
        let host = format!("s3.{}.svc", self.namespace);
        let (authority, own) = Authority::mint("e2e S3").unwrap();
        let pair = authority.issue(Subject::Host(&host), Life { days: 30, renew: 1 }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), &own.certificate).unwrap();
        for (name, text) in [("accessKeyId", ACCESS), ("secretAccessKey", SECRET)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (certificate, key) = (json(&pair.certificate), json(&pair.key));
        self.apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s3-server}}\nstringData: {{public.crt: {certificate}, private.key: {key}, user: {ACCESS}, password: {SECRET}}}\n"
        ));
        self.apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s3-ca}}\nstringData: {{ca.crt: {}}}\n",
            json(&own.certificate)
        ));
        let image = std::env::var("SEALPOST_E2E_S3_IMAGE").expect("SEALPOST_E2E_S3_IMAGE names a MinIO: see run");
        self.apply(&SERVER.replace("IMAGE", &image));
        self.kubectl(&["rollout", "status", "statefulset/s3", "--timeout=180s"]);
        let s3 = S3 { host, reach: self.reach("s3", PORT), folder };
        within("the bucket is made", || match s3.request("PUT", BUCKET) {
            Err(said) if said.contains("BucketAlreadyOwnedByYou") => Ok(()),
            said => said.map(drop),
        });
        s3
    }

    /// A BackupPolicy with a destination of that server; `more` goes into its `s3`.
    pub fn policy(&self, name: &str, s3: &S3, more: &str) -> String {
        let endpoint = s3.endpoint();
        self.apply(&format!(
            "apiVersion: sealpost.dev/v1alpha1\nkind: BackupPolicy\nmetadata: {{name: {name}}}\nspec:\n  destination: {{s3: {{endpoint: \"{endpoint}\", bucket: {BUCKET}, prefix: e2e, caSecretRef: {{name: s3-ca}}{more}}}}}\n  archive: {{maxLagSeconds: 3}}\n"
        ))
    }

    /// A Secret with credentials.
    pub fn credentials(&self, name: &str, access: &str, secret: &str) {
        self.apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{accessKeyId: {access}, secretAccessKey: {secret}}}\n"
        ));
    }

    /// The right ones.
    pub fn right_credentials(&self, name: &str) {
        self.credentials(name, ACCESS, SECRET);
    }
}

impl S3 {
    /// Where pods reach it.
    pub fn endpoint(&self) -> String {
        format!("https://{}:{PORT}", self.host)
    }

    /// The secret key: nobody but the server and the sidecar has it.
    pub fn secret() -> &'static str {
        SECRET
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        let said = self.request("GET", &format!("{BUCKET}?list-type=2")).unwrap();
        let keys = said.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    /// One object.
    pub fn get(&self, key: &str) -> Vec<u8> {
        self.curl("GET", &format!("{BUCKET}/{key}")).unwrap()
    }

    fn request(&self, method: &str, path: &str) -> Result<String, String> {
        self.curl(method, path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn curl(&self, method: &str, path: &str) -> Result<Vec<u8>, String> {
        let address = self.reach.address;
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "--max-time", "20", "--request", method, "--cacert"])
            .arg(self.file("ca.crt"));
        curl.args(["--connect-to", &format!("{}:{PORT}:{}:{}", self.host, address.ip(), address.port())])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &format!("{ACCESS}:{SECRET}")])
            .arg(format!("https://{}:{PORT}/{path}", self.host));
        let output = curl.stdin(Stdio::null()).output().expect("curl is needed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(output.stdout) } else { Err(text(&output.stdout) + &text(&output.stderr)) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// One pod with a volume, so that what was stored outlives it.
const SERVER: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: s3}
spec:
  selector: {app: s3}
  ports: [{port: 9000, targetPort: 9000}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s3}
spec:
  serviceName: s3
  selector: {matchLabels: {app: s3}}
  template:
    metadata: {labels: {app: s3}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 5
      securityContext:
        {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: minio
          image: IMAGE
          imagePullPolicy: IfNotPresent
          args: [server, --address, ":9000", --certs-dir, /certs, /data]
          env:
            - {name: HOME, value: /tmp}
            - {name: MINIO_BROWSER, value: "off"}
            - {name: MINIO_UPDATE, value: "off"}
            - {name: MINIO_ROOT_USER, valueFrom: {secretKeyRef: {name: s3-server, key: user}}}
            - {name: MINIO_ROOT_PASSWORD, valueFrom: {secretKeyRef: {name: s3-server, key: password}}}
          ports: [{containerPort: 9000}]
          readinessProbe:
            {httpGet: {path: /minio/health/ready, port: 9000, scheme: HTTPS}, periodSeconds: 1}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}, {name: certs, mountPath: /certs, readOnly: true}]
      volumes:
        - name: certs
          secret: {secretName: s3-server, items: [{key: public.crt, path: public.crt}, {key: private.key, path: private.key}]}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;
