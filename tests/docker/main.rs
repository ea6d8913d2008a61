//! Docker through a real mount: the binary, the FUSE back end, the sandboxed provider and a private
//! engine. A proxy in front of the engine's socket counts the requests.

#![cfg(target_os = "linux")]

mod coherence;
mod counts;
mod faults;
mod growing;
mod identity;
mod logs;
mod podman;
mod proof;
mod tasks;
mod tools;

use omnifs_support::engine::Api;
use omnifs_support::{Engine, Mounted, Omnifs, Proxy, skip, wait_until};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For a change in the engine to show in the mount. The promise is 100 ms; a test on a loaded
/// machine waits longer and the benchmark measures.
const SOON: Duration = Duration::from_secs(60);

/// The engine that the tests of this binary share, unless it cannot run here.
fn engine(test: &str) -> Option<Arc<Engine>> {
    if let Some(reason) = Omnifs::unavailable() {
        skip(test, &reason);
        return None;
    }
    Engine::shared(test)
}

/// A home whose mounts reach the engine through a proxy of its own.
struct World {
    proxy: Proxy,
    omnifs: Omnifs,
    engine: Arc<Engine>,
    /// What one test does to the engine is an event to every other test's mount.
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

impl World {
    fn new(test: &str) -> Option<World> {
        let engine = engine(test)?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let proxy = Proxy::start(engine.api().socket()).expect("a proxy");
        let omnifs = Omnifs::new().expect("a home").env("DOCKER_HOST", &proxy.host());
        Some(World { proxy, omnifs, engine, _turn: turn })
    }

    fn api(&self) -> &Api {
        self.engine.api()
    }

    /// Mounts and waits until the event stream vouches for what is read.
    fn mount(&self) -> Mounted<'_> {
        let mounted = self.omnifs.mount::<&str>(&[]).expect("mount");
        await_live(&mounted);
        self.proxy.take();
        mounted
    }

    /// Requests since the last `take`, the event stream's own aside.
    fn requests(&self) -> Vec<String> {
        let requests = self.proxy.take();
        let own = ["/events", "/_ping", "/version"];
        let paths = requests.into_iter().map(|request| request.path);
        paths.filter(|path| !own.iter().any(|own| path.starts_with(own))).collect()
    }
}

fn feed_state(mounted: &Mounted<'_>) -> Option<String> {
    let status = mounted.status().ok()?;
    Some(status["scopes"].get(0)?["state"].as_str()?.to_owned())
}

fn await_live(mounted: &Mounted<'_>) {
    let live = wait_until(SOON, || (feed_state(mounted)? == "live").then_some(()));
    assert!(live.is_some(), "the event stream is not live: {:?}", mounted.status());
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Waits until `path` reads as `expected`.
fn await_content(path: &Path, expected: &str) {
    let seen = wait_until(SOON, || (std::fs::read_to_string(path).ok()? == expected).then_some(()));
    assert!(seen.is_some(), "{} is {:?}", path.display(), std::fs::read_to_string(path));
}

/// Runs a shell line in `directory` for at most a minute.
fn shell(directory: &Path, line: &str) -> Output {
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", line])
        .current_dir(directory)
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{line}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
