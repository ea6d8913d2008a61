//! Each way Linear fails, its own rate limit among them: HTTP 400 with `RATELIMITED`, and a reset in
//! milliseconds.

use crate::{NEVER, SOON, World, await_live, engineering, issues};
use omnifs_support::tools::{errno, read};
use omnifs_support::{Mounted, wait_until};
use omnifs_twins::{Fault, LinearSetup, Times};
use std::time::{Duration, Instant, SystemTime};

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
}

const fn row(fault: Fault, errno: i32, cause: &'static str, says: &'static [&'static str]) -> Row {
    Row { fault, errno, cause, says }
}

const ROWS: [Row; 12] = [
    row(
        Fault::Status(401),
        EACCES,
        "denied",
        &["401", "omnifs auth login linear", "credential-file"],
    ),
    row(Fault::Status(403), EACCES, "denied", &["403", "omnifs auth"]),
    // The service is not where it was: that says nothing of any issue.
    row(Fault::Status(404), EIO, "invalid", &["404", "check the endpoint's address", "again"]),
    row(Fault::Status(429), EAGAIN, "rate-limited", &["throttles", "resume"]),
    row(Fault::TooMany { retry_after: 1 }, EAGAIN, "rate-limited", &["throttles", "resume"]),
    row(Fault::Status(500), EIO, "unavailable", &["500", "again"]),
    row(Fault::Status(503), EIO, "unavailable", &["503", "again"]),
    row(Fault::Slow(Duration::from_secs(120)), ETIMEDOUT, "timed-out", &["2 s", "again"]),
    row(Fault::Truncated, EIO, "unavailable", &["broke off", "again"]),
    row(Fault::MalformedJson, EIO, "invalid", &["not as expected", "again"]),
    row(Fault::WrongContentType, EIO, "invalid", &["not as expected", "again"]),
    row(Fault::Reset, EIO, "unavailable", &["before it answered", "again"]),
];

fn world(test: &str) -> Option<World> {
    World::new(test, LinearSetup::default(), NEVER, BOUND)
}

/// The lines of `omnifs status` below "last errors".
fn shown(world: &World, mounted: &Mounted<'_>) -> String {
    let point = mounted.path().to_str().expect("UTF-8").to_owned();
    let ran = world.omnifs.run(&["status", &point]).expect("status");
    ran.stdout.split_once("last errors\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// Meets the fault at one issue that was never read, then mends it.
fn meets(world: &World, mounted: &Mounted<'_>, number: usize, row: &Row) {
    let Row { fault, errno: expected, cause, says } = row;
    let name = format!("ENG-{number}");
    let path = issues(mounted).join("_all").join(&name).join("title");
    assert!(world.twin.issue_id(&name).is_some(), "{name} is an issue");
    world.requests();
    world.twin.inject(*fault, "/graphql", Times::UntilCleared);
    let start = Instant::now();
    assert_eq!(errno(&path), *expected, "{fault:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "{fault:?} took {:?}", start.elapsed());
    assert_eq!(world.requests().len(), 1, "a query is not sent twice: {fault:?}");
    let error = mounted.status().expect("status")["errors"][0].clone();
    assert_eq!(error["path"], format!("linear/teams/ENG/issues/_all/{name}"), "{fault:?}");
    assert_eq!(error["provider"], "linear");
    assert_eq!(error["cause"], *cause, "{fault:?}: {error}");
    let detail = error["detail"].as_str().expect("detail");
    assert!(!detail.contains(char::is_control), "one line: {detail:?}");
    for part in *says {
        assert!(detail.contains(part), "{fault:?}: {part:?} is not in {detail:?}");
    }
    let text = shown(world, mounted);
    assert!(text.lines().any(|line| line.trim().starts_with(detail)), "{detail}\n{text}");
    world.twin.clear_faults();
    let recovered = wait_until(SOON, || std::fs::read_to_string(&path).ok());
    assert!(recovered.is_some_and(|title| title.ends_with('\n')), "{fault:?}: {:?}", errno(&path));
}

#[test]
fn each_fault_has_its_errno_a_line_in_status_and_passes() {
    let Some(world) = World::new("each_fault", engineering(40, 0, false), NEVER, BOUND) else {
        return;
    };
    let mounted = world.mount();
    assert!(issues(&mounted).join("_all").is_dir());
    await_live(&mounted);
    for (number, row) in (1..).zip(&ROWS) {
        meets(&world, &mounted, number, row);
    }
}

#[test]
fn a_used_up_budget_is_eagain_at_once_and_no_further_request() {
    let Some(world) = world("used_up") else { return };
    let mounted = world.mount();
    let all = issues(&mounted).join("_all");
    let known = read(&all.join("ENG-204/title"));
    await_live(&mounted);
    world.requests();
    world.twin.set_request_limit(5_000, 0);
    assert_eq!(errno(&all.join("ENG-203/title")), EAGAIN);
    assert_eq!(world.requests().len(), 1, "the one that was refused");
    for _ in 0..10 {
        assert_eq!(errno(&all.join("ENG-201/title")), EAGAIN);
    }
    assert_eq!(world.requests(), [""; 0]);
    assert_eq!(read(&all.join("ENG-204/title")), known);
    let status = mounted.status().expect("status");
    let budgets = status["budgets"].as_array().expect("budgets");
    let spent = budgets.iter().find(|budget| budget["exhausted"] == true).expect("one is spent");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let left = spent["resets"].as_u64().expect("resets") as i64 - now.as_millis() as i64;
    assert!((3_400_000..3_700_000).contains(&left), "{left} ms: {spent}");
    assert_eq!(status["errors"][0]["cause"], "rate-limited");
}

#[test]
fn reads_go_on_by_themselves_after_the_reset() {
    let Some(world) = world("after_reset") else { return };
    let mounted = world.mount();
    let all = issues(&mounted).join("_all");
    assert!(all.is_dir());
    await_live(&mounted);
    world.requests();
    world.twin.inject(Fault::PrimaryLimit { reset_in: 3 }, "*", Times::Next(1));
    let path = all.join("ENG-204/title");
    assert_eq!(errno(&path), EAGAIN);
    assert!(wait_until(SOON, || std::fs::read(&path).ok()).is_some(), "{:?}", mounted.status());
    assert_eq!(world.requests().len(), 2, "the refused one and the one after the reset");
}
