//! Git through a real mount: the binary, the FUSE back end, the sandboxed provider, and git's own server, with
//! git itself to say what is right.

#![cfg(target_os = "linux")]

mod changes;
mod history;
mod server;
mod shown;

use omnifs_support::{Mounted, Omnifs, skip, wait_until};
use serde_json::Value;
use server::Server;
use std::path::PathBuf;
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(30);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";

/// A server, and a home whose mounts reach it.
struct World {
    server: Server,
    omnifs: Omnifs,
}

impl World {
    /// Nothing where no mount can be made here, which is said. `more` is further settings of the instance.
    fn new(test: &str, polls: &str, more: &str) -> Option<World> {
        let git = std::process::Command::new("git").arg("--version").output();
        let missing = git.is_err().then(|| "there is no git".to_owned());
        if let Some(reason) = Omnifs::unavailable().or(missing) {
            skip(test, &reason);
            return None;
        }
        let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", polls);
        let server = Server::start(omnifs.path("served"));
        let world = World { server, omnifs };
        world.configure(more);
        Some(world)
    }

    fn configure(&self, more: &str) {
        let off = |name: &str| format!("[instances.{name}]\nenabled = false\n");
        let off = ["docker", "github", "linear"].map(off).concat();
        let own = format!("[instances.git]\nendpoints.git = '{}'\n{more}\n", self.server.url());
        self.omnifs.config(&(off + &own)).expect("a configuration");
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// The requests since the last call that somebody waited for: no poll asks for anything else than refs.
    fn asked(&self) -> Vec<String> {
        let requests = self.server.requests();
        requests.into_iter().filter(|request| !request.ends_with("ls-refs")).collect()
    }
}

/// Of settings with which a server lets a fetch leave objects out.
const PARTIAL: &[&str] = &["uploadpack.allowFilter"];

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("git").join(path)
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
