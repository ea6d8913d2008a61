mod volumes;

use super::failure::{Exit, Failure};
use super::mount::{self, MountOptions};
use super::{Context, terminal};
use clap::{Args, Subcommand};
use omnifs::config::{Backend, Overrides};
use omnifs::paths;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serve the configured providers without mounting them here, or a mount's directories as volumes
#[derive(Debug, Subcommand)]
pub enum Serve {
    Nfs(Nfs),
    #[command(name = volumes::COMMAND)]
    Volumes(volumes::Volumes),
}

/// By NFS version 3 on 127.0.0.1
///
/// Prints the commands that mount it, and serves until Ctrl-C. The export's name in them is a secret:
/// who knows it can mount. Each run has another one; what is mounted goes on over a restart without it.
#[derive(Debug, Args)]
pub struct Nfs {
    /// Show the component FILE as the directory NAME, as `omnifs mount` does
    #[arg(long = "provider", value_name = "NAME=FILE", value_parser = mount::name_and_file)]
    providers: Vec<(String, PathBuf)>,
    #[command(flatten)]
    options: MountOptions,
}

pub fn run(context: &Context, args: &Serve) -> Result<ExitCode, Failure> {
    match args {
        Serve::Nfs(args) => nfs(context, args),
        Serve::Volumes(args) => volumes::run(context, args),
    }
}

fn nfs(context: &Context, args: &Nfs) -> Result<ExitCode, Failure> {
    if args.options.backend().is_some_and(|backend| backend != Backend::Nfs) {
        return Err(Failure::new("`omnifs serve nfs` has the back end nfs").exit(Exit::Usage));
    }
    let mut config = context.config()?.over(&args.options.overrides());
    config.mount.backend = Backend::Nfs;
    // Stands for the mountpoint: one such server for each user, with a log and a record of its own.
    let name = context.paths.state.join("nfs").join("served");
    // The error names the directory.
    paths::private_dir(&name).map_err(|e| Failure::unwritten("cannot serve", &name, &e))?;
    let mut options = mount::options(context, config, &name, &args.providers)?;
    options.serve_only = true;
    let overrides = args.options.overrides();
    options.follow(context.named, Overrides { backend: Some(Backend::Nfs), ..overrides });
    mount::start_log(&options.log, mount::log_level()?, false)?;
    let mut printed = Ok(());
    mount::serve(options, |_, mounted| {
        for warning in mounted.warnings.iter().chain(&mounted.credentials) {
            terminal::tell("warning", warning);
        }
        let mut text = String::from("serving; Ctrl-C ends it. To mount it on this machine:\n");
        for (system, line) in mounted.mount.commands() {
            text.push_str(&format!("\n{system}:\n  {line}\n"));
        }
        let commands = mounted.mount.commands();
        let commands =
            commands.iter().map(|(system, line)| json!({ "system": system, "command": line }));
        printed = terminal::begun(&text, json!({ "commands": commands.collect::<Vec<_>>() }));
    })?;
    printed?;
    Ok(ExitCode::SUCCESS)
}
