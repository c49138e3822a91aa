//! `kubectl sealpost logs`
//!
//! The logs of all pods of a mail server, merged by time. Needed rights: get on MailServers, list on pods, get on pods/log; with
//! `--mailbox` get and list on Mailboxes; for the operator's the same in its namespace.

use std::fmt::Write;

use anyhow::{Context, bail};
use api::Mailbox;
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::pods::{self, Role, Source};
use super::{Output, find};

/// Lines that wait to be printed.
const AHEAD: usize = 1024;

/// `kubectl sealpost logs [SERVER]`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The MailServer; all of the namespace unless told otherwise.
    server: Option<String>,
    /// Only processes of this role; may be repeated. That of the operator only where it is named.
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Vec<Role>,
    /// Only the primary and the sidecar of this shard.
    #[arg(long, value_name = "N")]
    shard: Option<u32>,
    /// Go on with what is written from now on.
    #[arg(short = 'f', long)]
    follow: bool,
    /// From so long ago, for example 30m or 2h.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    since: SignedDuration,
    /// Only what is about this Mailbox (name or address).
    #[arg(long, value_name = "MAILBOX")]
    mailbox: Option<String>,
    /// Namespace of the operator.
    #[arg(long, value_name = "NAMESPACE", default_value = "sealpost-system")]
    operator_namespace: String,
    /// `text`, or `json`: the lines as they are.
    #[arg(short = 'o', long, default_value = "text")]
    output: Output,
}

/// Prints them.
pub async fn run(client: Client, namespace: &str, options: &Options) -> anyhow::Result<()> {
    let since = options.since.as_secs();
    if since < 1 {
        bail!("--since takes a time of a second or more, for example 30m");
    }
    let about = match &options.mailbox {
        Some(wanted) => Some(id_of(&client, namespace, wanted).await?),
        None => None,
    };
    let sources = sources(&client, namespace, options).await?;
    if sources.is_empty() {
        bail!("no container that runs has such a log\n  see kubectl sealpost status");
    }
    let show = Show { about, raw: options.output == Output::Json };
    if options.follow {
        return follow(client, sources, since, &show).await;
    }
    let mut all = Vec::new();
    for source in &sources {
        let lines = source.all(&client, since).await?;
        all.extend(lines.iter().map(|line| Line::read(source, line)));
    }
    // Stable: what one container wrote at one time stays in its order.
    all.sort_by_key(|line| line.time);
    all.iter().filter_map(|line| show.render(line)).for_each(|line| println!("{line}"));
    Ok(())
}

async fn sources(client: &Client, namespace: &str, options: &Options) -> anyhow::Result<Vec<Source>> {
    let (of_operator, roles): (Vec<Role>, Vec<Role>) =
        options.role.iter().copied().partition(|role| *role == Role::Operator);
    let mut sources = Vec::new();
    if of_operator.is_empty() || !roles.is_empty() {
        if let Some(server) = &options.server {
            pods::exists(client, namespace, server).await?;
        }
        let pods = pods::of(client, namespace, options.server.as_deref()).await?;
        sources.extend(pods.iter().flat_map(|pod| pods::sources(pod, &roles, options.shard)));
    }
    if !of_operator.is_empty() {
        let pods = pods::of_operator(client, &options.operator_namespace).await?;
        sources.extend(pods.iter().flat_map(|pod| pods::sources(pod, &of_operator, None)));
    }
    Ok(sources)
}

/// The id that logs name a mailbox by: addresses are not in them.
async fn id_of(client: &Client, namespace: &str, wanted: &str) -> anyhow::Result<String> {
    let mailbox = find(&Api::<Mailbox>::namespaced(client.clone(), namespace), namespace, wanted).await?;
    let id = mailbox.status.and_then(|status| status.mailbox_id);
    id.with_context(|| format!("{wanted} has no mailbox yet, so no log tells of it: see its conditions"))
}

/// Prints lines as they come, until every container has ended.
async fn follow(client: Client, sources: Vec<Source>, since: i64, show: &Show) -> anyhow::Result<()> {
    let (sender, mut lines) = mpsc::channel(AHEAD);
    let mut tasks = JoinSet::new();
    for source in sources {
        let (client, sender) = (client.clone(), sender.clone());
        tasks.spawn(async move {
            let mut stream = std::pin::pin!(source.lines(&client, true, since).await?);
            while let Some(line) = stream.try_next().await? {
                if sender.send(Line::read(&source, &line)).await.is_err() {
                    break;
                }
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    drop(sender);
    while let Some(line) = lines.recv().await {
        if let Some(line) = show.render(&line) {
            println!("{line}");
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// A line of a log.
struct Line {
    time: Timestamp,
    prefix: String,
    text: String,
}

impl Line {
    /// As the kubelet gives it: the time, a space, the line.
    fn read(source: &Source, line: &str) -> Self {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        let parsed = time.parse();
        let text = if parsed.is_ok() { text } else { line };
        Self { time: parsed.unwrap_or(Timestamp::MIN), prefix: source.prefix(), text: text.to_owned() }
    }
}

/// What is shown, and how.
struct Show {
    /// Only lines that name this mailbox.
    about: Option<String>,
    raw: bool,
}

impl Show {
    fn render(&self, line: &Line) -> Option<String> {
        let entry: Option<Value> = serde_json::from_str(&line.text).ok().filter(Value::is_object);
        if self.about.as_ref().is_some_and(|id| !entry.as_ref().is_some_and(|entry| names(entry, id))) {
            return None;
        }
        Some(match entry {
            _ if self.raw => line.text.clone(),
            Some(entry) => format!("{} {}", line.prefix, human(&entry)),
            // A panic, or what a library writes.
            None => format!("{} {}", line.prefix, line.text),
        })
    }
}

/// True where a value inside, at any depth, is exactly that.
fn names(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => text == id,
        Value::Array(all) => all.iter().any(|value| names(value, id)),
        Value::Object(all) => all.values().any(|value| names(value, id)),
        _ => false,
    }
}

/// `2026-01-02T03:04:05Z WARN a pass failed; trying again server=mail error="..."`
fn human(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let time = text("timestamp").split('.').next().unwrap_or_default();
    let fields = entry["fields"].as_object();
    let message = fields.and_then(|fields| fields.get("message")?.as_str()).unwrap_or_default();
    let mut line = format!("{time}Z {:<5} {message}", text("level"));
    for (name, value) in fields.into_iter().flatten().filter(|(name, _)| *name != "message") {
        // Writing into a string does not fail.
        let _ = match value.as_str() {
            Some(word) if !word.contains(' ') => write!(line, " {name}={word}"),
            _ => write!(line, " {name}={value}"),
        };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let source = Source { namespace: "post".into(), pod: "mail-shard-0-0".into(), container: "primary".into() };
        Line::read(&source, text)
    }

    const WARNED: &str = r#"2026-01-02T03:04:05.678901234Z {"timestamp":"2026-01-02T03:04:05.678901Z","level":"WARN","fields":{"message":"a pass failed; trying again","mailbox":"k3v","error":"no route"},"target":"primary"}"#;

    #[test]
    fn lines_of_json_are_made_for_people_and_others_are_shown_as_they_are() {
        let show = Show { about: None, raw: false };
        assert_eq!(
            show.render(&line(WARNED)).unwrap(),
            "mail-shard-0-0/primary 2026-01-02T03:04:05Z WARN  a pass failed; trying again error=\"no route\" mailbox=k3v"
        );
        let panicked = line("2026-01-02T03:04:05.1Z thread 'main' panicked at src/x.rs");
        assert_eq!(show.render(&panicked).unwrap(), "mail-shard-0-0/primary thread 'main' panicked at src/x.rs");
        assert!(panicked.time < line(WARNED).time);
        assert_eq!(line("no time").text, "no time");
        let raw = Show { about: None, raw: true };
        assert_eq!(raw.render(&line(WARNED)).unwrap(), WARNED.split_once(' ').unwrap().1);
    }

    #[test]
    fn what_is_about_another_mailbox_is_left_out() {
        let about = |id: &str| Show { about: Some(id.to_owned()), raw: false };
        assert!(about("k3v").render(&line(WARNED)).is_some());
        assert!(about("k3").render(&line(WARNED)).is_none());
        assert!(about("k3v").render(&line("2026-01-02T03:04:05Z k3v")).is_none());
    }
}
