//! What a running mount says of itself.

use super::start::Working;
use crate::capability::validators::Validators;
use crate::control::{
    BudgetStatus, CacheStatus, CoreStatus, Daemon, ErrorStatus, FeedState, PartialStatus,
    ProviderStatus, Refreshed, Refused, ScopeStatus, WebhookStatus,
};
use crate::events::webhook::Receiver;
use crate::events::{self, Feeds};
use crate::provider::{Cause, Failure};
use crate::runtime::{FailureRecord, Runtime, Snapshot};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The mounted core, with everything that runs beside it. Dropping it ends the feeds.
pub(super) struct Core {
    pub runtime: Arc<Runtime>,
    pub working: Vec<Working>,
    /// One line for each instance that does not work, which begins with its name.
    pub problems: Vec<String>,
    pub feeds: Vec<Feeds>,
    pub webhook: Option<Receiver>,
    pub validators: Arc<Validators>,
    pub names: Vec<String>,
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Core {
    fn provider(&self, name: &str) -> ProviderStatus {
        let calls = self.runtime.calls_of(name);
        let Some(working) = self.working.iter().find(|working| working.name == name) else {
            let prefix = format!("{name}: ");
            let problem = self.problems.iter().find_map(|line| line.strip_prefix(&prefix));
            return ProviderStatus {
                name: name.into(),
                problem: problem.map(str::to_owned),
                calls,
                ..ProviderStatus::default()
            };
        };
        let total = working.outbound.status().total;
        ProviderStatus {
            name: name.into(),
            component: Some(format!("{} {}", working.manifest.name, working.manifest.version)),
            problem: None,
            calls,
            callouts: total.callouts,
            not_modified: total.revalidated,
            failures: total.failures,
            received: total.bytes,
        }
    }

    fn scopes(&self, snapshot: &Snapshot) -> Vec<ScopeStatus> {
        snapshot
            .scopes
            .iter()
            .map(|(provider, standing)| {
                let feed = self
                    .working
                    .iter()
                    .zip(&self.feeds)
                    .filter(|(working, _)| working.name == *provider)
                    .flat_map(|(_, feeds)| feeds.status())
                    .find(|feed| feed.scope == *standing.scope);
                let idle = feed.as_ref().is_some_and(|feed| feed.state == events::FeedState::Idle);
                let state = match standing.live {
                    false if idle => FeedState::Idle,
                    false => FeedState::Lost,
                    true => FeedState::Live,
                };
                ScopeStatus {
                    provider: provider.clone(),
                    scope: standing.scope.to_string(),
                    feed: feed.as_ref().map(|feed| feed.feed.clone()).unwrap_or_default(),
                    kind: feed.as_ref().map_or("poll", |feed| feed.kind).to_owned(),
                    state,
                    why: (state != FeedState::Live).then(|| standing.note.clone()),
                    nodes: standing.nodes,
                    events: standing.events,
                    heard: feed.as_ref().and_then(|feed| feed.last_item),
                    lag: feed.and_then(|feed| feed.lag),
                }
            })
            .collect()
    }

    fn budgets(&self) -> Vec<BudgetStatus> {
        let mut rows = Vec::new();
        for working in &self.working {
            for budget in working.outbound.status().budgets {
                for window in &budget.windows {
                    rows.push(BudgetStatus {
                        provider: working.name.clone(),
                        credential: budget.credential.clone(),
                        resource: window.resource.clone(),
                        limit: Some(window.limit),
                        remaining: Some(window.remaining),
                        resets: Some(window.resets_at * 1000),
                        exhausted: window.remaining == 0 || budget.stopped_until.is_some(),
                    });
                }
                if budget.windows.is_empty() && budget.stopped_until.is_some() {
                    rows.push(BudgetStatus {
                        provider: working.name.clone(),
                        credential: budget.credential.clone(),
                        resource: "requests".into(),
                        limit: None,
                        remaining: None,
                        resets: budget.stopped_until.map(|seconds| seconds * 1000),
                        exhausted: true,
                    });
                }
            }
        }
        rows
    }
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::NotFound => "not-found",
        Cause::Denied => "denied",
        Cause::RateLimited => "rate-limited",
        Cause::Unavailable => "unavailable",
        Cause::TimedOut => "timed-out",
        Cause::TooLarge => "too-large",
        Cause::Invalid => "invalid",
        Cause::Changed => "changed",
        Cause::Trap => "trap",
        Cause::Limit => "limit",
    }
}

/// What happened, as the failure has it, and what to do where it does not say.
fn advised(failure: &Failure) -> String {
    const SAID: [&str; 6] =
        ["omnifs ", "redirect-hosts", "resume at", "is it running?", "online?", "ca_file"];
    let Failure { provider, cause, detail, .. } = failure;
    if SAID.iter().any(|said| detail.contains(said)) {
        return detail.clone();
    }
    let advice = match cause {
        Cause::Denied => {
            format!("`omnifs auth status {provider}` shows which credential was refused")
        }
        Cause::Unavailable => "it is asked again at the next use".into(),
        Cause::Changed => "open the file again for what is there now".into(),
        Cause::TimedOut => {
            "it is asked again at the next use; request-time in [limits] is how long it may take"
                .into()
        }
        Cause::Invalid => {
            "it is asked again at the next use; if that does not help, `omnifs logs` has more"
                .into()
        }
        Cause::Trap => "a mistake of the provider: report it with what `omnifs logs` shows".into(),
        Cause::Limit => "guest-memory and call-time in [limits] bound a provider".into(),
        Cause::NotFound | Cause::RateLimited | Cause::TooLarge => return detail.clone(),
    };
    format!("{detail}; {advice}")
}

fn error(record: FailureRecord) -> ErrorStatus {
    let detail = advised(&record.failure);
    ErrorStatus {
        at: millis(record.at),
        count: record.count,
        provider: record.failure.provider.to_string(),
        path: Some(record.path),
        cause: cause(record.failure.cause).into(),
        detail,
        retry_at: record.failure.retry_after.map(|after| millis(record.at + after)),
    }
}

impl Daemon for Core {
    fn status(&self) -> CoreStatus {
        let snapshot = self.runtime.snapshot();
        let kept = self.validators.status();
        CoreStatus {
            providers: self.names.iter().map(|name| self.provider(name)).collect(),
            scopes: self.scopes(&snapshot),
            cache: CacheStatus {
                nodes: snapshot.held.nodes as u64,
                nodes_capacity: snapshot.capacity.nodes as u64,
                bytes: snapshot.held.bytes as u64 + kept.bytes as u64,
                bytes_capacity: snapshot.capacity.bytes as u64 + kept.capacity as u64,
                hits: snapshot.counters.hits,
                misses: snapshot.counters.misses,
                evictions: snapshot.counters.evictions,
                invalidations: snapshot.scopes.iter().map(|(_, s)| s.events).sum(),
                stale_served: snapshot.stale_served,
            },
            budgets: self.budgets(),
            partial_listings: snapshot
                .partials
                .iter()
                .map(|partial| PartialStatus {
                    path: partial.path.clone().unwrap_or_else(|| partial.provider.clone()),
                    shown: u64::from(partial.shown),
                    note: partial.note.clone(),
                })
                .collect(),
            webhook: self.webhook.as_ref().map(|receiver| {
                let status = receiver.status();
                WebhookStatus {
                    address: status.listen,
                    accepted: status.accepted,
                    duplicate: status.replayed,
                    refused: status.unsigned
                        + status.bad_signature
                        + status.oversized
                        + status.malformed,
                }
            }),
            errors: snapshot.failures.into_iter().map(error).collect(),
        }
    }

    fn refresh<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Refreshed, Refused>> {
        Box::pin(async move {
            match self.runtime.refresh(path).await {
                Ok(nodes) => Ok(Refreshed { nodes }),
                Err(error) => Err(Refused {
                    message: format!("{path}: {error}"),
                    hint: Some("give a path below the mountpoint that exists".into()),
                }),
            }
        })
    }
}
