use serde_json::json;

use super::*;

fn id(number: u8) -> MailboxId {
    MailboxId::from_random([number; 17])
}

fn policy() -> Policy {
    Policy {
        destination: Destination::S3(S3 {
            endpoint: Some("https://s3.example.org".into()),
            bucket: "mail".into(),
            region: "auto".into(),
            prefix: String::new(),
            path_style: true,
            ambient: false,
        }),
        max_lag_seconds: 10,
        snapshots: Some(Schedule { cron: "0 3 * * *".into(), time_zone: "Etc/UTC".into() }),
        retention: Retention { window_days: 30, keep_last: 3, daily: 7, weekly: 4, monthly: 12 },
        verify: None,
    }
}

fn policies() -> Policies {
    Policies {
        root: "mail.main.s-1".into(),
        policies: [("daily".to_owned(), policy()), ("gold".to_owned(), policy())].into(),
        mailboxes: [(id(1), "gold".to_owned())].into(),
        default: Some("daily".to_owned()),
    }
}

#[test]
fn a_mailbox_has_its_own_policy_or_the_default_or_none() {
    let mut policies = policies();
    assert_eq!(policies.of(id(1)).unwrap().0, "gold");
    assert_eq!(policies.of(id(2)).unwrap().0, "daily");
    policies.default = None;
    assert_eq!(policies.of(id(2)), None);
    assert_eq!(Policies::default().of(id(1)), None);
}

#[test]
fn folders_take_the_place_of_buckets_one_for_each_policy() {
    let folders = policies().into_folders(Path::new("/state/bucket"));
    for name in ["daily", "gold"] {
        let path = format!("/state/bucket/{name}");
        assert_eq!(folders.policies[name].destination, Destination::Folder { path });
    }
}

#[test]
fn the_json_form_stays() {
    let written = serde_json::to_value(policies()).unwrap();
    assert_eq!((&written["root"], &written["default"]), (&json!("mail.main.s-1"), &json!("daily")));
    assert_eq!(
        written["policies"]["daily"],
        json!({
            "destination": {"s3": {
                "endpoint": "https://s3.example.org", "bucket": "mail", "region": "auto", "prefix": "",
                "pathStyle": true, "ambient": false,
            }},
            "maxLagSeconds": 10,
            "snapshots": {"cron": "0 3 * * *", "timeZone": "Etc/UTC"},
            "retention": {"windowDays": 30, "keepLast": 3, "daily": 7, "weekly": 4, "monthly": 12},
        })
    );
    assert_eq!(serde_json::from_value::<Policies>(written).unwrap(), policies());

    let run = Run {
        id: "mail/back/u-1".into(),
        kind: RunKind::Restore {
            source: RestoreSource::Archive(format!("6e1b-s/{}/t3", id(1)).parse().unwrap()),
            at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            target: id(2),
            in_place: true,
        },
        deadline: "2026-01-02T00:00:00Z".parse().unwrap(),
    };
    let written = serde_json::to_value(&run).unwrap();
    assert_eq!(
        written,
        json!({
            "id": "mail/back/u-1",
            "kind": {"restore": {
                "source": {"archive": format!("6e1b-s/{}/t3", id(1))}, "at": "2026-01-01T00:00:00Z",
                "target": id(2), "inPlace": true,
            }},
            "deadline": "2026-01-02T00:00:00Z",
        })
    );
    assert_eq!(serde_json::from_value::<Run>(written).unwrap(), run);
}

#[test]
fn only_an_archive_id_is_one() {
    let good = format!("0f3c/{}/t12", id(7));
    assert_eq!(good.parse::<ArchiveId>().unwrap().to_string(), good);
    let id = id(7);
    let wrong = [
        String::new(),
        "a/b/t1".into(),
        format!("/{id}/t1"),
        format!("a/{id}/t"),
        format!("a/{id}/t-1"),
        format!("A/{id}/t1"),
        format!("a/{id}/t1/x"),
        format!("a/{id}/t1234567890"),
    ];
    for wrong in wrong {
        assert!(wrong.parse::<ArchiveId>().is_err(), "{wrong}");
    }
}
