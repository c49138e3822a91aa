use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::super::objects;
use super::*;

const POLICY: &str = "apiVersion: sealpost.dev/v1alpha1\nkind: BackupPolicy\nmetadata: {name: daily}\nspec:\n  destination:\n    \
     s3: {endpoint: 'https://s3.example.org', bucket: mail, credentialsSecretRef: {name: keys}, caSecretRef: {name: ca}}\n";

fn declared(text: &str) -> Vec<Object> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.yaml");
    std::fs::write(&file, text).unwrap();
    objects::read(&[file]).unwrap().objects
}

fn secrets(token: &str) -> String {
    format!(
        "{POLICY}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData: {{accessKeyId: me, secretAccessKey: \
         word{token}}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: ca}}\nstringData: {{ca.crt: pem}}\n"
    )
}

fn policies(objects: &[Object]) -> Policies {
    let server = "apiVersion: sealpost.dev/v1alpha1\nkind: MailServer\nmetadata: {name: mail}\n\
         spec: {hostname: mx.example.org, domains: [{name: example.org}], backupPolicyRef: {name: daily}}\n";
    let server = declared(server);
    let server = objects::server(&server).unwrap();
    let id = model::ServerId("0123abcd".into());
    let mut found =
        api::policies(server, &id, objects, &model::Bindings::default(), &std::collections::BTreeMap::new());
    found.shards.remove(&model::ShardId(0)).unwrap()
}

fn found(folder: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(PathBuf, u32)> = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push((entry.path(), entry.metadata().unwrap().permissions().mode() & 0o777));
    }
    found.sort();
    assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{found:?}");
    let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    found.iter().map(|(path, _)| (path.file_name().unwrap().to_str().unwrap().to_owned(), text(path))).collect()
}

#[test]
fn what_opens_a_bucket_is_in_files_of_the_sidecar_alone_as_long_as_a_policy_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("credentials");
    let pair = |name: &str, text: &str| (format!("daily.{name}"), text.to_owned());
    let nothing = declared(POLICY);
    let policies = policies(&nothing);

    let said = lay_out(&folder, &nothing, &policies).unwrap();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with("BackupPolicy/daily: SecretNotFound: ") && said[0].contains("`keys`"), "{said:?}");

    let all = declared(&secrets(", sessionToken: once"));
    assert_eq!(lay_out(&folder, &all, &policies).unwrap(), Vec::<String>::new());
    let both = [pair("accessKeyId", "me"), pair("ca.crt", "pem")];
    let whole = [both.to_vec(), vec![pair("secretAccessKey", "word"), pair("sessionToken", "once")]].concat();
    assert_eq!(found(&folder), whole);

    // Absence never means removal; what is renewed takes the place of what was.
    assert_eq!(lay_out(&folder, &nothing, &policies).unwrap(), Vec::<String>::new());
    assert_eq!(found(&folder), whole);
    lay_out(&folder, &declared(&secrets("s")), &policies).unwrap();
    assert_eq!(found(&folder), [both.to_vec(), vec![pair("secretAccessKey", "words")]].concat());

    let folders = policies.into_folders(Path::new("/bucket"));
    lay_out(&folder, &all, &folders).unwrap();
    assert_eq!(found(&folder), [], "a folder needs nothing");
}
