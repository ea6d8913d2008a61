//! The Linear twin: the GraphQL API over a generated workspace.
//!
//! Data changes only through the methods here, each of which moves `updatedAt`, the history and
//! the webhooks in one step.

mod change;
mod data;
mod exec;
mod filter;
mod generate;
mod node;
mod schema;
mod service;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use change::{IssueEdit, NewIssue};
pub use generate::TeamShape;
pub use schema::SCHEMA;

use crate::clock::{Clock, lock};
#[cfg(feature = "faults")]
use crate::fault::{Fault, Times};
use crate::history::Version;
use crate::requests::{Counts, Request};
use crate::rng::Rng;
use crate::server::{Server, bind};
use crate::webhook::{Delivery, Outcome};
use data::World;
use service::{Shared, State};

/// What a twin begins with.
#[derive(Clone, Debug)]
pub struct LinearSetup {
    pub seed: u64,
    /// Accepted API keys and OAuth tokens. Empty: any credential will do, and none as well.
    pub tokens: Vec<String>,
    /// The teams ENG and OPS, with issue ENG-204.
    pub demo: bool,
    pub teams: Vec<TeamShape>,
    /// 0: any free port.
    pub port: u16,
    /// Requests in an hour, for each credential.
    pub request_limit: u64,
    /// Points in an hour, for each credential.
    pub complexity_limit: u64,
}

impl Default for LinearSetup {
    fn default() -> Self {
        Self {
            seed: 1,
            tokens: Vec::new(),
            demo: true,
            teams: Vec::new(),
            port: 0,
            request_limit: 5_000,
            complexity_limit: 250_000,
        }
    }
}

/// A running Linear twin. Dropping it ends it.
#[derive(Debug)]
pub struct LinearTwin {
    shared: Arc<Shared>,
    url: String,
    port: u16,
    server: Mutex<Option<Server>>,
}

impl LinearTwin {
    /// # Errors
    /// Where the loopback port cannot be had.
    pub fn start(setup: LinearSetup) -> io::Result<Self> {
        let mut world = World::default();
        let mut rng = Rng::new(setup.seed);
        generate::workspace(&mut world, &mut rng);
        if setup.demo {
            generate::demo(&mut world, &mut rng);
        }
        for (index, shape) in setup.teams.iter().enumerate() {
            generate::fill_team(&mut world, shape, setup.seed.wrapping_add(1 + index as u64));
        }
        let listener = bind(setup.port)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::new(world, &setup, rng));
        let server = Server::start(shared.clone(), listener)?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self { shared, url, port, server: Mutex::new(Some(server)) })
    }

    /// The demo's workspace on any free port, with any credential.
    ///
    /// # Errors
    /// As [`LinearTwin::start`].
    pub fn demo() -> io::Result<Self> {
        Self::start(LinearSetup::default())
    }

    /// `http://127.0.0.1:PORT`: stands for `https://api.linear.app`. The API is at `/graphql`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection and stops listening; the data stays.
    pub fn stop(&self) {
        let server = lock(&self.server).take();
        if let Some(server) = server {
            server.stop();
        }
    }

    /// Listens again on the same port after [`LinearTwin::stop`].
    ///
    /// # Errors
    /// Where another process has taken the port in between.
    pub fn restart(&self) -> io::Result<()> {
        self.stop();
        let server = Server::start(self.shared.clone(), bind(self.port)?)?;
        *lock(&self.server) = Some(server);
        Ok(())
    }

    pub fn clock(&self) -> &Clock {
        &self.shared.harness.clock
    }

    #[cfg(feature = "faults")]
    /// Lets a fault hit requests whose path matches; the only path is `/graphql`.
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

    /// Points spent since the start or the last reset.
    pub fn points(&self) -> u64 {
        lock(&self.shared.state).points
    }

    pub fn reset_counts(&self) {
        lock(&self.shared.harness.log).reset();
        lock(&self.shared.state).points = 0;
    }

    /// Accepted credentials from now on. Empty: any.
    pub fn set_tokens(&self, tokens: &[&str]) {
        *lock(&self.shared.tokens) = tokens.iter().map(|t| (*t).to_owned()).collect();
    }

    /// Requests in an hour and how many are left now, for every credential.
    pub fn set_request_limit(&self, limit: u64, remaining: u64) {
        lock(&self.shared.state).limits.set_requests(limit, remaining);
    }

    /// Points in an hour and how many are left now, for every credential.
    pub fn set_complexity_limit(&self, limit: u64, remaining: u64) {
        lock(&self.shared.state).limits.set_points(limit, remaining);
    }

    /// Whether adding, editing or deleting a comment moves the issue's `updatedAt`. Off by
    /// default: a reader must ask for comments by their own times.
    pub fn set_comments_touch_issue(&self, touch: bool) {
        lock(&self.shared.state).comments_touch_issue = touch;
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

    /// Holds deliveries back for [`LinearTwin::take_webhooks`], or sends what is held.
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

    /// Every value the object had, oldest first: `issue:{uuid}`, `comment:{uuid}`,
    /// `project:{uuid}`, `state:{uuid}`, `team:{uuid}`.
    pub fn versions(&self, object: &str) -> Vec<Version> {
        let State { world, history, .. } = &*lock(&self.shared.state);
        history.versions(object, world.snapshot(object))
    }

    /// The values the object had from just after change `from` until just after change `to`.
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

    /// The UUID of an issue by its identifier, `ENG-204`; a former one will do.
    pub fn issue_id(&self, identifier: &str) -> Option<String> {
        lock(&self.shared.state).world.issue(identifier).map(|issue| issue.id.clone())
    }

    /// The identifiers of a team's issues, by ascending number.
    pub fn identifiers(&self, team: &str) -> Vec<String> {
        let state = lock(&self.shared.state);
        let Some(team) = state.world.team_by_key(team) else { return Vec::new() };
        let mut issues: Vec<_> =
            state.world.issues.values().filter(|issue| issue.team == team.id).collect();
        issues.sort_by_key(|issue| issue.number);
        issues.into_iter().map(|issue| state.world.identifier(issue)).collect()
    }

    /// The UUIDs of an issue's comments, oldest first.
    pub fn comment_ids(&self, issue: &str) -> Vec<String> {
        let state = lock(&self.shared.state);
        let issue = state.world.issue(issue);
        issue.and_then(|i| state.world.comments_of.get(&i.id).cloned()).unwrap_or_default()
    }
}
