//! Fences: what keeps its files closed until told otherwise, for repair. Annotations, because they are for a while and for a
//! person: no pipeline that applies the manifests again takes them away, or has to know of them.
//!
//! * `sealpost.dev/fenced` of a Mailbox; the value says why. `false` is no fence.
//! * `sealpost.dev/fenced-shards` of a MailServer: numbers with commas between them, `0,2`.

use std::collections::BTreeSet;

use model::{Finding, ObjectRef, ShardId};

use crate::conditions::{READY, reason};
use crate::{MailServer, Mailbox};

/// Annotation of a Mailbox: its files stay closed as long as it is there.
pub const MAILBOX: &str = "sealpost.dev/fenced";
/// Annotation of a MailServer: the files of all mailboxes on these shards stay closed.
pub const SHARDS: &str = "sealpost.dev/fenced-shards";

/// Why a Mailbox is fenced; none where it is not.
pub fn mailbox(mailbox: &Mailbox) -> Option<&str> {
    let value = mailbox.metadata.annotations.as_ref()?.get(MAILBOX)?;
    Some(value.as_str()).filter(|value| *value != "false")
}

/// The fenced shards of a MailServer.
pub fn shards(server: &MailServer) -> BTreeSet<ShardId> {
    parse(server).0
}

/// The value of [`SHARDS`] that fences these; none where there are none.
pub fn render(shards: &BTreeSet<ShardId>) -> Option<String> {
    let all: Vec<String> = shards.iter().map(ToString::to_string).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// What is wrong with the fences of a MailServer: a typing error must not pass for a fence.
pub(crate) fn finding(server: &MailServer) -> Option<Finding> {
    let wrong = parse(server).1;
    let name = server.metadata.name.clone().unwrap_or_default();
    let count = server.spec.shards;
    (!wrong.is_empty()).then(|| Finding {
        object: ObjectRef::new("MailServer", &name),
        condition: READY,
        status: true,
        reason: reason::ANNOTATION_INVALID,
        message: format!(
            "its annotation {SHARDS} says `{}`, which is none of its {count} shards and fences nothing: write numbers from 0 on, like 0,2",
            wrong.join(",")
        ),
    })
}

/// The shards that are named, and words that are none.
fn parse(server: &MailServer) -> (BTreeSet<ShardId>, Vec<String>) {
    let value = server.metadata.annotations.as_ref().and_then(|all| all.get(SHARDS));
    let count = u32::try_from(server.spec.shards).unwrap_or(1);
    let (mut shards, mut wrong) = (BTreeSet::new(), Vec::new());
    for word in value.into_iter().flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty()) {
        match word.parse::<u32>() {
            Ok(number) if number < count => drop(shards.insert(ShardId(number))),
            _ => wrong.push(word.to_owned()),
        }
    }
    (shards, wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(value: &str) -> MailServer {
        let object = json!({
            "apiVersion": crate::API_VERSION, "kind": "MailServer",
            "metadata": {"name": "mail", "annotations": {SHARDS: value}},
            "spec": {"hostname": "mx.example.org", "domains": [], "shards": 3},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn shards_are_numbers_and_what_is_none_is_told() {
        let (two, none) = (server("0, 2"), server(""));
        assert_eq!(shards(&two), [ShardId(0), ShardId(2)].into());
        assert_eq!(render(&shards(&two)).as_deref(), Some("0,2"));
        assert_eq!(
            (shards(&none), render(&shards(&none)), finding(&none), finding(&two)),
            ([].into(), None, None, None)
        );
        let wrong = server("1,3,x");
        assert_eq!(shards(&wrong), [ShardId(1)].into());
        let told = finding(&wrong).unwrap();
        assert!(told.status && told.message.contains("`3,x`"), "{told}");
    }

    #[test]
    fn a_mailbox_is_fenced_by_any_word_but_false() {
        let mailbox = |annotations: serde_json::Value| -> Mailbox {
            serde_json::from_value(json!({
                "apiVersion": crate::API_VERSION, "kind": "Mailbox", "metadata": {"name": "ann", "annotations": annotations},
                "spec": {"address": "ann@example.org"},
            }))
            .unwrap()
        };
        assert_eq!(super::mailbox(&mailbox(json!({MAILBOX: "disk looks ill"}))), Some("disk looks ill"));
        assert_eq!(super::mailbox(&mailbox(json!({MAILBOX: ""}))), Some(""));
        assert_eq!(super::mailbox(&mailbox(json!({MAILBOX: "false"}))), None);
        assert_eq!(super::mailbox(&mailbox(json!({}))), None);
    }
}
