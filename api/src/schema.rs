//! What is done to a derived definition before anyone sees it: printer columns, no `nullable`, and what an API server
//! would add, so that it gives back what it was given.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinition, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::conditions::OF;

/// What `kubectl get` shows of a kind: its own columns, its main condition, `Age`; with `-o wide` the condition's reason
/// and more.
struct Columns {
    kind: &'static str,
    own: &'static [Column],
    wide: &'static [Column],
}

/// Name, type and path of a column.
type Column = (&'static str, &'static str, &'static str);

const KINDS: [Columns; 6] = [
    Columns {
        kind: "MailServer",
        own: &[("Hostname", "string", ".spec.hostname"), ("Shards", "integer", ".spec.shards")],
        wide: &[("Image", "string", ".status.image")],
    },
    Columns {
        kind: "Mailbox",
        own: &[("Address", "string", ".spec.address"), ("Server", "string", ".spec.serverRef.name")],
        wide: &[("Shard", "integer", ".status.shard"), ("Id", "string", ".status.mailboxId")],
    },
    Columns {
        kind: "Alias",
        own: &[("Address", "string", ".spec.address"), ("Server", "string", ".spec.serverRef.name")],
        wide: &[],
    },
    Columns {
        kind: "BackupPolicy",
        own: &[
            ("Bucket", "string", ".spec.destination.s3.bucket"),
            ("Snapshots", "string", ".spec.snapshots.schedule"),
        ],
        wide: &[("Endpoint", "string", ".spec.destination.s3.endpoint")],
    },
    Columns {
        kind: "MailboxBackup",
        own: &[("Mailbox", "string", ".spec.mailboxRef.name")],
        wide: &[("Completed", "date", ".status.completionTime"), ("Archive", "string", ".status.archiveId")],
    },
    Columns {
        kind: "MailboxRestore",
        own: &[
            ("Target", "string", ".spec.target.mailboxRef.name"),
            ("Mode", "string", ".spec.mode"),
            ("At", "string", ".spec.at"),
        ],
        wide: &[("Reached", "string", ".status.reachedTime"), ("Completed", "date", ".status.completionTime")],
    },
];

/// Adds the printer columns and what an API server would fill in, and removes `nullable`: an absent field is left out,
/// never null. CEL's `has()` would take a null for a value.
pub(crate) fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    crd.spec.conversion = Some(CustomResourceConversion { strategy: "None".to_owned(), webhook: None });
    let columns = KINDS.iter().find(|columns| columns.kind == crd.spec.names.kind);
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = columns.map(print);
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            not_null(schema);
        }
    }
    crd
}

fn print(columns: &Columns) -> Vec<CustomResourceColumnDefinition> {
    let column = |name: &str, type_: &str, path: String, wide: bool| CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: path,
        priority: wide.then_some(1),
        ..CustomResourceColumnDefinition::default()
    };
    let main = OF.iter().find(|(kind, _)| *kind == columns.kind).map_or("Ready", |(_, conditions)| conditions[0]);
    let field = |field| format!(".status.conditions[?(@.type==\"{main}\")].{field}");
    let own = columns.own.iter().map(|(name, type_, path)| column(name, type_, (*path).to_owned(), false));
    let wide = columns.wide.iter().map(|(name, type_, path)| column(name, type_, (*path).to_owned(), true));
    let state = [
        column(main, "string", field("status"), false),
        column("Age", "date", ".metadata.creationTimestamp".to_owned(), false),
        column("Reason", "string", field("reason"), true),
        column("Message", "string", field("message"), true),
    ];
    own.chain(state).chain(wide).collect()
}

fn not_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(|p| p.values_mut()).for_each(not_null);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        not_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(each)) = &mut schema.additional_properties {
        not_null(each);
    }
}
