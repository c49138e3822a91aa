//! Keys and credentials never meet: what the sidecar has opens no mailbox, what the primary has opens no bucket.

use crypto::{Keyset, Secret};

use super::*;
use crate::harness::have;
use crate::harness::needles::find;
use crate::secrets::{WORDS, core, message};

const LONG: &str = "a password that is nowhere else: quincunx";

type Needles = Vec<(String, Vec<u8>)>;

/// Words of mail, the password, and the key of a mailbox, as it is and as text.
fn needles(server: &Server) -> Needles {
    let words = WORDS.iter().chain([&LONG]).map(|word| ((*word).to_owned(), word.as_bytes().to_vec()));
    let id = mailbox(server, 0);
    let folder = server.state().join("shard-0/mailboxes").join(&id[..2]).join(&id);
    let keyset = Keyset::from_json(&std::fs::read(folder.join("keys.json")).unwrap()).unwrap();
    let dek = keyset.unlock(&Secret::new(LONG)).unwrap().dek.bytes().to_vec();
    let hex = data_encoding::HEXLOWER.encode(&dek);
    let forms = [
        ("key in hex", hex.clone().into_bytes()),
        ("key in capital hex", hex.to_uppercase().into_bytes()),
        ("key in base64", data_encoding::BASE64.encode(&dek).into_bytes()),
        ("key", dek),
    ];
    words.chain(forms.map(|(name, key)| (name.to_owned(), key))).collect()
}

#[test]
fn no_key_is_where_credentials_are_and_no_credential_is_where_keys_are() {
    let remote = Remote::start();
    let manifests = remote.manifests(2, 1);
    let mailboxes = manifests.read("mailboxes.yaml").replace("{password: pass}", &format!("{{password: '{LONG}'}}"));
    manifests.write("mailboxes.yaml", &mailboxes);
    let server = start(&manifests);
    let needles = needles(&server);
    let credentials: Needles = [ID, SECRET].map(|text| (text.to_owned(), text.as_bytes().to_vec())).to_vec();

    // One is here, works, and has a snapshot; the other's mail waits. Nobody leaves.
    let mut imap = server.imap(&address(0), LONG);
    imap.ok("CREATE Walrusfolder");
    imap.ok("SELECT INBOX");
    for to in 0..2 {
        server.smtp().deliver("kingfisher.correspondent@elsewhere.example", &[&address(to)], &message("first"));
    }
    wait_until("it is there", || imap.count("INBOX") == 1);
    imap.ok("NOOP");
    imap.ok("STORE 1 +FLAGS ($lavenderkeyword)");
    imap.append("Walrusfolder", &message("second"));
    let done = server.sealpost(&["backup", &address(0)]);
    assert!(done.status.success(), "{done:?}");
    wait_archived(&server);

    let state = server.state();
    let bytes: Vec<Vec<u8>> = needles.iter().map(|(_, needle)| needle.clone()).collect();
    for place in ["shard-0/sidecar", "shard-0/outbox", "shard-0/staging", "run", "log"] {
        assert_eq!(find(&state.join(place), &bytes), [], "{place}");
    }
    assert!(files(&remote.server.folder()).len() > 8);
    assert_eq!(find(&remote.server.folder(), &bytes), [], "in the bucket");
    std::fs::write(remote.server.folder().join("told"), bytes.join(&b' ')).unwrap();
    assert_eq!(find(&remote.server.folder(), &bytes).len(), bytes.len(), "the search finds what is there");

    if !have("gcore") {
        return;
    }
    let pids = server.status()["pids"].clone();
    for (process, pid) in pids.as_object().unwrap() {
        let pid = u32::try_from(pid.as_u64().unwrap()).unwrap();
        if process == "sidecar-0" {
            assert_eq!(core(pid, &needles), Vec::<String>::new(), "keys or mail in the sidecar's core file");
            assert!(core(pid, &credentials).contains(&SECRET.to_owned()), "the search finds what is there");
        } else {
            assert_eq!(core(pid, &credentials), Vec::<String>::new(), "credentials in the core file of {process}");
        }
    }
}
