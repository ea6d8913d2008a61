use super::failure::{Exit, Failure};
use super::locate::mount_of;
use super::logs::several;
use super::{Context, terminal, wait};
use clap::Args;
use omnifs::control::{Client, Record};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the metrics of a mount as OpenMetrics text
///
/// docs/metrics.md says what each name means. `omnifs mount --metrics-listen 127.0.0.1:PORT` serves the
/// same text to a collector.
#[derive(Debug, Args)]
pub struct Metrics {
    /// The mountpoint or a path below it [default: the only running mount]
    path: Option<PathBuf>,
}

pub fn run(context: &Context, args: &Metrics) -> Result<ExitCode, Failure> {
    let text = wait(Client::new(find(context, args.path.as_ref())?)?.metrics())??;
    terminal::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn find(context: &Context, path: Option<&PathBuf>) -> Result<Record, Failure> {
    if let Some(path) = path {
        return Ok(mount_of(context, path)?.0);
    }
    only(context, "metrics")
}

/// The one running mount, for a command that was given none.
pub fn only(context: &Context, command: &str) -> Result<Record, Failure> {
    match &context.registry().list()[..] {
        [] => Err(Failure::new("nothing is mounted")
            .hint("`omnifs mount PATH` mounts")
            .exit(Exit::NotMounted)),
        [record] => Ok(record.clone()),
        records => Err(several(records, command)),
    }
}
