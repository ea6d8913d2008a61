//! Each way a service fails: its errno, one line in `omnifs status` that says what happened and what to
//! do, no storm of requests, nothing kept, and recovery without anybody's help.

use crate::{API, SOON, Wish, World, await_polled, issues, last_error};
use omnifs_support::tools::{errno, read, shell, try_shell};
use omnifs_support::{Mounted, wait_until};
use omnifs_twins::{Fault, Times};
use std::time::{Duration, Instant};

const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const EACCES: i32 = 13;
const ETIMEDOUT: i32 = 110;

/// A request's bound in these tests, so that a slow answer need not be waited for long.
const BOUND: &str = "[limits]\nrequest-time = '2s'\n";

struct Row {
    fault: Fault,
    errno: i32,
    cause: &'static str,
    /// Parts of the line in `omnifs status`: what happened, what to do.
    says: &'static [&'static str],
    /// Attempts at most.
    requests: usize,
}

const fn row(
    fault: Fault,
    errno: i32,
    cause: &'static str,
    says: &'static [&'static str],
    requests: usize,
) -> Row {
    Row { fault, errno, cause, says, requests }
}

const ROWS: [Row; 11] = [
    row(
        Fault::Status(401),
        EACCES,
        "denied",
        &["401", "omnifs auth login github", "GH_ENTERPRISE_TOKEN"],
        1,
    ),
    row(Fault::Status(403), EACCES, "denied", &["403", "omnifs auth"], 1),
    row(Fault::Status(429), EAGAIN, "rate-limited", &["throttles", "resume"], 1),
    row(Fault::TooMany { retry_after: 1 }, EAGAIN, "rate-limited", &["throttles", "resume"], 1),
    row(
        Fault::SecondaryLimit { retry_after: 1 },
        EAGAIN,
        "rate-limited",
        &["slow down", "resume"],
        1,
    ),
    row(Fault::Status(500), EIO, "unavailable", &["500", "again"], 1),
    row(Fault::Status(503), EIO, "unavailable", &["503", "again"], 3),
    row(Fault::Slow(Duration::from_secs(120)), ETIMEDOUT, "timed-out", &["2 s", "again"], 1),
    row(Fault::Truncated, EIO, "unavailable", &["again"], 3),
    row(Fault::WrongContentType, EIO, "invalid", &["not as expected", "again"], 1),
    row(Fault::MalformedJson, EIO, "invalid", &["not as expected", "again"], 1),
];

fn world(test: &str) -> Option<World> {
    World::new(test, Wish { setup: issues(40, 0), sections: BOUND, ..Wish::default() })
}

/// The lines of `omnifs status` below "last errors".
fn shown(world: &World, mounted: &Mounted<'_>) -> String {
    let point = mounted.path().to_str().expect("UTF-8").to_owned();
    let ran = world.omnifs.run(&["status", &point]).expect("status");
    ran.stdout.split_once("last errors\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// Meets the fault at one issue that was never read, then mends it.
fn meets(world: &World, mounted: &Mounted<'_>, number: usize, row: &Row) {
    let Row { fault, errno: expected, cause, says, requests } = row;
    let path = mounted.join(API).join(format!("_issues/_open/{number}/title"));
    world.requests();
    world.twin.inject(*fault, &format!("/repositories/*/issues/{number}"), Times::UntilCleared);
    let start = Instant::now();
    assert_eq!(errno(&path), *expected, "{fault:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "{fault:?} took {:?}", start.elapsed());
    let asked = world.requests();
    assert!(!asked.is_empty() && asked.len() <= *requests, "{fault:?}: {asked:?}");
    let error = last_error(mounted);
    assert_eq!(error["path"], format!("{API}/_issues/_open/{number}"), "{fault:?}: {error}");
    assert_eq!(error["provider"], "github");
    assert_eq!(error["cause"], *cause, "{fault:?}: {error}");
    let detail = error["detail"].as_str().expect("detail");
    assert!(!detail.contains(char::is_control), "one line: {detail:?}");
    for part in *says {
        assert!(detail.contains(part), "{fault:?}: {part:?} is not in {detail:?}");
    }
    let text = shown(world, mounted);
    assert!(text.lines().any(|line| line.trim().starts_with(detail)), "{detail}\n{text}");
    world.twin.clear_faults();
    let title = || std::fs::read_to_string(&path).ok();
    let recovered = wait_until(SOON, title);
    assert!(recovered.is_some_and(|title| title.ends_with('\n')), "{fault:?}: {:?}", errno(&path));
}

#[test]
fn each_fault_has_its_errno_a_line_in_status_and_passes() {
    let Some(world) = world("each_fault") else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert!(open.is_dir());
    await_polled(&mounted);
    for (number, row) in (1..).zip(&ROWS) {
        meets(&world, &mounted, number, row);
    }
}

#[test]
fn a_refused_credential_is_a_state_of_its_provider_until_one_is_accepted() {
    let wish = Wish {
        setup: issues(5, 0),
        sections: BOUND,
        token: Some("a-token-that-has-expired"),
        ..Wish::default()
    };
    let Some(world) = World::new("refused_credential", wish) else { return };
    world.twin.inject(Fault::Status(401), "/*", Times::UntilCleared);
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    let problem =
        || mounted.status().expect("status")["providers"][0]["problem"].as_str().map(str::to_owned);
    for _ in 0..2 {
        assert_eq!(errno(&open.join("1/title")), EACCES);
        let said = problem().expect("a problem");
        for part in ["401", "GH_ENTERPRISE_TOKEN", "omnifs auth login github"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let point = mounted.path().to_str().expect("UTF-8").to_owned();
    let text = world.omnifs.run(&["status", &point]).expect("status").stdout;
    assert!(!text.contains("  works\n"), "{text}");
    world.twin.clear_faults();
    assert!(read(&open.join("1/title")).ends_with('\n'));
    assert_eq!(problem(), None);
}

#[test]
fn a_service_that_does_not_answer_is_a_state_of_its_provider_until_it_does() {
    let Some(world) = world("unreachable") else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    let problem =
        || mounted.status().expect("status")["providers"][0]["problem"].as_str().map(str::to_owned);
    assert!(read(&open.join("1/title")).ends_with('\n'));
    assert_eq!(problem(), None);
    for (fault, said) in [
        (Fault::Status(500), "500"),
        (Fault::Slow(Duration::from_secs(120)), "2 s"),
        (Fault::Reset, "failed"),
    ] {
        world.twin.inject(fault, "/repositories/*/issues/2", Times::UntilCleared);
        // What took long to fail is shared for a moment, also with who asks after the next fault.
        let told = wait_until(SOON, || {
            assert_ne!(errno(&open.join("2/title")), 0);
            problem().filter(|problem| problem.contains("last request") && problem.contains(said))
        });
        assert!(told.is_some(), "{said}: {:?}", problem());
        world.twin.clear_faults();
    }
    let back = wait_until(SOON, || std::fs::read_to_string(open.join("2/title")).ok());
    assert!(back.expect("the title").ends_with('\n'));
    assert_eq!(problem(), None);
}

#[test]
fn a_reset_connection_is_eio_and_passes() {
    let Some(world) = world("reset") else { return };
    let mounted = world.mount();
    assert!(mounted.join(API).is_dir());
    await_polled(&mounted);
    meets(&world, &mounted, 30, &row(Fault::Reset, EIO, "unavailable", &["again"], 3));
}

#[test]
fn a_404_is_no_such_file_and_an_event_brings_the_file_back() {
    let wish = Wish {
        setup: issues(40, 0),
        sections: BOUND,
        polls: Some(crate::OFTEN),
        ..Wish::default()
    };
    let Some(world) = World::new("a_404", wish) else { return };
    let mounted = world.mount();
    let path = mounted.join(API).join("_issues/_open/12/title");
    assert!(mounted.join(API).join("_issues/_open").is_dir());
    await_polled(&mounted);
    world.twin.inject(Fault::Status(404), "/repositories/*/issues/12", Times::UntilCleared);
    assert_eq!(errno(&path), ENOENT);
    world.twin.clear_faults();
    assert_eq!(errno(&path), ENOENT, "it is believed");
    world.twin.close("acme/api", 13).expect("close");
    let back = wait_until(SOON, || std::fs::read_to_string(&path).ok());
    assert!(back.is_some(), "an event on the directory ends it");
}

#[test]
fn a_stopped_service_is_eio_what_is_immutable_still_reads_and_it_comes_back() {
    let Some(world) = world("stopped") else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert!(read(&open.join("3/title")).ends_with('\n'));
    world.twin.stop();
    assert_eq!(errno(&open.join("4/title")), EIO);
    let error = last_error(&mounted);
    assert_eq!(error["cause"], "unavailable");
    let detail = error["detail"].as_str().expect("detail");
    assert!(detail.contains("refused") || detail.contains("cannot connect"), "{detail}");
    world.twin.restart().expect("restart");
    let recovered = wait_until(SOON, || std::fs::read_to_string(open.join("4/title")).ok());
    assert!(recovered.is_some());
}

#[test]
fn a_listing_that_breaks_off_half_way_is_an_error_and_not_a_short_listing() {
    let setup = issues(250, 0);
    let Some(world) = World::new("half_listing", Wish { setup, ..Wish::default() }) else { return };
    let mounted = world.mount();
    let issues = mounted.join(API).join("_issues");
    assert!(issues.is_dir());
    await_polled(&mounted);
    let listing = "/repositories/*/issues";
    for fault in [Fault::Status(500), Fault::MalformedJson, Fault::Truncated] {
        world.twin.inject(Fault::Slow(Duration::ZERO), listing, Times::Next(1));
        world.twin.inject(fault, listing, Times::UntilCleared);
        let output = try_shell(&issues, "ls _open");
        assert!(!output.status.success(), "{fault:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("Input/output error"), "{fault:?}: {errors}");
        assert!(output.stdout.is_empty(), "{fault:?}: {} bytes", output.stdout.len());
        world.twin.clear_faults();
    }
    assert_eq!(shell(&issues, "ls _open | wc -l"), "250");
}

#[test]
fn a_redirect_to_a_host_that_nobody_declared_is_refused_before_a_request() {
    let Some(world) = World::demo("undeclared") else { return };
    let toml = format!(
        "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
         [instances.github.endpoints]\napi = '{}'\n",
        world.twin.url()
    );
    world.omnifs.config(&toml).expect("a configuration");
    let mounted = world.mount();
    let jobs = mounted.join(API).join("_actions/runs/9801/jobs");
    assert_eq!(errno(&jobs.join("build/log")), EACCES);
    let taken = world.taken();
    assert!(taken.iter().all(|request| request.server == "api"), "{taken:?}");
    let detail = last_error(&mounted)["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(world.twin.storage_url()), "{detail}");
    assert!(detail.contains("redirect"), "{detail}");
}
