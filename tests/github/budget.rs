//! When the rate limit is gone: EAGAIN at once, the reset time in `omnifs status`, and no request.

use crate::{API, OFTEN, SOON, Wish, World, await_polled, issues, last_error};
use omnifs_support::tools::{errno, read};
use omnifs_support::wait_until;
use omnifs_twins::{Fault, Times};
use std::time::{Duration, Instant, SystemTime};

const EAGAIN: i32 = 11;

fn millis() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now.as_millis() as u64
}

#[test]
fn a_used_up_budget_is_eagain_at_once_and_no_further_request() {
    let setup = issues(60, 0);
    let Some(world) = World::new("used_up", Wish { setup, ..Wish::default() }) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    let known = read(&open.join("1/title"));
    await_polled(&mounted);
    // The answer to the next request says that it was the last one.
    world.twin.set_rate_limit(5_000, 1);
    read(&open.join("2/title"));
    world.requests();
    for number in 3..23 {
        assert_eq!(errno(&open.join(format!("{number}/title"))), EAGAIN);
    }
    assert_eq!(world.requests(), [""; 0], "nothing is asked while nothing is left");
    assert_eq!(read(&open.join("1/title")), known, "what is known still reads");
    let status = mounted.status().expect("status");
    let budget = &status["budgets"][0];
    assert_eq!(budget["provider"], "github");
    assert_eq!((&budget["resource"], &budget["remaining"]), (&"core".into(), &0.into()));
    assert_eq!(budget["exhausted"], true);
    let resets = budget["resets"].as_u64().expect("resets");
    let hour = millis() + 3_500_000..millis() + 3_700_000;
    assert!(hour.contains(&resets), "milliseconds: {resets}, now {}", millis());
    let error = last_error(&mounted);
    assert_eq!(error["cause"], "rate-limited");
    assert!(hour.contains(&error["retry_at"].as_u64().expect("retry_at")), "{error}");
    let point = mounted.path().to_str().expect("UTF-8");
    let text = world.omnifs.run(&["status", point]).expect("status").stdout;
    assert!(text.contains("core (github): 0 of 5000 left, resets in 59m"), "{text}");
}

#[test]
fn reads_go_on_by_themselves_after_the_reset() {
    let setup = issues(10, 0);
    let Some(world) = World::new("after_reset", Wish { setup, ..Wish::default() }) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert!(open.is_dir());
    await_polled(&mounted);
    world.requests();
    world.twin.inject(Fault::PrimaryLimit { reset_in: 3 }, "*/issues/*", Times::Next(1));
    let waited = Instant::now();
    assert_eq!(errno(&open.join("5/title")), EAGAIN);
    let title = wait_until(SOON, || std::fs::read_to_string(open.join("5/title")).ok());
    assert!(title.is_some(), "{:?}", mounted.status());
    assert!(waited.elapsed() > Duration::from_secs(1), "it did wait: {:?}", waited.elapsed());
    let requests = world.requests();
    assert_eq!(requests.len(), 2, "the refused one and the one after the reset: {requests:?}");
}

#[test]
fn a_pause_that_the_service_asks_for_ends_before_the_reset_and_status_says_when() {
    let setup = issues(10, 0);
    let Some(world) = World::new("pause", Wish { setup, ..Wish::default() }) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert!(open.is_dir());
    await_polled(&mounted);
    let pause = Fault::SecondaryLimit { retry_after: 60 };
    world.twin.inject(pause, "*/issues/*", Times::Next(1));
    assert_eq!(errno(&open.join("5/title")), EAGAIN);
    let status = mounted.status().expect("status");
    let budget = &status["budgets"][0];
    assert_eq!(budget["exhausted"], true, "{budget}");
    let resumes = budget["resumes"].as_u64().expect("resumes");
    assert!((millis()..millis() + 61_000).contains(&resumes), "{budget}, now {}", millis());
    assert!(budget["resets"].as_u64().expect("resets") > resumes + 600_000, "{budget}");
    let point = mounted.path().to_str().expect("UTF-8");
    let text = world.omnifs.run(&["status", point]).expect("status").stdout;
    let said = ["EAGAIN for 5", "EAGAIN for 1m 0s"].iter().any(|said| text.contains(said));
    assert!(said, "{text}");
}

#[test]
fn background_polls_leave_the_last_fifth_to_reads() {
    let setup = issues(60, 0);
    let wish = Wish { setup, polls: Some(OFTEN), ..Wish::default() };
    let Some(world) = World::new("reserve", wish) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    read(&open.join("1/title"));
    await_polled(&mounted);
    world.twin.set_rate_limit(100, 15);
    // One answer tells the new numbers; from then on the polls fall silent.
    read(&open.join("2/title"));
    let silent = wait_until(SOON, || {
        let status = mounted.status().ok()?;
        let scopes = status["scopes"].as_array()?;
        scopes.iter().all(|scope| scope["state"] == "lost").then_some(())
    });
    assert!(silent.is_some(), "{:?}", mounted.status());
    world.twin.reset_counts();
    for number in 3..8 {
        read(&open.join(format!("{number}/title")));
    }
    let lines: Vec<_> = world.twin.requests().iter().map(omnifs_twins::Request::line).collect();
    assert!(lines.iter().all(|line| !line.contains("since=")), "{lines:#?}");
    let status = mounted.status().expect("status");
    let why = status["scopes"][0]["why"].as_str().expect("why");
    assert!(why.contains("kept for reads"), "{why}");
}
