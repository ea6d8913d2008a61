//! Linear through a real mount: the binary, the FUSE back end, the sandboxed provider, the real HTTP
//! path, and a twin of the service that counts every request and its points.

#![cfg(target_os = "linux")]

mod counts;
mod faults;
mod identity;
mod paths;
mod polls;
mod tasks;

use omnifs_support::{Mounted, Omnifs, skip, wait_until};
use omnifs_twins::linear::TeamShape;
use omnifs_twins::{LinearSetup, LinearTwin};
use polls::{is_poll, query};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long; the benchmarks measure.
const SOON: Duration = Duration::from_secs(60);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";

/// A twin, and a home whose mounts reach it.
struct World {
    twin: LinearTwin,
    omnifs: Omnifs,
    /// The last request already counted.
    seen: AtomicU64,
}

impl World {
    /// Nothing where no mount can be made here, which is said.
    fn new(test: &str, setup: LinearSetup, polls: &str, sections: &str) -> Option<World> {
        if let Some(reason) = Omnifs::unavailable() {
            skip(test, &reason);
            return None;
        }
        let twin = LinearTwin::start(setup).expect("a twin");
        let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", polls);
        let config = format!(
            "{sections}\n[instances.docker]\nenabled = false\n[instances.github]\nenabled = false\n\
             [instances.linear.endpoints]\napi = '{}'\n",
            twin.url()
        );
        omnifs.config(&config).expect("a configuration");
        Some(World { twin, omnifs, seen: AtomicU64::new(0) })
    }

    /// The teams ENG and OPS, with issue ENG-204.
    fn demo(test: &str) -> Option<World> {
        World::new(test, LinearSetup::default(), NEVER, "")
    }

    /// The same, with polls that come often.
    fn polled(test: &str) -> Option<World> {
        World::new(test, LinearSetup::default(), OFTEN, "")
    }

    /// One team ENG with this many issues and comments.
    fn team(test: &str, issues: usize, comments: usize, awkward: bool) -> Option<World> {
        World::new(test, engineering(issues, comments, awkward), NEVER, "")
    }

    fn mount(&self) -> Mounted<'_> {
        let mounted = self.omnifs.mount::<&str>(&[]).expect("mount");
        self.requests();
        mounted
    }

    /// The names of the queries since the last call, those of polls aside.
    fn requests(&self) -> Vec<String> {
        let requests = self.twin.requests();
        let last = requests.last().map_or(0, |request| request.id);
        let from = self.seen.fetch_max(last, Ordering::SeqCst);
        let new = requests.iter().filter(|request| request.id > from);
        new.map(query).filter(|name| !is_poll(name)).collect()
    }
}

/// One team ENG with this many issues and comments.
fn engineering(issues: usize, comments: usize, awkward: bool) -> LinearSetup {
    let (key, name) = ("ENG".to_owned(), "Engineering".to_owned());
    let teams = vec![TeamShape { key, name, issues, comments, awkward }];
    LinearSetup { demo: false, teams, ..LinearSetup::default() }
}

fn issues(mounted: &Mounted<'_>) -> PathBuf {
    mounted.join("linear/teams/ENG/issues")
}

/// Waits until every scope in use has been polled and is live.
fn await_live(mounted: &Mounted<'_>) {
    let good = |scope: &Value| !scope["heard"].is_null() && scope["state"] == "live";
    let live = wait_until(SOON, || {
        let status = mounted.status().ok()?;
        let scopes = status["scopes"].as_array()?;
        (!scopes.is_empty() && scopes.iter().all(good)).then_some(())
    });
    assert!(live.is_some(), "{:?}", mounted.status());
}

/// Waits until no scope is live.
fn await_lost(mounted: &Mounted<'_>) {
    let lost = wait_until(SOON, || {
        let status = mounted.status().ok()?;
        status["scopes"].as_array()?.iter().all(|scope| scope["state"] == "lost").then_some(())
    });
    assert!(lost.is_some(), "{:?}", mounted.status());
}
