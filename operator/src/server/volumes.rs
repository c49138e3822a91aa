//! The claims of the shards. They outlive the MailServer, and say whose they are and which key they were made with.

use std::collections::BTreeMap;

use api::conditions::reason;
use api::{AccessMode, MailServer, Size};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use model::{ServerId, ShardId};

use super::secrets::Problem;
use crate::names;

/// Size of a volume where the MailServer says nothing.
const SIZE: &str = "10Gi";

/// The claim as it is made; it is never applied again, only grown.
pub fn claim(server: &MailServer, id: &ServerId, shard: ShardId, fingerprint: &str) -> PersistentVolumeClaim {
    let storage = server.spec.storage.as_ref();
    let mode = match storage.map(|storage| storage.access_mode).unwrap_or_default() {
        AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
    };
    let annotations = [(names::FINGERPRINT, fingerprint), (names::SERVER_ID, id.0.as_str())];
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::claim(&server.name_any(), shard)),
            labels: Some(names::of_shard(&server.name_any(), shard)),
            annotations: Some(annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![mode.to_owned()]),
            storage_class_name: storage.and_then(|storage| storage.storage_class_name.clone()),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(wanted(server).to_owned()))])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// The size that is declared.
pub fn wanted(server: &MailServer) -> &str {
    server.spec.storage.as_ref().map_or(SIZE, |storage| storage.size.as_str())
}

/// What is to be done about the size of a volume.
#[derive(Debug, PartialEq, Eq)]
pub enum Growth {
    /// Nothing.
    Settled,
    /// Ask for more.
    Ask,
    /// It was asked for and is on its way.
    Underway(Problem),
    /// It cannot be done.
    Refused(Problem),
}

/// Compares what is declared with what was asked for and what there is.
pub fn growth(server: &MailServer, claim: &PersistentVolumeClaim) -> Growth {
    let bytes = |text: &str| Size::new(text).bytes();
    let storage =
        |amounts: Option<&BTreeMap<String, Quantity>>| amounts.and_then(|a| a.get("storage")).map(|q| q.0.clone());
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()).and_then(|r| r.requests.as_ref());
    let asked = storage(requests).and_then(|text| bytes(&text));
    let there = storage(claim.status.as_ref().and_then(|status| status.capacity.as_ref()));
    let (Some(wanted), Some(asked)) = (bytes(wanted(server)), asked) else { return Growth::Settled };
    if wanted < asked {
        let message = format!("volumes do not shrink: set spec.storage.size back to at least {asked} bytes");
        return Growth::Refused((reason::SHRINK_REFUSED, message));
    }
    if wanted > asked {
        return Growth::Ask;
    }
    match there.and_then(|text| bytes(&text)) {
        Some(there) if there < asked => {
            Growth::Underway((reason::GROWING, format!("{} grows to {}", claim.name_any(), self::wanted(server))))
        }
        _ => Growth::Settled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(size: &str) -> MailServer {
        let spec = serde_json::json!({"hostname": "h", "domains": [], "storage": {"size": size}});
        MailServer::new("mail", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_volume_grows_and_never_shrinks() {
        let mut made = claim(&server("1Gi"), &ServerId("s".into()), ShardId(0), "f");
        assert_eq!(growth(&server("1Gi"), &made), Growth::Settled);
        assert_eq!(growth(&server("1024Mi"), &made), Growth::Settled);
        assert_eq!(growth(&server("2Gi"), &made), Growth::Ask);
        assert!(matches!(growth(&server("512Mi"), &made), Growth::Refused((reason::SHRINK_REFUSED, _))));
        let capacity = serde_json::json!({"capacity": {"storage": "512Mi"}});
        made.status = serde_json::from_value(capacity).unwrap();
        assert!(matches!(growth(&server("1Gi"), &made), Growth::Underway((reason::GROWING, _))));
    }
}
