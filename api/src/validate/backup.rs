//! The rules of BackupPolicy, MailboxBackup and MailboxRestore.

use model::backup::ArchiveId;
use model::cron::{Cron, CronError};

use super::Problem;
use crate::policy::{S3, Schedule};
use crate::run::{RestoreMode, RestoreSource};
use crate::{BackupPolicy, MailboxRestore};

pub(super) fn policy(policy: &BackupPolicy, problems: &mut Vec<Problem>) {
    let spec = &policy.spec;
    s3(&spec.destination.s3, problems);
    schedule("spec.snapshots", spec.snapshots.as_ref(), problems);
    schedule("spec.verify", spec.verify.as_ref(), problems);
}

fn s3(s3: &S3, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, text: &str, what: &str, hint: &str| {
        problems.push(Problem::new(format!("spec.destination.s3.{field}"), format!("`{text}` is not {what}"), hint));
    };
    if let Some(text) = s3.endpoint.as_deref().filter(|text| !is_endpoint(text)) {
        wrong(
            "endpoint",
            text,
            "https://host or https://host:port",
            "for example https://s3.example.org, without path",
        );
    }
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bucket = s3.bucket.as_bytes();
    let ends = [bucket.first(), bucket.last()].into_iter().all(|end| end.copied().is_some_and(lower));
    if !ends || !bucket.iter().all(|byte| lower(*byte) || b".-".contains(byte)) {
        wrong("bucket", &s3.bucket, "a bucket name", "3 to 63 lower-case letters, digits, dots and dashes");
    }
    let region = s3.region.as_bytes();
    if !region.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') {
        wrong("region", &s3.region, "a region", "for example auto or eu-central-1");
    }
    let step = |step: &str| !step.is_empty() && step.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if let Some(text) = s3.prefix.as_deref().filter(|text| !text.split('/').all(step)) {
        wrong(
            "prefix",
            text,
            "a prefix",
            "letters, digits, . _ - and single slashes between them, for example mail/eu",
        );
    }
    if s3.endpoint.is_none() && s3.region == "auto" {
        let hint = "without endpoint it is AWS: write, for example, region: eu-central-1";
        problems.push(Problem::new("spec.destination.s3.region", "is missing", hint));
    }
}

fn is_endpoint(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let named = host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    let port_fits = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    !host.is_empty() && named && port.is_none_or(port_fits)
}

fn schedule(path: &str, schedule: Option<&Schedule>, problems: &mut Vec<Problem>) {
    let Some(schedule) = schedule else { return };
    match Cron::parse(&schedule.schedule, &schedule.time_zone) {
        Ok(_) => {}
        Err(error @ CronError::Zone(_)) => {
            let hint = "a name of the IANA database, for example Etc/UTC or Europe/Berlin";
            problems.push(Problem::new(format!("{path}.timeZone"), error.to_string(), hint));
        }
        Err(error) => {
            let hint = "for example `0 3 * * *`: at three every night";
            problems.push(Problem::new(format!("{path}.schedule"), error.to_string(), hint));
        }
    }
}

pub(super) fn restore(run: &MailboxRestore, problems: &mut Vec<Problem>) {
    let spec = &run.spec;
    source(&spec.source, problems);
    if spec.mode == RestoreMode::InPlace && spec.at.is_none() {
        let hint = "a restore in place replaces mail: name the time to go back to, for example 2026-01-31T13:00:00Z";
        problems.push(Problem::new("spec.at", "is missing", hint));
    }
    if let Some(source) = &spec.source.mailbox_ref {
        let (same, in_place) = (*source == spec.target.mailbox_ref, spec.mode == RestoreMode::InPlace);
        let message = match (same, in_place) {
            (true, false) => "is the source: a new mailbox cannot be the one that has the mail",
            (false, true) => "is not the source: a restore in place restores a mailbox onto itself",
            _ => "",
        };
        if !message.is_empty() {
            let hint = "name the same Mailbox with mode InPlace, or another one with mode NewMailbox";
            problems.push(Problem::new("spec.target.mailboxRef", message, hint));
        }
    }
}

fn source(source: &RestoreSource, problems: &mut Vec<Problem>) {
    if source.mailbox_ref.is_some() == source.archive_id.is_some() {
        let hint = "one of mailboxRef (a Mailbox that exists) and archiveId (see `sealpost bucket ls`)";
        problems.push(Problem::new("spec.source", "is not exactly one source", hint));
    }
    if let Some(text) = source.archive_id.as_deref().filter(|text| text.parse::<ArchiveId>().is_err()) {
        let hint = "<serverId>/<mailboxId>/t<timeline>: copy it from status.archiveId or `sealpost bucket ls`";
        problems.push(Problem::new("spec.source.archiveId", format!("`{text}` is not an archive id"), hint));
    }
}
