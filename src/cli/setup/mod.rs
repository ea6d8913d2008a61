//! `omnifs setup`: what this machine and its logins give, asked about one by one.

mod service;

use super::failure::{Exit, Failure};
use super::output::chosen;
use super::{Context, service as boot, shown, terminal};
use clap::Args;
use omnifs::config::{Instance, Source};
use omnifs::host;
use omnifs::logs::printable;
use omnifs::nearby::Machine;
use omnifs::paths;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Find what this machine has, and write the configuration
///
/// Looks for engines and for logins of other programs, says of each what it would do, and asks. Each service is
/// asked whose the token is before it is kept. The configuration keeps its comments and all that is set in it; a
/// provider for which nothing is found is switched off. Then it offers to mount.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Do all of it without a question
    #[arg(long, short)]
    yes: bool,
    /// Say what would be done, and do nothing. Services are asked whose a token is
    #[arg(long)]
    dry_run: bool,
    /// Have this provider, also if the configuration has switched it off
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
    /// Switch this provider off
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// The file with the token of a provider; NAME may be left out where --with names one
    #[arg(long, value_name = "[NAME=]FILE")]
    token_file: Vec<String>,
    /// Where the service of a provider is, if not where it usually is: a server of a company
    #[arg(long, value_name = "NAME=URL", value_parser = pair)]
    url: Vec<(String, String)>,
    /// Mount afterwards; at ~/omnifs unless told otherwise, for root at /omnifs, on Windows at O:
    #[arg(long, value_name = "PATH", num_args = 0..=1)]
    mount: Option<Option<PathBuf>>,
    /// Mount afterwards and at each login, for root at each boot: `omnifs service install`
    #[arg(long, value_name = "PATH", num_args = 0..=1, conflicts_with = "mount")]
    service: Option<Option<PathBuf>>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => {
            Ok((name.into(), rest.into()))
        }
        _ => Err("write NAME=URL".into()),
    }
}

/// One run.
struct Session<'a> {
    context: &'a Context,
    args: &'a SetupArgs,
    machine: Machine,
    /// `NAME`, `FILE`.
    token_files: Vec<(String, PathBuf)>,
    /// A login was found and could not be taken: there is something of the provider that is looked at now.
    unasked: Cell<bool>,
}

pub fn run(context: &Context, args: &SetupArgs) -> Result<ExitCode, Failure> {
    if !(args.yes || args.dry_run || terminal::is_interactive()) {
        return Err(Failure::new("there is no terminal to ask on")
            .hint("--dry-run says what would be done, and --yes does it")
            .exit(Exit::Usage));
    }
    let config = context.config()?;
    let instances = context.instances(&config, &[])?;
    let session = Session {
        context,
        args,
        machine: Machine::of_user(),
        token_files: token_files(args)?,
        unasked: Cell::new(false),
    };
    let named = args.with.iter().chain(&args.without);
    let named = named.chain(args.url.iter().map(|(name, _)| name));
    for name in named.chain(session.token_files.iter().map(|(name, _)| name)) {
        // Says which one may be meant.
        context.instance(&config, name)?;
    }
    for instance in &instances {
        if matches!(instance.source, Source::Shipped(_)) {
            session.service(instance, &instances)?;
        }
    }
    session.mount()
}

fn token_files(args: &SetupArgs) -> Result<Vec<(String, PathBuf)>, Failure> {
    let read = args.token_file.iter().map(|text| match (text.split_once('='), &args.with[..]) {
        (Some((name, file)), _) if omnifs::config::valid_name(name) => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        (_, [only]) => Ok((only.clone(), PathBuf::from(text))),
        _ => Err(Failure::new(format!("--token-file {text}: of which provider?"))
            .hint("write --token-file NAME=FILE")
            .exit(Exit::Usage)),
    });
    read.collect()
}

impl Session<'_> {
    /// Says what was found.
    fn say(&self, name: &str, text: &str) -> Result<(), Failure> {
        terminal::print(&format!("{}\n", printable(&format!("{name}: {text}"))))
    }

    /// Does `what`, after a question unless the command line says it (`sure`). False: the user does not want it.
    fn step(
        &self,
        name: &str,
        what: &str,
        sure: bool,
        action: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        if self.args.dry_run {
            self.say(name, &format!("would {what}"))?;
            return Ok(true);
        }
        if self.args.yes || sure {
            self.say(name, what)?;
        } else if !terminal::asked(&format!("{name}: {what}"))? {
            return Ok(false);
        }
        action()?;
        Ok(true)
    }

    /// Switches an instance on or off.
    fn switch(
        &self,
        instance: &Instance,
        on: bool,
        why: &str,
        sure: bool,
    ) -> Result<bool, Failure> {
        let word = if on { "on" } else { "off" };
        let what = format!("switch it {word}{why}");
        self.step(&instance.name, &what, sure, || {
            self.edit(|editor| editor.enable(&instance.name, on))
        })
    }

    fn edit(&self, change: impl FnOnce(&mut omnifs::config::Editor)) -> Result<(), Failure> {
        Ok(host::edit(&self.context.paths.config, change)?)
    }

    fn mount(&self) -> Result<ExitCode, Failure> {
        let path = match (&self.args.service, &self.args.mount) {
            (Some(Some(path)), _) | (None, Some(Some(path))) => path.clone(),
            _ => boot::usual_path()?,
        };
        let (service, mount) = (self.args.service.is_some(), self.args.mount.is_some());
        let asks = !(self.args.yes || self.args.dry_run || service || mount);
        let at = shown(&path);
        let offer = asks && boot::can_be_offered();
        if service || offer && terminal::asked(&format!("mount at {at}, now and at each start"))? {
            return boot::install(self.context, &path, self.args.dry_run);
        }
        if mount && self.args.dry_run {
            terminal::print(&format!("would mount at {at}\n"))?;
        } else if mount || asks && terminal::asked(&format!("mount at {at} now"))? {
            return self.mount_at(&path);
        } else {
            let quoted = paths::quoted(&path);
            let made = path.exists() || cfg!(windows);
            let make = if made { String::new() } else { format!("mkdir {quoted}; ") };
            terminal::print(&format!("next: {make}omnifs mount {quoted}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// By a process of its own, as a user would.
    fn mount_at(&self, path: &Path) -> Result<ExitCode, Failure> {
        let wrong = |error: std::io::Error| {
            Failure::new(format!("{}: {error}", shown(path))).exit(Exit::Mountpoint)
        };
        if !cfg!(windows) && !path.exists() {
            std::fs::create_dir(path).map_err(wrong)?;
        }
        let program = std::env::current_exe().map_err(wrong)?;
        let mut command = Command::new(program);
        if self.context.named {
            command.arg("--config").arg(&self.context.paths.config);
        }
        for directory in &self.context.trusted {
            command.arg("--trust-path").arg(directory);
        }
        let chosen = chosen();
        if chosen.json || chosen.quiet {
            // Standard output is this command's own document.
            command.arg("--quiet").stdout(Stdio::null());
        }
        let ended = command.arg("mount").arg(path).status().map_err(wrong)?;
        // It has said what is wrong.
        let code = ended.code().and_then(|code| u8::try_from(code).ok());
        Ok(ExitCode::from(code.unwrap_or(Exit::Failure as u8)))
    }
}
