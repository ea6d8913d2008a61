//! A Prometheus server: what fires, what is scraped, its rules, and queries that the user has named; with
//! the alerts and silences of an Alertmanager, where there is one.
//!
//! Neither server tells of changes. Alertmanager's webhook sends what its routes notify of, which is no
//! proof that nothing else changed. So everything here is volatile: it is asked for at each open.

mod alert;
mod api;
mod guide;
mod manager;
mod metric;
mod query;
mod rule;
mod target;

use api::{manager as alertmanager, prometheus};
use omnifs_sdk::manifest::{Credential, Endpoint, Scheme, Setting};
use omnifs_sdk::*;

ids! {
    pub enum Id {
        _: volatile(),
        Root = "root",
        Alerts = "alerts",
        /// Those of one state.
        AlertsIn(state: String) = "alerts-in",
        Alert(labels: String) = "alert",
        AlertTable(form: Form) = "alert-table",
        Targets = "targets",
        Pool(name: String) = "pool",
        Target(pool: String, url: String) = "target",
        TargetTable(form: Form) = "target-table",
        Rules = "rules",
        Group(file: String, name: String) = "group",
        Rule(file: String, group: String, rule: String) = "rule",
        RuleTable(form: Form) = "rule-table",
        Metrics = "metrics",
        Metric(name: String) = "metric",
        Queries = "queries",
        Query(name: String) = "query",
        Manager = "manager",
        Received = "received",
        ReceivedAlert(fingerprint: String) = "received-alert",
        ReceivedTable(form: Form) = "received-table",
        Silences = "silences",
        Silence(id: String) = "silence",
        SilenceTable(form: Form) = "silence-table",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => fixed(root()),
            Alerts => fixed([
                ("_firing", AlertsIn("firing".into())),
                ("_pending", AlertsIn("pending".into())),
            ]),
            AlertsIn(state) => listing(move || alert::list(&state)),
            Alert(labels) => object(move || alert::find(&labels)),
            AlertTable(form) => file(move || alert::table(form)),
            Targets => listing(target::pools),
            Pool(name) => listing(move || target::list(&name)),
            Target(pool, url) => object(move || target::find(&pool, &url)),
            TargetTable(form) => file(move || target::table(form)),
            Rules => listing(rule::groups),
            Group(path, name) => listing(move || rule::list(&path, &name)),
            Rule(path, group, rule) => object(move || rule::find(&path, &group, &rule)),
            RuleTable(form) => file(move || rule::table(form)),
            Metrics => searchable((), |()| metric::list(), |(), name| metric::find(name)),
            Metric(name) => file(move || metric::read(&name)),
            Queries => listing(|| Ok(query::list())),
            Query(name) => file(move || query::read(&name)),
            Manager => fixed([
                ("alerts", Received),
                ("alerts.tsv", ReceivedTable(Form::Tsv)),
                ("alerts.jsonl", ReceivedTable(Form::Jsonl)),
                ("silences", Silences),
                ("silences.tsv", SilenceTable(Form::Tsv)),
                ("silences.jsonl", SilenceTable(Form::Jsonl)),
            ]),
            Received => listing(manager::alerts),
            ReceivedAlert(fingerprint) => object(move || manager::alert(&fingerprint)),
            ReceivedTable(form) => file(move || manager::alert_table(form)),
            Silences => listing(manager::silences),
            Silence(id) => object(move || manager::silence(&id)),
            SilenceTable(form) => file(move || manager::silence_table(form)),
        }
    }
}

fn root() -> Vec<(&'static str, Id)> {
    let mut entries = vec![
        ("alerts", Id::Alerts),
        ("alerts.tsv", Id::AlertTable(Form::Tsv)),
        ("alerts.jsonl", Id::AlertTable(Form::Jsonl)),
        ("metrics", Id::Metrics),
        ("queries", Id::Queries),
        ("rules", Id::Rules),
        ("rules.tsv", Id::RuleTable(Form::Tsv)),
        ("rules.jsonl", Id::RuleTable(Form::Jsonl)),
        ("targets", Id::Targets),
        ("targets.tsv", Id::TargetTable(Form::Tsv)),
        ("targets.jsonl", Id::TargetTable(Form::Jsonl)),
    ];
    if config::parse::<bool>("alertmanager").unwrap_or(false) {
        entries.push(("alertmanager", Id::Manager));
    }
    entries
}

/// The provider.
#[derive(Debug)]
pub struct Prometheus;

impl Provider for Prometheus {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[
            Setting {
                name: "queries",
                description: "what queries/ shows, a line for each: NAME = EXPRESSION",
                default: None,
            },
            Setting {
                name: "alertmanager",
                description: "whether to show what the endpoint alertmanager has: true or false",
                default: Some("false"),
            },
        ],
        endpoints: &[
            Endpoint {
                allow: prometheus::RULES,
                credentials: &["prometheus"],
                ..Endpoint::new(
                    prometheus::ENDPOINT,
                    "https://localhost:9090",
                    "reads alerts, targets, rules and metrics, and evaluates queries",
                )
            },
            Endpoint {
                allow: alertmanager::RULES,
                credentials: &["alertmanager"],
                ..Endpoint::new(
                    alertmanager::ENDPOINT,
                    "https://localhost:9093",
                    "reads alerts and silences",
                )
            },
        ],
        credentials: &[
            Credential {
                scheme: Scheme::Basic(None),
                ..Credential::new("prometheus", "https://prometheus.io/docs/guides/basic-auth/")
            },
            Credential {
                scheme: Scheme::Basic(None),
                ..Credential::new(
                    "alertmanager",
                    "https://prometheus.io/docs/alerting/latest/https/",
                )
            },
        ],
        guide: guide::GUIDE,
        ..Manifest::new(
            "prometheus",
            env!("CARGO_PKG_VERSION"),
            "Alerts, targets, rules and queries of Prometheus, silences of Alertmanager",
        )
    };
}

export!(service, Prometheus);
