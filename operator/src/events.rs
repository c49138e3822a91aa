//! Events: what `kubectl describe` shows. One for each change of the condition that people wait for: Ready, or Succeeded.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Longest note that an API server takes, in bytes.
const LONGEST: usize = 1024;

/// Publishes events.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// In the name of this process.
    pub fn new(client: Client, me: &str) -> Self {
        let reporter = Reporter { controller: "sealpost-operator".to_owned(), instance: Some(me.to_owned()) };
        Self(Recorder::new(client, reporter))
    }

    /// Tells of a condition. An event that cannot be written is lost: the condition says the same.
    pub async fn tell(&self, object: &ObjectReference, condition: &Condition) {
        let mut note = condition.message.clone();
        note.truncate(note.floor_char_boundary(LONGEST));
        let event = Event {
            type_: if condition.status == "False" { EventType::Warning } else { EventType::Normal },
            reason: condition.reason.clone(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, object).await {
            tracing::warn!(error = error.to_string(), "an event could not be written");
        }
    }
}
