//! The way out of the sandbox: carries out a provider instance's requests.
//!
//! **Invariant:** a request leaves only for an endpoint that the manifest declares, by a method and
//! path it allows, to an address that was checked; credentials travel to the endpoint's own
//! origin and nowhere else, and no secret enters an answer, an error, a log or `Debug`. A secret that
//! the environment holds for the service itself goes to no endpoint that leads elsewhere.
//!
//! [`Outbound`] is the door; `place` and `pattern` read where requests may go, as manifests and users write it,
//! `request` checks what the guest asks, and `bodies` what it says where a manifest bounds that, `sql` runs statements, `endpoint` knows the
//! servers, `session` keeps the session that a service wants,
//! `sharing` has what a fleet's mounts share, `address` checks where a name leads, `exchange` makes the requests, [`validators`] revalidates
//! what is held, [`budget`] keeps the service's rate limit, [`counters`] counts.

mod address;
mod answer;
mod bodies;
pub mod budget;
mod challenge;
mod client;
pub mod counters;
pub mod egress;
mod endpoint;
mod exchange;
mod identity;
mod listening;
mod part;
pub(crate) mod pattern;
mod place;
mod request;
mod session;
pub(crate) mod sharing;
pub(crate) mod sql;
mod stream;
pub mod validators;
mod whose;

pub(crate) use address::{Guard, Refused, judge_literal};
pub use address::{Resolver, system_resolver};
pub use egress::Egress;
pub use endpoint::{Override, SetupError, shown};
pub use listening::listening;
pub use place::pipe;
pub(crate) use place::{Base, Placed, RedirectHost};
use stream::Head;
pub use stream::Opened;

use crate::credentials::keyring::Lookup;
use crate::credentials::{Chain, CredentialStatus, Environment, Sources};
use crate::provider::{
    Cause, Credential, Failure, Followed, Manifest, Piece, Query, Request, Response, Rows, Scheme,
    Upstream, Wanted,
};
use budget::{Budget, BudgetStatus};
use counters::CalloutCounts;
use endpoint::Target;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use validators::Validators;

/// What lets a larger answer through, for who reads of one that was refused.
pub(crate) const RAISED_BY: &str = "content-size in [limits] raises that";

/// The bounds of one request. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Name resolution, TCP and TLS together.
    pub connect: Duration,
    /// One fetch with its redirects and retries, from the call to the last byte.
    pub total: Duration,
    /// Response body after decompression: the largest content that is not read in pieces.
    pub body: usize,
    /// Response header names and values together.
    pub header_bytes: usize,
    pub request_headers: usize,
    pub request_header_bytes: usize,
    /// A GraphQL query with its variables.
    pub request_body: usize,
    /// Path and query.
    pub path: usize,
    pub redirects: usize,
    pub retries: u32,
    /// Requests of one endpoint that are under way at a time, streams not counted. Services allow some
    /// hundred for one credential.
    pub parallel: usize,
    /// Before the first retry; doubled for the next, with jitter.
    pub retry_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(20),
            body: 64 << 20,
            header_bytes: 64 << 10,
            request_headers: 64,
            request_header_bytes: 16 << 10,
            request_body: 1 << 20,
            path: 8 << 10,
            redirects: 5,
            retries: 2,
            parallel: 32,
            retry_pause: Duration::from_millis(100),
        }
    }
}

/// Whom a request serves. Background polls may not use the last part of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Interactive,
    Background,
}

tokio::task_local! {
    static PRIORITY: Priority;
    static REQUESTS: Arc<AtomicU64>;
}

/// Runs `work`, and counts the requests that its own task puts on the wire meanwhile.
pub async fn counted<F: Future>(work: F) -> (F::Output, u64) {
    let requests = Arc::new(AtomicU64::new(0));
    let output = REQUESTS.scope(requests.clone(), work).await;
    (output, requests.load(Ordering::Relaxed))
}

/// Runs `work` with every [`Outbound`] request made by its own task at background priority.
pub async fn in_background<F: Future>(work: F) -> F::Output {
    PRIORITY.scope(Priority::Background, work).await
}

/// The wall clock by which rate limits reset, and how long the machine has slept; a parameter so that
/// tests need not wait.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    slept: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    pub fn system() -> Self {
        Clock { now: Arc::new(SystemTime::now), slept: Arc::new(slept) }
    }

    /// Of a machine that never slept.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Clock { now: Arc::new(now), slept: Arc::new(|| Duration::ZERO) }
    }

    /// With another count of the time asleep.
    pub fn sleeping(self, slept: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Clock { slept: Arc::new(slept), ..self }
    }

    pub fn now(&self) -> SystemTime {
        (self.now)()
    }

    /// The time that the machine has spent asleep since some moment, whatever its wall clock was set to.
    /// Always zero where the system does not count it.
    pub fn slept(&self) -> Duration {
        (self.slept)()
    }
}

/// One clock of Linux goes on while the machine sleeps and the other one stands still.
#[cfg(target_os = "linux")]
fn slept() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let with_sleep = read(ClockId::Boottime);
    with_sleep.saturating_sub(read(ClockId::Monotonic))
}

#[cfg(not(target_os = "linux"))]
fn slept() -> Duration {
    Duration::ZERO
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What an [`Outbound`] is made of.
pub struct Setup {
    /// The provider instance's name: the first path segment, and what `omnifs auth login` takes.
    pub instance: Arc<str>,
    pub manifest: Manifest,
    /// The user's own endpoints, by the declared endpoint's name.
    pub overrides: HashMap<String, Override>,
    /// What the user has set of the provider's own settings.
    pub settings: BTreeMap<String, String>,
    /// Where endpoints and credentials are looked for.
    pub environment: Environment,
    /// Files with secrets, by the declared credential's name.
    pub credential_files: HashMap<String, PathBuf>,
    pub keyring: Option<Lookup>,
    /// Shared by all instances.
    pub validators: Arc<Validators>,
    pub limits: Limits,
    pub clock: Clock,
    pub resolver: Resolver,
    pub egress: Egress,
}

impl Setup {
    /// Default limits, the process's environment, the system's clock and resolver, no overrides, no
    /// files and no keyring.
    pub fn new(instance: &str, manifest: Manifest, validators: Arc<Validators>) -> Self {
        Setup {
            instance: instance.into(),
            manifest,
            overrides: HashMap::new(),
            settings: BTreeMap::new(),
            environment: Environment::process(),
            credential_files: HashMap::new(),
            keyring: None,
            validators,
            limits: Limits::default(),
            clock: Clock::system(),
            resolver: system_resolver(),
            egress: Egress::Direct,
        }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// One provider instance's requests. Cheap to clone; clones share budget, counters and connections.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
    /// Fixed for a view; otherwise the task's own, see [`in_background`].
    priority: Option<Priority>,
}

struct Shared {
    instance: Arc<str>,
    /// The provider's own name, for messages.
    service: String,
    targets: Vec<Target>,
    budgets: HashMap<endpoint::BudgetKey, Arc<Budget>>,
    settings: BTreeMap<String, String>,
    /// As the manifest declares them.
    credentials: Vec<(Credential, Arc<Chain>)>,
    validators: Arc<Validators>,
    limits: Limits,
    clock: Clock,
    places: part::Places,
    /// The service's own clock when it last answered, in seconds since the Unix epoch; 0: it never
    /// said.
    service_seconds: AtomicU64,
    /// It has answered a request with what the user sees, and not refused one for its credentials since.
    admitted: AtomicBool,
    /// Answers that are not to be stored (`no-store`).
    forbidden: AtomicU64,
}

/// What `omnifs status` shows of an instance's requests.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OutboundStatus {
    pub endpoints: Vec<EndpointStatus>,
    pub total: CalloutCounts,
    pub budgets: Vec<BudgetStatus>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct EndpointStatus {
    pub name: String,
    /// `https://HOST`, `unix:///PATH`.
    pub url: String,
    /// `default`, `environment variable NAME`, `configuration`.
    pub source: String,
    pub counts: CalloutCounts,
    /// Requests that are under way, streams not counted.
    pub in_flight: usize,
    /// What its last request showed to be wrong with it or with its credential, and what to do.
    pub trouble: Option<String>,
}

impl Outbound {
    /// Opens no connection.
    ///
    /// # Errors
    /// An override that names no declared endpoint, or an address that is not allowed where it
    /// stands.
    pub fn new(setup: Setup) -> Result<Outbound, SetupError> {
        let targets = endpoint::targets(&setup)?;
        let mut budgets = HashMap::new();
        for target in &targets {
            let budget = || Arc::new(Budget::new(&target.budget_name()));
            budgets.entry(target.budget_key()).or_insert_with(budget);
        }
        let chain = |spec: &Credential| {
            let uses = targets.iter().filter(|t| t.spec.credentials.contains(&spec.name));
            let sources = Sources {
                elsewhere: uses.filter_map(|target| target.elsewhere.clone()).collect(),
                file: setup.credential_files.get(&spec.name).cloned(),
                environment: setup.environment.clone(),
                keyring: setup.keyring.clone(),
            };
            (spec.clone(), Arc::new(Chain::new(&setup.instance, spec, sources)))
        };
        let credentials = setup.manifest.credentials.iter().map(chain).collect();
        Ok(Outbound {
            shared: Arc::new(Shared {
                instance: setup.instance,
                service: setup.manifest.name,
                targets,
                budgets,
                settings: setup.settings,
                credentials,
                validators: setup.validators,
                limits: setup.limits,
                clock: setup.clock,
                places: part::Places::new(),
                service_seconds: AtomicU64::new(0),
                admitted: AtomicBool::new(false),
                forbidden: AtomicU64::new(0),
            }),
            priority: None,
        })
    }

    /// A view whose requests leave the reserve of the rate limit to interactive reads.
    pub fn background(&self) -> Outbound {
        Outbound { shared: self.shared.clone(), priority: Some(Priority::Background) }
    }

    /// The service's own clock (its `Date` header) when it last answered, in seconds since the Unix
    /// epoch.
    pub fn service_seconds(&self) -> Option<u64> {
        Some(self.shared.service_seconds.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    pub fn status(&self) -> OutboundStatus {
        let endpoints: Vec<_> = self
            .shared
            .targets
            .iter()
            .map(|target| EndpointStatus {
                name: target.spec.name.clone(),
                url: target.base.to_string(),
                source: target.source.to_string(),
                counts: target.counters.snapshot(),
                in_flight: self.shared.limits.parallel.max(1) - target.turns.available_permits(),
                trouble: target.counters.trouble(),
            })
            .collect();
        let mut total = CalloutCounts::default();
        for endpoint in &endpoints {
            total.add(&endpoint.counts);
        }
        let now = self.shared.clock.now();
        let mut budgets: Vec<_> =
            self.shared.budgets.values().map(|budget| budget.status(now)).collect();
        budgets.sort_by(|a, b| a.credential.cmp(&b.credential));
        OutboundStatus { endpoints, total, budgets }
    }

    /// What is known of the credentials, in the manifest's order. Asks nobody.
    pub fn credentials(&self) -> Vec<CredentialStatus> {
        let all = self.shared.credentials.iter();
        all.map(|(_, chain)| chain.status(&self.shared.login(chain.name()))).collect()
    }

    /// Where a declared credential is looked for.
    pub fn credential(&self, name: &str) -> Option<&Arc<Chain>> {
        self.shared.credential(name)
    }

    fn priority(&self) -> Priority {
        self.priority
            .or_else(|| PRIORITY.try_with(|priority| *priority).ok())
            .unwrap_or(Priority::Interactive)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("instance", &self.shared.instance).finish_non_exhaustive()
    }
}

impl Upstream for Outbound {
    fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        // The priority is the task's that polls the future, which need not be who made it.
        Box::pin(async move { self.shared.fetch(request, self.priority()).await })
    }

    fn part<'a>(&'a self, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Piece, Failure>> {
        Box::pin(async move { self.shared.part(wanted, self.priority()).await })
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Result<Rows, Failure>> {
        Box::pin(self.shared.query(query))
    }

    fn follow<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Followed, Failure>> {
        Box::pin(async move {
            let opened = self.stream(request.clone(), Head::Whenever).await?;
            Ok(Followed { status: opened.status, chunks: opened.chunks })
        })
    }
}

impl Shared {
    /// Notes the service's clock.
    fn heard(&self, headers: &http::HeaderMap) {
        let date = headers.get(http::header::DATE).and_then(|value| value.to_str().ok());
        let date = date.and_then(budget::headers::date);
        let since = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(since) = since {
            self.service_seconds.store(since.as_secs(), Ordering::Relaxed);
        }
    }

    fn failure(&self, cause: Cause, detail: impl Into<String>) -> Failure {
        Failure {
            provider: self.instance.clone(),
            cause,
            detail: one_line(&detail.into()),
            retry_after: None,
        }
    }

    fn credential(&self, name: &str) -> Option<&Arc<Chain>> {
        self.credentials.iter().find(|(spec, _)| spec.name == name).map(|(_, chain)| chain)
    }

    /// The region that requests are signed for, where the user has set one.
    fn region(&self, credential: &str) -> Option<&str> {
        let (spec, _) = self.credentials.iter().find(|(spec, _)| spec.name == credential)?;
        let Scheme::AwsSigv4 { region: Some(setting), .. } = &spec.scheme else { return None };
        self.settings.get(setting).map(String::as_str).filter(|region| !region.is_empty())
    }

    /// The command that keeps a secret for the credential.
    fn login(&self, credential: &str) -> String {
        let mut command = format!("omnifs auth login {}", self.instance);
        if self.credentials.len() > 1 {
            command.push_str(&format!(" --credential {credential}"));
        }
        command
    }

    fn target(&self, name: &str) -> Result<&Target, Failure> {
        self.targets.iter().find(|target| target.spec.name == name).ok_or_else(|| {
            self.failure(Cause::Denied, format!("the manifest declares no endpoint {name:?}"))
        })
    }
}

/// Text of others in a line of ours: nothing hidden (see [`omnifs_text`]), and a bounded length.
fn one_line(text: &str) -> String {
    const MOST: usize = 500;
    let plain = text.replace(['\n', '\r', '\t'], " ");
    let mut line: String = omnifs_text::printable(&plain).chars().take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        line.push_str("...");
    }
    line
}
