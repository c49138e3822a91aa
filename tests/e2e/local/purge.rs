//! `sealpost purge`: nothing of a mailbox is left, on the volume and in its bucket, and nothing else is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use data_encoding::BASE64;
use files::fault::PURGE_POINTS;
use memchr::memmem;
use serde_json::Value;

use crate::harness::{Options, Server, sealpost, wait_until};
use crate::restore::{CAROLS, after_all, deliver, mailbox, manifests, numbers, restored, with_carol};
use crate::up::CAROL;

/// A purge that is told twice.
fn purge(server: &Server, mailbox: &str, more: &[&str]) -> Output {
    server.sealpost(&[&["purge", mailbox, "--yes", mailbox], more].concat())
}

/// One that must succeed, as its JSON says it.
pub fn purged(server: &Server, mailbox: &str) -> Value {
    let output = purge(server, mailbox, &["-o", "json"]);
    assert!(output.status.success(), "{mailbox}: {output:?}\n{}", server.complaints());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command says that must fail with exit code 1.
pub fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What shows that a mailbox is there, beside its id: the salt of its database, and its wrapped key.
struct Needles {
    id: String,
    ciphertext: Vec<Vec<u8>>,
}

impl Needles {
    fn of(server: &Server, address: &str) -> Self {
        let id = mailbox(server, address)["id"].as_str().unwrap().to_owned();
        let folder = server.state().join("shard-0/mailboxes").join(&id[..2]).join(&id);
        let keys: Value = serde_json::from_slice(&std::fs::read(folder.join("keys.json")).unwrap()).unwrap();
        let wrap = keys["slots"][0]["wrap"].to_string();
        let wrap = wrap.split('"').max_by_key(|part| part.len()).unwrap().to_owned();
        assert!(BASE64.decode(wrap.as_bytes()).unwrap().len() > 64, "{wrap}");
        let salt = std::fs::read(folder.join("mailbox.sqlite")).unwrap()[..16].to_vec();
        Self { id, ciphertext: vec![wrap.into_bytes(), salt] }
    }

    /// Files and folders below `root` that show it. What says that it was purged, and by which run, may have its id in it.
    fn traces(&self, root: &Path) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut all = vec![root.to_owned()];
        while let Some(path) = all.pop() {
            let told = ["purged", "runs"].iter().any(|name| path.components().any(|part| part.as_os_str() == *name));
            let named = path.strip_prefix(root).unwrap().to_str().unwrap().contains(&self.id);
            if path.is_dir() {
                all.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            // What goes while it is looked at is gone.
            let bytes = std::fs::read(&path).unwrap_or_default();
            let holds = |needle: &[u8]| memmem::find(&bytes, needle).is_some();
            let tells = !told && (named || holds(self.id.as_bytes()));
            if tells || self.ciphertext.iter().any(|needle| holds(needle)) {
                found.insert(path);
            }
        }
        found
    }

    /// On the volume, and in the folder that stands for a bucket.
    fn places(&self, server: &Server) -> [BTreeSet<PathBuf>; 2] {
        ["shard-0", "bucket"].map(|place| self.traces(&server.state().join(place)))
    }

    /// The policy in force names the mailbox until the server has heard of the end.
    fn wait_none(&self, server: &Server) {
        let policies = server.state().join("shard-0/policies.json");
        wait_until("the policies name it no more", || {
            memmem::find(&std::fs::read(&policies).unwrap(), self.id.as_bytes()).is_none()
        });
        assert_eq!(self.places(server), [BTreeSet::new(), BTreeSet::new()]);
    }
}

/// Its objects.
fn objects(server: &Server, id: &str) -> BTreeSet<String> {
    let bucket = server.state().join("bucket/daily");
    let roots = std::fs::read_dir(&bucket).unwrap().map(|entry| entry.unwrap().path().join(id));
    let all = roots.flat_map(|root| crate::buckets::files(&root));
    all.map(|path| path.strip_prefix(&bucket).unwrap().display().to_string()).collect()
}

#[test]
fn a_purged_mailbox_is_gone_from_volume_and_bucket_with_proof_and_nothing_else_is() {
    let manifests = manifests();
    let (mut server, carol) = with_carol(Options::manifests(manifests.path()));
    deliver(&server, CAROLS, 0..3);
    deliver(&server, "ann@example.org", 10..13);
    assert!(server.sealpost(&["backup", CAROLS]).status.success());
    // What a restore replaces is kept beside it, with its keys.
    restored(&server, &[CAROLS, "--in-place"]);
    drop(carol);
    assert_eq!(numbers(&server, CAROLS, "tulip"), (0..3).collect());
    deliver(&server, CAROLS, 3..5);
    after_all(&server);
    let needles = Needles::of(&server, CAROLS);
    let id = needles.id.as_str();
    let before = needles.places(&server);
    let has = |place: &BTreeSet<PathBuf>, name: &str| place.iter().any(|path| path.ends_with(name));
    assert!(has(&before[0], "keys.json") && has(&before[0], "mailbox.sqlite") && has(&before[0], "spool.sqlite"));
    assert!(before[0].iter().any(|path| path.to_str().unwrap().contains("/replaced/")), "{before:?}");
    let salted = |path: &PathBuf| {
        path.is_file() && memmem::find(&std::fs::read(path).unwrap(), &needles.ciphertext[1]).is_some()
    };
    assert!(before[1].len() > 10 && before[1].iter().any(salted), "{before:?}");
    let objects_before = objects(&server, id);

    let still = refused(&purge(&server, CAROLS, &[]));
    assert!(still.contains("still declared") && still.contains("sealpost delete Mailbox carol"), "{still}");
    manifests.remove("carol.yaml");
    wait_until("she has no manifest any more", || server.status()["findings"].to_string().contains("Mailbox/carol"));
    assert!(refused(&purge(&server, id, &[])).contains("still declared"));
    assert!(server.sealpost(&["delete", "Mailbox", "carol"]).status.success());
    let unsure = refused(&server.sealpost(&["purge", CAROLS]));
    assert!(unsure.contains("cannot be undone") && unsure.contains("--yes carol@example.org"), "{unsure}");
    assert!(refused(&server.sealpost(&["purge", CAROLS, "--yes", "ann@example.org"])).contains("nothing was done"));
    assert!(needles.places(&server)[0].len() >= before[0].len(), "nothing is gone");

    let report = purged(&server, CAROLS);
    needles.wait_none(&server);
    let removed = &report["purged"];
    assert_eq!((removed["mailbox"].as_str(), &report["succeeded"]), (Some(id), &Value::Bool(true)), "{report}");
    assert!(removed["files"].as_u64().unwrap() >= 8 && removed["bytes"].as_u64().unwrap() > 100_000, "{report}");
    let [bucket] = removed["buckets"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert!(bucket["objects"].as_u64().unwrap() >= objects_before.len() as u64 && bucket["remaining"] == 0, "{report}");
    // The proof names each of them.
    let proofs = crate::buckets::files(&server.state().join("shard-0/sidecar/purged").join(id));
    let text: String = proofs.iter().map(|page| std::fs::read_to_string(page).unwrap()).collect();
    let unnamed: Vec<&String> = objects_before.iter().filter(|key| !text.contains(key.as_str())).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    let tombstone = std::fs::read_to_string(server.state().join(format!("shard-0/purged/{id}.json"))).unwrap();
    assert!(tombstone.contains("/keys.json\"") && !tombstone.contains("carol"), "{tombstone}");

    assert!(refused(&purge(&server, id, &[])).contains("is gone"));
    assert!(refused(&purge(&server, CAROLS, &[])).contains("nothing is kept"));
    assert_eq!(numbers(&server, "ann@example.org", crate::first_light::ANN), (10..13).collect());
    restored(&server, &["ann@example.org", "--to", "dave@example.org"]);
    assert_eq!(numbers(&server, "dave@example.org", crate::first_light::ANN), (10..13).collect());

    manifests.write("carol.yaml", CAROL);
    wait_until("carol has keys again", || mailbox(&server, CAROLS)["state"] == "Ready");
    assert_ne!(mailbox(&server, CAROLS)["id"], id, "an id is used once");
    assert_eq!(numbers(&server, CAROLS, "tulip"), BTreeSet::new());
    deliver(&server, CAROLS, 7..8);
    server.restart();
    assert_eq!(numbers(&server, CAROLS, "tulip"), [7].into());
    assert_eq!(needles.places(&server), [BTreeSet::new(), BTreeSet::new()]);
    assert!(!server.complaints().contains("\"ERROR\""), "{}", server.complaints());
}

/// Takes carol's manifest away and deletes her.
fn delete_carol(server: &Server, manifests: &crate::up::Manifests) {
    manifests.remove("carol.yaml");
    wait_until("she has no manifest any more", || server.status()["findings"].to_string().contains("Mailbox/carol"));
    assert!(server.sealpost(&["delete", "Mailbox", "carol"]).status.success());
}

#[test]
fn a_purge_outlives_the_end_of_everything_and_its_address_may_have_a_new_mailbox_meanwhile() {
    let manifests = manifests();
    let (mut server, carol) = with_carol(Options::manifests(manifests.path()).faults());
    drop(carol);
    deliver(&server, CAROLS, 0..2);
    after_all(&server);
    let needles = Needles::of(&server, CAROLS);
    delete_carol(&server, &manifests);
    server.faults.arm("sidecar", "purge.listed.after", "pause");
    let mut asked = sealpost();
    asked.args(["purge", CAROLS, "--yes", CAROLS, "--run", "gone", "--state"]).arg(server.state());
    let mut asked = asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it is in its middle", || server.faults.hit("purge.listed.after"));
    assert!(refused(&server.sealpost(&["delete", "run", "gone"])).contains("goes on to its end"));

    manifests.write("carol.yaml", CAROL);
    wait_until("carol has keys again", || mailbox(&server, CAROLS)["state"] == "Ready");
    assert_ne!(mailbox(&server, CAROLS)["id"], needles.id.as_str());
    deliver(&server, CAROLS, 7..8);
    assert!(server.crash() > 3);
    assert_eq!(asked.wait().unwrap().code(), Some(1), "whoever has asked is told that it goes on");
    server.faults.disarm("purge.listed.after");
    assert!(!objects(&server, &needles.id).is_empty(), "it was in its middle");
    server.start();

    let done = purge(&server, &needles.id, &["--run", "gone"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}\n{}", server.complaints());
    let words = [&*format!("mailbox {} is gone", needles.id), "volume: ", "objects, ", "not looked for: ", "purged"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    needles.wait_none(&server);
    assert_eq!(numbers(&server, CAROLS, "tulip"), [7].into());
}

/// A mailbox of its own for each point.
fn declaration(name: &str) -> String {
    CAROL.replace("carol", name)
}

#[test]
fn a_purge_comes_to_its_end_whoever_is_killed_in_its_middle() {
    let manifests = manifests();
    let (server, carol) = with_carol(Options::manifests(manifests.path()).faults());
    drop(carol);
    deliver(&server, CAROLS, 0..3);
    for (round, point) in PURGE_POINTS.iter().enumerate() {
        let (name, role) = (format!("gone{round}"), point.roles[0]);
        let address = format!("{name}@example.org");
        manifests.write("gone.yaml", &declaration(&name));
        wait_until("it has keys", || mailbox(&server, &address)["state"] == "Ready");
        deliver(&server, &address, 0..1);
        assert_eq!(numbers(&server, &address, "tulip"), [0].into());
        deliver(&server, &address, 1..2);
        let needles = Needles::of(&server, &address);
        let has = |what: &str| objects(&server, &needles.id).iter().any(|key| key.contains(what));
        wait_until("it is archived", || ["/keys/", "/mailbox/base/", "/spool/base/"].iter().all(|what| has(what)));
        let there = needles.places(&server);
        assert!(there[0].len() > 3 && there[1].len() > 3, "{there:?}");
        manifests.remove("gone.yaml");
        wait_until("it has no manifest any more", || server.status()["findings"].to_string().contains(&name));
        assert!(server.sealpost(&["delete", "Mailbox", &name]).status.success());

        server.faults.arm(role, point.name, "kill@1");
        let report = purged(&server, &address);
        assert!(server.faults.hit(point.name), "{} was not passed", point.name);
        needles.wait_none(&server);
        let removed = &report["purged"];
        assert!(removed["files"].as_u64().unwrap() >= 3, "{}: {report}", point.name);
        assert!(removed["buckets"][0]["objects"].as_u64().unwrap() >= 3, "{}: {report}", point.name);
    }
    assert_eq!(numbers(&server, CAROLS, "tulip"), (0..3).collect());
    restored(&server, &[CAROLS, "--to", "bob@example.org"]);
    assert_eq!(numbers(&server, "bob@example.org", "tulip"), (0..3).collect());
    // Where her mail went by that restore is told.
    delete_carol(&server, &manifests);
    let report = purged(&server, CAROLS);
    assert_eq!(report["purged"]["copies"], serde_json::json!([mailbox(&server, "bob@example.org")["id"]]), "{report}");
    assert_eq!(numbers(&server, "bob@example.org", "tulip"), (0..3).collect());
}
