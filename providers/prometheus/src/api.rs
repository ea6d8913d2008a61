//! What is asked of the two servers, and what they answer
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/>, and Alertmanager's `openapi.yaml`).

use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::json::null_as_default;
use omnifs_sdk::poll::digest;
use omnifs_sdk::{Error, Items, Map, Members, Raw, Result, content, routes, scalars};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

routes! {
    pub mod prometheus = "prometheus" with super::judged {
        get alerts() = "/api/v1/alerts",
        get targets() = "/api/v1/targets",
        get rules() = "/api/v1/rules",
        get metadata() = "/api/v1/metadata",
        get query() = "/api/v1/query",
    }
}

routes! {
    pub mod manager = "alertmanager" with super::judged {
        get alerts() = "/api/v2/alerts",
        get silences() = "/api/v2/silences",
    }
}

fn judged(request: Request) -> Request {
    request.judged_by(|_, answer| no_api(answer))
}

/// None of these lists can be absent: 404 comes from a server that is another one, or has the API below a
/// prefix.
fn no_api(answer: &Response) -> Option<Error> {
    let why = || format!("{}: no such API at this endpoint", answer.complaint());
    (answer.status == 404).then(|| Error::Invalid(why()))
}

/// What Prometheus wraps every answer in.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

/// The data of Prometheus's answer.
pub fn data<T: DeserializeOwned>(request: Request) -> Result<T> {
    Ok(request.json::<Answer<T>>()?.data)
}

/// Names and values.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn files(&self) -> Map {
        scalars(&self.0)
    }

    /// The id of what these labels identify.
    pub fn key(&self) -> String {
        format!("{:016x}", digest::of(&self.0))
    }

    /// `TargetDown,instance=a:9100,job=node`: the name, and what tells this alert from others of it.
    pub fn title(&self) -> String {
        let others = self.0.iter().filter(|(name, _)| *name != "alertname");
        let others = others.map(|(name, value)| format!(",{name}={value}"));
        format!("{}{}", self.get("alertname"), others.collect::<String>())
    }

    /// `up{instance="a:9100",job="node"}`, as Prometheus writes a series; nothing where there is no label.
    pub fn series(&self) -> String {
        let others: Vec<String> = self
            .0
            .iter()
            .filter(|(name, _)| *name != "__name__")
            .map(|(name, value)| format!("{name}={}", quoted(value)))
            .collect();
        let braced =
            if others.is_empty() { String::new() } else { format!("{{{}}}", others.join(",")) };
        format!("{}{braced}", self.get("__name__"))
    }

    /// `name=value`, for a cell of a table.
    pub fn pairs(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

/// As a string of PromQL.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[derive(Deserialize)]
pub struct Alerts {
    pub alerts: Items<Raw<Alert>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    pub labels: Labels,
    #[serde(default, deserialize_with = "null_as_default")]
    pub annotations: Labels,
    pub state: String,
    #[serde(rename = "activeAt")]
    pub since: Option<String>,
    pub value: String,
}

#[derive(Deserialize)]
pub struct Targets {
    #[serde(rename = "activeTargets")]
    pub active: Items<Raw<Target>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub labels: Labels,
    pub scrape_pool: String,
    pub scrape_url: String,
    pub last_error: String,
    pub last_scrape: String,
    pub last_scrape_duration: f64,
    pub health: String,
}

#[derive(Deserialize)]
pub struct Groups {
    pub groups: Items<Group>,
}

#[derive(Deserialize)]
pub struct Group {
    pub name: String,
    pub file: String,
    pub rules: Items<Raw<Rule>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub query: String,
    pub health: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub last_error: String,
    /// Of an alert.
    pub state: Option<String>,
    /// Of an alert: the seconds before it fires.
    pub duration: Option<f64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub labels: Labels,
    #[serde(default, deserialize_with = "null_as_default")]
    pub annotations: Labels,
}

/// Several targets may say different things of one metric.
pub type Metadata = Members<Vec<Metric>>;

#[derive(Clone, Debug, Deserialize)]
pub struct Metric {
    #[serde(rename = "type")]
    pub kind: String,
    pub help: String,
    pub unit: String,
}

/// What a query comes to. One sample that cannot be read makes all of it unreadable: a result with a
/// series left out is another result.
#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub enum Outcome {
    Scalar((f64, String)),
    String((f64, String)),
    Vector(Vec<Sample>),
    Matrix(Vec<Series>),
}

#[derive(Deserialize)]
pub struct Sample {
    pub metric: Labels,
    /// Absent where it is a histogram.
    pub value: Option<(f64, String)>,
    pub histogram: Option<(f64, serde_json::Value)>,
}

#[derive(Deserialize)]
pub struct Series {
    pub metric: Labels,
    #[serde(default)]
    pub values: Vec<(f64, String)>,
    #[serde(default)]
    pub histograms: Vec<(f64, serde_json::Value)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    pub fingerprint: String,
    pub labels: Labels,
    #[serde(default, deserialize_with = "null_as_default")]
    pub annotations: Labels,
    pub status: Status,
    pub receivers: Vec<Receiver>,
    pub starts_at: String,
    pub ends_at: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub state: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub silenced_by: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub inhibited_by: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Receiver {
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    pub id: String,
    pub status: SilenceStatus,
    pub comment: String,
    pub created_by: String,
    pub starts_at: String,
    pub ends_at: String,
    pub matchers: Vec<Matcher>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct SilenceStatus {
    pub state: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    pub name: String,
    pub value: String,
    pub is_regex: bool,
    /// Absent from versions that have no other matchers.
    pub is_equal: Option<bool>,
}

impl Matcher {
    /// `severity=~"page|warning"`, as `amtool` takes it.
    pub fn text(&self) -> String {
        let operator = match (self.is_equal.unwrap_or(true), self.is_regex) {
            (true, false) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (false, true) => "!~",
        };
        content::one_line(&format!("{}{operator}{}", self.name, quoted(&self.value)))
    }
}
