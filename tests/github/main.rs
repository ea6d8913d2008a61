//! GitHub through a real mount: the binary, the FUSE back end, the sandboxed provider, the real
//! HTTP path, and a twin of the service that counts every request and fails on demand.

#![cfg(target_os = "linux")]

mod assets;
mod backups;
mod budget;
mod code;
mod coherence;
mod counts;
mod faults;
mod feeds;
mod growth;
mod identity;
mod nfs;
mod paths;
mod polls;
mod replaced;
mod scale;
mod tasks;
mod titles;
mod views;

use omnifs_support::{Mounted, Omnifs, skip, wait_until};
use omnifs_twins::github::RepoShape;
use omnifs_twins::{GithubSetup, GithubTwin, Request};
use polls::is_poll;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long; the benchmarks measure.
const SOON: Duration = Duration::from_secs(60);

/// An interval of polls that does not pass within a test: each scope is polled once, at its first use.
const NEVER: &str = "3600000";
/// One for tests of what polls bring.
const OFTEN: &str = "100";

/// The repository of most tests, below the mount.
const API: &str = "github/acme/api";

/// A twin, and a home whose mounts reach it.
struct World {
    twin: GithubTwin,
    omnifs: Omnifs,
    /// The last request already counted.
    seen: AtomicU64,
}

/// What a test wants to be otherwise.
#[derive(Default)]
struct Wish<'a> {
    setup: GithubSetup,
    /// `settings.KEY = VALUE` of the instance.
    settings: &'a str,
    /// Further sections of the configuration file.
    sections: &'a str,
    polls: Option<&'a str>,
    token: Option<&'a str>,
}

impl World {
    /// Nothing where no mount can be made here, which is said.
    fn new(test: &str, wish: Wish<'_>) -> Option<World> {
        if let Some(reason) = Omnifs::unavailable() {
            skip(test, &reason);
            return None;
        }
        let twin = GithubTwin::start(wish.setup).expect("a twin");
        let mut omnifs = Omnifs::new().expect("a home");
        omnifs = omnifs.env("OMNIFS_POLL_MS", wish.polls.unwrap_or(NEVER));
        if let Some(token) = wish.token {
            // The twin is not where the manifest has GitHub.
            omnifs = omnifs.env("GH_ENTERPRISE_TOKEN", token);
        }
        let config = format!(
            "{}\n[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
             [instances.github]\n{}\n[instances.github.endpoints.api]\nurl = '{}'\n\
             redirect-hosts = ['{}']\n",
            wish.sections,
            wish.settings,
            twin.url(),
            twin.storage_url()
        );
        omnifs.config(&config).expect("a configuration");
        Some(World { twin, omnifs, seen: AtomicU64::new(0) })
    }

    /// The small world of `acme`, with issue 2853 and run 9801.
    fn demo(test: &str) -> Option<World> {
        World::new(test, Wish::default())
    }

    /// `acme/api` as it is in the demo, with polls that come often.
    fn polled(test: &str) -> Option<World> {
        World::new(test, Wish { polls: Some(OFTEN), ..Wish::default() })
    }

    fn mount(&self) -> Mounted<'_> {
        let mounted = self.omnifs.mount::<&str>(&[]).expect("mount");
        self.requests();
        mounted
    }

    /// The requests since the last call, those of polls aside.
    fn taken(&self) -> Vec<Request> {
        let requests = self.twin.requests();
        let last = requests.last().map_or(0, |request| request.id);
        let from = self.seen.fetch_max(last, Ordering::SeqCst);
        requests.into_iter().filter(|request| request.id > from && !is_poll(request)).collect()
    }

    /// [`World::taken`] as `GET /user?page=2`.
    fn requests(&self) -> Vec<String> {
        self.taken().iter().map(Request::line).collect()
    }
}

/// `acme/api` alone, with this many open issues and comments.
fn issues(open: usize, comments: usize) -> GithubSetup {
    let repos = vec![RepoShape::issues("acme", "api", open, comments)];
    GithubSetup { demo: false, repos, ..GithubSetup::default() }
}

/// The state of a scope, or of the first one whose name begins so.
fn scope(status: &Value, name: &str) -> Option<String> {
    let mut scopes = status["scopes"].as_array()?.iter();
    let found = scopes.find(|s| s["scope"].as_str().is_some_and(|s| s.starts_with(name)))?;
    Some(found["state"].as_str()?.to_owned())
}

/// Waits until the scope is in this state.
fn await_scope(mounted: &Mounted<'_>, name: &str, state: &str) {
    let reached =
        wait_until(SOON, || (scope(&mounted.status().ok()?, name)? == state).then_some(()));
    assert!(reached.is_some(), "{name} is not {state}: {:?}", mounted.status());
}

/// Waits until every scope in use has been polled at least once.
fn await_polled(mounted: &Mounted<'_>) {
    let heard = |scope: &Value| !scope["heard"].is_null();
    let polled = wait_until(SOON, || {
        let status = mounted.status().ok()?;
        let scopes = status["scopes"].as_array()?;
        (!scopes.is_empty() && scopes.iter().all(heard)).then_some(())
    });
    assert!(polled.is_some(), "{:?}", mounted.status());
}

/// The newest error that the mount keeps.
fn last_error(mounted: &Mounted<'_>) -> Value {
    mounted.status().expect("status")["errors"][0].clone()
}
