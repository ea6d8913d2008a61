use super::failure::{Exit, Failure};
use super::locate::mount_of;
use super::{Context, terminal, wait};
use clap::Args;
use omnifs::control::{Client, MountStatus, Record};
use omnifs::logs::printable;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Have running mounts served by the program that is installed now
///
/// To be called when another version has been put in the place of this one. What is open stays open, and whoever
/// reads meanwhile waits for some tenths of a second. A program that does not answer within 10 seconds is taken
/// back: the one from before goes on. Only mounts that outlive their process can be served by another one;
/// `omnifs status` says which do.
#[derive(Debug, Args)]
pub struct Upgrade {
    /// A mountpoint or a path below one [default: every mount]
    path: Option<PathBuf>,
}

/// For two programs in turn, the first of which does not answer.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(20);

pub fn run(context: &Context, args: &Upgrade) -> Result<ExitCode, Failure> {
    let records = match &args.path {
        Some(path) => vec![mount_of(context, path)?.0],
        None => context.registry().list(),
    };
    if records.is_empty() {
        return Err(Failure::new("nothing is mounted")
            .hint("`omnifs mount PATH` mounts")
            .exit(Exit::NotMounted));
    }
    let (mut text, mut rows, mut failed) = (String::new(), Vec::new(), Vec::<Failure>::new());
    for record in records {
        let point = record.mountpoint.clone();
        // One that cannot keeps none of the others from it.
        match upgrade(context, record) {
            Ok((before, now)) => {
                let line =
                    format!("{point}: omnifs {}, before that {}", now.version, before.version);
                let _ = writeln!(text, "{}", printable(&line));
                rows.push(json!({
                    "mountpoint": point, "version": now.version, "before": before.version, "pid": now.pid,
                }));
            }
            Err(failure) => {
                rows.push(json!({ "mountpoint": point, "error": failure.message }));
                failed.push(failure);
            }
        }
    }
    terminal::show(&text, json!({ "mounts": rows }))?;
    let Some(last) = failed.pop() else { return Ok(ExitCode::SUCCESS) };
    failed.iter().flat_map(Failure::lines).for_each(|line| terminal::complain(&line));
    Err(last)
}

/// What served it before, and what does now.
fn upgrade(context: &Context, record: Record) -> Result<(MountStatus, MountStatus), Failure> {
    let point = PathBuf::from(&record.mountpoint);
    let before = status(record.clone())?;
    if !before.kept {
        return Err(Failure::new(format!(
            "{} ends with its process",
            printable(&before.mountpoint)
        ))
        .hint("unmount it and mount it again"));
    }
    let registry = context.registry();
    // Elsewhere nothing is kept.
    #[cfg(target_os = "linux")]
    registry.end(&record)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let next = registry.get(&point).filter(|next| next.pid != record.pid);
        if let Some(now) = next.and_then(|next| status(next).ok()) {
            if now.taken_back {
                let point = printable(&now.mountpoint);
                return Err(Failure::new(format!(
                    "the program that is installed does not come up for {point}: the one from before goes on"
                ))
                .hint("`omnifs logs` says why"));
            }
            return Ok((before, now));
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(format!(
                "nobody has gone on with {}",
                printable(&before.mountpoint)
            ))
            .hint("`omnifs logs` says why; unmount it by force and mount it again"));
        }
        std::thread::sleep(LOOK);
    }
}

fn status(record: Record) -> Result<MountStatus, Failure> {
    let client = Client::new(record)?;
    Ok(wait(async move { client.status().await })??.mount)
}
