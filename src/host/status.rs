//! What a running mount says of itself.

use super::reload::Followed;
use super::running::{Loader, Running};
use super::{refused, report};
use crate::capability::validators::Validators;
use crate::config::Instance;
use crate::control::{
    BudgetStatus, CacheStatus, CoreStatus, Daemon, DiskStatus, EndpointCounts, ErrorStatus,
    FeedState, LoadStatus, PartialStatus, ProviderStatus, Refreshed, Refused, Reloaded,
    ScopeStatus, SlowStatus, UnderWay, WebhookStatus,
};
use crate::disk::{self, Disk};
use crate::events::webhook::Receiver;
use crate::events::{self, FeedStatus};
use crate::guide::Reports;
use crate::provider::{Cause, Failure, Feed, FeedKind, Manifest};
use crate::runtime::{FailureRecord, Runtime, SlowCall, Snapshot};
use crate::scopes::{Standing, covers};
use futures_util::future::BoxFuture;
use omnifs_platform::Error;
use omnifs_platform::native::Keeper;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The mounted core, with everything that runs beside it. Dropping it ends the feeds.
pub(super) struct Core {
    pub runtime: Arc<Runtime>,
    /// The instances that work.
    pub running: RwLock<Vec<Arc<Running>>>,
    pub loader: Loader,
    /// Held while a component takes another's place.
    pub swapping: tokio::sync::Mutex<()>,
    /// As they were when the mount began.
    pub instances: Vec<Instance>,
    /// One line for each instance that does not work, which begins with its name.
    pub problems: Vec<String>,
    pub webhook: Option<Receiver>,
    /// Where the service finds the receiver, if not at its own address.
    pub webhook_url: Option<String>,
    pub validators: Arc<Validators>,
    pub disk: Option<Arc<Disk>>,
    pub followed: Followed,
    pub keeper: Option<Arc<Keeper>>,
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Core {
    /// The instances that work now.
    pub fn running(&self) -> Vec<Arc<Running>> {
        self.running.read().clone()
    }

    fn running_as(&self, name: &str) -> Option<Arc<Running>> {
        self.running.read().iter().find(|running| running.working.name == name).cloned()
    }

    /// Has this write what `.omnifs` of each instance says.
    pub fn write_reports(self: &Arc<Core>, reports: &[(String, Arc<Reports>)]) {
        for (name, reports) in reports {
            let (core, name) = (Arc::downgrade(self), name.clone());
            reports.by(move |report| {
                let Some(core) = core.upgrade() else { return String::new() };
                let running = core.running_as(&name);
                let manifest = running.as_ref().map(|running| &running.working.manifest);
                report::text(report, &name, manifest, &core.status())
            });
        }
    }

    fn provider(&self, name: &str, snapshot: &Snapshot) -> ProviderStatus {
        let uses = snapshot.uses.iter().find(|(instance, _)| &**instance == name);
        let (hits, misses) = uses.map_or((0, 0), |(_, uses)| *uses);
        let calls = self.runtime.calls_of(name);
        let Some(running) = self.running_as(name) else {
            let prefix = format!("{name}: ");
            let problem = self.problems.iter().find_map(|line| line.strip_prefix(&prefix));
            return ProviderStatus {
                name: name.into(),
                problem: problem.map(str::to_owned),
                hits,
                misses,
                calls,
                ..ProviderStatus::default()
            };
        };
        let working = &running.working;
        let status = working.outbound.status();
        let total = status.total;
        let endpoints = status.endpoints.iter().map(|endpoint| EndpointCounts {
            name: endpoint.name.clone(),
            counts: endpoint.counts.clone(),
            in_flight: endpoint.in_flight as u64,
        });
        ProviderStatus {
            name: name.into(),
            component: Some(format!("{} {}", working.manifest.name, working.manifest.version)),
            loaded: working.provider.is_loaded(),
            endpoints: endpoints.collect(),
            problem: status.endpoints.into_iter().find_map(|endpoint| endpoint.trouble),
            hits,
            misses,
            calls,
            callouts: total.callouts,
            not_modified: total.revalidated,
            shared: working.answers.as_ref().map(|answers| answers.status()),
            failures: total.failures,
            received: total.bytes,
            credentials: working.outbound.credentials(),
        }
    }

    fn scopes(&self, snapshot: &Snapshot) -> Vec<ScopeStatus> {
        let running = self.running();
        let rows = running.iter().map(|at| (at.working.name.as_str(), at.feeds.status()));
        let rows: Vec<_> = rows.collect();
        let rows: HashMap<_, _> = rows
            .iter()
            .flat_map(|(name, rows)| rows.iter().map(|row| ((*name, row.scope.as_str()), row)))
            .collect();
        let scope = |(provider, standing): &(String, Standing)| {
            let row = rows.get(&(provider.as_str(), &*standing.scope)).copied();
            let manifest = running.iter().map(|at| &at.working).find(|at| at.name == *provider);
            let declared = manifest.and_then(|at| feed_of(&at.manifest, &standing.scope));
            let state = state(standing.live, declared, row);
            ScopeStatus {
                provider: provider.clone(),
                scope: standing.scope.to_string(),
                feed: declared.map(|feed| feed.name.clone()).unwrap_or_default(),
                kind: match row {
                    Some(row) if row.kind == "bus" => "bus",
                    _ => declared.map_or("", |feed| kind(feed.kind)),
                }
                .to_owned(),
                state,
                why: match state {
                    FeedState::Live => None,
                    FeedState::Connecting => Some("it has not answered yet".into()),
                    FeedState::Suspect | FeedState::Resting => Some(standing.note.clone()),
                    FeedState::Lost => {
                        Some(format!("{}; until it is back, each use asks", standing.note))
                    }
                },
                nodes: standing.nodes,
                events: standing.events,
                heard: row.and_then(|row| row.last_item),
                lag: row.and_then(|row| row.lag),
            }
        };
        snapshot.scopes.iter().map(scope).collect()
    }

    fn budgets(&self) -> Vec<BudgetStatus> {
        let mut rows = Vec::new();
        for running in self.running() {
            let working = &running.working;
            for budget in working.outbound.status().budgets {
                let stopped = budget.stopped_until.map(|seconds| seconds * 1000);
                for window in &budget.windows {
                    let reset = window.resets_at * 1000;
                    let resumes = stopped.max(window.exhausted.then_some(reset));
                    rows.push(BudgetStatus {
                        provider: working.name.clone(),
                        credential: budget.credential.clone(),
                        resource: window.resource.clone(),
                        limit: Some(window.limit),
                        remaining: Some(window.remaining),
                        resets: Some(reset),
                        exhausted: resumes.is_some(),
                        resumes,
                    });
                }
                if budget.windows.is_empty() && stopped.is_some() {
                    rows.push(BudgetStatus {
                        provider: working.name.clone(),
                        credential: budget.credential.clone(),
                        resource: "requests".into(),
                        limit: None,
                        remaining: None,
                        resets: None,
                        exhausted: true,
                        resumes: stopped,
                    });
                }
            }
        }
        rows
    }
}

/// The declared feed that covers a scope: the most precise one.
fn feed_of<'a>(manifest: &'a Manifest, scope: &str) -> Option<&'a Feed> {
    let feeds = manifest.feeds.iter().filter(|feed| covers(&feed.scopes, scope));
    feeds.max_by_key(|feed| {
        // A webhook adds to what is polled or pushed.
        (feed.kind != FeedKind::Webhook, feed.scopes.len())
    })
}

fn kind(kind: FeedKind) -> &'static str {
    match kind {
        FeedKind::Push => "push",
        FeedKind::Poll => "poll",
        FeedKind::Webhook => "webhook",
    }
}

/// Where a scope stands. `live`: what is fetched now is vouched for, in a polled scope also before the
/// first poll.
fn state(live: bool, declared: Option<&Feed>, row: Option<&FeedStatus>) -> FeedState {
    let connected = row.is_some_and(|row| row.state == events::FeedState::Live);
    let polled = declared.is_some_and(|feed| feed.kind == FeedKind::Poll);
    match (live, row.map(|row| row.state)) {
        (true, _) if polled && !connected => FeedState::Connecting,
        (true, _) => FeedState::Live,
        (false, Some(events::FeedState::Lost)) => FeedState::Lost,
        (false, Some(events::FeedState::Resting)) => FeedState::Resting,
        (false, _) => FeedState::Suspect,
    }
}

impl Core {
    /// One row for each instance whose provider takes deliveries, also where nothing receives them.
    fn webhooks(&self) -> Vec<WebhookStatus> {
        let takes = |running: &&Arc<Running>| {
            running.working.manifest.feeds.iter().any(|feed| feed.signature.is_some())
        };
        let rows = self.webhook.as_ref().map(Receiver::status).unwrap_or_default();
        let listening = self.webhook.as_ref().map(Receiver::local_addr);
        let row = |running: &Arc<Running>| {
            let provider = running.working.name.clone();
            let found = rows.iter().find(|row| row.instance == provider);
            let Some((row, listening)) = found.zip(listening) else {
                let problem = Some("not received: mount with --webhook-listen".into());
                return WebhookStatus { provider, problem, ..WebhookStatus::default() };
            };
            WebhookStatus {
                address: Some(super::webhook_address(
                    &listening.to_string(),
                    self.webhook_url.as_deref(),
                    &provider,
                )),
                accepted: row.accepted,
                repeated: row.repeated,
                late: row.late,
                refused: row.unsigned + row.bad_signature + row.oversized + row.malformed,
                turned_away: row.overflowed + row.unchecked,
                waiting: row.waiting,
                problem: row.problem.clone(),
                provider,
            }
        };
        self.running().iter().filter(takes).map(row).collect()
    }
}

/// The word for each cause.
pub(super) const CAUSES: [(Cause, &str); 10] = [
    (Cause::NotFound, "not-found"),
    (Cause::Denied, "denied"),
    (Cause::RateLimited, "rate-limited"),
    (Cause::Unavailable, "unavailable"),
    (Cause::TimedOut, "timed-out"),
    (Cause::TooLarge, "too-large"),
    (Cause::Invalid, "invalid"),
    (Cause::Changed, "changed"),
    (Cause::Trap, "trap"),
    (Cause::Limit, "limit"),
];

fn cause(cause: Cause) -> &'static str {
    CAUSES.iter().find(|(known, _)| *known == cause).map_or("invalid", |(_, word)| word)
}

/// What happened, as the failure has it, and what to do where it does not say.
fn advised(failure: &Failure) -> String {
    const SAID: [&str; 6] =
        ["omnifs ", "redirect-hosts", "resume at", "is it running?", "online?", "ca-file"];
    let Failure { provider, cause, detail, .. } = failure;
    if SAID.iter().any(|said| detail.contains(said)) {
        return detail.clone();
    }
    let advice = match cause {
        // A credential that is not accepted says so itself. This one may be as good as any.
        Cause::Denied => format!(
            "`omnifs auth status {provider}` shows the credential in use; another one helps only where \
             these words say so"
        ),
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
        Cause::NotFound => {
            "its directory still shows it: the service may have taken it away since, or may not show it \
             to this credential any more"
                .into()
        }
        Cause::RateLimited | Cause::TooLarge => return detail.clone(),
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

fn slow(call: &SlowCall) -> SlowStatus {
    SlowStatus {
        provider: call.provider.to_string(),
        path: call.path.clone(),
        operation: call.operation.into(),
        took: call.took.as_millis() as u64,
        count: call.count,
        at: millis(call.at),
    }
}

fn kept_on(disk: &disk::DiskStatus) -> DiskStatus {
    let disk::DiskStatus { bytes, capacity, answers, scopes, recalled, waiting, off } =
        disk.clone();
    DiskStatus { bytes, capacity, answers, scopes, recalled, waiting, off }
}

impl Daemon for Core {
    fn status(&self) -> CoreStatus {
        let snapshot = self.runtime.snapshot();
        let kept = self.validators.status();
        let rows = self.webhook.as_ref().map(Receiver::status).unwrap_or_default();
        CoreStatus {
            providers: self
                .instances
                .iter()
                .map(|instance| self.provider(&instance.name, &snapshot))
                .collect(),
            scopes: self.scopes(&snapshot),
            cache: CacheStatus {
                nodes: snapshot.held.nodes as u64,
                nodes_capacity: snapshot.capacity.nodes as u64,
                bytes: snapshot.held.bytes as u64 + kept.bytes as u64,
                bytes_capacity: snapshot.capacity.bytes as u64 + kept.capacity as u64,
                hits: snapshot.counters.hits,
                misses: snapshot.counters.misses,
                evictions: snapshot.counters.evictions,
                invalidations: snapshot.events,
                stale_served: snapshot.stale_served,
                disk: self.disk.as_ref().map(|disk| kept_on(&disk.status())),
            },
            load: LoadStatus {
                handles: snapshot.handles as u64,
                lock_waits: snapshot.waits.count,
                lock_wait: snapshot.waits.time.as_micros() as u64,
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
            webhooks: self.webhooks(),
            under_way: UnderWay {
                fetches: snapshot.in_flight as u64,
                open: snapshot.open as u64,
                deliveries: rows.iter().map(|row| row.waiting).sum(),
            },
            slowest: snapshot.slowest.iter().map(slow).collect(),
            errors: snapshot.failures.into_iter().map(error).collect(),
        }
    }

    fn reload(&self) -> Result<Reloaded, Refused> {
        let replace = |instance: &Instance| {
            self.running_as(&instance.name)?;
            Some(match tokio::runtime::Handle::try_current() {
                Ok(tokio) => tokio.block_on(self.replace(instance)),
                Err(error) => Err(refused(error)),
            })
        };
        self.followed.reload(|stale| self.runtime.set_stale_if_error(stale), replace)
    }

    fn swap<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(self.replace(instance))
    }

    fn is_kept(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.holds())
    }

    fn stale_if_error(&self) -> Option<bool> {
        Some(self.followed.stale_if_error())
    }

    fn refresh<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Refreshed, Refused>> {
        Box::pin(async move {
            // Who asks for that wants what the service says.
            self.loader.fleet.iter().for_each(|fleet| fleet.doubt());
            match self.runtime.refresh(path).await {
                Ok(nodes) => {
                    self.runtime.heard().await;
                    Ok(Refreshed { nodes })
                }
                Err(error) => Err(Refused {
                    message: format!("{path}: {error}"),
                    hint: Some(match error {
                        Error::NotFound => "give a path below the mountpoint that exists".into(),
                        // Names on the way are asked for where no feed vouches for them.
                        _ => "try again once the service answers; `omnifs status` says more".into(),
                    }),
                }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_live_only_once_its_feed_has_answered() {
        let feed = |kind| Feed {
            name: "changes".into(),
            kind,
            scopes: "repo:".into(),
            endpoint: None,
            silence: None,
            signature: None,
        };
        let row = |state| FeedStatus { state, ..FeedStatus::default() };
        let (poll, webhook) = (feed(FeedKind::Poll), feed(FeedKind::Webhook));
        let [connecting, up, down] =
            [events::FeedState::Connecting, events::FeedState::Live, events::FeedState::Lost]
                .map(row);
        for (live, feed, row, expected) in [
            (true, Some(&poll), None, FeedState::Connecting),
            (true, Some(&poll), Some(&connecting), FeedState::Connecting),
            (true, Some(&poll), Some(&up), FeedState::Live),
            (true, Some(&webhook), None, FeedState::Live),
            (false, Some(&poll), None, FeedState::Suspect),
            (false, Some(&poll), Some(&connecting), FeedState::Suspect),
            (false, Some(&poll), Some(&down), FeedState::Lost),
        ] {
            assert_eq!(state(live, feed, row), expected, "{live} {row:?}");
        }
    }
}
