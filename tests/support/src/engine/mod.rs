//! A private Docker engine: Debian's `dockerd` on a directory of its own, without network and
//! without touching any engine the machine already has. Debian's `podman`, likewise, is a second one.
//!
//! It is stopped when the test process exits, also after a panic; when the test process is killed the
//! kernel stops the engine, and the next run removes the directory.

mod containers;
mod image;
mod kind;

pub use containers::{Api, Container, Events};
pub use image::static_busybox;
pub use kind::Kind;

use crate::{http, program, skip, sweep, tied, wait_until};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// From the start of the process to its first answer; a loaded 2-core machine needs 2 to 5 s.
const START: Duration = Duration::from_secs(180);
/// For one API call.
pub(crate) const CALL: Duration = Duration::from_secs(180);
/// From SIGTERM to SIGKILL. The engine itself gives its containers one second.
const STOP: Duration = Duration::from_secs(20);
/// Short, because a unix socket's path may have 107 bytes.
const BASE: &str = "/tmp";
const PREFIX: &str = "omnifs-engine-";
/// The image that every container of this engine runs.
pub const IMAGE: &str = "omnifs-busybox:latest";

/// A running engine, used through its [`Api`]. All methods may be called from any thread.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    api: Api,
    directory: tempfile::TempDir,
    /// Locked as long as this engine lives, so that a sweep leaves it alone.
    _lock: File,
    daemon: Mutex<Option<Child>>,
}

static SHARED: Mutex<Option<Result<Arc<Engine>, String>>> = Mutex::new(None);

impl Engine {
    /// The engine that all tests of this process share, started at the first call and stopped at
    /// the process's exit. `None` when it cannot run here; that has then been said loudly in the
    /// name of `test`.
    pub fn shared(test: &str) -> Option<Arc<Engine>> {
        let mut shared = SHARED.lock().unwrap_or_else(|poison| poison.into_inner());
        let first = shared.is_none();
        let engine = shared.get_or_insert_with(|| Engine::try_start().map(Arc::new));
        if first && engine.is_ok() {
            extern "C" fn stop_shared() {
                if let Ok(mut shared) = SHARED.lock() {
                    shared.take();
                }
            }
            // SAFETY: registers a plain function. A failure only leaves the engine to the kernel's
            // parent-death signal.
            unsafe { libc::atexit(stop_shared) };
        }
        match engine {
            Ok(engine) => Some(Arc::clone(engine)),
            Err(reason) => {
                skip(test, reason);
                None
            }
        }
    }

    /// An engine of one's own, for tests that stop or freeze it; stopped on drop. `None` as for
    /// [`Engine::shared`].
    pub fn start(test: &str) -> Option<Engine> {
        Engine::try_start().map_err(|reason| skip(test, &reason)).ok()
    }

    /// A Podman of one's own, as [`Engine::start`].
    pub fn podman(test: &str) -> Option<Engine> {
        Engine::try_start_of(Kind::Podman).map_err(|reason| skip(test, &reason)).ok()
    }

    /// As [`Engine::start`], with the reason instead of the loud line.
    pub fn try_start() -> Result<Engine, String> {
        Engine::try_start_of(Kind::Docker)
    }

    fn try_start_of(kind: Kind) -> Result<Engine, String> {
        if let Some(reason) = kind.unavailable() {
            return Err(reason);
        }
        sweep::abandoned(Path::new(BASE), PREFIX);
        let failed = |error: io::Error| format!("the private {}: {error}", kind.program());
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(BASE).map_err(failed)?;
        let lock = sweep::lock(directory.path()).map_err(failed)?;
        let api = Api::new(directory.path().join("docker.sock"));
        let engine = Engine { kind, api, directory, _lock: lock, daemon: Mutex::new(None) };
        engine.run_daemon().map_err(failed)?;
        engine.api.import_image().map_err(failed)?;
        Ok(engine)
    }

    /// What the engine does for a client.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The value for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.api.socket().display())
    }

    /// Stops the engine as its operator would, and starts it on the same data.
    pub fn restart(&self) -> io::Result<()> {
        self.shut_down();
        self.run_daemon()
    }

    /// SIGKILL. The containers are gone after the next [`Engine::start_again`].
    pub fn kill(&self) {
        if let Some(mut daemon) = self.daemon().take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Starts a killed or stopped engine on the same data.
    pub fn start_again(&self) -> io::Result<()> {
        self.run_daemon()
    }

    /// SIGTERM, and waits for the end: its socket then refuses.
    pub fn shut_down(&self) {
        if let Some(mut daemon) = self.daemon().take() {
            tied::stop(&mut daemon, STOP);
        }
    }

    /// SIGSTOP: connections are taken and never answered, until [`Engine::resume`]. Returns when
    /// every thread has stopped.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let pid = self.daemon().as_ref().map(Child::id);
        wait_until(Duration::from_secs(5), || sweep::all_stopped(pid?).then_some(()));
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The docker command line client, told to use this engine. `None` where none is installed.
    pub fn cli(&self) -> Option<Command> {
        // Debian's own comes first: a newer client may refuse to talk to its engine.
        let debian = PathBuf::from("/usr/bin/docker");
        let mut command =
            Command::new(Some(debian).filter(|d| d.exists()).or_else(|| program("docker"))?);
        command.env("DOCKER_HOST", self.host()).stdin(Stdio::null());
        if let Some(version) = self
            .api
            .get("/version")
            .ok()
            .and_then(|v| Some(v.get("ApiVersion")?.as_str()?.to_owned()))
        {
            command.env("DOCKER_API_VERSION", version);
        }
        Some(command)
    }

    fn signal(&self, signal: Signal) {
        if let Some(daemon) = self.daemon().as_ref() {
            tied::signal(daemon, signal);
        }
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Child>> {
        self.daemon.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run_daemon(&self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.path("engine.log"))?;
        let _ = fs::remove_file(self.api.socket());
        let mut command = self.kind.command(self.directory.path(), &self.host())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(path) = std::env::var_os("PATH") {
            // What an engine starts is beside it.
            let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
            let all = std::env::split_paths(&path).chain(system.map(PathBuf::from));
            command.env("PATH", std::env::join_paths(all).map_err(io::Error::other)?);
        }
        let mut daemon = tied::spawn(command)?;
        let answer = wait_until(START, || {
            if let Ok(Some(status)) = daemon.try_wait() {
                return Some(Err(format!("it ended with {status}")));
            }
            ping(self.api.socket()).then_some(Ok(()))
        });
        let problem = match answer {
            Some(Ok(())) => {
                *self.daemon() = Some(daemon);
                return Ok(());
            }
            Some(Err(problem)) => problem,
            None => {
                tied::stop(&mut daemon, STOP);
                format!("it did not answer within {START:?}")
            }
        };
        let log = fs::read_to_string(self.path("engine.log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(io::Error::other(format!("{problem}; its last lines:\n{}", last.join("\n"))))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What Podman runs goes on without it.
        if self.kind == Kind::Podman {
            let _ = self.api.remove_all();
        }
        self.shut_down();
        sweep::clean(self.directory.path());
    }
}

/// Whether a Docker engine answers on this socket.
pub fn ping(socket: &Path) -> bool {
    http::request(socket, "GET", "/_ping", None, Duration::from_secs(5))
        .is_ok_and(|answer| answer.status == 200)
}
