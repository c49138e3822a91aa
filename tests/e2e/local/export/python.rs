//! Python's `mailbox` reads what we write.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::files::{exported, succeeded};

/// Prints every message of a Maildir++ as a line of JSON.
const MAILDIR: &str = r#"
import hashlib, json, mailbox, sys
def show(folder, box):
    for key in box.keys():
        message = box[key]
        print(json.dumps({"folder": folder, "file": key, "flags": message.get_flags(), "date": int(message.get_date()),
                          "new": message.get_subdir() == "new", "sha256": hashlib.sha256(box.get_bytes(key)).hexdigest()}))
root = mailbox.Maildir(sys.argv[1], create=False)
show("", root)
for name in root.list_folders():
    show("." + name, root.get_folder(name))
"#;

/// Prints every message of an mbox, with our block and the quoting taken away as docs/formats.md says.
const MBOX: &str = r#"
import hashlib, json, mailbox, re, sys
box = mailbox.mbox(sys.argv[1], create=False)
for key in box.keys():
    message = box[key]
    head, rest = re.split(rb"(?m)^X-Sealpost-Size: ", box.get_bytes(key), maxsplit=1)
    size, rest = rest.split(b"\n", 1)
    rest = re.sub(rb"(?m)^>(>*From )", rb"\1", rest + b"\n")
    lines, header = [], True
    for line in rest.split(b"\n"):
        header = header and line not in (b"", b"\r")
        lines.append(line.removeprefix(b"X-Sealpost-Kept-") if header else line)
    body = b"\n".join(lines)[:int(size)]
    print(json.dumps({"uid": int(message["X-UID"]), "flags": message.get_flags(),
                      "sha256": hashlib.sha256(body).hexdigest()}))
"#;

fn python(script: &str, path: &Path) -> Vec<Value> {
    let output = Command::new("python3").args(["-c", script]).arg(path).output().unwrap();
    succeeded(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Letters of the flags that a manifest tells, sorted.
fn letters(told: &Value, of: &[(&str, char)]) -> String {
    let has = |name: &str| told["flags"].as_array().unwrap().iter().any(|flag| flag == name);
    let mut letters: Vec<char> = of.iter().filter(|(name, _)| has(name)).map(|(_, letter)| *letter).collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// The same of a text in which other letters may be.
fn only(flags: &Value, of: &[(&str, char)]) -> String {
    let mut letters: Vec<char> =
        flags.as_str().unwrap().chars().filter(|c| of.iter().any(|(_, letter)| letter == c)).collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

#[test]
fn python_finds_flags_dates_and_every_byte_in_the_maildir() {
    let flags = [("\\Draft", 'D'), ("\\Flagged", 'F'), ("\\Answered", 'R'), ("\\Seen", 'S'), ("\\Deleted", 'T')];
    let Some((dir, manifest)) = exported("maildir", &["python3"]) else { return };
    let found = python(MAILDIR, &dir.path().join("out"));
    let told = manifest["messages"].as_array().unwrap();
    assert_eq!(found.len(), told.len());
    for told in told {
        let (folder, name) =
            told["file"].as_str().unwrap().rsplit_once('/').unwrap_or(("", told["file"].as_str().unwrap()));
        let one = found.iter().find(|one| one["folder"] == folder && one["file"] == name);
        let one = one.unwrap_or_else(|| panic!("no {told}"));
        assert_eq!(one["sha256"], told["sha256"], "{told}");
        assert_eq!(one["new"], told["waiting"], "{told}");
        assert_eq!(only(&one["flags"], &flags), letters(told, &flags), "{told}");
        let date: jiff::Timestamp = told["internalDate"].as_str().unwrap().parse().unwrap();
        assert_eq!(one["date"], date.as_second(), "{told}");
    }
}

#[test]
fn python_finds_flags_and_every_byte_in_each_mbox() {
    let flags = [("\\Seen", 'R'), ("\\Draft", 'T'), ("\\Flagged", 'F'), ("\\Answered", 'A'), ("\\Deleted", 'D')];
    let Some((dir, manifest)) = exported("mbox", &["python3"]) else { return };
    for folder in manifest["folders"].as_array().unwrap() {
        let told: Vec<_> =
            manifest["messages"].as_array().unwrap().iter().filter(|m| m["folder"] == folder["name"]).collect();
        let found = python(MBOX, &dir.path().join("out").join(folder["path"].as_str().unwrap()));
        assert_eq!(found.len(), told.len(), "{folder}");
        for (one, told) in found.iter().zip(told) {
            assert_eq!((&one["uid"], &one["sha256"]), (&told["uid"], &told["sha256"]), "{told}");
            assert_eq!(only(&one["flags"], &flags), letters(told, &flags), "{told}");
        }
    }
}
