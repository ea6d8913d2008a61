//! The life of a mount: from the claim on its mountpoint to the last unmount.
//!
//! Invariants: a mountpoint is given back however the mount ends (a signal, an unmount from
//! outside, a command, a panic); and nothing is mounted before the claim is held.

use crate::config::{Config, Instance, Overrides};
use crate::control::{self, MountStatus, Refused, Registry, Scrape, Server};
use crate::host::{self, Mounted};
use crate::paths::Paths;
use crate::stops::Stops;
use futures_util::future::BoxFuture;
use omnifs_platform::mounting::{self, UnmountMode};
use omnifs_platform::native::Keeper;
use std::io;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, mpsc};

/// What to mount, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Absolute, without symbolic links.
    pub mountpoint: PathBuf,
    /// Mount nothing here, only serve what others mount. The mountpoint is then a name for it.
    pub serve_only: bool,
    pub config: Config,
    /// Enabled ones only.
    pub instances: Vec<Instance>,
    pub paths: Paths,
    pub log: PathBuf,
    /// The pace of every poll, in place of the feed's own.
    pub poll_every: Option<Duration>,
    /// How `config` and `instances` are made anew for a reload. Absent: they come from no file.
    pub reread: Option<Reread>,
    /// What has the mount outlive this process.
    pub keeper: Option<Arc<Keeper>>,
}

/// What was said beside the configuration file when the mount began, and goes on to win over it.
#[derive(Clone, Debug, Default)]
pub struct Reread {
    /// The file was named, so it must exist.
    pub named: bool,
    pub overrides: Overrides,
    /// `--provider NAME=FILE`
    pub flags: Vec<(String, PathBuf)>,
}

impl Options {
    /// Whether the mount is one that another process has begun.
    pub fn goes_on(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.goes_on())
    }

    /// What a reload is to start from.
    pub fn follow(&mut self, named: bool, overrides: Overrides) {
        if let Some(reread) = &mut self.reread {
            (reread.named, reread.overrides) = (named, overrides);
        }
    }
}

/// What this process tells the keeper of its mount, if that has one.
#[derive(Clone, Debug)]
struct Keeping(Option<Arc<Keeper>>);

impl Keeping {
    /// Whether another process would go on with the mount if this one died now.
    fn holds(&self) -> bool {
        self.0.as_ref().is_some_and(|keeper| keeper.holds())
    }

    fn ready(&self) {
        self.0.iter().for_each(|keeper| keeper.ready());
    }

    fn over(&self) {
        self.0.iter().for_each(|keeper| keeper.over());
    }
}

/// A mounted file system, as a back end hands it over.
pub trait Mount: Send {
    /// Takes it off its mountpoint. Blocks.
    ///
    /// # Errors
    /// [`mounting::Error::Busy`] of [`UnmountMode::Clean`]: it stays mounted.
    fn unmount(&mut self, how: UnmountMode) -> Result<(), mounting::Error>;

    /// Ready once it was unmounted from outside. May be dropped and asked again.
    fn ended(&mut self) -> BoxFuture<'_, ()>;

    /// Commands by which others can mount it, each with the system it is for.
    fn commands(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Mountpoint(#[from] mounting::Error),
    #[error(transparent)]
    Control(#[from] control::Error),
    #[error(transparent)]
    Start(#[from] Refused),
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    #[error("interrupted before the mount was ready")]
    Interrupted,
    #[error("a panic ended the mount")]
    Panicked,
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Mountpoint(error) => error.hint(),
            Error::Control(error) => error.hint(),
            Error::Start(refused) => refused.hint.clone(),
            Error::Panicked => Some("please report it with the last lines of `omnifs logs`".into()),
            Error::System(_) | Error::Interrupted => None,
        }
    }
}

/// How long a panic leaves to the orderly end before the mountpoint is taken back by force.
const PANIC_PATIENCE: Duration = Duration::from_secs(5);

/// Mounts, calls `ready` with the mount, and serves until the mount ends.
///
/// For a process that does nothing else: it takes over signals, the panic hook and the working
/// directory.
pub fn run(options: Options, ready: impl FnOnce(&Mounted)) -> Result<(), Error> {
    run_with(options, host::start, ready)
}

/// [`run`] with another start than the real one.
pub fn run_with(
    options: Options,
    start: impl AsyncFnOnce(&Options) -> Result<Mounted, Refused>,
    ready: impl FnOnce(&Mounted),
) -> Result<(), Error> {
    harden();
    keep_one_heap();
    let registry = Registry::new(options.paths.mounts());
    let keeping = Keeping(options.keeper.clone());
    let claim = || registry.claim(&options.mountpoint);
    // What the process before had is free once its last calls in the kernel are answered, which is up to this one.
    let mut claimed = if options.goes_on() { None } else { Some(claim()?) };
    #[cfg(target_os = "linux")]
    if let Some(keeper) = &options.keeper {
        // Before any content is looked at.
        let first = crate::nodes::tell_apart_by(*keeper.secret());
        debug_assert!(first, "a content was looked at already");
    }
    if !options.serve_only && !options.goes_on() && mounting::prepare(&options.mountpoint)? {
        tracing::warn!(mountpoint = %options.mountpoint.display(), "detached a dead mount");
    }
    // Not the directory it was started in: that one could then not be unmounted or removed.
    std::env::set_current_dir(root())?;
    let panicked = catch_panics(&options.mountpoint, &keeping);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut signals = Stops::new()?;
        // Taken before anything is mounted, so that there is nothing to take back where it cannot be.
        let bind = async || match options.config.mount.metrics_listen {
            Some(address) => Scrape::bind(address).await.map(Some),
            None => Ok(None),
        };
        let bound = if options.goes_on() { None } else { Some(bind().await?) };
        let mut mounted = tokio::select! {
            mounted = start(&options) => mounted?,
            _ = signals.next() => return Err(Error::Interrupted),
        };
        let claim = match claimed.take() {
            Some(claim) => claim,
            None => tokio::select! {
                claim = until_free(None, async || claim()) => claim?,
                _ = signals.next() => {
                    unmount(&mut mounted, UnmountMode::Force)?;
                    return Err(Error::Interrupted);
                }
                () = mounted.mount.ended() => return Err(Error::Interrupted),
            },
        };
        let scrape = match bound {
            Some(scrape) => scrape,
            None => until_free(Some(FREED), bind).await.unwrap_or_else(|error| {
                let warning = format!("metrics are not served: {error}");
                tracing::warn!("{warning}");
                mounted.warnings.push(warning);
                None
            }),
        };
        let (sender, asked) = mpsc::channel(1);
        let daemon = Arc::clone(&mounted.daemon);
        let server = Server::start(claim, status(&options), daemon, sender).await;
        let server = match server {
            Ok(server) => server,
            Err(error) => {
                unmount(&mut mounted, UnmountMode::Force)?;
                return Err(error.into());
            }
        };
        let _metrics =
            scrape.map(|scrape| scrape.serve(status(&options), Arc::clone(&mounted.daemon)));
        if let Some(warning) = server.warning() {
            tracing::warn!("{warning}");
            mounted.warnings.push(warning.to_owned());
        }
        let what = if options.goes_on() {
            "goes on with the mount of a process that died"
        } else {
            "mounted"
        };
        tracing::info!(mountpoint = %options.mountpoint.display(), "{what}");
        if !options.goes_on() {
            keeping.ready();
        }
        ready(&mounted);
        let result = serve(&mut mounted, signals, asked, &panicked).await;
        keeping.over();
        server.stop().await;
        result
    });
    match &result {
        // Whoever ends a process that was to go on with a mount wants it to end.
        Err(Error::Interrupted) if options.goes_on() => {
            let _ = mounting::detach(&options.mountpoint, UnmountMode::Force);
            keeping.over();
        }
        // Nothing is mounted, or not any more.
        Err(_) if !options.goes_on() => keeping.over(),
        // The next process may do better.
        _ => {}
    }
    // Calls of providers that are still running have nobody left to answer to.
    runtime.shutdown_timeout(Duration::from_secs(2));
    tracing::info!("ended");
    result
}

/// How long a port that the process before had may stay taken, and how often such things are tried.
pub(crate) const FREED: Duration = Duration::from_secs(5);
const TRIED: Duration = Duration::from_millis(10);

/// Takes something that the process before may hold until it has got its last answers; `None` waits for that.
pub(crate) async fn until_free<T, E>(
    limit: Option<Duration>,
    take: impl AsyncFn() -> Result<T, E>,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        match take().await {
            Err(_) if limit.is_none_or(|limit| began.elapsed() < limit) => {
                tokio::time::sleep(TRIED).await;
            }
            taken => return taken,
        }
    }
}

/// Serves until something ends the mount, and unmounts.
async fn serve(
    mounted: &mut Mounted,
    mut signals: Stops,
    mut asked: mpsc::Receiver<control::Unmount>,
    panicked: &Notify,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "unmounting");
                let plain = unmount(mounted, UnmountMode::Clean);
                return plain.or_else(|_| unmount(mounted, UnmountMode::Force)).map_err(Error::from);
            }
            () = panicked.notified() => {
                let _ = unmount(mounted, UnmountMode::Force);
                return Err(Error::Panicked);
            }
            () = mounted.mount.ended() => {
                tracing::info!("unmounted from outside");
                return Ok(());
            }
            Some(request) = asked.recv() => {
                let outcome = unmount(mounted, UnmountMode::forced(request.force));
                let ended = outcome.is_ok();
                let refused =
                    outcome.map_err(|e| Refused { message: e.to_string(), hint: e.hint() });
                // A client that has gone away does not change what it asked for.
                let _ = request.answer.send(refused);
                if ended {
                    return Ok(());
                }
            }
        }
    }
}

/// A directory that is there and that no mount covers.
fn root() -> PathBuf {
    // On Windows `/` is on the drive of the working directory, which may be a stick.
    let system = std::env::var_os("SystemRoot").filter(|_| cfg!(windows));
    system.map_or_else(|| "/".into(), PathBuf::from)
}

fn unmount(mounted: &mut Mounted, how: UnmountMode) -> Result<(), mounting::Error> {
    tokio::task::block_in_place(|| mounted.mount.unmount(how))
}

fn status(options: &Options) -> MountStatus {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    MountStatus {
        mountpoint: options.mountpoint.to_string_lossy().into_owned(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        backend: options.config.mount.backend.name().into(),
        started: now.as_millis() as u64,
        log: options.log.to_string_lossy().into_owned(),
        allow_other: options.config.mount.allow_other,
        stale_if_error: options.config.mount.stale_if_error,
        kept: false,
        taken_back: options.keeper.as_ref().is_some_and(|keeper| keeper.took_back()),
    }
}

/// Keeps secrets in memory from core dumps and other processes of the user, and lets the process
/// have as many files as it may.
pub fn harden() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        let _ = setrlimit(Resource::Core, none);
        let files = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    }
    if let Err(error) = crate::credentials::set_not_dumpable() {
        tracing::warn!(%error, "core dumps and other processes may see this one's memory");
    }
}

/// glibc gives each few threads a heap of their own, and each holds on to what the largest listing once
/// needed: with a cache of 16 MiB that came to 30 MiB more. What is small and often allocated comes
/// from a thread's own store in either case. What is large goes back to the system as it is freed: the
/// pieces of large files, which the heap would keep between what is small, came to 30 MiB more too.
fn keep_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets numbers that the allocator reads, under its own lock. A refusal changes nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10);
    }
}

/// Logs a panic of any thread and ends the mount: what a thread left half done nobody should read.
///
/// A mount that is kept does not end: the next process goes on with it.
fn catch_panics(mountpoint: &Path, keeping: &Keeping) -> Arc<Notify> {
    let panicked = Arc::new(Notify::new());
    let (notify, mountpoint, keeping) =
        (Arc::clone(&panicked), mountpoint.to_owned(), keeping.clone());
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if keeping.holds() {
            log_panic(panic);
            std::process::abort();
        }
        // First the way out that needs nothing of this thread, which may hold any lock.
        let mountpoint = mountpoint.clone();
        let _ = std::thread::Builder::new().name("panic".into()).spawn(move || {
            std::thread::sleep(PANIC_PATIENCE);
            let _ = mounting::detach(&mountpoint, UnmountMode::Force);
            std::process::exit(1);
        });
        notify.notify_one();
        log_panic(panic);
    }));
    panicked
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed").to_owned();
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(thread = name, place, "panic: {message}");
}
