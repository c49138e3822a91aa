//! Dovecot reads what we write.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::files::{FOLDERS, exported};

/// The tag of the last command of a session: no message has it.
const LAST: &str = "dovecot-has-said-it-all";

/// An IMAP session of Dovecot's on a mail location, without a login; all that it said.
fn dovecot(dir: &Path, location: &str, commands: &str) -> Vec<u8> {
    let user = other_user();
    let text = format!(
        "base_dir = {0}/run\nstate_dir = {0}/run\nlog_path = /dev/stderr\nssl = no\nmail_home = {0}/home\n\
         mail_location = {location}\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n{1}mail_plugins = listescape\n\
         mbox_write_locks = fcntl\nnamespace inbox {{\n inbox = yes\n separator = /\n}}\n",
        dir.display(),
        user.as_ref().map(|user| format!("mail_uid = {user}\nmail_gid = {user}\n")).unwrap_or_default(),
    );
    let config = dir.join("dovecot.conf");
    fs::write(&config, text).unwrap();
    for path in ["run", "home"] {
        fs::create_dir_all(dir.join(path)).unwrap();
    }
    let mut command = match &user {
        // As root Dovecot touches no mail.
        Some(user) => {
            let owned = Command::new("chown").args(["-R", &format!("{user}:{user}")]).arg(dir).status().unwrap();
            assert!(owned.success());
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "doveadm"]);
            command
        }
        None => Command::new("doveadm"),
    };
    command.arg("-c").arg(&config).args(["exec", "imap"]).env("USER", "owner").env("HOME", dir.join("home"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Held to the end: Dovecot takes a closed input for a client that has gone. And it is told to go when all has come: what
    // is on its way then, it drops.
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(format!("{commands}{LAST} NOOP\r\n").as_bytes()).unwrap();
    let (mut said, mut piece, over) = (Vec::new(), vec![0; 1 << 16], format!("\r\n{LAST} OK"));
    while !said[said.len().saturating_sub(200)..].windows(over.len()).any(|text| text == over.as_bytes()) {
        let size = stdout.read(&mut piece).unwrap();
        assert_ne!(size, 0, "Dovecot ended after {} octets", said.len());
        said.extend_from_slice(&piece[..size]);
    }
    stdin.write_all(b"z LOGOUT\r\n").unwrap();
    stdout.read_to_end(&mut said).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(said.starts_with(b"* PREAUTH"), "{said:?} {output:?}");
    // Shown where a test fails.
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Whom to become where the tests run as root.
fn other_user() -> Option<String> {
    let output = Command::new("id").arg("-u").output().unwrap();
    (String::from_utf8_lossy(&output.stdout).trim() == "0").then(|| "65534".to_owned())
}

/// Each message of a FETCH of UID, FLAGS, INTERNALDATE and BODY.PEEK[]: its line and its bytes.
fn fetched(said: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut all, mut rest) = (Vec::new(), said);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&rest[..end]).trim_end().to_owned();
        rest = &rest[end + 1..];
        let size = line.strip_suffix('}').and_then(|text| text.rsplit_once('{')).and_then(|(_, n)| n.parse().ok());
        if let Some(size) = size.filter(|_| line.contains(" FETCH ")) {
            let (body, after) = rest.split_at(size);
            all.push((line, body.to_vec()));
            rest = after;
        }
    }
    all
}

#[test]
fn dovecot_finds_folders_flags_dates_uids_and_every_byte_in_the_maildir() {
    let Some((dir, manifest)) = exported("maildir", &["doveadm", "setpriv"]) else { return };
    let location = format!("maildir:{}", dir.path().join("out").display());
    let listed = String::from_utf8(dovecot(dir.path(), &location, "a LIST \"\" *\r\nb LSUB \"\" *\r\n")).unwrap();
    for folder in FOLDERS {
        let name = model::mutf7::encode(folder).replace('\\', "\\\\");
        let there = listed.lines().any(|line| line.starts_with("* LIST") && line.ends_with(&format!(" \"/\" {name}")))
            || listed.contains(&format!(" \"/\" \"{name}\""))
            // Names with a backslash come as literals.
            || listed.lines().any(|line| line == model::mutf7::encode(folder));
        assert!(there, "no {folder} in\n{listed}");
    }
    assert!(listed.lines().any(|line| line.starts_with("* LSUB") && line.ends_with(" a.b/c.mbox")), "{listed}");
    for folder in FOLDERS {
        compare(dir.path(), &location, folder, &manifest);
    }
}

/// Every message of a folder, as Dovecot shows it and as the manifest tells it.
fn compare(dir: &Path, location: &str, folder: &str, manifest: &serde_json::Value) {
    let commands = format!(
        "a EXAMINE {}\r\nb UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])\r\n",
        super::files::quoted(folder)
    );
    let found = fetched(&dovecot(dir, location, &commands));
    let told: Vec<_> = manifest["messages"].as_array().unwrap().iter().filter(|m| m["folder"] == folder).collect();
    assert_eq!(found.len(), told.len(), "{folder}");
    for ((line, bytes), told) in found.iter().zip(told) {
        assert!(line.contains(&format!("UID {} ", told["uid"])), "{folder}: {line} {told}");
        let digest = crypto::sha256(bytes);
        assert_eq!(data_encoding::HEXLOWER.encode(&digest), told["sha256"].as_str().unwrap(), "{folder}: {line}");
        let flags = line.split_once("FLAGS (").unwrap().1.split_once(')').unwrap().0;
        let mut flags: Vec<_> = flags.split(' ').filter(|flag| !flag.is_empty() && *flag != "\\Recent").collect();
        let of =
            |name: &str| told[name].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect::<Vec<_>>();
        let mut expected = [of("flags"), of("keywords")].concat();
        flags.sort_unstable();
        expected.sort_unstable();
        assert_eq!(flags, expected, "{folder}: {line}");
        let date = line.split_once("INTERNALDATE \"").unwrap().1.split_once('"').unwrap().0;
        let date = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", date.trim()).unwrap().to_timestamp().unwrap();
        assert_eq!(date.to_string(), told["internalDate"].as_str().unwrap(), "{folder}: {line}");
    }
}

#[test]
fn dovecot_finds_every_message_and_its_flags_in_an_mbox() {
    let Some((dir, manifest)) = exported("mbox", &["doveadm", "setpriv"]) else { return };
    let out = dir.path().join("out");
    let location = format!("mbox:{0}:INBOX={0}/INBOX.mbox", out.display());
    let said = dovecot(dir.path(), &location, "a EXAMINE INBOX\r\nb FETCH 1:* (UID FLAGS BODY.PEEK[TEXT])\r\n");
    let found = fetched(&said);
    let told: Vec<_> = manifest["messages"].as_array().unwrap().iter().filter(|m| m["folder"] == "INBOX").collect();
    assert_eq!(found.len(), told.len());
    for ((line, _), told) in found.iter().zip(told) {
        assert!(line.contains(&format!("UID {} ", told["uid"])), "{line} {told}");
        for flag in told["flags"].as_array().unwrap().iter().chain(told["keywords"].as_array().unwrap()) {
            assert!(line.contains(flag.as_str().unwrap()), "{line} {told}");
        }
    }
}
