//! What `omnifs status` shows. It crosses the control channel as JSON and holds no secret.

pub use crate::capability::counters::CalloutCounts;
pub use crate::credentials::CredentialStatus;
pub use crate::events::bus::answers::AnswersStatus;
use serde::{Deserialize, Serialize};

/// A mount and everything in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub mount: MountStatus,
    #[serde(flatten)]
    pub core: CoreStatus,
}

/// The process that holds the mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    pub mountpoint: String,
    pub pid: u32,
    pub version: String,
    pub backend: String,
    /// Milliseconds since the Unix epoch, as every time here.
    pub started: u64,
    pub log: String,
    pub allow_other: bool,
    pub stale_if_error: bool,
    /// It outlives the process that serves it.
    #[serde(default)]
    pub kept: bool,
    /// The program that is installed did not come up, and the one from before serves it.
    #[serde(default)]
    pub taken_back: bool,
}

/// What the core knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreStatus {
    pub providers: Vec<ProviderStatus>,
    pub scopes: Vec<ScopeStatus>,
    pub cache: CacheStatus,
    pub load: LoadStatus,
    pub budgets: Vec<BudgetStatus>,
    pub partial_listings: Vec<PartialStatus>,
    /// For each instance whose provider takes webhooks.
    pub webhooks: Vec<WebhookStatus>,
    #[serde(default)]
    pub under_way: UnderWay,
    /// Newest first.
    pub errors: Vec<ErrorStatus>,
    /// What took longest in the last ten minutes, the longest first.
    #[serde(default)]
    pub slowest: Vec<SlowStatus>,
}

/// One provider instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// The instance: the first segment of its paths.
    pub name: String,
    /// The component's own name and version, where it could be read.
    pub component: Option<String>,
    /// Whether the component is in memory, as it is from its first use on.
    #[serde(default)]
    pub loaded: bool,
    /// What keeps it from working and what to do, in one line: a component that cannot run, a credential
    /// that the service refuses, a service that did not answer when it was asked last. Absent: nothing
    /// is known to.
    pub problem: Option<String>,
    /// Names, listings and contents of it that memory answered, and those that it was asked for.
    #[serde(default)]
    pub hits: u64,
    #[serde(default)]
    pub misses: u64,
    /// Calls of the component.
    pub calls: u64,
    /// Requests that went out to the service, conditional ones included.
    pub callouts: u64,
    /// Requests that the service answered with "not modified".
    pub not_modified: u64,
    /// Answers that it shares with the other mounts of a fleet. Absent where it shares none.
    #[serde(default)]
    pub shared: Option<AnswersStatus>,
    pub failures: u64,
    /// Body bytes received.
    pub received: u64,
    /// The same and more for each of its endpoints.
    pub endpoints: Vec<EndpointCounts>,
    /// As far as is known without asking the service.
    pub credentials: Vec<CredentialStatus>,
}

/// The requests to one endpoint of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointCounts {
    /// As the manifest has it.
    pub name: String,
    pub counts: CalloutCounts,
    /// Requests that are under way, streams not counted.
    pub in_flight: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedState {
    /// The feed has not answered yet. What is fetched meanwhile is proven or doubted by its first answer.
    Connecting,
    /// Connected and caught up: what is cached is right.
    Live,
    /// Events were or may have been missed: the next use asks again.
    Suspect,
    /// No event arrives: each use asks.
    Lost,
    /// Nobody has used the scope lately. Its feed is asked before the next use, and then vouches for
    /// what is cached.
    Resting,
}

impl FeedState {
    pub const ALL: [FeedState; 5] = [
        FeedState::Connecting,
        FeedState::Live,
        FeedState::Suspect,
        FeedState::Lost,
        FeedState::Resting,
    ];

    pub fn word(self) -> &'static str {
        match self {
            FeedState::Connecting => "connecting",
            FeedState::Live => "live",
            FeedState::Suspect => "suspect",
            FeedState::Lost => "lost",
            FeedState::Resting => "resting",
        }
    }
}

/// One scope: what one feed covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeStatus {
    pub provider: String,
    pub scope: String,
    pub feed: String,
    /// `push`, `poll`, `webhook` or `bus`.
    pub kind: String,
    pub state: FeedState,
    /// Why it is not live.
    pub why: Option<String>,
    /// Cached nodes that depend on it.
    pub nodes: u64,
    /// Events applied to what is cached of it.
    pub events: u64,
    /// When the last event or poll was applied.
    pub heard: Option<u64>,
    /// In milliseconds. Push: from the arrival of the last event to its application. Poll: the age of the
    /// last answer.
    pub lag: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatus {
    pub nodes: u64,
    pub nodes_capacity: u64,
    pub bytes: u64,
    pub bytes_capacity: u64,
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    pub invalidations: u64,
    /// Suspect nodes served because the service could not be reached (`--stale-if-error`).
    pub stale_served: u64,
    /// What is kept for the next start. Absent: nothing is.
    #[serde(default)]
    pub disk: Option<DiskStatus>,
}

/// Answers that are kept on disk. Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Of the file.
    pub bytes: u64,
    pub capacity: u64,
    pub answers: u64,
    /// Scopes whose feeds may prove at the next start that nothing was missed.
    pub scopes: u64,
    /// Answers that were shown without asking the provider, since the mount began.
    pub recalled: u64,
    /// What is still to be written.
    pub waiting: u64,
    /// Why nothing is kept any more.
    pub off: Option<String>,
}

/// What somebody waits for or holds at this moment. All of it is nothing at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Questions to providers, each shared by all who wait for its answer.
    pub fetches: u64,
    /// Files and directories that are open, where the back end is told of opens.
    pub open: u64,
    /// Webhook deliveries that are accepted and have not taken effect.
    pub deliveries: u64,
}

impl CacheStatus {
    /// 0 to 1. Absent before the first use.
    pub fn hit_rate(&self) -> Option<f64> {
        let uses = self.hits + self.misses;
        (uses > 0).then(|| self.hits as f64 / uses as f64)
    }
}

/// What is going on at the moment, and how calls have held each other up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadStatus {
    /// Files and directories that the kernel refers to.
    pub handles: u64,
    /// Times that the core's lock was not free.
    pub lock_waits: u64,
    /// What they came to, in microseconds.
    pub lock_wait: u64,
}

/// What a service still allows a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    pub provider: String,
    /// The credential's name and the source it came from: never the secret.
    pub credential: String,
    /// What is counted: `core`, `graphql`, `complexity`.
    pub resource: String,
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    pub resets: Option<u64>,
    /// Reads answer EAGAIN until `resumes`.
    pub exhausted: bool,
    /// When requests are made again. That is the reset where the limit is used up, and may be long
    /// before it where the service has only asked for a pause.
    pub resumes: Option<u64>,
}

/// A listing that stops short of the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialStatus {
    /// Below the mountpoint.
    pub path: String,
    pub shown: u64,
    /// Which entries, and what raises the bound.
    pub note: String,
}

/// An instance whose provider takes webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookStatus {
    pub provider: String,
    /// What to enter at the service. Absent: the mount does not listen.
    pub address: Option<String>,
    /// Repetitions and late ones among them.
    pub accepted: u64,
    pub repeated: u64,
    /// Made more than five minutes before or after they came, by their own account.
    pub late: u64,
    /// Refused: unsigned, wrong signature, oversized or malformed.
    pub refused: u64,
    /// Turned away for want of room or time. They may have been deliveries, so what is cached of the feed
    /// is asked for again.
    pub turned_away: u64,
    /// Accepted, and not applied yet.
    pub waiting: u64,
    /// What keeps deliveries from being accepted, and what to do.
    pub problem: Option<String>,
}

/// A failure, told once for all its repetitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorStatus {
    /// When it happened last.
    pub at: u64,
    pub count: u64,
    pub provider: String,
    /// Below the mountpoint. Absent for what happens in a feed.
    pub path: Option<String>,
    /// The row of the error table: `rate-limited`, `unavailable`.
    pub cause: String,
    /// What happened and what to do, in one line.
    pub detail: String,
    /// When the service will answer again, where it said so.
    pub retry_at: Option<u64>,
}

/// A call of a provider that took long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowStatus {
    pub provider: String,
    /// Below the mountpoint.
    pub path: String,
    /// `lookup`, `list`, `read`, or `piece` of a large file.
    pub operation: String,
    /// The longest, in milliseconds.
    pub took: u64,
    /// How often it was among the slowest.
    pub count: u64,
    /// When the last of them ended.
    pub at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_rate_needs_a_use() {
        assert_eq!(CacheStatus::default().hit_rate(), None);
        let cache = CacheStatus { hits: 3, misses: 1, ..CacheStatus::default() };
        assert_eq!(cache.hit_rate(), Some(0.75));
    }
}
