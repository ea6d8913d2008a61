//! The command line: one file per subcommand, whose doc comments are its help.

mod auth;
mod background;
mod completions;
mod config;
mod demo;
mod dev;
mod doctor;
mod failure;
mod helper;
mod init;
mod locate;
mod logs;
mod mcp;
mod metrics;
mod mount;
mod output;
mod overview;
mod providers;
mod reference;
mod refresh;
mod relay;
mod reload;
mod serve;
mod service;
mod setup;
mod skill;
mod status;
mod terminal;
mod top;
mod unmount;
mod upgrade;

use clap::{Args, CommandFactory, Parser, Subcommand};
use failure::{Exit, Failure};
use omnifs::config::{Config, Instance};
use omnifs::control::Registry;
use omnifs::host;
use omnifs::paths::Paths;
use omnifs::trust;
use omnifs_platform::native::Keeper;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Mount remote services as ordinary files
///
/// `omnifs mount PATH` shows each provider as a directory of PATH.
/// Every tool that reads files then reads these services. Without a command, omnifs says what is mounted, what is
/// wrong, and what to do next.
#[derive(Debug, Parser)]
#[command(name = "omnifs", version, term_width = 100, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    /// Write one line of JSON to standard output when the mount is ready or has failed.
    #[arg(long, hide = true)]
    ready_on_stdout: bool,
    /// What a keeper starts: a process that begins a mount, or that goes on with one.
    #[arg(long, hide = true, value_name = "new|old")]
    kept: Option<String>,
    /// Where the mount was begun.
    #[arg(long, hide = true, value_name = "DIR")]
    kept_in: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed
  2  the command line or the configuration is wrong
  3  nothing is mounted there
  4  the mountpoint cannot be used, or is in use";

#[derive(Debug, Args)]
struct Global {
    /// The configuration file, in place of the user's own
    #[arg(long, global = true, value_name = "FILE", env = "OMNIFS_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Believe what is in DIR whoever may change it, as in a container's volume; may be given several times
    #[arg(long, global = true, value_name = "DIR")]
    trust_path: Vec<PathBuf>,
    /// Print one JSON document, also where it fails; docs/json.md says what is in it
    #[arg(long, global = true, display_order = 900)]
    json: bool,
    /// Print what was asked for and errors, no notes, no warnings and no "done"
    #[arg(long, short, global = true, display_order = 900, conflicts_with = "verbose")]
    quiet: bool,
    /// Say which files, directories and mounts a command uses, and have a mount log more
    #[arg(long, short, global = true, display_order = 900)]
    verbose: bool,
    /// Colours: by default on a terminal where NO_COLOR is not set
    #[arg(long, global = true, display_order = 900, value_name = "WHEN", default_value = "auto")]
    color: output::ColorChoice,
}

impl Global {
    fn output(&self, ready_on_stdout: bool) -> output::Output {
        // What a waiting `omnifs mount` reads has a form of its own.
        let json = self.json && !ready_on_stdout;
        output::Output { json, quiet: self.quiet, verbose: self.verbose, color: self.color }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::SetupArgs),
    Mount(mount::Mount),
    #[command(visible_alias = "umount")]
    Unmount(unmount::Unmount),
    Status(status::Status),
    Top(top::Top),
    Metrics(metrics::Metrics),
    Refresh(refresh::Refresh),
    Reload(reload::Reload),
    Upgrade(upgrade::Upgrade),
    #[command(subcommand)]
    Serve(serve::Serve),
    #[command(subcommand)]
    Service(service::Service),
    Relay(relay::Relay),
    #[command(subcommand)]
    Providers(providers::Providers),
    #[command(subcommand)]
    Auth(auth::Auth),
    Logs(logs::Logs),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Mcp(mcp::Mcp),
    #[command(subcommand)]
    Skill(skill::Skill),
    Demo(demo::Demo),
    Init(init::Init),
    Dev(dev::Dev),
    Completions(completions::Completions),
    #[command(hide = true)]
    Reference(reference::Reference),
}

/// What every command may need.
#[derive(Debug)]
struct Context {
    paths: Paths,
    /// The configuration file was named, so it must exist.
    named: bool,
    /// `--trust-path`, in full.
    trusted: Vec<PathBuf>,
    /// This process reports to a waiting `omnifs mount`.
    ready_on_stdout: bool,
    /// What has this process's mount outlive it.
    keeper: Option<Arc<Keeper>>,
    /// A keeper has started this process.
    #[cfg(target_os = "linux")]
    is_kept: bool,
    /// It was looked at, and said should it not be believed.
    cache_judged: OnceCell<()>,
}

impl Context {
    fn new(cli: &Cli) -> Result<Context, Failure> {
        let context = Context::unchecked(cli)?;
        context.paths.check()?;
        Ok(context)
    }

    /// For the doctor, which looks at the directories itself.
    fn unchecked(cli: &Cli) -> Result<Context, Failure> {
        let keeper = keeper(cli)?;
        let mut paths = Paths::of_user()?;
        // An empty variable counts as unset, as everywhere else.
        let named = cli.global.config.as_ref().filter(|file| !file.as_os_str().is_empty());
        if let Some(file) = named {
            let absolute = std::path::absolute(file);
            paths.config = absolute.map_err(|e| Failure::new(format!("--config: {e}")))?;
        }
        let ready_on_stdout = cli.ready_on_stdout;
        let trusted =
            cli.global.trust_path.iter().map(std::path::absolute).collect::<Result<_, _>>();
        let trusted = trusted.map_err(|e| Failure::new(format!("--trust-path: {e}")))?;
        Ok(Context {
            paths,
            trusted,
            named: named.is_some(),
            ready_on_stdout,
            keeper,
            #[cfg(target_os = "linux")]
            is_kept: cli.kept.is_some(),
            cache_judged: OnceCell::new(),
        })
    }

    /// Where compiled components are kept. One that is not believed is not used: that costs time alone.
    fn cache(&self) -> &Path {
        self.cache_judged.get_or_init(|| match trust::check(&self.paths.cache) {
            // To a log it is said as the components are loaded.
            Err(distrust) if !self.ready_on_stdout => {
                let hint = distrust.hint();
                let text = format!("compiled components are not kept: {distrust} ({hint})");
                terminal::tell("warning", &text);
            }
            _ => {}
        });
        &self.paths.cache
    }

    fn config(&self) -> Result<Config, Failure> {
        let config = Config::load(&self.paths.config, self.named)?;
        let is = if config.file.is_some() { "is" } else { "does not exist; it would be" };
        terminal::detail(&format!("the configuration {is} {}", shown(&self.paths.config)));
        Ok(config)
    }

    fn registry(&self) -> Registry {
        terminal::detail(&format!(
            "running mounts are recorded in {}",
            shown(&self.paths.mounts())
        ));
        Registry::new(self.paths.mounts())
    }

    /// Every configured instance, enabled or not.
    fn instances(
        &self,
        config: &Config,
        flags: &[(String, PathBuf)],
    ) -> Result<Vec<Instance>, Failure> {
        Ok(config.instances(&host::shipped_names(), &self.paths.providers(), flags)?)
    }

    /// The instance of this name.
    fn instance(&self, config: &Config, name: &str) -> Result<Instance, Failure> {
        let instances = self.instances(config, &[])?;
        let known = instances.iter().map(|instance| instance.name.as_str());
        let nearest = omnifs::config::nearest(name, known);
        instances.into_iter().find(|instance| instance.name == name).ok_or_else(|| {
            omnifs::config::Error::NoInstance { name: name.to_owned(), nearest }.into()
        })
    }
}

/// Runs a future of the control channel or a login on a runtime of its own.
fn wait<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("cannot start a runtime: {e}")))?;
    Ok(runtime.block_on(future))
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// A path for a message.
fn shown(path: &Path) -> String {
    omnifs::logs::printable(&path.to_string_lossy()).into_owned()
}

/// Parses the command line, runs the command, and turns its outcome into an exit code.
pub fn main() -> ExitCode {
    // Any command may hold a secret. Where it is refused, the daemon says so in its log.
    let _ = omnifs::credentials::set_not_dumpable();
    let mut arguments = std::env::args_os();
    if helper::is_called(arguments.next().as_deref()) {
        return helper::run(arguments, &Cli::command());
    }
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|argument| argument == background::KEEP) {
        return keep();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            use std::io::Write;
            let text = usage(&error.render().to_string(), hides_something());
            // Nothing was read of the command line.
            if std::env::args_os().any(|argument| argument == "--json") {
                let output = output::Output { json: true, ..output::Output::default() };
                output::choose(output);
                return end(Err(Failure::usage(&text)));
            }
            let _ = writeln!(std::io::stderr(), "{text}");
            return ExitCode::from(Exit::Usage as u8);
        }
        // Help and version.
        Err(error) => error.exit(),
    };
    let ready_on_stdout = cli.ready_on_stdout;
    output::choose(cli.global.output(ready_on_stdout));
    match run(cli) {
        Err(failure) if ready_on_stdout => background::failed(failure),
        ended => end(ended),
    }
}

/// Keeps a mount, and does nothing else.
#[cfg(target_os = "linux")]
fn keep() -> ExitCode {
    match omnifs_platform::fuse::keep(std::env::args_os().skip(2), false) {
        Ok(code) => code,
        Err(error) => {
            use std::io::Write;
            // Into the mount's log.
            let _ = writeln!(std::io::stderr(), "error: the mount is not kept: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The keeper that has started this process, if one has.
#[cfg(target_os = "linux")]
fn keeper(cli: &Cli) -> Result<Option<Arc<Keeper>>, Failure> {
    let Some(session) = &cli.kept else { return Ok(None) };
    let keeper = match Keeper::of_this_process(session == "old") {
        Ok(keeper) => keeper,
        Err(error) if session == "old" => {
            return Err(Failure::new(format!("nobody can go on with the mount: {error}")));
        }
        Err(error) => {
            terminal::tell("warning", &format!("the mount will end with its process: {error}"));
            return Ok(None);
        }
    };
    // Relative names mean what they did. Nobody may look below the mount point before it is served.
    if let (Some(before), Some(directory)) = (keeper.before(), &cli.kept_in)
        && !directory.starts_with(&before.point)
    {
        // One that is not there any more is missed where a name needs it.
        let _ = std::env::set_current_dir(directory);
    }
    Ok(Some(Arc::new(keeper)))
}

#[cfg(not(target_os = "linux"))]
fn keeper(_: &Cli) -> Result<Option<Arc<Keeper>>, Failure> {
    Ok(None)
}

/// Writes what the end of a command has to say, and gives its exit code.
fn end(ended: Result<ExitCode, Failure>) -> ExitCode {
    if output::chosen().json {
        // A reader that has gone away is no failure.
        let _ = output::document(&ended).map(|text| terminal::write(&text));
        terminal::tell_rest();
        return ended.unwrap_or_else(|failure| ExitCode::from(failure.exit as u8));
    }
    match ended {
        Ok(code) => code,
        Err(failure) => {
            use std::io::Write;
            for line in failure.lines() {
                let _ = writeln!(std::io::stderr(), "{}", terminal::painted(&line));
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// What is wrong with the command line, for the terminal. It repeats what was written: where that hides
/// something, a line's end for one, all of it is one line, so that no part passes for a line of ours.
fn usage(text: &str, hides: bool) -> String {
    let separator = if hides { " " } else { "\n" };
    let lines: Vec<_> = text.lines().map(omnifs::logs::printable).collect();
    lines.join(separator).trim_end().to_owned()
}

/// Whether an argument or a variable that stands for one has a character that nobody can see.
fn hides_something() -> bool {
    let variables =
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OMNIFS_"));
    let mut all = std::env::args_os().chain(variables.map(|(_, value)| value));
    all.any(|text| omnifs_text::hidden(&text.to_string_lossy()).next().is_some())
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    except(&cli)?;
    let context = || Context::new(&cli);
    let Some(command) = &cli.command else { return overview::run(&context()?) };
    match command {
        Command::Setup(args) => setup::run(&context()?, args),
        Command::Mount(args) => mount::run(&context()?, args),
        Command::Unmount(args) => unmount::run(&context()?, args),
        Command::Status(args) => status::run(&context()?, args),
        Command::Top(args) => top::run(&context()?, args),
        Command::Metrics(args) => metrics::run(&context()?, args),
        Command::Refresh(args) => refresh::run(&context()?, args),
        Command::Reload(args) => reload::run(&context()?, args),
        Command::Upgrade(args) => upgrade::run(&context()?, args),
        Command::Serve(args) => serve::run(&context()?, args),
        Command::Service(args) => service::run(&context()?, args),
        Command::Relay(args) => relay::run(&context()?, args),
        Command::Providers(args) => providers::run(&context()?, args),
        Command::Auth(args) => auth::run(&context()?, args),
        Command::Logs(args) => logs::run(&context()?, args),
        Command::Doctor(args) => doctor::run(Context::unchecked(&cli), args),
        Command::Config(args) => config::run(&context()?, args),
        Command::Skill(args) => skill::run(&context()?, args),
        Command::Mcp(args) => mcp::run(&context()?, args),
        Command::Demo(args) => demo::run(&context()?, args),
        Command::Init(args) => init::run(args),
        Command::Dev(args) => dev::run(&context()?, args),
        Command::Completions(args) => completions::run(args, &mut Cli::command()),
        Command::Reference(args) => reference::run(args, Cli::command()),
    }
}

/// `--trust-path`.
fn except(cli: &Cli) -> Result<(), Failure> {
    let paths = &cli.global.trust_path;
    let wrong = |error| Failure::new(format!("--trust-path {error}")).exit(Exit::Usage);
    trust::except(paths).map_err(wrong)?;
    // The background process says it to nobody.
    if !paths.is_empty() && !cli.ready_on_stdout {
        let shown: Vec<_> = paths.iter().map(|path| shown(path)).collect();
        terminal::tell(
            "warning",
            &format!(
                "--trust-path: whoever may change what is in {} decides what omnifs runs and where it sends \
                 your credentials",
                shown.join(", ")
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_argument_hides_makes_no_line_of_its_own_in_an_error() {
        let parsed = Cli::try_parse_from(["omnifs", "x\nhint: run this\u{202e}"]);
        let text = usage(&parsed.unwrap_err().render().to_string(), true);
        assert!(text.contains("hint: run this\u{fffd}") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
