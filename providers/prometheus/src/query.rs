//! Queries that the user's configuration names, each evaluated when its file is opened.

use crate::Id;
use crate::api::{Labels, Outcome, data, prometheus};
use omnifs_sdk::*;

/// Names and expressions of the setting `queries`.
fn configured() -> Vec<(String, String)> {
    let text = config::get("queries").unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let pair = |line: &str| {
        let pair = line.split_once('=').map(|(name, query)| (name.trim(), query.trim()));
        let whole = pair.filter(|(name, query)| !name.is_empty() && !query.is_empty());
        if whole.is_none() {
            log::warn(&format!("setting queries: {line:?} is not NAME = EXPRESSION"));
        }
        whole.map(|(name, query)| (name.to_owned(), query.to_owned()))
    };
    lines.filter_map(pair).collect()
}

pub fn list() -> Vec<Entry<Id>> {
    let file = |(name, _): (String, String)| Entry::file(name.clone(), Id::Query(name));
    configured().into_iter().map(file).collect()
}

pub fn read(name: &str) -> Result<Content> {
    let found = configured().into_iter().find(|(own, _)| own == name);
    let (_, query) = found.ok_or(Error::NotFound)?;
    Ok(text(data(prometheus::query().query("query", query))?))
}

/// A line for each sample, in the answer's order, which `sort` and `topk` have made: the series, if it has
/// labels or a name, and the value.
fn text(outcome: Outcome) -> Content {
    match outcome {
        Outcome::Scalar((_, value)) | Outcome::String((_, value)) => scalar(value),
        Outcome::Vector(samples) => lines(samples.iter().map(|sample| {
            let value = sample.value.as_ref().map(|(_, value)| value.clone());
            let histogram = || sample.histogram.as_ref().map(|(_, value)| value.to_string());
            line(&sample.metric, &value.or_else(histogram).unwrap_or_default())
        })),
        Outcome::Matrix(all) => lines(all.iter().flat_map(|series| {
            let values = series.values.iter().map(|(at, value)| format!("{value} @{at}"));
            let histograms = series.histograms.iter().map(|(at, value)| format!("{value} @{at}"));
            values.chain(histograms).map(|value| line(&series.metric, &value)).collect::<Vec<_>>()
        })),
    }
}

fn line(labels: &Labels, value: &str) -> String {
    let series = labels.series();
    if series.is_empty() { value.to_owned() } else { format!("{series} {value}") }
}
