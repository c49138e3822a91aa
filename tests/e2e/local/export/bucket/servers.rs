//! The same archives in a bucket of an S3 server.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{Left, bucket, command, copy, objects};
use crate::export::files::{failed, succeeded};
use crate::harness::s3::{BUCKET, ID, SECRET, Server};

/// `sealpost bucket` on the server's bucket, with nothing of this machine's own credentials.
fn on_server(server: &Server, args: &[&str]) -> Command {
    let mut command = command(args, &format!("s3://{BUCKET}/some/prefix"));
    command.args(["--endpoint", &server.endpoint(), "--ca"]).arg(server.credentials().join("ca.crt"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", server.folder());
    command
}

fn with_keys(server: &Server, args: &[&str]) -> Output {
    on_server(server, args).env("AWS_ACCESS_KEY_ID", ID).env("AWS_SECRET_ACCESS_KEY", SECRET).output().unwrap()
}

fn fetched(folder: &Path) -> Vec<Vec<u8>> {
    objects(folder).iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn an_s3_server_gives_what_the_folder_gives() {
    let left = Left::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(Server::start());
    copy(&left.bucket(), &server.folder().join("some/prefix"));
    let id = left.id("carol@example.org");

    let listed = succeeded(&with_keys(&server, &["ls", "--address", "carol@example.org"]));
    assert!(listed.contains(&id) && !listed.contains(&left.id("ann@example.org")), "{listed}");
    assert!(succeeded(&with_keys(&server, &["verify", &id])).contains("whole: "));
    let (near, far) = (left.path("near"), left.path("far"));
    succeeded(&bucket(&["fetch", &id, "--out", near.to_str().unwrap()], &left.bucket()));
    succeeded(&with_keys(&server, &["fetch", &id, "--out", far.to_str().unwrap()]));
    assert!(fetched(&near) == fetched(&far), "other bytes");

    let file = left.path("credentials");
    fs::write(&file, format!("[mail]\naws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n")).unwrap();
    let profile =
        on_server(&server, &["ls"]).env("AWS_SHARED_CREDENTIALS_FILE", &file).env("AWS_PROFILE", "mail").output();
    assert!(succeeded(&profile.unwrap()).contains(&id));
    let folder = server.credentials();
    let folder = on_server(&server, &["ls", "--credentials", folder.to_str().unwrap()]).output();
    assert!(succeeded(&folder.unwrap()).contains(&id));

    let wrong = on_server(&server, &["ls"]).env("AWS_ACCESS_KEY_ID", ID).env("AWS_SECRET_ACCESS_KEY", "wrong").output();
    let told = failed(&wrong.unwrap());
    assert!(told.contains("refuses") && told.contains("check the credentials"), "{told}");
    let told = failed(&on_server(&server, &["ls"]).output().unwrap());
    assert!(told.contains("credentials"), "{told}");
}
