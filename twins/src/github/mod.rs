//! The GitHub twin: the REST API over generated repositories.
//!
//! Data changes only through the methods here, each of which moves `updated_at`, the ETags, the
//! history, the events listing and the webhooks in one step.

mod change;
mod change_code;
mod change_comments;
mod change_issues;
mod change_repos;
mod data;
mod demo;
mod device;
mod diff;
mod generate;
mod git;
mod routes;
mod service;
mod tar;
mod view;
mod zip;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use change_code::{NewRelease, Write};
pub use change_issues::{IssueEdit, NewIssue};
pub use generate::RepoShape;

use crate::clock::{Clock, lock};
#[cfg(feature = "faults")]
use crate::fault::{Fault, Times};
use crate::history::Version;
use crate::requests::{Counts, Request};
use crate::server::{Server, bind};
use crate::webhook::{Delivery, Outcome};
use data::World;
use service::{Shared, State, Storage};

/// What a twin begins with.
#[derive(Clone, Debug)]
pub struct GithubSetup {
    pub seed: u64,
    /// Accepted credentials. Empty: any credential will do, and none as well.
    pub tokens: Vec<String>,
    /// The world of `acme`, with issue 2853 and run 9801.
    pub demo: bool,
    pub repos: Vec<RepoShape>,
    /// 0: any free port.
    pub port: u16,
    /// Requests in an hour, for each credential.
    pub rate_limit: u64,
    /// `X-Poll-Interval` of the events listing, in seconds.
    pub poll_interval: u32,
}

impl Default for GithubSetup {
    fn default() -> Self {
        Self {
            seed: 1,
            tokens: Vec::new(),
            demo: true,
            repos: Vec::new(),
            port: 0,
            rate_limit: 5_000,
            poll_interval: 60,
        }
    }
}

/// A running GitHub twin. Dropping it ends it.
#[derive(Debug)]
pub struct GithubTwin {
    shared: Arc<Shared>,
    ports: (u16, u16),
    servers: Mutex<Option<(Server, Server)>>,
}

impl GithubTwin {
    /// # Errors
    /// Where the loopback ports cannot be had.
    pub fn start(setup: GithubSetup) -> io::Result<Self> {
        let mut world = World::default();
        if setup.demo {
            demo::fill(&mut world);
        }
        for (index, shape) in setup.repos.iter().enumerate() {
            generate::repo(&mut world, shape, setup.seed.wrapping_add(index as u64));
        }
        if world.viewer.is_empty() {
            generate::people(&mut world);
            world.viewer = "mira".to_owned();
        }
        let (api, storage) = (bind(setup.port)?, bind(0)?);
        let ports = (api.local_addr()?.port(), storage.local_addr()?.port());
        let shared = Arc::new(Shared::new(world, &setup, ports));
        let twin = Self { shared, ports, servers: Mutex::default() };
        twin.serve(api, storage)?;
        Ok(twin)
    }

    /// The demo's world on any free port, with any credential.
    ///
    /// # Errors
    /// As [`GithubTwin::start`].
    pub fn demo() -> io::Result<Self> {
        Self::start(GithubSetup::default())
    }

    /// One repository without the demo's world: what a test of cost or scale needs.
    ///
    /// # Errors
    /// As [`GithubTwin::start`].
    pub fn with_repo(shape: RepoShape) -> io::Result<Self> {
        Self::start(GithubSetup { demo: false, repos: vec![shape], ..GithubSetup::default() })
    }

    fn serve(&self, api: std::net::TcpListener, storage: std::net::TcpListener) -> io::Result<()> {
        let api = Server::start(self.shared.clone(), api)?;
        let storage = Server::start(Arc::new(Storage(self.shared.clone())), storage)?;
        *lock(&self.servers) = Some((api, storage));
        Ok(())
    }

    /// `http://127.0.0.1:PORT`: stands for `https://api.github.com`.
    pub fn url(&self) -> &str {
        &self.shared.api
    }

    /// `http://127.0.0.1:PORT` of the second host, to which log and asset downloads are
    /// redirected.
    pub fn storage_url(&self) -> &str {
        &self.shared.storage
    }

    /// Cuts every connection and stops listening; the data stays.
    pub fn stop(&self) {
        let servers = lock(&self.servers).take();
        if let Some((api, storage)) = servers {
            api.stop();
            storage.stop();
        }
    }

    /// Listens again on the same ports after [`GithubTwin::stop`].
    ///
    /// # Errors
    /// Where another process has taken a port in between.
    pub fn restart(&self) -> io::Result<()> {
        self.stop();
        self.serve(bind(self.ports.0)?, bind(self.ports.1)?)
    }

    pub fn clock(&self) -> &Clock {
        &self.shared.harness.clock
    }

    #[cfg(feature = "faults")]
    /// Lets a fault hit requests whose path matches: `*` stands for any run of characters. The
    /// second host's paths begin with `/jobs/`, `/runs/` and `/assets/`.
    pub fn inject(&self, fault: Fault, path: &str, times: Times) {
        lock(&self.shared.harness.faults).add(fault, path, times);
    }

    #[cfg(feature = "faults")]
    pub fn clear_faults(&self) {
        lock(&self.shared.harness.faults).clear();
    }

    /// Every answer waits this long.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.shared.harness.latency) = latency;
    }

    /// Every request since the start or the last reset, oldest first; at most 200,000.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.harness.log).requests()
    }

    pub fn counts(&self) -> Counts {
        lock(&self.shared.harness.log).counts()
    }

    pub fn reset_counts(&self) {
        lock(&self.shared.harness.log).reset();
    }

    /// Accepted credentials from now on. Empty: any.
    pub fn set_tokens(&self, tokens: &[&str]) {
        *lock(&self.shared.tokens) = tokens.iter().map(|t| (*t).to_owned()).collect();
    }

    /// What every token allows from now on, as classic tokens tell (`X-OAuth-Scopes`). Until then no answer says
    /// so, as with fine-grained ones.
    pub fn set_scopes(&self, scopes: &[&str]) {
        *lock(&self.shared.scopes) = Some(scopes.join(", "));
    }

    /// Whether a login by the device flow is under way.
    pub fn device_login(&self) -> bool {
        self.shared.device.is_asked()
    }

    /// The user approves it: its next question is answered with this token, which is accepted from then on.
    pub fn approve_device(&self, token: &str) {
        self.shared.device.approve(token);
    }

    /// Requests in an hour, and how many are left now, for every credential.
    pub fn set_rate_limit(&self, limit: u64, remaining: u64) {
        lock(&self.shared.state).limits.set(limit, remaining);
    }

    /// `X-Poll-Interval` of the events listing, in seconds.
    pub fn set_poll_interval(&self, seconds: u32) {
        lock(&self.shared.state).poll_interval = seconds;
    }

    /// Holds back events from the events listing, as the service's own delay does, or lets them
    /// all appear. Webhooks are held by [`GithubTwin::hold_webhooks`].
    pub fn hold_events(&self, hold: bool) {
        lock(&self.shared.state).hold_events(hold);
    }

    /// Whether edits of titles, bodies and comments appear in the events listing. They do not at
    /// the service, whose listing shows opened, closed, reopened, labels, assignees and new
    /// comments; off by default. Webhooks always tell of them.
    pub fn set_edit_events(&self, shown: bool) {
        lock(&self.shared.state).edit_events = shown;
    }

    /// Recursive tree listings of this repository are cut at this many entries.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn set_tree_limit(&self, repo: &str, entries: usize) -> crate::Result<()> {
        let mut state = lock(&self.shared.state);
        let found = state.world.repo_mut(repo);
        found.ok_or_else(|| change::missing("repository", repo))?.tree_limit = entries;
        Ok(())
    }

    /// Sends signed webhooks to `http://HOST:PORT/PATH`.
    ///
    /// # Errors
    /// Where the URL is of another form.
    pub fn set_webhook(&self, url: &str, secret: &str) -> io::Result<()> {
        self.shared.harness.webhooks.configure(url, secret)
    }

    pub fn clear_webhook(&self) {
        self.shared.harness.webhooks.disconnect();
    }

    /// Holds deliveries back for [`GithubTwin::take_webhooks`], or sends what is held.
    pub fn hold_webhooks(&self, hold: bool) {
        self.shared.harness.webhooks.hold(hold);
    }

    /// The deliveries held back, which are then no longer held.
    pub fn take_webhooks(&self) -> Vec<Delivery> {
        self.shared.harness.webhooks.take_held()
    }

    /// Sends this delivery as it is: again, late, or tampered with.
    pub fn send_webhook(&self, delivery: Delivery) {
        self.shared.harness.webhooks.send(delivery);
    }

    /// What became of every delivery sent so far.
    pub fn webhook_outcomes(&self) -> Vec<Outcome> {
        self.shared.harness.webhooks.outcomes()
    }

    /// The number of the last change; 0 before the first.
    pub fn sequence(&self) -> u64 {
        lock(&self.shared.state).history.sequence()
    }

    /// Every value the object had, oldest first. Objects are named `issue:{repository id}/{number}`,
    /// `comment:{id}`, `repo:{id}`, `run:{id}`, `release:{id}`, `ref:{repository id}/{full ref}`.
    pub fn versions(&self, object: &str) -> Vec<Version> {
        let State { world, history, .. } = &*lock(&self.shared.state);
        history.versions(object, world.snapshot(object))
    }

    /// The values the object had from just after change `from` until just after change `to`:
    /// what a read between the two may show.
    pub fn values_between(
        &self,
        object: &str,
        from: u64,
        to: u64,
    ) -> Vec<Option<serde_json::Value>> {
        let State { world, history, .. } = &*lock(&self.shared.state);
        history.between(object, world.snapshot(object), from, to)
    }

    /// The object's fields now; nothing where it does not exist.
    pub fn value(&self, object: &str) -> Option<serde_json::Value> {
        lock(&self.shared.state).world.snapshot(object)
    }

    pub fn repo_id(&self, repo: &str) -> Option<u64> {
        lock(&self.shared.state).world.repo(repo).map(|repo| repo.id)
    }

    /// The numbers of the repository's issues and pull requests, ascending.
    pub fn numbers(&self, repo: &str) -> Vec<u64> {
        let state = lock(&self.shared.state);
        state.world.repo(repo).map(|r| r.issues.keys().copied().collect()).unwrap_or_default()
    }

    /// The comments of an issue by ascending id.
    pub fn comment_ids(&self, repo: &str, number: u64) -> Vec<u64> {
        let state = lock(&self.shared.state);
        let repo = state.world.repo(repo);
        repo.map(|r| r.comments_of(number).map(|c| c.id).collect()).unwrap_or_default()
    }

    pub fn run_ids(&self, repo: &str) -> Vec<u64> {
        let state = lock(&self.shared.state);
        state.world.repo(repo).map(|r| r.runs.keys().copied().collect()).unwrap_or_default()
    }
}
