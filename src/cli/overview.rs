//! `omnifs` alone: what there is, what is wrong with it, and what to do next. `omnifs status` says the rest.

use super::failure::Failure;
use super::{Context, output, status, terminal, wait};
use omnifs::control::{FeedState, Status};
use omnifs::logs::printable;
use omnifs::paths;
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;

/// Problems of one mount that are shown.
const FEW: usize = 5;

const NOTHING: &str = "\
Nothing is mounted. omnifs shows remote services as ordinary files.

  omnifs demo            look around first: no account, no network
  omnifs setup           find what this machine and its logins give, and mount it
  omnifs doctor          check what mounting needs
  omnifs --help          every command
";

pub fn run(context: &Context) -> Result<ExitCode, Failure> {
    let records = context.registry().list();
    let points: Vec<_> = records.iter().map(|record| &record.mountpoint).collect();
    if output::chosen().json {
        return terminal::show("", json!({ "mounts": points })).map(|()| ExitCode::SUCCESS);
    }
    if records.is_empty() {
        terminal::print(NOTHING)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = String::new();
    for (record, answer) in records.iter().zip(wait(status::ask(&records))?) {
        let point = printable(&record.mountpoint);
        let named = paths::quoted_text(&record.mountpoint);
        match answer {
            Ok(status) => show(&mut out, &point, &named, &status),
            Err(error) => {
                let _ =
                    writeln!(out, "{point}  does not answer: {}", printable(&error.to_string()));
                let _ = writeln!(out, "  to end it: omnifs unmount --force {named}");
            }
        }
    }
    out.push_str("\nomnifs status says more, omnifs --help has every command.\n");
    terminal::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn show(out: &mut String, point: &str, named: &str, status: &Status) {
    let names: Vec<_> = status.core.providers.iter().map(|provider| &*provider.name).collect();
    let _ = writeln!(out, "{point}  {}", printable(&names.join(", ")));
    let problems = problems(status);
    for problem in problems.iter().take(FEW) {
        let _ = writeln!(out, "  {}", printable(problem));
    }
    match problems.len().saturating_sub(FEW) {
        0 if problems.is_empty() => out.push_str("  all is well\n"),
        0 => {}
        more => {
            let _ = writeln!(out, "  and {more} more: omnifs status {named}");
        }
    }
}

/// What keeps a provider from working, a credential that is missing or refused, feeds that are lost: each with
/// what to do.
fn problems(status: &Status) -> Vec<String> {
    let mut problems = Vec::new();
    for provider in &status.core.providers {
        let name = &provider.name;
        problems.extend(provider.problem.iter().map(|problem| format!("{name}: {problem}")));
        for credential in &provider.credentials {
            if let Some(detail) = &credential.detail {
                problems.push(format!("{name}: credential {}: {detail}", credential.summary()));
            }
        }
        let lost = |state| state == FeedState::Lost;
        let scopes = status.core.scopes.iter();
        let scopes = scopes.filter(|scope| scope.provider == *name && lost(scope.state));
        let count = scopes.clone().count();
        if let Some(why) = scopes.filter_map(|scope| scope.why.as_deref()).next()
            && provider.problem.is_none()
        {
            problems.push(format!("{name}: {count} scopes without a feed: {why}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnifs::control::{CoreStatus, MountStatus, ProviderStatus};

    #[test]
    fn a_mount_shows_what_is_wrong_and_what_to_do_and_no_more_than_fits() {
        let provider = |number: usize| ProviderStatus {
            name: format!("p{number}"),
            problem: (number > 0).then(|| "it is broken\u{202e}: mend it".into()),
            ..ProviderStatus::default()
        };
        let mount = MountStatus {
            mountpoint: "/o".into(),
            pid: 1,
            version: "0".into(),
            backend: "fuse".into(),
            started: 0,
            log: "/l".into(),
            allow_other: false,
            stale_if_error: false,
            kept: false,
            taken_back: false,
        };
        let status = |count| {
            let providers = (0..count).map(provider).collect();
            Status { mount: mount.clone(), core: CoreStatus { providers, ..CoreStatus::default() } }
        };
        let shown = |count| {
            let mut out = String::new();
            show(&mut out, "/o", "/o", &status(count));
            out
        };
        assert_eq!(shown(1), "/o  p0\n  all is well\n");
        assert_eq!(shown(2), "/o  p0, p1\n  p1: it is broken\u{fffd}: mend it\n");
        let many = shown(FEW + 3);
        assert_eq!(many.lines().count(), 1 + FEW + 1, "{many}");
        assert!(many.ends_with("  and 2 more: omnifs status /o\n"), "{many}");
    }
}
