//! Without anything of ours: docs/formats.md is enough for a script of somebody else.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{Left, bucket, copy, names, objects};
use crate::export::files::{failed, succeeded};
use crate::harness::{have, project};

/// Runs `docs/examples/restore.py`.
fn by_hand(folder: &Path, archive: &str, out: &Path) -> Output {
    let script = project("docs/examples/restore.py");
    Command::new("python3").arg(script).arg(folder).arg(archive).arg(out).output().unwrap()
}

#[test]
fn a_script_that_knows_only_the_documented_format_restores_the_same_bytes() {
    if !have("python3") || !have("zstd") {
        return;
    }
    let left = Left::of_two_lives();
    for address in ["carol@example.org", "ann@example.org"] {
        let id = left.id(address);
        let (ours, theirs) = (left.path(&format!("{address}.ours")), left.path(&format!("{address}.theirs")));
        succeeded(&bucket(&["fetch", &id, "--out", ours.to_str().unwrap()], &left.bucket()));
        succeeded(&by_hand(&left.bucket(), &id, &theirs));
        assert_eq!(names(&ours), names(&theirs), "{address}");
        for (ours, theirs) in objects(&ours).iter().zip(objects(&theirs)) {
            assert!(fs::read(ours).unwrap() == fs::read(&theirs).unwrap(), "{} differs", theirs.display());
        }
    }
    let id = left.id("carol@example.org");
    let folder = left.path("tampered");
    copy(&left.bucket(), &folder);
    let mailbox = objects(&folder).into_iter().rfind(|path| path.to_str().unwrap().contains("/mailbox/wal/")).unwrap();
    let mut bytes = fs::read(&mailbox).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&mailbox, bytes).unwrap();
    let told = failed(&by_hand(&folder, &id, &left.path("tampered.out")));
    assert!(told.contains(mailbox.file_name().unwrap().to_str().unwrap()), "{told}");
}
