use super::failure::{Exit, Failure};
use super::mount::MountOptions;
use super::{Context, shown, terminal};
use clap::{Args, Command, FromArgMatches, Subcommand};
use omnifs::config::{Config, Source};
use omnifs::paths::quoted;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Show and check the configuration
///
/// Flags win over environment variables (OMNIFS_...), these over the file, the file over the
/// defaults.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the path of the configuration file, whether or not it exists
    Path,
    /// Print the configuration as a mount would use it, as a file
    Show,
    /// Check the configuration file; every mistake is named with its line
    Check,
}

pub fn run(context: &Context, args: &ConfigCommand) -> Result<ExitCode, Failure> {
    match args {
        ConfigCommand::Path => {
            let path = &context.paths.config;
            terminal::show(&format!("{}\n", file(path)), json!({ "path": path }))?;
        }
        ConfigCommand::Show => {
            terminal::print(&context.config()?.over(&environment()?.overrides()).to_string())?;
        }
        ConfigCommand::Check => return check(context),
    }
    Ok(ExitCode::SUCCESS)
}

/// As it is, for `"$(omnifs config path)"`; where that would not be seen, as a shell takes it.
fn file(path: &Path) -> String {
    match path.to_str().filter(|path| omnifs_text::hidden(path).next().is_none()) {
        Some(path) => path.to_owned(),
        None => quoted(path),
    }
}

/// What the environment says, read by the parser of `mount`'s own options.
fn environment() -> Result<MountOptions, Failure> {
    let matches = MountOptions::augment_args(Command::new("environment").no_binary_name(true))
        .try_get_matches_from([""; 0]);
    let parsed = matches.and_then(|matches| MountOptions::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Failure::new(format!("environment: {}", first.trim_start_matches("error: ")))
            .exit(Exit::Usage)
    })
}

fn check(context: &Context) -> Result<ExitCode, Failure> {
    let file = shown(&context.paths.config);
    let config = match Config::load(&context.paths.config, context.named) {
        Ok(config) => config,
        Err(errors) => {
            let failures: Vec<_> = errors.into_iter().map(Failure::from).collect();
            for line in failures.iter().flat_map(Failure::lines) {
                terminal::complain(&line);
            }
            terminal::show("", json!({ "path": context.paths.config, "mistakes": failures }))?;
            return Ok(ExitCode::from(Exit::Usage as u8));
        }
    };
    for instance in context.instances(&config, &[])? {
        if let Source::Missing { name, nearest } = instance.source {
            let error = omnifs::component::Error::Unknown { name, nearest };
            let mut failure = Failure::component(&error, &instance.name).exit(Exit::Usage);
            failure.message = format!("{file}: instances.{}: {}", instance.name, failure.message);
            return Err(failure);
        }
    }
    let state =
        if config.file.is_some() { "is right" } else { "does not exist: defaults are used" };
    let result =
        json!({ "path": context.paths.config, "exists": config.file.is_some(), "mistakes": [] });
    terminal::done(&format!("{file} {state}\n"), result)?;
    Ok(ExitCode::SUCCESS)
}
