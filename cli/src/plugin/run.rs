//! `kubectl sealpost backup` and `kubectl sealpost restore`
//!
//! Each makes an object and follows it. The run belongs to the operator: a command that is ended changes nothing of it, and
//! the same command with the same `--name` follows it again. Needed rights: get and list on Mailboxes, create and get on
//! MailboxBackups or MailboxRestores.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::bail;
use api::{
    LocalRef, Mailbox, MailboxBackup, MailboxBackupSpec, MailboxRestore, MailboxRestoreSpec, RestoreMode,
    RestoreSource, RestoreTarget, conditions,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use model::backup::ArchiveId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{find, said};
use crate::args::Output;

/// How often the object is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// `kubectl sealpost backup MAILBOX`
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The Mailbox's name, or its address.
    mailbox: String,
    /// How it is asked for.
    #[command(flatten)]
    asking: Asking,
}

/// `kubectl sealpost restore MAILBOX`
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["to", "in_place"])))]
pub struct Restore {
    /// The Mailbox's name or address, or an archive as `<serverId>/<mailboxId>/t<timeline>`.
    #[arg(value_name = "MAILBOX|ARCHIVE")]
    source: String,
    /// As it was at that moment, for example 2026-01-02T03:04:05Z; unless given, all there is.
    #[arg(long, value_name = "RFC3339")]
    at: Option<Timestamp>,
    /// Into this Mailbox (name or address), which has neither keys nor mail; the source's password opens it.
    #[arg(long, value_name = "MAILBOX")]
    to: Option<String>,
    /// Into the mailbox itself, as it was `--at` a moment; what it has now is kept beside it.
    #[arg(long, requires = "at")]
    in_place: bool,
    /// How it is asked for.
    #[command(flatten)]
    asking: Asking,
}

/// What both have in common.
#[derive(Debug, clap::Args)]
struct Asking {
    /// Name of the object; one that is there already is followed.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// It has failed if it is not done so many seconds after its start.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(i32).range(1..=604_800))]
    deadline: i32,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    output: Output,
}

impl Asking {
    /// The object's name: `ann-20260102-030405` unless another one was given.
    fn named(&self, mailbox: &str, now: Timestamp) -> String {
        self.name.clone().unwrap_or_else(|| format!("{mailbox}-{}", now.strftime("%Y%m%d-%H%M%S")))
    }
}

/// Makes a backup and follows it.
pub async fn backup(client: Client, namespace: &str, options: &Backup) -> anyhow::Result<()> {
    let mailbox = find(&Api::namespaced(client.clone(), namespace), namespace, &options.mailbox).await?.name_any();
    let spec = MailboxBackupSpec { mailbox_ref: LocalRef::new(&mailbox), deadline_seconds: options.asking.deadline };
    let object = MailboxBackup::new(&options.asking.named(&mailbox, Timestamp::now()), spec);
    let api: Api<MailboxBackup> = Api::namespaced(client, namespace);
    create(&api, &object, |there| there.spec == object.spec).await?;
    let known = |object: &MailboxBackup| object.status.clone().unwrap_or_default().conditions;
    let done = follow(&api, &object.name_any(), options.asking.output, known).await?;
    let archive = done.status.and_then(|status| status.archive_id);
    if options.asking.output == Output::Text {
        println!("mailbox/{mailbox} is backed up to {}", archive.as_deref().unwrap_or("its archive"));
    }
    Ok(())
}

/// Makes a restore and follows it.
pub async fn restore(client: Client, namespace: &str, options: &Restore) -> anyhow::Result<()> {
    let mailboxes: Api<Mailbox> = Api::namespaced(client.clone(), namespace);
    let source = if let Ok(archive) = options.source.parse::<ArchiveId>() {
        RestoreSource { archive_id: Some(archive.to_string()), mailbox_ref: None }
    } else {
        let mailbox = find(&mailboxes, namespace, &options.source).await?;
        RestoreSource { mailbox_ref: Some(LocalRef::new(&mailbox.name_any())), archive_id: None }
    };
    let (target, mode) = match (&options.to, &source.mailbox_ref) {
        (Some(to), _) => (find(&mailboxes, namespace, to).await?.name_any(), RestoreMode::NewMailbox),
        (None, Some(mailbox)) => (mailbox.name.clone(), RestoreMode::InPlace),
        (None, None) => bail!("an archive goes into a Mailbox of yours\n  name it with --to"),
    };
    let spec = MailboxRestoreSpec {
        source,
        at: options.at.map(Time),
        target: RestoreTarget { mailbox_ref: LocalRef::new(&target) },
        mode,
        deadline_seconds: options.asking.deadline,
    };
    let object = MailboxRestore::new(&options.asking.named(&target, Timestamp::now()), spec);
    let api: Api<MailboxRestore> = Api::namespaced(client, namespace);
    create(&api, &object, |there| there.spec == object.spec).await?;
    let known = |object: &MailboxRestore| object.status.clone().unwrap_or_default().conditions;
    let done = follow(&api, &object.name_any(), options.asking.output, known).await?;
    let status = done.status.unwrap_or_default();
    if let (Some(commit), Some(time), Output::Text) =
        (status.reached_commit, status.reached_time, options.asking.output)
    {
        println!("mailbox/{target} is restored up to commit {commit} of {}", time.0);
    }
    Ok(())
}

/// Makes the object. One of that name is as good if it is the `same`.
async fn create<K>(api: &Api<K>, object: &K, same: impl Fn(&K) -> bool) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    let (kind, name) = (K::kind(&()).to_lowercase(), object.name_any());
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let there = api.get(&name).await.map_err(said(format!("cannot read {kind}/{name}")))?;
            if same(&there) { Ok(()) } else { bail!("{kind}/{name} is another one\n  choose another name with --name") }
        }
        Err(error) => Err(said(format!("cannot make {kind}/{name}"))(error)),
    }
}

/// Follows a run to its end. What is on the way is told to people; a run that failed is an error.
async fn follow<K>(api: &Api<K>, name: &str, output: Output, known: impl Fn(&K) -> Vec<Condition>) -> anyhow::Result<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    let (kind, mut told) = (K::kind(&()).to_lowercase(), String::new());
    if output == Output::Text {
        eprintln!(
            "{kind}/{name} (to follow it: the same with --name {name}; to cancel it: kubectl delete {kind} {name})"
        );
    }
    loop {
        let object = api.get(name).await.map_err(said(format!("cannot read {kind}/{name}")))?;
        let conditions = known(&object);
        let (done, line) = line(&conditions);
        if output == Output::Text && line != told && done.is_none() {
            eprintln!("{line}");
            told = line;
        } else if done == Some(false) {
            bail!(line.replacen("; ", "\n  ", 1));
        }
        if done == Some(true) {
            if output == Output::Json {
                println!("{}", serde_json::to_string_pretty(&object)?);
            }
            return Ok(object);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether it is over, and how it went; and how that is said.
fn line(known: &[Condition]) -> (Option<bool>, String) {
    let Some(condition) = api::condition(known, conditions::SUCCEEDED) else {
        return (None, "the operator has not looked at it yet".to_owned());
    };
    let line = format!("{}: {}", condition.reason, condition.message);
    (
        match condition.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        },
        line,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_over_when_its_condition_is_true_or_false() {
        let told = |status: &str| {
            let condition = serde_json::json!({"type": "Succeeded", "status": status, "reason": "Why", "message": "because",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            line(&[serde_json::from_value(condition).unwrap()])
        };
        assert_eq!(told("Unknown"), (None, "Why: because".to_owned()));
        assert_eq!((told("True").0, told("False").0, line(&[]).0), (Some(true), Some(false), None));
    }

    #[test]
    fn a_run_is_named_after_its_mailbox_and_the_moment() {
        let asking = Asking { name: None, deadline: 1, output: Output::Text };
        assert_eq!(asking.named("ann", Timestamp::UNIX_EPOCH), "ann-19700101-000000");
        assert_eq!(Asking { name: Some("x".into()), ..asking }.named("ann", Timestamp::UNIX_EPOCH), "x");
    }
}
