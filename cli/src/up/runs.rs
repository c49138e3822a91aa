//! Declared runs: each MailboxBackup and MailboxRestore of the manifests is carried out once.
//!
//! What a cluster keeps in such an object is kept in `world.json`: its uid, minted when its manifest is first seen, its spec as
//! it was then, and its status. What to do, and what a status says, is decided in `api`, for a cluster as for here.
//!
//! * The uid is on disk before a sidecar hears of the run, so no restart makes another run of it.
//! * One that is over is never wanted again. An edited spec changes nothing, and is told.
//! * A manifest that vanishes cancels nothing; `sealpost delete KIND NAME` does, and then the same manifest is another run.

use std::collections::BTreeMap;

use api::{Heard, Object, Unassigned};
use control::report::RunReport;
use jiff::Timestamp;
use serde_json::Value;

use super::objects;

/// What is known of declared runs, by kind and name: their objects as a cluster would have them.
pub type Known = BTreeMap<String, Value>;

/// What [`recall`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// There is something to write down.
    pub news: bool,
    /// What people should know.
    pub findings: Vec<String>,
}

/// Puts what is known of runs into their objects. Those that were never seen are taken up, those that are gone forgotten.
pub fn recall(
    all: &mut [Object],
    known: &mut Known,
    now: Timestamp,
    mut mint: impl FnMut() -> String,
) -> anyhow::Result<Recalled> {
    let mut recalled = Recalled::default();
    let mut present = Known::new();
    for object in all.iter_mut().filter(|object| is_run(object)) {
        let reference = object.reference().to_string();
        let next = if let Some(value) = known.get(&reference) {
            let before = objects::object(&reference, value)?;
            recalled.findings.extend(edited(&reference, &before, object));
            before
        } else {
            recalled.news = true;
            first_seen(object, mint(), now)
        };
        let value = next.encode().transpose()?.unwrap_or_default();
        present.insert(reference, value);
        *object = next;
    }
    recalled.news |= present.len() != known.len();
    *known = present;
    Ok(recalled)
}

/// Writes into each status what was heard of its run; true where that is news.
pub fn hear(
    known: &mut Known,
    unassigned: &[Unassigned],
    reports: &BTreeMap<String, RunReport>,
    now: Timestamp,
) -> anyhow::Result<bool> {
    let mut news = false;
    for (reference, value) in known.iter_mut() {
        let object = objects::object(reference, value)?;
        let report = api::run_id(&object).and_then(|id| reports.get(&id));
        let nowhere = unassigned.iter().find(|it| it.object == object.reference());
        let heard = match (report, nowhere) {
            (Some(report), _) => Heard::Report(report),
            (None, Some(why)) => Heard::Unassigned(why),
            (None, None) => Heard::Nothing,
        };
        if let Some(next) = api::run_status(&object, heard, now).and_then(|next| next.encode()) {
            *value = next?;
            news = true;
        }
    }
    Ok(news)
}

/// The status of each, as a cluster would show it.
pub fn statuses(known: &Known) -> BTreeMap<String, Value> {
    known.iter().map(|(reference, object)| (reference.clone(), object["status"].clone())).collect()
}

/// What is told of a spec that was edited.
fn edited(reference: &str, before: &Object, object: &Object) -> Option<String> {
    let problem = api::validate_change(before, object).into_iter().next();
    problem.map(|api::Problem { path, message, hint }| {
        format!("{reference}: {path}: {message}; {hint} (this one stays as it was)")
    })
}

fn is_run(object: &Object) -> bool {
    matches!(object, Object::MailboxBackup(_) | Object::MailboxRestore(_))
}

/// The object as an API server would have made it: with a uid, and without a status of another cluster.
fn first_seen(object: &Object, uid: String, now: Timestamp) -> Object {
    let mut fresh = object.clone();
    match &mut fresh {
        Object::MailboxBackup(o) => (o.metadata.uid, o.status) = (Some(uid), None),
        Object::MailboxRestore(o) => (o.metadata.uid, o.status) = (Some(uid), None),
        _ => {}
    }
    // Its deadline counts from here.
    api::run_status(&fresh, Heard::Nothing, now).unwrap_or(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn backup(name: &str, mailbox: &str) -> Object {
        let object = serde_json::json!({"apiVersion": api::API_VERSION, "kind": "MailboxBackup",
            "metadata": {"name": name}, "spec": {"mailboxRef": {"name": mailbox}},
            "status": {"conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "elsewhere",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        Object::decode("MailboxBackup", &object).unwrap().unwrap()
    }

    fn ids(all: &[Object]) -> Vec<Option<String>> {
        all.iter().map(api::run_id).collect()
    }

    fn recall_as(uid: &str, all: &mut [Object], known: &mut Known) -> Recalled {
        recall(all, known, NOW, || uid.to_owned()).unwrap()
    }

    #[test]
    fn a_run_keeps_its_identity_over_restarts_and_gets_another_one_once_it_was_deleted() {
        let mut known = Known::new();
        let mut all = [backup("now", "ann")];
        assert_eq!(recall_as("u1", &mut all, &mut known), Recalled { news: true, findings: vec![] });
        assert_eq!(ids(&all), [Some("default/now/u1".to_owned())], "a status from elsewhere counts for nothing");

        let text = serde_json::to_string(&known).unwrap();
        let mut known: Known = serde_json::from_str(&text).unwrap();
        let mut all = [backup("now", "ann")];
        assert_eq!(recall_as("u2", &mut all, &mut known), Recalled::default());
        assert_eq!(ids(&all), [Some("default/now/u1".to_owned())]);

        assert!(recall_as("u2", &mut [], &mut known).news && known.is_empty());
        let mut all = [backup("now", "ann")];
        recall_as("u2", &mut all, &mut known);
        assert_eq!(ids(&all), [Some("default/now/u2".to_owned())]);
    }

    #[test]
    fn an_edited_run_stays_what_it_was_and_one_that_is_over_is_over_for_ever() {
        let mut known = Known::new();
        recall_as("u1", &mut [backup("now", "ann")], &mut known);
        let mut edited = [backup("now", "bob")];
        let recalled = recall_as("u2", &mut edited, &mut known);
        assert!(!recalled.news);
        assert_eq!(recalled.findings.len(), 1);
        assert!(recalled.findings[0].starts_with("MailboxBackup/now: spec: cannot change"), "{recalled:?}");
        let Object::MailboxBackup(o) = &edited[0] else { panic!() };
        assert_eq!(o.spec.mailbox_ref.name, "ann");

        let mut report = RunReport::pending("default/now/u1".into(), "sidecar-0".into(), NOW);
        (report.succeeded, report.reason, report.completed) = (Some(false), "NoSpace".into(), Some(NOW));
        let reports = BTreeMap::from([(report.id.clone(), report)]);
        assert!(hear(&mut known, &[], &reports, NOW).unwrap());
        assert!(!hear(&mut known, &[], &reports, NOW).unwrap());
        assert_eq!(statuses(&known)["MailboxBackup/now"]["conditions"][0]["reason"], "NoSpace");
        let mut all = [backup("now", "ann")];
        recall_as("u2", &mut all, &mut known);
        assert_eq!(ids(&all), [None]);
    }
}
