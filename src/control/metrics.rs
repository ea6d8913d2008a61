//! A mount's status as OpenMetrics text. docs/metrics.md says what each name means.
//!
//! Invariants: a label holds the name of an instance, an endpoint or a rate limit's window, or a word of a
//! fixed list. So there is no secret and no scope in one, nor what a path in the mount is called, and
//! their number is bounded by the configuration.

use super::{
    BudgetStatus, CalloutCounts, EndpointCounts, FeedState, ScopeStatus, Status, WebhookStatus,
};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How one number of a row is read.
type OfEndpoint = fn(&CalloutCounts) -> u64;
type OfBudget = fn(&BudgetStatus) -> Option<f64>;
type OfWebhook = fn(&WebhookStatus) -> u64;

pub fn text(status: &Status) -> String {
    let mut out = Text(String::with_capacity(16 << 10));
    let Status { mount, core } = status;
    out.gauge("start_timestamp_seconds", "seconds", "When the mount began")
        .sample(&[], seconds(mount.started));
    let (cache, load) = (&core.cache, &core.load);
    for (name, help, value) in [
        ("cache_hits", "Names, listings and contents served from memory", cache.hits),
        (
            "cache_misses",
            "Names, listings and contents that a provider was asked for",
            cache.misses,
        ),
        ("cache_evictions", "Entries dropped for want of room", cache.evictions),
        ("cache_invalidations", "Events applied to what is cached", cache.invalidations),
        (
            "cache_stale_served",
            "Uses served although a service could not be reached",
            cache.stale_served,
        ),
        ("lock_waits", "Times that the lock of the core was not free", load.lock_waits),
    ] {
        out.counter(name, "", help).sample(&[], value);
    }
    out.counter("lock_wait_seconds", "seconds", "What they came to")
        .sample(&[], load.lock_wait as f64 / 1_000_000.0);
    for (name, unit, help, value) in [
        ("cache_nodes", "", "Objects held", cache.nodes),
        ("cache_nodes_limit", "", "Objects that may be held", cache.nodes_capacity),
        ("cache_bytes", "bytes", "What is held of contents, listings and responses", cache.bytes),
        ("cache_limit_bytes", "bytes", "How much of them may be held", cache.bytes_capacity),
        ("calls_in_flight", "", "Calls of providers under way", core.under_way.fetches),
        (
            "open_files",
            "",
            "Open files and directories, where the kernel tells",
            core.under_way.open,
        ),
        ("handles", "", "Files and directories that the kernel refers to", load.handles),
        ("partial_listings", "", "Listings that stop short", core.partial_listings.len() as u64),
    ] {
        out.gauge(name, unit, help).sample(&[], value);
    }

    let mut family =
        out.gauge("provider_up", "", "Whether nothing is known that keeps it from working");
    for p in &core.providers {
        family.sample(&[("provider", &p.name)], u64::from(p.problem.is_none()));
    }
    let mut family = out.counter("calls", "", "Calls of the component");
    for p in &core.providers {
        family.sample(&[("provider", &p.name)], p.calls);
    }
    endpoints(&mut out, status);
    budgets(&mut out, &core.budgets);
    feeds(&mut out, &core.scopes);
    webhooks(&mut out, status);
    out.0.push_str("# EOF\n");
    out.0
}

fn endpoints(out: &mut Text, status: &Status) {
    let rows: Vec<(&str, &EndpointCounts)> = status
        .core
        .providers
        .iter()
        .flat_map(|p| p.endpoints.iter().map(|endpoint| (p.name.as_str(), endpoint)))
        .collect();
    let counters: [(&str, &str, &str, OfEndpoint); 9] = [
        ("callouts", "", "Requests put on the wire, with redirects and retries", |c| c.callouts),
        ("not_modified", "", "Answers 304 served from what is kept", |c| c.revalidated),
        (
            "shared_answers",
            "",
            "Answers of other mounts of a fleet served in place of a callout",
            |c| c.shared,
        ),
        (
            "callout_failures",
            "",
            "Fetches that ended in an error or a status of 500 and above",
            |c| c.failures,
        ),
        ("callout_retries", "", "Requests made again after a failure", |c| c.retries),
        ("callout_redirects", "", "Redirects followed", |c| c.redirects),
        ("callouts_refused", "", "Fetches that the manifest does not allow", |c| c.refused),
        ("callouts_throttled", "", "Fetches that a rate limit left no room for", |c| c.throttled),
        ("received_bytes", "bytes", "Bodies of answers after decompression", |c| c.bytes),
    ];
    for (name, unit, help, of) in counters {
        let mut family = out.counter(name, unit, help);
        for (provider, endpoint) in &rows {
            let labels = [("provider", *provider), ("endpoint", &endpoint.name)];
            family.sample(&labels, of(&endpoint.counts));
        }
    }
    let mut family = out.counter("responses", "", "Callouts that were answered, by status");
    for (provider, endpoint) in &rows {
        for (class, number) in
            ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(endpoint.counts.responses)
        {
            let labels = [("provider", *provider), ("endpoint", &endpoint.name), ("class", class)];
            family.sample(&labels, number);
        }
    }
    let mut family = out.gauge("callouts_in_flight", "", "Fetches under way, streams not counted");
    for (provider, endpoint) in &rows {
        family.sample(&[("provider", *provider), ("endpoint", &endpoint.name)], endpoint.in_flight);
    }
}

fn budgets(out: &mut Text, budgets: &[BudgetStatus]) {
    // Of several credentials that have a window of one name, the one that leaves least.
    let mut rows: BTreeMap<(&str, &str), &BudgetStatus> = BTreeMap::new();
    let left = |b: &BudgetStatus| (!b.exhausted, b.remaining.unwrap_or(0));
    for budget in budgets {
        let row = rows.entry((&budget.provider, window(&budget.resource))).or_insert(budget);
        if left(budget) < left(row) {
            *row = budget;
        }
    }
    let columns: [(&str, &str, &str, OfBudget); 4] = [
        ("budget_limit", "", "What the service allows", |b| b.limit.map(|n| n as f64)),
        ("budget_remaining", "", "What is left of it", |b| b.remaining.map(|n| n as f64)),
        ("budget_reset_timestamp_seconds", "seconds", "When it is whole again", |b| {
            b.resets.map(seconds)
        }),
        ("budget_exhausted", "", "Whether no request is made", |b| {
            Some(f64::from(u8::from(b.exhausted)))
        }),
    ];
    for (name, unit, help, of) in columns {
        let mut family = out.gauge(name, unit, help);
        for ((provider, window), budget) in &rows {
            if let Some(value) = of(budget) {
                family.sample(&[("provider", *provider), ("window", *window)], value);
            }
        }
    }
}

/// A window's name as a label. The service may choose it: what is no plain word might be anything that
/// it knows.
fn window(name: &str) -> &str {
    let plain =
        name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b));
    if plain { name } else { "other" }
}

/// What the scopes of one kind of feed come to.
#[derive(Default)]
struct Feeds {
    states: [u64; FeedState::ALL.len()],
    lag: Option<u64>,
    heard: Option<u64>,
}

fn feeds(out: &mut Text, scopes: &[ScopeStatus]) {
    let mut rows: BTreeMap<(&str, &str), Feeds> = BTreeMap::new();
    for scope in scopes {
        let kind = if scope.kind.is_empty() { "none" } else { &scope.kind };
        let row = rows.entry((&scope.provider, kind)).or_default();
        for (count, state) in row.states.iter_mut().zip(FeedState::ALL) {
            *count += u64::from(state == scope.state);
        }
        if scope.state == FeedState::Live {
            row.lag = row.lag.max(scope.lag);
        }
        row.heard = row.heard.max(scope.heard);
    }
    let mut family = out.gauge("feed_scopes", "", "Scopes by where their feed stands");
    for ((provider, kind), feeds) in &rows {
        for (state, number) in FeedState::ALL.iter().zip(feeds.states) {
            let labels = [("provider", *provider), ("kind", kind), ("state", state.word())];
            family.sample(&labels, number);
        }
    }
    let help =
        "Poll: the age of the oldest proof of a live scope. Push: how long its last event took";
    let mut family = out.gauge("feed_lag_seconds", "seconds", help);
    for ((provider, kind), feeds) in &rows {
        if let Some(lag) = feeds.lag {
            family.sample(&[("provider", *provider), ("kind", kind)], seconds(lag));
        }
    }
    let mut family =
        out.gauge("feed_heard_timestamp_seconds", "seconds", "When anything came last");
    for ((provider, kind), feeds) in &rows {
        if let Some(heard) = feeds.heard {
            family.sample(&[("provider", *provider), ("kind", kind)], seconds(heard));
        }
    }
}

fn webhooks(out: &mut Text, status: &Status) {
    let rows: Vec<_> = status.core.webhooks.iter().filter(|row| row.address.is_some()).collect();
    let counters: [(&str, &str, OfWebhook); 5] = [
        ("webhooks_accepted", "Deliveries taken, repeated and late ones among them", |w| {
            w.accepted
        }),
        ("webhooks_repeated", "Deliveries that had come before", |w| w.repeated),
        ("webhooks_late", "Deliveries made at another time than they came", |w| w.late),
        ("webhooks_refused", "Requests without a right signature or form", |w| w.refused),
        ("webhooks_turned_away", "Requests that there was no room or time for", |w| w.turned_away),
    ];
    for (name, help, of) in counters {
        let mut family = out.counter(name, "", help);
        for row in &rows {
            family.sample(&[("provider", &row.provider)], of(row));
        }
    }
    let mut family = out.gauge("webhook_queue_depth", "", "Deliveries taken and not applied yet");
    for row in &rows {
        family.sample(&[("provider", &row.provider)], row.waiting);
    }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

struct Text(String);

/// The samples of one name, which stand together.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
    suffix: &'static str,
}

impl Text {
    fn counter(&mut self, name: &'static str, unit: &str, help: &str) -> Family<'_> {
        self.family(name, "_total", "counter", unit, help)
    }

    fn gauge(&mut self, name: &'static str, unit: &str, help: &str) -> Family<'_> {
        self.family(name, "", "gauge", unit, help)
    }

    fn family(
        &mut self,
        name: &'static str,
        suffix: &'static str,
        kind: &str,
        unit: &str,
        help: &str,
    ) -> Family<'_> {
        let out = &mut self.0;
        let _ = writeln!(out, "# TYPE omnifs_{name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(out, "# UNIT omnifs_{name} {unit}");
        }
        let _ = writeln!(out, "# HELP omnifs_{name} {help}.");
        Family { out, name, suffix }
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.out, "omnifs_{}{}", self.name, self.suffix);
        for (at, (name, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{}{name}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{end} {value}");
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
