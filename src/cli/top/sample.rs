//! What the mounts have said, and how fast it grew since they said so before.

use super::super::status;
use omnifs::control::{
    AnswersStatus, BudgetStatus, CacheStatus, ErrorStatus, FeedState, PartialStatus,
    ProviderStatus, Record, ScopeStatus, SlowStatus, Status, UnderWay,
};
use serde::Serialize;
use std::collections::HashMap;
use std::time::{Instant, SystemTime};

/// One look at every watched mount. Its JSON is documented in docs/json.md.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// Milliseconds since the Unix epoch, as every time here.
    pub at: u64,
    pub mounts: Vec<MountSample>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct MountSample {
    pub mountpoint: String,
    pub pid: u32,
    pub started: u64,
    /// Why it said nothing. Everything below is then empty.
    pub problem: Option<String>,
    /// Seconds since the look before, which rates are of.
    pub interval: Option<f64>,
    pub instances: Vec<InstanceSample>,
    pub cache: CacheStatus,
    pub under_way: UnderWay,
    pub slowest: Vec<SlowStatus>,
    pub errors: Vec<ErrorStatus>,
    pub partial_listings: Vec<PartialStatus>,
}

/// A number that only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Count {
    pub total: u64,
    /// Absent in the first look, and where the mount has started anew since.
    pub per_second: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct InstanceSample {
    pub name: String,
    pub component: Option<String>,
    pub problem: Option<String>,
    pub hits: Count,
    pub misses: Count,
    pub calls: Count,
    pub requests: Count,
    pub not_modified: Count,
    pub shared: Option<AnswersStatus>,
    pub failures: Count,
    /// Bytes of bodies.
    pub received: Count,
    pub events: Count,
    /// Requests that are under way.
    pub in_flight: u64,
    pub feeds: Feeds,
    pub budgets: Vec<BudgetStatus>,
}

/// How many scopes are in which state.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Feeds {
    pub live: u64,
    pub connecting: u64,
    pub suspect: u64,
    pub lost: u64,
    pub resting: u64,
    /// The longest of them, in milliseconds.
    pub lag: Option<u64>,
    /// Why the worst of them is not live.
    pub why: Option<String>,
}

impl Feeds {
    fn of<'a>(scopes: impl Iterator<Item = &'a ScopeStatus>) -> Feeds {
        let mut feeds = Feeds::default();
        let mut worst = 0;
        for scope in scopes {
            let (count, weight) = match scope.state {
                FeedState::Live => (&mut feeds.live, 0),
                FeedState::Resting => (&mut feeds.resting, 0),
                FeedState::Connecting => (&mut feeds.connecting, 1),
                FeedState::Suspect => (&mut feeds.suspect, 2),
                FeedState::Lost => (&mut feeds.lost, 3),
            };
            *count += 1;
            if weight > worst {
                worst = weight;
                feeds.why.clone_from(&scope.why);
            }
            if scope.state == FeedState::Live {
                feeds.lag = feeds.lag.max(scope.lag);
            }
        }
        feeds
    }

    /// The worst state, and how many are in it where not all are.
    pub fn word(&self) -> String {
        let all = self.live + self.connecting + self.suspect + self.lost + self.resting;
        let rows = [
            (self.lost, FeedState::Lost),
            (self.suspect, FeedState::Suspect),
            (self.connecting, FeedState::Connecting),
            (self.live, FeedState::Live),
            (self.resting, FeedState::Resting),
        ];
        match rows.into_iter().find(|(count, _)| *count > 0) {
            None => "-".to_owned(),
            Some((_, state @ (FeedState::Live | FeedState::Resting))) => state.word().to_owned(),
            Some((count, state)) if count == all => state.word().to_owned(),
            Some((count, state)) => format!("{} {count}/{all}", state.word()),
        }
    }
}

/// The last look at each mount.
#[derive(Debug, Default)]
pub struct Sampler {
    before: HashMap<String, (Instant, Status)>,
}

impl Sampler {
    /// Asks every mount.
    pub async fn look(&mut self, records: &[Record]) -> Sample {
        let answers = status::ask(records).await;
        let now = Instant::now();
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.before.retain(|place, _| records.iter().any(|record| record.mountpoint == *place));
        let answers = records.iter().zip(answers);
        let mounts = answers.map(|(record, answer)| match answer {
            Ok(status) => self.mount(status, now),
            Err(error) => MountSample {
                mountpoint: record.mountpoint.clone(),
                pid: record.pid,
                problem: Some(error.to_string()),
                ..MountSample::default()
            },
        });
        Sample { at: at.as_millis() as u64, mounts: mounts.collect() }
    }

    fn mount(&mut self, status: Status, now: Instant) -> MountSample {
        let before = self.before.insert(status.mount.mountpoint.clone(), (now, status.clone()));
        let same = |before: &(Instant, Status)| {
            let (before, now) = (&before.1.mount, &status.mount);
            (before.pid, before.started) == (now.pid, now.started)
        };
        let before = before.filter(same);
        let interval =
            before.as_ref().map(|(at, _)| now.saturating_duration_since(*at).as_secs_f64());
        let Status { mount, core } = status;
        let old = before.as_ref().map(|(_, status)| &status.core);
        let instance = |provider: &ProviderStatus| {
            let name = &provider.name;
            let old_provider = old.and_then(|old| old.providers.iter().find(|p| p.name == *name));
            let count = |of: fn(&ProviderStatus) -> u64| {
                let total = of(provider);
                Count { total, per_second: rate(total, old_provider.map(of), interval) }
            };
            let own = |scopes: &[ScopeStatus]| -> u64 {
                scopes.iter().filter(|s| s.provider == *name).map(|s| s.events).sum()
            };
            let events = own(&core.scopes);
            InstanceSample {
                name: name.clone(),
                component: provider.component.clone(),
                problem: provider.problem.clone(),
                hits: count(|p| p.hits),
                misses: count(|p| p.misses),
                calls: count(|p| p.calls),
                requests: count(|p| p.callouts),
                not_modified: count(|p| p.not_modified),
                shared: provider.shared,
                failures: count(|p| p.failures),
                received: count(|p| p.received),
                events: Count {
                    total: events,
                    per_second: rate(events, old.map(|old| own(&old.scopes)), interval),
                },
                in_flight: provider.endpoints.iter().map(|endpoint| endpoint.in_flight).sum(),
                feeds: Feeds::of(core.scopes.iter().filter(|s| s.provider == *name)),
                budgets: core.budgets.iter().filter(|b| b.provider == *name).cloned().collect(),
            }
        };
        MountSample {
            instances: core.providers.iter().map(instance).collect(),
            mountpoint: mount.mountpoint,
            pid: mount.pid,
            started: mount.started,
            problem: None,
            interval,
            cache: core.cache,
            under_way: core.under_way,
            slowest: core.slowest,
            errors: core.errors,
            partial_listings: core.partial_listings,
        }
    }
}

/// Absent where there is nothing to compare with. A scope that is forgotten takes its events along: that is no
/// negative rate.
fn rate(total: u64, before: Option<u64>, interval: Option<f64>) -> Option<f64> {
    let seconds = interval.filter(|seconds| *seconds > 0.0)?;
    Some(total.saturating_sub(before?) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnifs::control::{CoreStatus, MountStatus};
    use std::time::Duration;

    pub(super) fn status(pid: u32, callouts: u64) -> Status {
        let mount = MountStatus {
            mountpoint: "/m".into(),
            pid,
            version: "1".into(),
            backend: "fuse".into(),
            started: 0,
            log: "/l".into(),
            allow_other: false,
            stale_if_error: false,
            kept: false,
            taken_back: false,
        };
        let hub = ProviderStatus { name: "hub".into(), callouts, ..ProviderStatus::default() };
        Status { mount, core: CoreStatus { providers: vec![hub], ..CoreStatus::default() } }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks_at_the_same_process() {
        let (mut sampler, start) = (Sampler::default(), Instant::now());
        let mut look = |pid, requests, seconds| {
            let sample = sampler.mount(status(pid, requests), start + Duration::from_secs(seconds));
            sample.instances[0].requests
        };
        assert_eq!(look(7, 10, 0), Count { total: 10, per_second: None });
        assert_eq!(look(7, 30, 4), Count { total: 30, per_second: Some(5.0) });
        assert_eq!(look(7, 30, 5), Count { total: 30, per_second: Some(0.0) });
        // Another process has begun to count anew.
        assert_eq!(look(8, 2, 6), Count { total: 2, per_second: None });
    }

    #[test]
    fn the_worst_feed_is_named_with_how_many_are_like_it() {
        let scope = |state, lag| ScopeStatus {
            provider: "hub".into(),
            scope: "s".into(),
            feed: "f".into(),
            kind: "push".into(),
            state,
            why: Some(format!("{state:?}")),
            nodes: 0,
            events: 0,
            heard: None,
            lag,
        };
        let of = |scopes: &[ScopeStatus]| Feeds::of(scopes.iter());
        assert_eq!(of(&[]).word(), "-");
        let live = of(&[scope(FeedState::Live, Some(4)), scope(FeedState::Live, Some(9))]);
        assert_eq!((live.word().as_str(), live.lag), ("live", Some(9)));
        let mixed = of(&[
            scope(FeedState::Suspect, None),
            scope(FeedState::Lost, Some(5000)),
            scope(FeedState::Live, Some(4)),
        ]);
        assert_eq!((mixed.word().as_str(), mixed.lag), ("lost 1/3", Some(4)));
        assert_eq!(mixed.why.as_deref(), Some("Lost"));
    }
}
