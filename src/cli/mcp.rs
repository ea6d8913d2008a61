use super::failure::{Exit, Failure};
use super::locate::mount_of;
use super::{Context, shown};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Offer a mount's files to a program that has no shell, through the Model Context Protocol
///
/// Speaks on standard input and output, as clients of the protocol start it. It offers the mount's files as
/// resources, and the tools read, list, stat, search and errors. Nothing outside of the mount can be read, and
/// nothing can be written. docs/agents.md says how clients are told of it.
#[derive(Debug, Args)]
pub struct Mcp {
    /// The mountpoint [default: the only mount]
    path: Option<PathBuf>,
}

pub fn run(context: &Context, args: &Mcp) -> Result<ExitCode, Failure> {
    let mountpoint = match &args.path {
        Some(path) => PathBuf::from(mount_of(context, path)?.0.mountpoint),
        None => only(context)?,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("cannot start a runtime: {e}")))?;
    let served = runtime.block_on(omnifs::mcp::serve(&mountpoint));
    // Standard input may be read still, and a search under way ends by itself.
    runtime.shutdown_background();
    served.map_err(|error| Failure::new(format!("{}: {error}", shown(&mountpoint))))?;
    Ok(ExitCode::SUCCESS)
}

fn only(context: &Context) -> Result<PathBuf, Failure> {
    let mut records = context.registry().list();
    match (records.pop(), records.is_empty()) {
        (Some(record), true) => Ok(PathBuf::from(record.mountpoint)),
        (Some(_), false) => Err(Failure::new("there are several mounts")
            .hint("name one: omnifs mcp PATH")
            .exit(Exit::Usage)),
        (None, _) => Err(Failure::new("nothing is mounted")
            .hint("`omnifs mount PATH` mounts")
            .exit(Exit::NotMounted)),
    }
}
