//! Real mail clients: `swaks` delivers, `curl` and Python's `imaplib` read and check the certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::{Reach, Tenant, project};

/// The host name of the sample's MailServer.
const HOST: &str = "mx.example.org";

/// A tenant's mail server as its clients see it.
pub struct Mail {
    smtp: Reach,
    imaps: Reach,
    ca: PathBuf,
    _folder: tempfile::TempDir,
}

impl Tenant {
    /// The clients' view of the MailServer `mail`.
    pub fn mail(&self) -> Mail {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.crt");
        std::fs::write(&ca, self.secret("mail-public-tls", "ca.crt")).unwrap();
        Mail { smtp: self.reach("mail-mx", 25), imaps: self.reach("mail-imap", 993), ca, _folder: folder }
    }
}

impl Mail {
    /// Delivers a message over STARTTLS; what `swaks` saw.
    pub fn try_send(&self, to: &str, subject: &str) -> Result<String, String> {
        let address = self.smtp.address;
        let output = Command::new("swaks")
            .args(["--server", &address.ip().to_string(), "--port", &address.port().to_string(), "--tls"])
            .args(["--tls-verify", "--tls-ca-path", self.ca.to_str().unwrap()])
            .args(["--from", "friend@elsewhere.example", "--to", to, "--timeout", "20"])
            .args(["--header", &format!("Subject: {subject}"), "--body", "it works"])
            .stdin(Stdio::null())
            .output()
            .expect("swaks is needed");
        text(&output)
    }

    /// Delivers a message, which must be taken.
    pub fn send(&self, to: &str, subject: &str) {
        let said = self.try_send(to, subject);
        assert!(said.as_ref().is_ok_and(|said| said.contains("<~  250")), "{said:?}");
    }

    /// Where mail is taken.
    pub fn smtp(&self) -> SocketAddr {
        self.smtp.address
    }

    /// `imap.py`, to be started.
    pub fn python(&self, what: &str, user: &str, password: &str) -> Command {
        let mut command = Command::new("python3");
        command.arg(project("tests/e2e/cluster/harness/imap.py")).arg(what);
        let address = self.imaps.address;
        command
            .args([&address.ip().to_string(), &address.port().to_string()])
            .arg(&self.ca)
            .args([HOST, user, password]);
        command
    }

    /// The subject of every message of the inbox.
    pub fn subjects(&self, user: &str, password: &str) -> Result<Vec<String>, String> {
        let said = text(&self.python("subjects", user, password).output().expect("python3 is needed"))?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// Runs an IMAP command of `curl` over TLS, the certificate checked for the server's name.
    pub fn imap(&self, user: &str, password: &str, path: &str, command: Option<&str>) -> Result<String, String> {
        text(&self.curl(user, password, path, command).output().expect("curl is needed"))
    }

    fn curl(&self, user: &str, password: &str, path: &str, command: Option<&str>) -> Command {
        let address = self.imaps.address;
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--cacert", self.ca.to_str().unwrap()])
            .args(["--connect-to", &format!("{HOST}:993:{}:{}", address.ip(), address.port())])
            .args(["--user", &format!("{user}:{password}"), &format!("imaps://{HOST}/{path}")]);
        if let Some(command) = command {
            curl.args(["--request", command]);
        }
        curl
    }

    /// The newest message of the inbox, as it is.
    pub fn read(&self, user: &str, password: &str) -> Result<String, String> {
        self.imap(user, password, "INBOX;MAILINDEX=*", None)
    }

    /// How many messages of the inbox have this in their subject.
    pub fn count(&self, user: &str, password: &str, subject: &str) -> Result<usize, String> {
        let said = self.imap(user, password, "INBOX", Some(&format!("SEARCH SUBJECT \"{subject}\"")))?;
        Ok(search(&said))
    }
}

/// How many messages an answer to SEARCH names.
fn search(said: &str) -> usize {
    let found = said.lines().filter_map(|line| line.strip_prefix("* SEARCH"));
    found.flat_map(str::split_whitespace).count()
}

fn text(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}
