use std::path::PathBuf;

use super::*;

/// Reads one text as a file.
fn read(text: &str) -> Result<Manifests, ManifestError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.yaml"), text).unwrap();
    load(&[folder.path().join("m.yaml")])
}

/// `line: field: message / hint` of what is wrong with a text.
fn wrong(text: &str) -> String {
    let Err(ManifestError::Invalid(e)) = read(text) else { panic!("accepted: {text}") };
    format!("{}: {}: {} / {}", e.line.unwrap_or(0), e.field, e.message, e.hint)
}

const ANN: &str = "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata:\n  name: ann\nspec:\n";

#[test]
fn several_documents_and_secrets_are_read_in_order() {
    let text = format!(
        "# a comment\n---\n{ANN}  address: ann@example.org\n---\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: p}}\n\
         data: {{password: b2xk, other: eA==}}\nstringData: {{password: pass}}\n"
    );
    let read = read(&text).unwrap();
    assert_eq!(read.objects.iter().map(|o| o.reference().to_string()).collect::<Vec<_>>(), ["Mailbox/ann", "Secret/p"]);
    let Object::Secret(secret) = &read.objects[1] else { panic!() };
    assert_eq!(secret.data["password"].as_slice(), b"pass");
    assert_eq!(secret.data["other"].as_slice(), b"x");
    assert!(!format!("{secret:?}").contains("pass\""), "{secret:?}");
}

#[test]
fn defaults_are_those_of_the_schema() {
    let read = read(&format!("{ANN}  address: ann@example.org\n")).unwrap();
    let Object::Mailbox(mailbox) = &read.objects[0] else { panic!() };
    assert_eq!(mailbox.spec.server_ref.name, "mail");
    assert_eq!(mailbox.spec.access.len(), 3);
}

#[test]
fn a_misspelled_field_is_named_with_its_line_and_its_nearest_name() {
    assert_eq!(
        wrong(&format!("{ANN}  adress: ann@example.org\n")),
        "6: spec.adress: there is no such field / did you mean `address`?"
    );
    let second = format!("{ANN}  address: ann@example.org\n---\n{ANN}  address: x@example.org\n  quote: 5Gi\n");
    assert_eq!(wrong(&second), "14: spec.quote: there is no such field / did you mean `quota`?");
    let nested = "apiVersion: sealpost.dev/v1alpha1\nkind: Alias\nmetadata: {name: info}\nspec:\n  address: i@example.org\n  \
                  targets:\n  - mailboxRef: {name: ann}\n  - mailboxref: {name: bob}\n";
    assert_eq!(wrong(nested), "8: spec.targets[1].mailboxref: there is no such field / did you mean `mailboxRef`?");
}

#[test]
fn a_wrong_type_says_what_to_write() {
    let text = format!("{ANN}  address: ann@example.org\n  serverRef: mail\n");
    assert_eq!(wrong(&text), "7: spec.serverRef: is a text, not a map of fields / write `{name: mail}`");
    let text = format!("{ANN}  address: ann@example.org\n  access: [IMAP]\n");
    assert_eq!(wrong(&text), "7: spec.access[0]: `IMAP` is not one of its values / did you mean `Imap`?");
}

#[test]
fn a_time_is_written_with_its_zone() {
    let text = "apiVersion: sealpost.dev/v1alpha1\nkind: MailboxRestore\nmetadata: {name: back}\nspec:\n  \
                source: {mailboxRef: {name: ann}}\n  target: {mailboxRef: {name: old}}\n  at: 2026-01-31 13:00\n";
    assert_eq!(wrong(text), "7: spec.at: `2026-01-31 13:00` is not a time / for example 2026-01-31T13:00:00Z");
}

#[test]
fn what_is_missing_is_named() {
    let missing = wrong(&format!("{ANN}  quota: 5Gi\n"));
    assert!(missing.starts_with("5: spec.address: is missing / Its address"), "{missing}");
    assert_eq!(
        wrong("apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: ann}\naddress: a@b.c\n"),
        "4: address: there is no such field / it belongs under `spec`: indent `address`"
    );
}

#[test]
fn unknown_kinds_and_versions_of_our_group_are_errors() {
    let with =
        |version: &str, kind: &str| wrong(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"));
    assert_eq!(
        with("sealpost.dev/v1alpha1", "MailBocks"),
        "2: kind: there is no kind `MailBocks` / did you mean `Mailbox`?"
    );
    assert_eq!(
        with("sealpost.dev/v1", "Mailbox"),
        "1: apiVersion: there is no `sealpost.dev/v1` / write `sealpost.dev/v1alpha1`"
    );
}

#[test]
fn kinds_of_other_groups_are_ignored_with_a_warning() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n\
                apiVersion: v1\nkind: BackupPolicy\nmetadata: {name: daily}\n";
    let read = read(text).unwrap();
    assert_eq!(read.objects, []);
    assert!(read.warnings[0].ends_with("apps/v1 Deployment is ignored"), "{:?}", read.warnings);
    assert!(read.warnings[1].ends_with("did you mean `apiVersion: sealpost.dev/v1alpha1`?"), "{:?}", read.warnings);
}

#[test]
fn the_same_object_twice_and_broken_yaml_are_errors() {
    let twice = wrong(&format!("{ANN}  address: ann@example.org\n---\n{ANN}  address: b@example.org\n"));
    assert_eq!(twice, "11: metadata.name: an object of that name was read before / give one of them another name");
    assert!(wrong("a: b: c\n").starts_with("1: : not YAML"), "{}", wrong("a: b: c\n"));
    assert!(wrong("kind: a\nkind: b\n").contains("not YAML"));
}

#[test]
fn paths_that_cannot_be_read_say_so() {
    let missing = load(&[PathBuf::from("/nonexistent/manifests")]).unwrap_err();
    assert!(matches!(missing, ManifestError::Unreadable { .. }));
    assert!(missing.hint().contains("-f"));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(load(&[folder.path()]), Err(ManifestError::Empty { .. })));
}

#[test]
fn the_samples_and_the_bench_manifests_are_valid_and_complete() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for (folder, mailboxes, waiting) in [("config/samples", 2, 1), ("bench/manifests", 5, 0)] {
        let read = load(&[root.join(folder)]).unwrap();
        assert_eq!(read.warnings, Vec::<String>::new());
        assert_eq!(crate::references(&read.objects), []);
        let keys = |object: &Object| match object {
            Object::Mailbox(mailbox) => Some(crate::key_source(mailbox, &read.objects)),
            _ => None,
        };
        let sources: Vec<_> = read.objects.iter().filter_map(keys).collect();
        assert_eq!(sources.len(), mailboxes, "{folder}");
        let awaiting = sources.iter().filter(|source| **source == crate::KeySource::AwaitingOwner).count();
        assert_eq!(awaiting, waiting, "{folder}");
    }
}
