//! The cluster under test, and what people do on it.

pub mod admit;
mod clients;
pub mod load;
mod node;
mod reach;
mod s3;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use clients::Mail;
pub use reach::Reach;
pub use s3::S3;

/// How long anything may take: pulling up pods on a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(3);
/// From a change to the condition that tells of it.
const SOON: Duration = Duration::from_secs(10);
/// Where the operator is.
pub const SYSTEM: &str = "sealpost-system";
/// The password in the sample Secret of ann@example.org.
pub const ANN: &str = "correct horse battery staple";

/// A file of the repository.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// Runs `kubectl`: its output, or what it complained about.
pub fn try_kubectl(args: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new("kubectl");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kubectl is needed");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs `kubectl`, which must succeed.
pub fn kubectl(args: &[&str]) -> String {
    try_kubectl(args, "").unwrap_or_else(|error| panic!("kubectl {}: {error}", args.join(" ")))
}

/// Asks again until there is an answer; panics with the last excuse after [`DEADLINE`].
pub fn within<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) if start.elapsed() > DEADLINE => panic!("{what}: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The image under test.
pub fn image() -> String {
    std::env::var("SEALPOST_E2E_IMAGE").expect("SEALPOST_E2E_IMAGE names the image: see tests/e2e/cluster/run")
}

/// The same under another name: what a release would bring.
pub fn next_image() -> String {
    std::env::var("SEALPOST_E2E_NEXT_IMAGE").expect("SEALPOST_E2E_NEXT_IMAGE names another image: see run")
}

/// `dist/install.yaml` with the image under test.
pub fn manifests() -> String {
    let text = std::fs::read_to_string(project("dist/install.yaml")).unwrap();
    let mine = text.replace("image: sealpost:0.1.0", &format!("image: {}", image()));
    assert_ne!(text, mine, "dist/install.yaml names its image otherwise");
    mine
}

/// Installs the operator, once for all tests.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(install_again);
}

/// Applies everything, as a GitOps tool does again and again.
pub fn install_again() {
    try_kubectl(&["apply", "-f", "-"], &manifests()).unwrap();
    kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    kubectl(&["-n", SYSTEM, "rollout", "status", "deployment/sealpost-operator", "--timeout=180s"]);
}

/// Runs so many operators, and waits until that is so.
pub fn scale_operator(count: u32) {
    kubectl(&["-n", SYSTEM, "scale", "deployment/sealpost-operator", &format!("--replicas={count}")]);
    kubectl(&["-n", SYSTEM, "rollout", "status", "deployment/sealpost-operator", "--timeout=180s"]);
    within("operators end", || {
        let pods = kubectl(&["-n", SYSTEM, "get", "pods", "-o", "name"]);
        if pods.lines().count() == count as usize { Ok(()) } else { Err(pods) }
    });
}

/// A namespace with a mail server of its own, for one test. It is left behind when the test fails, to be looked at.
pub struct Tenant {
    /// Its name.
    pub namespace: String,
}

impl Tenant {
    /// A fresh namespace that admits restricted pods only and whose Secrets the operator may use.
    pub fn new(name: &str) -> Self {
        install();
        // A test that failed may have left none.
        scale_operator(1);
        let namespace = format!("e2e-{name}");
        kubectl(&["delete", "namespace", &namespace, "--ignore-not-found", "--wait", "--timeout=180s"]);
        kubectl(&["create", "namespace", &namespace]);
        kubectl(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
        let tenant = Self { namespace };
        let account = format!("--serviceaccount={SYSTEM}:sealpost-operator");
        tenant.kubectl(&["create", "rolebinding", "sealpost-operator", "--clusterrole=sealpost-tenant", &account]);
        tenant
    }

    /// The same, with the samples applied and everything ready but bob, who awaits his owner.
    pub fn with_samples(name: &str) -> Self {
        let tenant = Self::new(name);
        tenant.apply_samples();
        tenant.ready(&["mailserver/mail", "mailbox/ann", "alias/info", "alias/postmaster"]);
        tenant
    }

    /// Runs `kubectl` in the namespace; it must succeed.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).unwrap_or_else(|error| panic!("kubectl {}: {error}", args.join(" ")))
    }

    /// Runs `kubectl` in the namespace.
    pub fn try_kubectl(&self, args: &[&str]) -> Result<String, String> {
        try_kubectl(&[&["-n", &self.namespace], args].concat(), "")
    }

    /// Applies a text.
    pub fn apply(&self, manifest: &str) -> String {
        try_kubectl(&["-n", &self.namespace, "apply", "-f", "-"], manifest).unwrap()
    }

    /// Applies `config/samples`.
    pub fn apply_samples(&self) -> String {
        self.kubectl(&["apply", "-f", project("config/samples").to_str().unwrap()])
    }

    /// Waits until each object is `Ready` and has seen its present generation.
    pub fn ready(&self, objects: &[&str]) {
        for object in objects {
            self.wait(object, "Ready", "True", None);
        }
    }

    /// Waits for a condition of a status, and of a reason if one is given. Its message.
    pub fn wait(&self, object: &str, condition: &str, status: &str, reason: Option<&str>) -> String {
        within(&format!("{object} in {}: {condition}={status} {reason:?}", self.namespace), || {
            let found = self.json(object)?;
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let condition = conditions.iter().find(|c| c["type"] == condition).cloned().unwrap_or_default();
            let fits = condition["status"] == status
                && reason.is_none_or(|reason| condition["reason"] == reason)
                && condition["observedGeneration"] == found["metadata"]["generation"];
            if fits { Ok(condition["message"].as_str().unwrap().to_owned()) } else { Err(format!("{conditions:?}")) }
        })
    }

    /// The same, which must come soon.
    pub fn soon(&self, object: &str, condition: &str, status: &str, reason: &str) -> String {
        let start = Instant::now();
        let told = self.wait(object, condition, status, Some(reason));
        assert!(start.elapsed() <= SOON, "{object} {reason} took {:?}", start.elapsed());
        println!("{object} {condition}={status} {reason} after {:?}", start.elapsed());
        told
    }

    /// Changes an object.
    pub fn patch(&self, object: &str, patch: &str) {
        self.kubectl(&["patch", object, "--type=merge", "-p", patch]);
    }

    /// An object as it is now.
    pub fn json(&self, object: &str) -> Result<serde_json::Value, String> {
        let text = self.try_kubectl(&["get", object, "-o", "json"])?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// One value of a Secret, decoded.
    pub fn secret(&self, name: &str, key: &str) -> Vec<u8> {
        let data = self.json(&format!("secret/{name}")).unwrap()["data"][key].clone();
        data_encoding::BASE64.decode(data.as_str().unwrap().as_bytes()).unwrap()
    }

    /// Runs `kubectl sealpost`, found on the path as people have it there.
    pub fn plugin(&self, args: &[&str]) -> Result<String, String> {
        self.call_plugin(None, args)
    }

    /// The same with another kubeconfig.
    pub fn plugin_with(&self, kubeconfig: &Path, args: &[&str]) -> Result<String, String> {
        self.call_plugin(Some(kubeconfig), args)
    }

    fn call_plugin(&self, kubeconfig: Option<&Path>, args: &[&str]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("kubectl-sealpost");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sealpost"), plugin).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("kubectl")
            .args(["sealpost", "-n", &self.namespace])
            .args(args)
            .env("PATH", format!("{}:{path}", folder.path().display()))
            .envs(kubeconfig.map(|path| ("KUBECONFIG", path)))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Takes everything away: the test has passed.
    pub fn end(self) {
        kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}
