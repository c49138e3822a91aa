//! Server-side apply, and nothing where there is nothing to change.
//!
//! An object is left alone once the same wish was applied to it, while it says what it should or is exactly what the API
//! server made of that wish (it fills in defaults and rewrites quantities). An operator that starts applies each wish once:
//! where nothing has changed the API server writes nothing.

use std::collections::HashMap;
use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use crate::OperatorError;
use crate::children::Child;
use crate::names::MANAGER;

/// What was applied before.
#[derive(Debug, Default)]
pub struct Applied(HashMap<(String, String), (Value, String)>);

/// How the operator writes: one manager, and its word counts.
pub fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

impl Applied {
    /// Brings a child to what it should be; true where that took a write.
    pub async fn apply(&mut self, client: &Client, namespace: &str, child: &Child) -> Result<bool, OperatorError> {
        let key = (child.resource.kind.clone(), child.name.clone());
        let what = || format!("apply {}/{}", key.0, key.1);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &child.resource);
        if let Some(live) = api.get_opt(&child.name).await.map_err(OperatorError::api(what()))? {
            let version = live.resource_version().unwrap_or_default();
            let live = serde_json::to_value(&live).unwrap_or_default();
            if is_settled(self.0.get(&key), &child.object, &live, &version) {
                return Ok(false);
            }
        }
        let made = api.patch(&child.name, &params(), &Patch::Apply(&child.object)).await;
        let made = made.map_err(OperatorError::api(what()))?;
        self.0.insert(key, (child.object.clone(), made.resource_version().unwrap_or_default()));
        Ok(true)
    }
}

/// True where nothing is to be applied. Without a memory of the same wish it is: a field that is no longer wished for, and
/// would be taken away, shows neither in the wish nor as a difference to it.
fn is_settled(before: Option<&(Value, String)>, wish: &Value, live: &Value, version: &str) -> bool {
    before.is_some_and(|(same, made)| same == wish && (made == version || says(live, wish)))
}

/// True where `live` holds all that `wish` says, and nothing else in its lists.
pub fn says(live: &Value, wish: &Value) -> bool {
    match (live, wish) {
        (Value::Object(live), Value::Object(wish)) => {
            wish.iter().all(|(key, wish)| live.get(key).is_some_and(|live| says(live, wish)))
        }
        (Value::Array(live), Value::Array(wish)) => {
            live.len() == wish.len() && live.iter().zip(wish).all(|(live, wish)| says(live, wish))
        }
        _ => live == wish,
    }
}

/// Writes the status of an object of ours.
pub async fn status<K>(api: &Api<K>, name: &str, status: &Value) -> Result<(), OperatorError>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + Debug,
{
    let what = format!("write the status of {}/{name}", K::kind(&()));
    api.patch_status(name, &params(), &Patch::Apply(status)).await.map(drop).map_err(OperatorError::api(what))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_of_the_api_server_are_no_difference_and_changes_are() {
        let wish = json!({"spec": {"ports": [{"port": 25}], "type": "ClusterIP"}});
        let live = json!({"spec": {"ports": [{"port": 25, "protocol": "TCP"}], "type": "ClusterIP", "clusterIP": "x"}});
        assert!(says(&live, &wish));
        assert!(!says(&json!({"spec": {"ports": [{"port": 26}], "type": "ClusterIP"}}), &wish));
        assert!(!says(&json!({"spec": {"ports": [{"port": 25}, {"port": 26}], "type": "ClusterIP"}}), &wish));
        assert!(!says(&json!({"spec": {"ports": [{"port": 25}]}}), &wish));
    }

    #[test]
    fn what_is_no_longer_wished_for_is_taken_away() {
        let (old, new) = (json!({"spec": {"nodeSelector": {"disk": "fast"}}}), json!({"spec": {}}));
        assert!(is_settled(Some(&(old.clone(), "1".into())), &old, &old, "2"));
        assert!(!is_settled(Some(&(old.clone(), "1".into())), &new, &old, "1"));
        assert!(!is_settled(None, &new, &old, "1"), "nobody knows what an earlier operator wished for");
        assert!(!is_settled(Some(&(old.clone(), "1".into())), &old, &new, "2"), "somebody took it away");
    }
}
