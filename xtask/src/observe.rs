//! What is said of metrics and alerts is true: the table in `docs/observability.md` has the metrics of the code, all of them
//! and no others; alerts and dashboard use only those; each alert has its runbook, and each runbook its alert.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::workspace::{files, read, verdict};

/// The alerts, as Prometheus reads them.
pub const ALERTS: &str = "charts/sealpost/rules/alerts.yaml";
const DASHBOARD: &str = "charts/sealpost/dashboards/sealpost.json";
const TABLE: &str = "docs/observability.md";
const RUNBOOKS: &str = "docs/runbooks";
/// What every metric begins with.
const PREFIX: &str = "sealpost_";
/// Sources without tests.
const SOURCES: [&str; 4] = ["mail", "sidecar", "operator", "cli"];

/// Checks all of it.
pub fn run() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    let mut code = BTreeSet::new();
    for folder in SOURCES {
        for path in files(folder, "rs")?.into_iter().filter(|path| !path.to_string_lossy().contains("tests")) {
            code.extend(registered(&read(&path)?));
        }
    }
    let (alerts, dashboard, table) = (read(Path::new(ALERTS))?, read(Path::new(DASHBOARD))?, read(Path::new(TABLE))?);
    let told: BTreeSet<String> = table.lines().filter_map(row).collect();
    compare(&code, &told, &mut problems);
    for (name, text) in [(ALERTS, &alerts), (DASHBOARD, &dashboard)] {
        let unknown = used(text).into_iter().filter(|metric| !code.contains(metric));
        problems.extend(unknown.map(|metric| format!("{name}: there is no metric {metric}")));
    }
    serde_json::from_str::<serde_json::Value>(&dashboard).with_context(|| DASHBOARD.to_owned())?;
    let runbooks = files(RUNBOOKS, "md")?;
    let runbooks: BTreeSet<String> =
        runbooks.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    pair(&alerts, &runbooks, &table, &mut problems);
    verdict("observe", &problems)
}

/// The PrometheusRule of `config/monitoring`, by path.
pub fn manifest(head: &str) -> anyhow::Result<(PathBuf, String)> {
    let rules = read(Path::new(ALERTS))?;
    let rules = rules
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("  {line}\n"))
        .collect::<Vec<_>>()
        .concat();
    let text = format!(
        "{head}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: sealpost\n  namespace: sealpost-system\n  labels:\n    app.kubernetes.io/name: sealpost-operator\nspec:\n{rules}"
    );
    Ok((PathBuf::from("config/monitoring/prometheusrule.yaml"), text))
}

/// The metrics that a source file registers, as a scrape names them: a counter ends in `_total`, an info in `_info`.
fn registered(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (call, is_registry) in [("gauge(", false), (".register(", true)] {
        for (at, _) in source.match_indices(call) {
            let rest = &source[at + call.len()..];
            let first = if is_registry { rest } else { rest.split_once(',').map_or("", |(_, rest)| rest) };
            let Some(name) = first.trim_start().strip_prefix('"').and_then(|text| text.split('"').next()) else {
                continue;
            };
            found.insert(format!("{PREFIX}{name}{}", if is_registry { suffix(source, name) } else { "" }));
        }
    }
    found
}

/// By the type of the variable that is registered: `let (leads, passes) = (Gauge::default(), Family::default())` has families
/// of counters only.
fn suffix(source: &str, name: &str) -> &'static str {
    let variable = name.rsplit('_').next().unwrap_or(name);
    if source.contains("Info::new") {
        return "_info";
    }
    let is_gauge =
        source.lines().any(|line| line.trim().trim_start_matches("pub ").starts_with(&format!("{variable}: Gauge")));
    if is_gauge { "" } else { "_total" }
}

/// The metric of a row of the table.
fn row(line: &str) -> Option<String> {
    let name = line.strip_prefix("| `")?.split('`').next()?;
    name.starts_with(PREFIX).then(|| name.to_owned())
}

/// The metrics that a text names.
fn used(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with(PREFIX));
    // The label that a PodMonitor makes of `sealpost.dev/server`.
    words.filter(|word| *word != "sealpost_dev_server").map(str::to_owned).collect()
}

fn compare(code: &BTreeSet<String>, told: &BTreeSet<String>, problems: &mut Vec<String>) {
    problems.extend(code.difference(told).map(|metric| format!("{TABLE}: {metric} is not in the table")));
    problems.extend(told.difference(code).map(|metric| format!("{TABLE}: there is no metric {metric}")));
}

fn pair(alerts: &str, runbooks: &BTreeSet<String>, table: &str, problems: &mut Vec<String>) {
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    problems.extend(names.difference(runbooks).map(|alert| format!("{ALERTS}: {alert} has no runbook in {RUNBOOKS}")));
    problems.extend(runbooks.difference(&names).map(|alert| format!("{RUNBOOKS}/{alert}.md: there is no such alert")));
    let unlinked = names.iter().filter(|name| !alerts.contains(&format!("runbook: {RUNBOOKS}/{name}.md")));
    problems.extend(unlinked.map(|name| format!("{ALERTS}: {name} does not name its runbook")));
    let untold = names.iter().filter(|name| !table.contains(&format!("| [{name}](runbooks/{name}.md) |")));
    problems.extend(untold.map(|name| format!("{TABLE}: {name} is not in the list of alerts")));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::workspace::root;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn metrics_are_found_however_they_are_registered() {
        let source = "gauge(out, \"things\", \"Help\", 7)?;\n gauge(\n  out,\n  \"more\",\n \"Help\", 7)\n leads: Gauge,\n\
            registry.register(\"operator_leads\", \"Help\", leads.clone());\nregistry.register(\"passes\", \"Help\", passes);";
        let found = registered(source);
        assert_eq!(
            found,
            set(&["sealpost_things", "sealpost_more", "sealpost_operator_leads", "sealpost_passes_total"])
        );
        assert_eq!(
            registered("let version = Info::new([]);\nmetrics.register(\"build\", \"What\", version);"),
            set(&["sealpost_build_info"])
        );
    }

    #[test]
    fn what_is_missing_on_either_side_is_told() {
        let mut problems = Vec::new();
        compare(&set(&["sealpost_a", "sealpost_b"]), &set(&["sealpost_b", "sealpost_c"]), &mut problems);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(used("rate(sealpost_x_total[5m]) by (sealpost_dev_server)"), set(&["sealpost_x_total"]));
        let alerts = "- alert: A\n runbook: docs/runbooks/A.md\n- alert: B\n";
        let mut problems = Vec::new();
        pair(alerts, &set(&["A", "C"]), "| [A](runbooks/A.md) | x |", &mut problems);
        // B: no runbook, not named, not listed; C: no alert.
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    /// With Prometheus' own tool, where it is installed.
    #[test]
    fn the_alerts_are_what_prometheus_reads_and_fire_when_they_should() {
        let promtool = |args: &[&str]| Command::new("promtool").args(args).current_dir(root()).output();
        let Ok(checked) = promtool(&["check", "rules", ALERTS]) else {
            let required = std::env::var("SEALPOST_REQUIRE_TOOLS").is_ok_and(|it| it == "1");
            assert!(!required, "promtool is not installed, and is required");
            eprintln!("promtool is not installed: this test proves nothing here");
            return;
        };
        let said = |output: &std::process::Output| {
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
        };
        assert!(checked.status.success(), "{}", said(&checked));
        let tested = promtool(&["test", "rules", "tests/alerts/alerts.yaml"]).unwrap();
        assert!(tested.status.success(), "{}", said(&tested));
    }
}
