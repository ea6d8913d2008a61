use super::failure::Failure;
use super::output::chosen;
use super::{Context, mount, shown, terminal};
use clap::Args;
use omnifs::host;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Between one thing that happens and the next.
const EVERY: Duration = Duration::from_secs(5);

/// How soon it shows.
const POLLED_EVERY: Duration = Duration::from_secs(1);

/// Try omnifs without a network, an account or an engine
///
/// Starts small twins of the services on loopback and mounts them with the real providers, and beside
/// them what runs on this machine. It prints commands worth typing, and what happens at the services while it
/// runs; Ctrl-C unmounts.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where to mount; the directory is made if it is missing, and then removed at the end
    #[arg(default_value = "omnifs-demo")]
    path: PathBuf,
}

pub fn run(context: &Context, args: &Demo) -> Result<ExitCode, Failure> {
    let demo = host::demo()?;
    // The mount leaves the working directory behind.
    let path = std::path::absolute(&args.path)
        .map_err(|e| Failure::new(format!("{}: {e}", shown(&args.path))))?;
    let made = !path.exists();
    if made {
        std::fs::create_dir_all(&path).map_err(|e| {
            Failure::unwritten(format_args!("cannot make {}", shown(&args.path)), &path, &e)
        })?;
    }
    let result = serve(context, &args.path, &demo);
    if made {
        // Not empty means that something else was put there since.
        let _ = std::fs::remove_dir(&path);
    }
    result.map(|()| ExitCode::SUCCESS)
}

fn serve(context: &Context, path: &Path, demo: &host::Demo) -> Result<(), Failure> {
    // The user's own configuration could point the demo at real services.
    let mut options = mount::options(context, demo.config.clone(), path, &[])?;
    options.reread = None;
    options.poll_every = Some(POLLED_EVERY);
    mount::start_log(&options.log, mount::log_level()?, false)?;
    let (asked, place) = (shown(path), omnifs::paths::quoted(path));
    let (mountpoint, mut printed, mut live) = (options.mountpoint.clone(), Ok(()), None);
    mount::serve(options, |_, mounted| {
        for warning in &mounted.warnings {
            terminal::tell("warning", warning);
        }
        let mut text = format!("mounted at {asked}; Ctrl-C unmounts. In another terminal:\n\n");
        for command in &demo.commands {
            let (line, cost) = (command.line, command.cost());
            text.push_str(&format!("  cd {place} && {line}\n      # {cost}\n"));
        }
        text.push_str("\nTyped again, each costs nothing until something changes.\n");
        for line in demo.missing() {
            text.push_str(&format!("({line})\n"));
        }
        text.push_str(&format!("\nEvery {} seconds something happens:\n", EVERY.as_secs()));
        let lines: Vec<_> = demo.commands.iter().map(|command| command.line).collect();
        printed = terminal::begun(&text, json!({ "mountpoint": mountpoint, "commands": lines }));
        let tell = |happening: host::Happening| {
            let text = format!("  {}: {}\n", happening.what, happening.look);
            // Whoever has closed the output goes on mounting.
            let _ = if chosen().json { Ok(false) } else { terminal::write(&text) };
        };
        live = demo.live(EVERY, tell).map_err(|e| tracing::warn!(%e, "nothing happens")).ok();
    })?;
    drop(live);
    printed
}
