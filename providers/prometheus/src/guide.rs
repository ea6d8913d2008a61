//! What paths there are, the likeliest first.

use omnifs_sdk::manifest::{Path, Search};

const fn table(pattern: &'static str, summary: &'static str, example: &'static str) -> Path {
    Path { requests: 1, each_open: true, ..Path::new(pattern, summary, example) }
}

const fn listed(
    pattern: &'static str,
    summary: &'static str,
    example: &'static str,
    entries: &'static [&'static str],
) -> Path {
    Path { entries, search: Search::Costly, ..table(pattern, summary, example) }
}

pub const GUIDE: &[Path] = &[
    table("alerts.{tsv,jsonl}", "what fires and what is pending", "alerts.tsv"),
    table("targets.{tsv,jsonl}", "what is scraped, and whether it is up", "targets.tsv"),
    table("rules.{tsv,jsonl}", "alerting and recording rules", "rules.tsv"),
    Path {
        search: Search::Costly,
        ..table("queries/{name}", "a query of the configuration, evaluated", "queries/up")
    },
    listed(
        "alerts/{_firing,_pending}/{alert}/",
        "an alert",
        "alerts/_firing/TargetDown,instance=a:9100,job=node/",
        &["name", "state", "value", "since", "labels/", "annotations/", "alert.json"],
    ),
    listed(
        "targets/{pool}/{instance}/",
        "a target",
        "targets/node/a:9100/",
        &["health", "url", "error", "last-scrape", "duration", "labels/", "target.json"],
    ),
    listed(
        "rules/{group}/{rule}/",
        "a rule",
        "rules/node/TargetDown/",
        &[
            "name",
            "type",
            "query",
            "health",
            "error",
            "state",
            "for",
            "labels/",
            "annotations/",
            "rule.json",
        ],
    ),
    listed("metrics/{name}", "help, type and unit of a metric", "metrics/node_load1", &[]),
    table(
        "alertmanager/{alerts,silences}.{tsv,jsonl}",
        "what Alertmanager has, if the configuration says so",
        "alertmanager/silences.tsv",
    ),
    listed(
        "alertmanager/silences/{id}/",
        "a silence",
        "alertmanager/silences/5f9d6a0e-8d4c-4a51-9d0e-3f2b7a1c6e80/",
        &["state", "comment", "created-by", "starts", "ends", "matchers", "silence.json"],
    ),
    listed(
        "alertmanager/alerts/{alert}/",
        "an alert that it received",
        "alertmanager/alerts/TargetDown,instance=a:9100,job=node/",
        &[
            "name",
            "state",
            "starts",
            "ends",
            "receivers",
            "silenced-by",
            "inhibited-by",
            "labels/",
            "annotations/",
            "alert.json",
        ],
    ),
];
