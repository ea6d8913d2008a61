use super::failure::{Exit, Failure};
use super::{Context, background, output, shown, terminal};
use clap::Args;
use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use omnifs::config::units::Capacity;
use omnifs::config::{Backend, Config, MOST_THREADS, Overrides};
use omnifs::host::Mounted;
use omnifs::{component, control, daemon, logs};
use omnifs_platform::mounting;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use tracing::level_filters::LevelFilter;

/// Mount the configured providers at PATH
///
/// Returns once the mount answers; it then runs in the background until `omnifs unmount PATH`, or
/// until its process gets SIGINT, SIGTERM or SIGHUP.
///
/// A provider that does not work is named, and its directory answers with an error; the others are
/// not affected. A credential that is missing or that the service refuses is named too. What an
/// `omnifs` that was killed left mounted at PATH is detached first.
#[derive(Debug, Args)]
pub struct Mount {
    /// An empty directory; on Windows `O:`, `*` for a free letter, or a new directory
    path: PathBuf,
    /// Stay in the foreground and log to standard error; Ctrl-C unmounts
    #[arg(long, short)]
    foreground: bool,
    /// Show the component FILE as the directory NAME. This approves what FILE asks for, for this
    /// mount; `omnifs providers info FILE` shows it
    #[arg(long = "provider", value_name = "NAME=FILE", value_parser = name_and_file)]
    providers: Vec<(String, PathBuf)>,
    #[command(flatten)]
    options: MountOptions,
}

/// Options that the configuration file can set too.
#[derive(Debug, Args)]
pub struct MountOptions {
    /// Let other users use the mount
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        env = "OMNIFS_ALLOW_OTHER", hide_env_values = true, hide_possible_values = true)]
    allow_other: Option<bool>,
    /// Let programs that lie in the mount be run by their names
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        env = "OMNIFS_EXEC", hide_env_values = true, hide_possible_values = true)]
    exec: Option<bool>,
    /// How the tree is shown to the operating system
    #[arg(long, value_parser = backend(), env = "OMNIFS_BACKEND", hide_env_values = true)]
    backend: Option<Backend>,
    /// How much the cache may hold: nodes, and bytes of content after a comma (100000,512MiB)
    #[arg(
        long,
        value_name = "NODES[,BYTES]",
        env = "OMNIFS_CACHE_CAPACITY",
        hide_env_values = true
    )]
    cache_capacity: Option<Capacity>,
    /// Listen for webhooks (127.0.0.1:8787)
    #[arg(long, value_name = "ADDR", env = "OMNIFS_WEBHOOK_LISTEN", hide_env_values = true)]
    webhook_listen: Option<SocketAddr>,
    /// Serve metrics at /metrics of a loopback address (127.0.0.1:9464); every user of this machine can read
    /// them there. `omnifs metrics` needs no port
    #[arg(long, value_name = "ADDR", env = "OMNIFS_METRICS_LISTEN", hide_env_values = true,
        value_parser = omnifs::config::loopback)]
    metrics_listen: Option<SocketAddr>,
    /// Serve what is known when a service cannot be reached; `omnifs status` says so
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        env = "OMNIFS_STALE_IF_ERROR", hide_env_values = true, hide_possible_values = true)]
    stale_if_error: Option<bool>,
    /// Raise inotify events for what changes upstream
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        env = "OMNIFS_WATCH_EVENTS", hide_env_values = true, hide_possible_values = true)]
    watch_events: Option<bool>,
    /// Have the mount outlive the process that serves it (Linux, FUSE); in the background it does by itself
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        env = "OMNIFS_KEEPER", hide_env_values = true, hide_possible_values = true)]
    keeper: Option<bool>,
    /// Event loops of the back end
    #[arg(long, value_name = "N", value_parser = threads, env = "OMNIFS_THREADS",
        hide_env_values = true)]
    threads: Option<usize>,
}

fn backend() -> impl TypedValueParser<Value = Backend> {
    // The parser lets no other name through.
    PossibleValuesParser::new(Backend::ALL.map(Backend::name))
        .map(|name| Backend::from_str(&name).unwrap_or(Backend::native()))
}

fn threads(text: &str) -> Result<usize, String> {
    let rule = || format!("give 1 to {MOST_THREADS} threads");
    text.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n)).ok_or_else(rule)
}

pub fn name_and_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("write NAME=FILE")?;
    if !omnifs::config::valid_name(name) {
        return Err("a name has 1 to 63 lower-case letters, digits and '-'".into());
    }
    if file.is_empty() { Err("the file is missing".into()) } else { Ok((name.into(), file.into())) }
}

impl MountOptions {
    /// The back end that the command line names.
    pub fn backend(&self) -> Option<Backend> {
        self.backend
    }

    pub fn overrides(&self) -> Overrides {
        Overrides {
            backend: self.backend,
            allow_other: self.allow_other,
            exec: self.exec,
            threads: self.threads,
            stale_if_error: self.stale_if_error,
            watch_events: self.watch_events,
            keeper: self.keeper,
            webhook_listen: self.webhook_listen,
            metrics_listen: self.metrics_listen,
            cache_capacity: self.cache_capacity,
        }
    }
}

pub fn run(context: &Context, args: &Mount) -> Result<ExitCode, Failure> {
    let config = as_agreed(context, context.config()?.over(&args.options.overrides()));
    let mut options = options(context, config, &args.path, &args.providers)?;
    options.keeper = context.keeper.clone();
    options.follow(context.named, args.options.overrides());
    let level = log_level()?;
    #[cfg(target_os = "linux")]
    if args.foreground
        && args.options.keeper == Some(true)
        && !context.is_kept
        && wants_keeper(&options.config)
    {
        mounting::prepare(&options.mountpoint)?;
        return keep_in_front();
    }
    if args.foreground || context.ready_on_stdout {
        // With --json standard output and error are a program's.
        let on_terminal = args.foreground && !output::chosen().json;
        start_log(&options.log, level, on_terminal)?;
        serve(options, |at, mounted| {
            let warnings: Vec<_> =
                mounted.warnings.iter().chain(&mounted.credentials).cloned().collect();
            if context.ready_on_stdout {
                background::ready(warnings, going_on(context).is_some());
            } else {
                for warning in &warnings {
                    terminal::tell("warning", warning);
                }
                terminal::tell("note", &format!("mounted at {}; Ctrl-C unmounts", at.display()));
                // What cannot be written the mount goes on without.
                let _ = terminal::begun("", json!({ "mountpoint": at }));
            }
        })?;
    } else {
        mounting::prepare(&options.mountpoint)?;
        let kept = wants_keeper(&options.config);
        background::start(&options.mountpoint, &options.log, kept)?;
        let at = &options.mountpoint;
        terminal::done(&format!("mounted at {}\n", shown(at)), json!({ "mountpoint": at }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Resolves everything that depends on the working directory.
pub fn options(
    context: &Context,
    config: Config,
    path: &Path,
    flags: &[(String, PathBuf)],
) -> Result<daemon::Options, Failure> {
    if config.mount.backend != Backend::native() && config.mount.backend != Backend::Nfs {
        let name = config.mount.backend.name();
        return Err(Failure::new(format!("this system has no back end '{name}'"))
            .hint(format!("use --backend {}", Backend::native().name()))
            .exit(Exit::Usage));
    }
    let absolute = |(name, file): &(String, PathBuf)| {
        let usage = |error: String| {
            Err(Failure::new(format!("--provider {name}: {error}")).exit(Exit::Usage))
        };
        // A directory that only shows an error is nothing that anybody names a file for.
        match (component::read(file), std::path::absolute(file)) {
            (Err(error), _) => usage(error.to_string()),
            (_, Err(error)) => usage(error.to_string()),
            (Ok(_), Ok(file)) => Ok((name.clone(), file)),
        }
    };
    let flags = flags.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
    let mut names = std::collections::HashSet::new();
    if let Some((name, _)) = flags.iter().find(|(name, _)| !names.insert(name)) {
        return Err(Failure::new(format!("--provider {name} is given twice")).exit(Exit::Usage));
    }
    let instances = context.instances(&config, &flags)?;
    context.cache();
    let mountpoint = match going_on(context) {
        Some(point) => point,
        None => mounting::resolve(path)?,
    };
    Ok(daemon::Options {
        log: logs::path(&context.paths.logs(), &control::key(&mountpoint)),
        mountpoint,
        serve_only: false,
        config,
        instances: instances.into_iter().filter(|instance| instance.enabled).collect(),
        paths: context.paths.clone(),
        reread: Some(daemon::Reread { flags, ..daemon::Reread::default() }),
        poll_every: None,
        keeper: None,
    })
}

/// What was agreed on with the kernel stays so in a process that goes on with its session.
#[cfg(target_os = "linux")]
fn as_agreed(context: &Context, mut config: Config) -> Config {
    if let Some(before) = context.keeper.as_ref().and_then(|keeper| keeper.before()) {
        config.mount.backend = Backend::native();
        config.mount.allow_other = before.allow_other;
    }
    config
}

#[cfg(not(target_os = "linux"))]
fn as_agreed(_: &Context, config: Config) -> Config {
    config
}

/// Where the session is mounted that this process goes on with, if it does.
#[cfg(target_os = "linux")]
fn going_on(context: &Context) -> Option<PathBuf> {
    Some(context.keeper.as_ref()?.before()?.point.clone())
}

#[cfg(not(target_os = "linux"))]
fn going_on(_: &Context) -> Option<PathBuf> {
    None
}

/// This process becomes the keeper of the mount, and ends with it.
#[cfg(target_os = "linux")]
fn keep_in_front() -> Result<ExitCode, Failure> {
    omnifs_platform::fuse::keep(std::env::args_os().skip(1), true)
        .map_err(|error| Failure::new(format!("the mount is not kept: {error}")))
}

/// Whether a mount in the background gets a keeper.
fn wants_keeper(config: &Config) -> bool {
    cfg!(target_os = "linux") && config.mount.keeper && config.mount.backend == Backend::native()
}

/// Mounts in this process, and returns when the mount has ended.
pub fn serve(options: daemon::Options, ready: impl FnOnce(&Path, &Mounted)) -> Result<(), Failure> {
    let mountpoint = options.mountpoint.clone();
    #[cfg(target_os = "linux")]
    let supervisor = omnifs::supervisor::Supervisor::of_environment()
        .map_err(|e| Failure::new(format!("NOTIFY_SOCKET names no socket: {e}")))?;
    #[cfg(target_os = "linux")]
    let keeper = options.keeper.clone();
    let outcome = daemon::run(options, |mounted| {
        ready(&mountpoint, mounted);
        #[cfg(target_os = "linux")]
        if let Some(supervisor) = &supervisor {
            supervisor.ready(&mountpoint);
        }
    });
    // Where the keeper starts another process the mount does not end.
    #[cfg(target_os = "linux")]
    if let Some(supervisor) = &supervisor
        && keeper.is_none_or(|keeper| !keeper.holds())
    {
        supervisor.stopping();
    }
    if let Err(error) = &outcome {
        tracing::error!("{error}");
    }
    Ok(outcome?)
}

pub fn start_log(log: &Path, level: LevelFilter, terminal: bool) -> Result<(), Failure> {
    let started = logs::start(log, level, log_format()?, terminal);
    started.map_err(|e| {
        Failure::unwritten(format_args!("cannot write the log {}", shown(log)), log, &e)
    })
}

/// `OMNIFS_LOG_FORMAT`: how.
fn log_format() -> Result<logs::Format, Failure> {
    match std::env::var("OMNIFS_LOG_FORMAT").unwrap_or_default().as_str() {
        "" | "text" => Ok(logs::Format::Text),
        "json" => Ok(logs::Format::Json),
        _ => Err(Failure::new("OMNIFS_LOG_FORMAT is not a format")
            .hint("use text or json")
            .exit(Exit::Usage)),
    }
}

/// `OMNIFS_LOG`: how much is logged.
pub fn log_level() -> Result<LevelFilter, Failure> {
    let text = std::env::var("OMNIFS_LOG").unwrap_or_default();
    if text.is_empty() {
        return Ok(match output::chosen().verbose {
            true => LevelFilter::DEBUG,
            false => LevelFilter::INFO,
        });
    }
    text.parse().map_err(|_| {
        Failure::new("OMNIFS_LOG is not a level")
            .hint("use off, error, warn, info, debug or trace")
            .exit(Exit::Usage)
    })
}
