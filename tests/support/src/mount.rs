//! The built `omnifs` binary on a home of its own, and real mounts made with it.

use crate::{program, sweep, tied, wait_until};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

/// From the start of `omnifs mount` to a root directory that can be listed. The first start
/// compiles every component.
const READY: Duration = Duration::from_secs(180);
/// For the daemon to unmount and end after SIGTERM.
const END: Duration = Duration::from_secs(60);
/// For a subcommand that ends by itself.
const RUN: Duration = Duration::from_secs(180);

/// Short, because the run-time directory holds a unix socket, whose path may have 107 bytes.
const BASE: &str = "/tmp";
const PREFIX: &str = "omnifs-home-";

/// Variables of the caller's environment that would change what a test sees.
const CLEARED: &[&str] = &[
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "GH_CONFIG_DIR",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "LINEAR_TOKEN",
    "LINEAR_API_KEY",
    "RUST_LOG",
    "DBUS_SESSION_BUS_ADDRESS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
];

/// A private home: configuration, cache, state and run-time directories that nothing else uses. Two
/// mounts made from one value share them, one after the other: what a restart keeps, they keep.
#[derive(Debug)]
pub struct Omnifs {
    home: tempfile::TempDir,
    /// Locked as long as this home is in use, so that a sweep leaves it alone.
    _lock: File,
    environment: Vec<(String, String)>,
    /// In the place of the one that was built.
    binary: Option<PathBuf>,
}

/// What a subcommand printed.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A home to mount from, unless nothing can be mounted here: the test then says so.
pub fn home(test: &str) -> Option<Omnifs> {
    match Omnifs::unavailable() {
        Some(reason) => {
            crate::skip(test, &reason);
            None
        }
        None => Some(Omnifs::new().expect("a home")),
    }
}

impl Omnifs {
    /// Why nothing can be mounted here, in one line that says what to do; `None` when it can.
    pub fn unavailable() -> Option<String> {
        if binary().is_none() {
            return Some("the omnifs binary is not built: cargo xtask build".into());
        }
        match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some("/dev/fuse is missing: modprobe fuse".into());
            }
            Err(error) => return Some(format!("/dev/fuse: {error}: run it as root")),
        }
        let root = rustix::process::geteuid().is_root();
        (!root && program("fusermount3").is_none())
            .then(|| "fusermount3 is not installed: apt-get install fuse3".into())
    }

    /// A fresh home. `DOCKER_HOST` names a socket that does not exist, so that no test talks to the
    /// machine's own engine by accident.
    pub fn new() -> io::Result<Omnifs> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep::abandoned(Path::new(BASE), PREFIX));
        let home = tempfile::Builder::new().prefix(PREFIX).tempdir_in(BASE)?;
        let lock = sweep::lock(home.path())?;
        for directory in ["config/omnifs", "cache", "data", "state", "run", "mnt"] {
            fs::create_dir_all(home.path().join(directory))?;
        }
        let nowhere = format!("unix://{}/no-engine.sock", home.path().display());
        Ok(Omnifs {
            home,
            _lock: lock,
            environment: vec![("DOCKER_HOST".into(), nowhere)],
            binary: None,
        })
    }

    /// Sets a variable for every later command of this home.
    pub fn env(mut self, name: &str, value: &str) -> Omnifs {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has every later command be this program.
    pub fn with_binary(mut self, program: &Path) -> Omnifs {
        self.binary = Some(program.to_owned());
        self
    }

    /// Writes the configuration file.
    pub fn config(&self, toml: &str) -> io::Result<()> {
        fs::write(self.path("config/omnifs/config.toml"), toml)
    }

    /// A path in the home. `config`, `cache`, `data`, `state` and `run` are the XDG directories.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The default mount point.
    pub fn mount_point(&self) -> PathBuf {
        self.path("mnt")
    }

    /// The binary with this home's environment, for a test that wants its own arguments and streams.
    pub fn command(&self) -> Command {
        let built = || binary().unwrap_or_else(|| "omnifs".into());
        let mut command = Command::new(self.binary.clone().unwrap_or_else(built));
        for name in CLEARED {
            command.env_remove(name);
        }
        for (name, directory) in [
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "run"),
            ("HOME", ""),
        ] {
            command.env(name, self.path(directory));
        }
        command.envs(self.environment.iter().map(|(k, v)| (k, v))).stdin(Stdio::null());
        command
    }

    /// Runs a subcommand to its end, at most a minute.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> io::Result<Ran> {
        let streams = tempfile::tempdir()?;
        let (stdout, stderr) = (streams.path().join("out"), streams.path().join("err"));
        let mut command = self.command();
        command.args(args).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let mut child = tied::spawn(command)?;
        let Some(status) = tied::wait(&mut child, RUN) else {
            tied::stop(&mut child, Duration::from_secs(1));
            let args: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
            let message = format!("omnifs {} did not end within {RUN:?}", args.join(" "));
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        };
        let text = |file| fs::read(file).map(|b| String::from_utf8_lossy(&b).into_owned());
        Ok(Ran { status, stdout: text(&stdout)?, stderr: text(&stderr)? })
    }

    /// Mounts on this home's mount point; see [`Omnifs::mount_at`].
    pub fn mount<S: AsRef<OsStr>>(&self, args: &[S]) -> io::Result<Mounted<'_>> {
        self.mount_at(&self.mount_point(), args)
    }

    /// Runs `omnifs mount POINT --foreground ARGS` and waits until it says that
    /// it is mounted and its root can be listed. An error
    /// holds what the binary printed.
    pub fn mount_at<S: AsRef<OsStr>>(&self, point: &Path, args: &[S]) -> io::Result<Mounted<'_>> {
        let log = self.path("mount.log");
        let output = File::create(&log)?;
        let mut command = self.command();
        command.arg("mount").arg(point).arg("--foreground").args(args);
        command.stdout(output.try_clone()?).stderr(output);
        let daemon = tied::spawn(command)?;
        let mut mounted = Mounted { omnifs: self, point: point.to_owned(), daemon, log };
        let ready = wait_until(READY, || {
            if let Ok(Some(status)) = mounted.daemon.try_wait() {
                return Some(Err(format!("omnifs mount ended with {status}")));
            }
            // A mount that does not answer must not be touched: the call could not be bounded.
            let said = mounted.log().contains("mounted at ");
            (said && is_mounted(point) && listed(point)).then_some(Ok(()))
        });
        match ready {
            Some(Ok(())) => Ok(mounted),
            Some(Err(problem)) => Err(io::Error::other(format!("{problem}: {}", mounted.log()))),
            None => {
                let log = mounted.log();
                let message = format!("the mount was not ready within {READY:?}: {log}");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }
}

/// A mount with its daemon; dropped, it is unmounted and the daemon ended.
#[derive(Debug)]
pub struct Mounted<'a> {
    omnifs: &'a Omnifs,
    point: PathBuf,
    daemon: Child,
    log: PathBuf,
}

impl Mounted<'_> {
    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// A path below the mount point.
    pub fn join(&self, path: &str) -> PathBuf {
        self.point.join(path)
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// What `omnifs status --json` says of this mount.
    pub fn status(&self) -> io::Result<Value> {
        let args: [&OsStr; 3] = ["status".as_ref(), self.point.as_os_str(), "--json".as_ref()];
        let ran = self.omnifs.run(&args)?;
        if !ran.status.success() {
            return Err(io::Error::other(format!("{}{}", ran.stdout, ran.stderr)));
        }
        serde_json::from_str(&ran.stdout)
            .map_err(|error| io::Error::other(format!("{error}: {}{}", ran.stdout, ran.stderr)))
    }

    /// What the daemon has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM; true when the daemon ended by itself and nothing is mounted any more.
    pub fn unmount(mut self) -> bool {
        tied::stop(&mut self.daemon, END) && !is_mounted(&self.point)
    }

    /// SIGKILL, as a crash would leave it: the stale mount stays.
    pub fn kill(mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        std::mem::forget(self);
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) {
        tied::signal(&self.daemon, signal);
    }

    /// Waits for the daemon's end after a signal.
    pub fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        tied::wait(&mut self.daemon, limit)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- output of omnifs mount ---\n{}---", self.log());
        }
        if matches!(self.daemon.try_wait(), Ok(None)) {
            tied::stop(&mut self.daemon, END);
        }
        detach(&self.point);
    }
}

/// Whether something is mounted on exactly this path.
pub fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = point.canonicalize().unwrap_or_else(|_| point.to_owned());
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|field| Path::new(&field.replace("\\040", " ")) == point)
}

/// Removes a mount that nobody serves any more, without waiting for its users.
pub fn detach(point: &Path) {
    if !is_mounted(point) || unmount(point, UnmountFlags::FORCE | UnmountFlags::DETACH).is_ok() {
        return;
    }
    if let Some(fusermount) = program("fusermount3") {
        let _ = Command::new(fusermount).arg("-uz").arg(point).stderr(Stdio::null()).status();
    }
}

/// Lists the root in a thread of its own, so that a hanging mount costs a thread and not the test.
fn listed(point: &Path) -> bool {
    let (done, answer) = std::sync::mpsc::channel();
    let point = point.to_owned();
    std::thread::spawn(move || done.send(crate::tools::list(&point).is_ok()));
    answer.recv_timeout(Duration::from_secs(60)).unwrap_or(false)
}

/// `OMNIFS_BIN`, else the binary beside the running test's directory.
fn binary() -> Option<PathBuf> {
    match std::env::var_os("OMNIFS_BIN") {
        Some(given) => Some(given.into()),
        None => Some(std::env::current_exe().ok()?.ancestors().nth(2)?.join("omnifs")),
    }
    .filter(|file| file.is_file())
}

/// Whether a mount can outlive its process here. Says so where it cannot.
pub fn can_outlive(test: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 9) {
        crate::skip(test, "a mount outlives its process from Linux 6.9 on");
    }
    version >= (6, 9)
}
