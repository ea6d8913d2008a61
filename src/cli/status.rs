use super::failure::{Exit, Failure};
use super::locate::mount_of;
use super::{Context, output, terminal, wait};
use clap::Args;
use futures_util::future::join_all;
use omnifs::config::units::Size;
use omnifs::control::{self, Client, FeedState, Record, ScopeStatus, Status as Report};
use omnifs::logs::printable;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Rows of one kind that are shown to people.
const FEW: usize = 30;

/// Show what the mounts are doing
///
/// For each mount: its providers, the state of their event feeds, what the cache holds, what the
/// services still allow, listings that stop short, and the last errors with what to do about them. Of
/// many scopes those are shown that are not live; --json has them all.
///
/// With --json it is one object where PATH is given, else a list of them. Times are milliseconds since 1970.
///
/// Without PATH and with no mount running, the exit code is 3.
#[derive(Debug, Args)]
pub struct Status {
    /// A mountpoint or a path below one [default: every mount]
    path: Option<PathBuf>,
}

pub fn run(context: &Context, args: &Status) -> Result<ExitCode, Failure> {
    let records = match &args.path {
        None => context.registry().list(),
        Some(path) => vec![mount_of(context, path)?.0],
    };
    let answers = wait(ask(&records))?;
    let text =
        if output::chosen().json { json(&answers, args.path.is_some())? } else { text(&answers) };
    terminal::print(&text)?;
    let silent = answers.into_iter().filter_map(Result::err).next();
    match silent {
        Some(error) => Err(error.into()),
        None if records.is_empty() => Ok(ExitCode::from(Exit::NotMounted as u8)),
        None => Ok(ExitCode::SUCCESS),
    }
}

pub async fn ask(records: &[Record]) -> Vec<Result<Report, control::Error>> {
    join_all(records.iter().map(async |record| Client::new(record.clone())?.status().await)).await
}

fn json(answers: &[Result<Report, control::Error>], one: bool) -> Result<String, Failure> {
    let reports: Vec<_> = answers.iter().flatten().collect();
    let text = match reports.first().filter(|_| one) {
        Some(report) => serde_json::to_string_pretty(report),
        None => serde_json::to_string_pretty(&reports),
    };
    text.map(|text| text + "\n").map_err(|e| Failure::new(format!("cannot write JSON: {e}")))
}

fn text(answers: &[Result<Report, control::Error>]) -> String {
    let now = now();
    let reports: Vec<_> = answers.iter().flatten().map(|report| show(report, now)).collect();
    if answers.is_empty() { "nothing is mounted\n".into() } else { reports.join("\n") }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64
}

/// One mount for people. Everything that a service may have written is made printable.
fn show(report: &Report, now: u64) -> String {
    let mut out = Lines(String::new());
    let Report { mount, core } = report;
    let mut flags = String::new();
    for (on, flag) in [
        (mount.allow_other, ", allow-other"),
        (mount.stale_if_error, ", stale-if-error"),
        (mount.kept, ", kept"),
    ] {
        flags.push_str(if on { flag } else { "" });
    }
    out.line(
        0,
        format!(
            "{}  (omnifs {}, {}{flags}, process {}, up {})",
            mount.mountpoint,
            mount.version,
            mount.backend,
            mount.pid,
            ago(mount.started, now),
        ),
    );
    out.line(0, format!("log  {}", mount.log));

    out.line(0, "providers".into());
    let width = core.providers.iter().map(|p| p.name.len()).max().unwrap_or(0);
    for p in &core.providers {
        let component = p.component.as_deref().unwrap_or("-");
        let state = match p.problem.as_deref() {
            Some(problem) => problem,
            None if p.component.is_some() && p.callouts == 0 => "not asked yet",
            None => "works",
        };
        out.line(2, format!("{:width$}  {component}  {state}", p.name));
        out.line(
            width + 4,
            format!(
                "{} calls, {} callouts ({} not modified, {} failed), {} received",
                p.calls,
                p.callouts,
                p.not_modified,
                p.failures,
                Size(p.received),
            ),
        );
        if let Some(shared) = p.shared {
            out.line(width + 4, shared.to_string());
        }
        for credential in &p.credentials {
            out.line(width + 4, format!("credential {}", credential.summary()));
            if let Some(detail) = &credential.detail {
                out.line(width + 6, detail.clone());
            }
        }
    }
    if core.providers.is_empty() {
        out.line(2, "none".into());
    }

    show_scopes(&mut out, &core.scopes, now);

    let c = &core.cache;
    out.line(0, "cache".into());
    out.line(
        2,
        format!(
            "{} of {} nodes, {} of {}",
            c.nodes,
            c.nodes_capacity,
            Size(c.bytes),
            Size(c.bytes_capacity)
        ),
    );
    let rate = c.hit_rate().map_or("no use yet".into(), |r| format!("hit rate {:.1} %", r * 100.0));
    out.line(
        2,
        format!(
            "{rate} ({} hits, {} misses), {} evicted, {} invalidated",
            c.hits, c.misses, c.evictions, c.invalidations,
        ),
    );
    if c.stale_served > 0 {
        out.line(
            2,
            format!("{} answers were stale because a service could not be reached", c.stale_served),
        );
    }
    if let Some(disk) = &c.disk {
        let text = match &disk.off {
            Some(why) => format!("disk: nothing is kept: {why}"),
            None => format!(
                "disk: {} of {}, {} answers, {} shown without asking",
                Size(disk.bytes),
                Size(disk.capacity),
                disk.answers,
                disk.recalled
            ),
        };
        out.line(2, text);
    }

    if !core.budgets.is_empty() {
        out.line(0, "budget".into());
    }
    for b in &core.budgets {
        let count = |n: Option<u64>| n.map_or("?".into(), |n| n.to_string());
        let mut text = format!(
            "{} {} ({}): {} of {} left",
            b.provider,
            b.resource,
            b.credential,
            count(b.remaining),
            count(b.limit),
        );
        if let Some(resets) = b.resets {
            let _ = write!(text, ", resets in {}", ago(now, resets));
        }
        if let Some(resumes) = b.resumes.filter(|_| b.exhausted) {
            let _ = write!(text, "; reads answer EAGAIN for {}", ago(now, resumes));
        }
        out.line(2, text);
    }

    if !core.webhooks.is_empty() {
        out.line(0, "webhooks".into());
    }
    for w in &core.webhooks {
        let Some(address) = &w.address else {
            out.line(2, format!("{}  {}", w.provider, w.problem.as_deref().unwrap_or("-")));
            continue;
        };
        out.line(2, format!("{}  enter {address} at the service", w.provider));
        out.line(
            4,
            format!(
                "{} accepted ({} repeated, {} late), {} refused, {} turned away for want of room or time",
                w.accepted, w.repeated, w.late, w.refused, w.turned_away
            ),
        );
        if let Some(problem) = &w.problem {
            out.line(4, problem.clone());
        }
    }

    if !core.partial_listings.is_empty() {
        out.line(0, "listings that stop short".into());
    }
    for p in core.partial_listings.iter().take(FEW) {
        out.line(2, format!("{}: {} shown; {}", p.path, p.shown, p.note));
    }
    out.rest(core.partial_listings.len());

    if !core.errors.is_empty() {
        out.line(0, "last errors".into());
    }
    for e in &core.errors {
        let times = if e.count > 1 { format!(", {} times", e.count) } else { String::new() };
        let path = e.path.as_deref().unwrap_or("(feed)");
        out.line(2, format!("{} ago{times}  {path}  {}: {}", ago(e.at, now), e.provider, e.cause));
        let mut detail = e.detail.clone();
        if let Some(at) = e.retry_at.filter(|at| *at > now) {
            let _ = write!(detail, " (again in {})", ago(now, at));
        }
        out.line(4, detail);
    }
    out.0
}

fn show_scopes(out: &mut Lines, scopes: &[ScopeStatus], now: u64) {
    if scopes.is_empty() {
        return;
    }
    out.line(0, "scopes".into());
    let many = scopes.len() > FEW;
    if many {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for s in scopes {
            *counts.entry((&s.provider, s.state.word())).or_default() += 1;
        }
        for ((provider, state), count) in counts {
            out.line(2, format!("{provider}: {count} {state}"));
        }
    }
    let shown: Vec<_> = scopes.iter().filter(|s| !many || s.state != FeedState::Live).collect();
    for s in shown.iter().take(FEW) {
        let mut text = format!(
            "{}/{}  {} by {} ({}), {} nodes, {} events",
            s.provider,
            s.scope,
            s.state.word(),
            s.feed,
            s.kind,
            s.nodes,
            s.events,
        );
        if let Some(heard) = s.heard {
            let _ = write!(text, ", heard {} ago", ago(heard, now));
        }
        if let Some(lag) = s.lag {
            let _ = write!(text, ", lag {lag} ms");
        }
        out.line(2, text);
        if let Some(why) = &s.why {
            out.line(4, why.clone());
        }
    }
    out.rest(shown.len());
}

struct Lines(String);

impl Lines {
    fn line(&mut self, indent: usize, text: String) {
        let _ = writeln!(self.0, "{:indent$}{}", "", printable(&text));
    }

    /// Says how many of `all` were left out.
    fn rest(&mut self, all: usize) {
        if all > FEW {
            self.line(2, format!("and {} more: --json shows all", all - FEW));
        }
    }
}

/// The time between two moments in milliseconds, as people say it.
fn ago(from: u64, to: u64) -> String {
    let span = Duration::from_millis(to.saturating_sub(from));
    match span.as_secs() {
        0..60 => format!("{}s", span.as_secs()),
        s @ 60..3_600 => format!("{}m {}s", s / 60, s % 60),
        s @ 3_600..86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        s => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnifs::control::*;

    fn report() -> Report {
        let mount = MountStatus {
            mountpoint: "/mnt/o".into(),
            pid: 7,
            version: "0.1.0".into(),
            backend: "fuse".into(),
            started: 0,
            log: "/log".into(),
            allow_other: true,
            stale_if_error: false,
            kept: false,
            taken_back: false,
        };
        Report { mount, core: CoreStatus::default() }
    }

    #[test]
    fn an_empty_mount_is_shown_without_empty_sections() {
        let text = show(&report(), 3_661_000);
        assert!(
            text.starts_with("/mnt/o  (omnifs 0.1.0, fuse, allow-other, process 7, up 1h 1m)\n")
        );
        assert!(text.contains("providers\n  none\n"), "{text}");
        assert!(text.contains("no use yet"), "{text}");
        for absent in ["scopes", "budget", "webhooks", "stop short", "errors"] {
            assert!(!text.contains(absent), "{text}");
        }
    }

    #[test]
    fn everything_known_is_shown_on_lines_of_its_own() {
        let mut full = report();
        full.core.cache = CacheStatus { hits: 999, misses: 1, ..CacheStatus::default() };
        full.core.scopes.push(ScopeStatus {
            provider: "docker".into(),
            scope: "engine".into(),
            feed: "events".into(),
            kind: "push".into(),
            state: FeedState::Suspect,
            why: Some("the stream ended".into()),
            nodes: 12,
            events: 3,
            heard: Some(0),
            lag: Some(4),
        });
        full.core.budgets.push(BudgetStatus {
            provider: "github".into(),
            credential: "token from environment GITHUB_TOKEN".into(),
            resource: "core".into(),
            limit: Some(5000),
            remaining: Some(0),
            resets: Some(130_000),
            exhausted: true,
            resumes: Some(70_000),
        });
        full.core.errors.push(ErrorStatus {
            at: 8_000,
            count: 2,
            provider: "github".into(),
            path: Some("github/acme\u{1b}[31m\n".into()),
            cause: "rate-limited".into(),
            detail: "the budget is used up".into(),
            retry_at: Some(130_000),
        });
        full.core.webhooks = vec![
            WebhookStatus {
                provider: "hub".into(),
                address: Some("http://127.0.0.1:8787/hook/hub".into()),
                accepted: 3,
                repeated: 1,
                late: 1,
                refused: 2,
                turned_away: 4,
                waiting: 0,
                problem: Some("no secret".into()),
            },
            WebhookStatus {
                provider: "zzz".into(),
                problem: Some("not received".into()),
                ..WebhookStatus::default()
            },
        ];
        let text = show(&full, 10_000);
        for line in [
            "webhooks\n  hub  enter http://127.0.0.1:8787/hook/hub at the service\n    3 accepted (1 repeated, 1 late), 2 refused, 4 turned away for want of room or time\n    no secret\n  zzz  not received\n",
            "  docker/engine  suspect by events (push), 12 nodes, 3 events, heard 10s ago, lag 4 ms\n    the stream ended\n",
            "hit rate 99.9 %",
            "core (token from environment GITHUB_TOKEN): 0 of 5000 left, resets in 2m 0s; reads answer EAGAIN for 1m 0s\n",
            "  2s ago, 2 times  github/acme\u{fffd}[31m\u{fffd}  github: rate-limited\n    the budget is used up (again in 2m 0s)\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn of_many_scopes_those_that_are_not_live_are_shown_and_the_rest_counted() {
        let scope = |number: usize| ScopeStatus {
            provider: "hub".into(),
            scope: format!("repo:{number}"),
            feed: "changes".into(),
            kind: "poll".into(),
            state: if number.is_multiple_of(100) { FeedState::Lost } else { FeedState::Live },
            why: None,
            nodes: 1,
            events: 0,
            heard: None,
            lag: None,
        };
        let mut full = report();
        full.core.scopes = (0..10_000).map(scope).collect();
        let text = show(&full, 10_000);
        for line in ["  hub: 9900 live\n", "  hub: 100 lost\n", "  and 70 more: --json shows all\n"]
        {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.contains("hub/repo:100  lost by changes (poll)"), "{text}");
        assert!(text.lines().count() < 60, "{text}");
    }

    #[test]
    fn a_provider_is_said_to_work_only_once_it_has_been_asked() {
        let provider = |callouts, problem: Option<&str>| ProviderStatus {
            name: "hub".into(),
            component: Some("hub 1.0.0".into()),
            callouts,
            problem: problem.map(str::to_owned),
            ..ProviderStatus::default()
        };
        let mut full = report();
        for (row, said) in [
            (provider(0, None), "hub 1.0.0  not asked yet\n"),
            (provider(1, None), "hub 1.0.0  works\n"),
            (provider(1, Some("its token is refused")), "hub 1.0.0  its token is refused\n"),
        ] {
            full.core.providers = vec![row];
            let text = show(&full, 10_000);
            assert!(text.contains(said), "{said}\n{text}");
        }
    }

    #[test]
    fn json_reads_back_as_the_same() {
        let answers = vec![Ok(report())];
        let one: Report = serde_json::from_str(&json(&answers, true).unwrap()).unwrap();
        assert_eq!(one, report());
        let all: Vec<Report> = serde_json::from_str(&json(&answers, false).unwrap()).unwrap();
        assert_eq!(all, [report()]);
        assert_eq!(json(&[], false).unwrap(), "[]\n");
    }
}
