//! Each way Linear fails, its own rate limit among them: HTTP 400 with `RATELIMITED`, and a reset in
//! milliseconds.

use crate::{NEVER, SOON, World, await_live, issues};
use omnifs_support::tools::{errno, read};
use omnifs_support::wait_until;
use omnifs_twins::{Fault, LinearSetup, Times};
use std::time::{Duration, Instant, SystemTime};

const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const EACCES: i32 = 13;
const ETIMEDOUT: i32 = 110;

fn world(test: &str) -> Option<World> {
    World::new(test, LinearSetup::default(), NEVER, "[limits]\nrequest-time = '2s'\n")
}

#[test]
fn each_fault_has_its_errno_a_line_in_status_and_passes() {
    let Some(world) = world("each_fault") else { return };
    let mounted = world.mount();
    let all = issues(&mounted).join("_all");
    assert!(all.is_dir());
    await_live(&mounted);
    let rows = [
        ("204", Fault::Status(401), EACCES, "denied", "omnifs auth login linear"),
        ("203", Fault::Status(403), EACCES, "denied", "403"),
        ("201", Fault::Status(500), EIO, "unavailable", "500"),
        ("199", Fault::Status(503), EIO, "unavailable", "503"),
        ("196", Fault::Slow(Duration::from_secs(8)), ETIMEDOUT, "timed-out", "2 s"),
        ("188", Fault::Truncated, EIO, "unavailable", ""),
        ("181", Fault::MalformedJson, EIO, "invalid", "not as expected"),
        ("17", Fault::WrongContentType, EIO, "invalid", "not as expected"),
        ("18", Fault::Reset, EIO, "unavailable", ""),
    ];
    for (number, fault, expected, cause, says) in rows {
        // The last two are of a team of their own, with fewer issues than faults.
        let name = format!("ENG-{number}");
        let path = all.join(&name).join("title");
        world.requests();
        world.twin.inject(fault, "/graphql", Times::UntilCleared);
        assert_eq!(errno(&path), expected, "{fault:?}");
        assert_eq!(world.requests().len(), 1, "a query is not sent twice: {fault:?}");
        let error = mounted.status().expect("status")["errors"][0].clone();
        assert_eq!(error["cause"], cause, "{fault:?}: {error}");
        assert_eq!(error["path"], format!("linear/teams/ENG/issues/_all/{name}"), "{fault:?}");
        let detail = error["detail"].as_str().expect("detail");
        assert!(detail.contains(says) && !detail.contains(char::is_control), "{fault:?}: {detail}");
        world.twin.clear_faults();
        if world.twin.issue_id(&name).is_some() {
            assert!(wait_until(SOON, || std::fs::read(&path).ok()).is_some(), "{fault:?}");
        } else {
            assert_eq!(errno(&path), 2, "{fault:?}");
        }
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
        let start = Instant::now();
        assert_eq!(errno(&all.join("ENG-201/title")), EAGAIN);
        assert!(start.elapsed() < Duration::from_secs(1));
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
