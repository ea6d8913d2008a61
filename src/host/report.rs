//! What an instance's `.omnifs/status` and `.omnifs/errors` say: of that instance alone.

use crate::control::{CoreStatus, ErrorStatus, FeedState};
use crate::guide::Report;
use crate::provider::{Manifest, Search};
use omnifs_platform::Error;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// Scopes, listings and failures that are named. The rest are counted.
const NAMED: usize = 20;

/// Writes the report of the instance `name`.
pub(super) fn text(
    report: Report,
    name: &str,
    manifest: Option<&Manifest>,
    status: &CoreStatus,
) -> String {
    match report {
        Report::Status => standing(name, manifest, status),
        Report::Errors => errors(name, &status.errors),
    }
}

fn standing(name: &str, manifest: Option<&Manifest>, status: &CoreStatus) -> String {
    let mut out = Lines::default();
    let Some(own) = status.providers.iter().find(|provider| provider.name == name) else {
        return String::new();
    };
    out.line(format!("{name}: {}", own.component.as_deref().unwrap_or("its component cannot run")));
    if let Some(problem) = &own.problem {
        out.line(format!("problem: {problem}"));
    }
    for credential in &own.credentials {
        let detail = credential.detail.as_ref().map(|d| format!("; {d}")).unwrap_or_default();
        out.line(format!("credential: {}{detail}", credential.summary()));
    }
    out.line(format!(
        "requests to the service since the mount began: {} ({} unchanged, {} failed)",
        own.callouts, own.not_modified, own.failures
    ));
    out.line(format!("answered from memory: {} of {}", own.hits, own.hits + own.misses));
    let budgets: Vec<_> = status.budgets.iter().filter(|budget| budget.provider == name).collect();
    for budget in &budgets {
        let left = match (budget.remaining, budget.limit) {
            (Some(remaining), Some(limit)) => format!("{remaining} of {limit} left"),
            _ => "how much is left is not known".to_owned(),
        };
        let resets = budget.resets.map(|at| format!(" until {}", time(at))).unwrap_or_default();
        let again = budget.resumes.map(|at| format!("; none is made before {}", time(at)));
        let again = again.unwrap_or_default();
        out.line(format!("limit {}: {left}{resets}{again}", budget.resource));
    }
    let scopes: Vec<_> = status.scopes.iter().filter(|scope| scope.provider == name).collect();
    for state in FeedState::ALL {
        let count = scopes.iter().filter(|scope| scope.state == state).count();
        if count > 0 {
            out.line(format!("scopes {}: {count}", state.word()));
        }
    }
    let doubtful = scopes.iter().filter(|scope| scope.state != FeedState::Live);
    out.named(doubtful.map(|scope| {
        let why = scope.why.as_deref().unwrap_or_default();
        format!("  {} {}: {why}", scope.scope, scope.state.word())
    }));
    let below = format!("{name}/");
    let short = status
        .partial_listings
        .iter()
        .filter(|partial| partial.path == name || partial.path.starts_with(&below));
    out.named(short.map(|p| format!("stops short: {}: {} shown; {}", p.path, p.shown, p.note)));
    if let Some(manifest) = manifest {
        out.line(search(manifest));
    }
    out.text
}

/// What a search costs that honours no list of what to pass over.
fn search(manifest: &Manifest) -> String {
    let costly = manifest.guide.iter().filter(|path| path.search == Search::Costly);
    let costly: Vec<_> = costly.map(|path| path.pattern.as_str()).collect();
    let bound = manifest.config.iter().find(|key| key.name.ends_with("-bound"));
    let bound = bound.map(|key| format!(", which stops at {}", key.name)).unwrap_or_default();
    let each = match costly.is_empty() {
        true => String::new(),
        false => format!(", and one for each file of {}", costly.join(" ")),
    };
    format!(
        "grep -r, which honours no .ignore, costs the requests of each listing below where it begins{bound}{each}; \
         again it costs none. It ends in EAGAIN where a limit is used up. rg passes over the latter."
    )
}

/// One failure a block: when and where, what the program was told, why and what to do.
fn errors(name: &str, errors: &[ErrorStatus]) -> String {
    let mut out = Lines::default();
    let own = errors.iter().filter(|error| error.provider == name);
    out.named(own.map(|error| {
        let times =
            if error.count > 1 { format!(", {} times", error.count) } else { String::new() };
        let path = error.path.as_deref().unwrap_or("(feed)");
        let again = error.retry_at.map(|at| format!(" (again at {})", time(at)));
        format!(
            "{}{times} {path}: {} ({})\n  {}{}",
            time(error.at),
            errno(&error.cause),
            error.cause,
            error.detail,
            again.unwrap_or_default()
        )
    }));
    out.text
}

/// What programs see of a failure, by the words of `omnifs status`.
fn errno(cause: &str) -> &'static str {
    let error = super::status::CAUSES.iter().find(|(_, word)| *word == cause);
    match error.map(|(cause, _)| cause.error()) {
        Some(Error::NotFound) => "ENOENT",
        Some(Error::Denied) => "EACCES",
        Some(Error::RateLimited) => "EAGAIN",
        Some(Error::TimedOut) => "ETIMEDOUT",
        Some(Error::TooLarge) => "EFBIG",
        Some(Error::Stale) => "ESTALE",
        _ => "EIO",
    }
}

/// Milliseconds since the Unix epoch, as RFC 3339 writes them.
fn time(at: u64) -> String {
    let since = UNIX_EPOCH + Duration::from_millis(at / 1000 * 1000);
    jiff::Timestamp::try_from(since).map_or_else(|_| at.to_string(), |time| time.to_string())
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// One or two lines of ours, with texts of services in them.
    fn line(&mut self, text: String) {
        for line in text.split('\n') {
            let _ = writeln!(self.text, "{}", omnifs_text::printable(line));
        }
    }

    fn named(&mut self, lines: impl Iterator<Item = String>) {
        let mut more = 0;
        for (at, line) in lines.enumerate() {
            if at < NAMED {
                self.line(line);
            } else {
                more += 1;
            }
        }
        if more > 0 {
            self.line(format!("and {more} more: `omnifs status --json` has them"));
        }
    }
}
