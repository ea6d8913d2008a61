use super::failure::{Exit, Failure};
use super::locate::mount_of;
use super::{Context, terminal, wait};
use clap::Args;
use omnifs::control::{self, Client};
use omnifs::logs::printable;
use omnifs::paths::quoted_text;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Have the running mounts read the configuration again
///
/// Lists which keys have changed since a mount began. stale-if-error takes effect at once, and so does another
/// component of a provider that is shown, which `omnifs providers add` has approved: files that are open stay
/// as they are, and all else is asked for again. One that does not start leaves the one before. The other keys, and
/// providers that were added, removed, enabled or disabled, take effect with a new mount, and stay listed until
/// then. Flags and variables of the mount go on to win over the file.
#[derive(Debug, Args)]
pub struct Reload {
    /// A mountpoint or a path below one [default: every mount]
    path: Option<PathBuf>,
}

pub fn run(context: &Context, args: &Reload) -> Result<ExitCode, Failure> {
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
        // One that does not answer keeps none of the others from being asked.
        let reloaded =
            match Client::new(record).map(|client| wait(async move { client.reload().await })) {
                Ok(asked) => asked?,
                Err(error) => Err(error),
            };
        match reloaded {
            Ok(reloaded) => {
                let line = |key: &String, what: &str| format!("{point}: {key} {what}");
                let applied = reloaded.applied.iter().map(|key| line(key, "is in force"));
                let waiting = reloaded.waiting.iter().map(|key| line(key, "needs a new mount"));
                let mut lines: Vec<_> = applied.chain(waiting).collect();
                if lines.is_empty() && reloaded.refused.is_empty() {
                    lines.push(format!("{point}: nothing has changed"));
                }
                for line in lines {
                    let _ = writeln!(text, "{}", printable(&line));
                }
                if !reloaded.waiting.is_empty() {
                    let place = quoted_text(&point);
                    terminal::tell(
                        "note",
                        &format!("omnifs unmount {place} && omnifs mount {place}"),
                    );
                }
                let mut refused = Vec::new();
                for problem in reloaded.refused {
                    let mut failure = Failure::from(control::Error::Refused(problem));
                    failure.message =
                        format!("{point}: the component before goes on: {}", failure.message);
                    refused.push(failure.message.clone());
                    failed.push(failure);
                }
                let (applied, waiting) = (reloaded.applied, reloaded.waiting);
                rows.push(json!({
                    "mountpoint": point, "applied": applied, "needs_new_mount": waiting, "refused": refused
                }));
            }
            Err(error) => {
                let mut failure = Failure::from(error);
                failure.message = format!("{point}: {}", failure.message);
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
