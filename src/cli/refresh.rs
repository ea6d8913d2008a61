use super::failure::Failure;
use super::locate::mount_of;
use super::{Context, terminal, wait};
use clap::Args;
use omnifs::control::Client;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Ask the services again for what is below PATH
///
/// Nothing is fetched now: each file and directory below PATH is asked for at its next use. What has
/// not changed costs a conditional request.
#[derive(Debug, Args)]
pub struct Refresh {
    /// A file or directory of a mount
    path: PathBuf,
}

pub fn run(context: &Context, args: &Refresh) -> Result<ExitCode, Failure> {
    let (record, below) = mount_of(context, &args.path)?;
    let below = below.to_str().map(|path| path.replace(std::path::MAIN_SEPARATOR, "/"));
    let below = below.ok_or_else(|| Failure::new("names in a mount are Unicode"))?;
    let refreshed = wait(Client::new(record)?.refresh(&below))??;
    let nodes = refreshed.nodes;
    let text = format!("{nodes} cached nodes will be asked for again\n");
    terminal::done(&text, json!({ "nodes": nodes }))?;
    Ok(ExitCode::SUCCESS)
}
