//! Each fault on each twin, as a client sees it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use omnifs_twins::{Fault, GithubTwin, LinearTwin, Times};
use support::{get, graphql, send};

const ISSUE: &str = "/repos/acme/api/issues/2853";

#[test]
fn a_status_is_told_in_the_services_own_words_and_passes() {
    let twin = GithubTwin::demo().unwrap();
    for status in [401, 403, 404, 429, 500, 502, 503] {
        twin.inject(Fault::Status(status), "/repos/*", Times::Next(1));
        assert_eq!(get(twin.url(), "/user").status, 200, "another path is not hit");
        let hit = get(twin.url(), ISSUE);
        assert_eq!(hit.status, status);
        assert!(hit.json()["message"].is_string());
        assert_eq!(get(twin.url(), ISSUE).status, 200, "the next one is not hit");
    }
    assert_eq!(twin.counts().failed, 7);
}

#[test]
fn limits_name_the_time_to_wait() {
    let twin = GithubTwin::demo().unwrap();
    twin.inject(Fault::SecondaryLimit { retry_after: 7 }, "*", Times::Next(1));
    let hit = get(twin.url(), ISSUE);
    assert_eq!((hit.status, hit.header("retry-after")), (403, Some("7")));
    assert!(hit.number("x-ratelimit-remaining") > 0, "the primary budget is not the cause");
    twin.inject(Fault::TooMany { retry_after: 9 }, "*", Times::Next(1));
    let hit = get(twin.url(), ISSUE);
    assert_eq!((hit.status, hit.header("retry-after")), (429, Some("9")));
    twin.inject(Fault::PrimaryLimit { reset_in: 60 }, "*", Times::Next(1));
    let hit = get(twin.url(), ISSUE);
    assert_eq!((hit.status, hit.number("x-ratelimit-remaining")), (403, 0));
    let wait = hit.number("x-ratelimit-reset") - twin.clock().now();
    assert!((1..=60).contains(&wait), "{wait}");

    let twin = LinearTwin::demo().unwrap();
    let query = "{ viewer { id } }";
    twin.inject(Fault::PrimaryLimit { reset_in: 60 }, "/graphql", Times::Next(1));
    let hit = graphql(twin.url(), query, ().into());
    assert_eq!(hit.status, 400);
    assert_eq!(hit.json()["errors"][0]["extensions"]["code"], "RATELIMITED");
    let wait = hit.number("x-ratelimit-requests-reset") - twin.clock().now_ms();
    assert!((58_000..=60_000).contains(&wait), "epoch milliseconds: {wait}");
    assert_eq!(graphql(twin.url(), query, ().into()).status, 200);
}

#[test]
fn broken_content_is_broken_in_the_way_that_was_asked() {
    let twin = GithubTwin::demo().unwrap();
    let whole = get(twin.url(), ISSUE);
    let fault = |fault| {
        twin.inject(fault, ISSUE, Times::Next(1));
        send("GET", &format!("{}{ISSUE}", twin.url()), &[], b"")
    };
    let malformed = fault(Fault::MalformedJson).unwrap();
    assert_eq!((malformed.status, malformed.body.len()), (200, whole.body.len() / 2));
    assert!(serde_json::from_slice::<serde_json::Value>(&malformed.body).is_err());
    assert!(malformed.header("etag").is_none(), "a broken answer must not be revalidated");
    let page = fault(Fault::WrongContentType).unwrap();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("<title>"));
    let cut = fault(Fault::Truncated).unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    let reset = fault(Fault::Reset).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert_eq!(get(twin.url(), ISSUE).body, whole.body);
    assert_eq!(twin.counts().all, 6, "a request that fails was a request all the same");
}

#[test]
fn slow_answers_are_right_when_they_come() {
    let twin = GithubTwin::demo().unwrap();
    let whole = get(twin.url(), ISSUE).body;
    let pause = Duration::from_millis(150);
    for fault in [Fault::Slow(pause), Fault::SlowBody(pause)] {
        twin.inject(fault, "*", Times::Next(1));
        let began = Instant::now();
        assert_eq!(get(twin.url(), ISSUE).body, whole);
        assert!(began.elapsed() >= pause, "{fault:?}");
    }
    twin.set_latency(pause);
    let began = Instant::now();
    get(twin.url(), ISSUE);
    assert!(began.elapsed() >= pause);
}

#[test]
fn a_fault_lasts_until_it_is_cleared() {
    let twin = GithubTwin::demo().unwrap();
    twin.inject(Fault::Status(503), "*/issues/*", Times::UntilCleared);
    for _ in 0..5 {
        assert_eq!(get(twin.url(), ISSUE).status, 503);
    }
    twin.clear_faults();
    assert_eq!(get(twin.url(), ISSUE).status, 200);
}

#[test]
fn downloads_can_fail_on_their_own() {
    let twin = GithubTwin::demo().unwrap();
    twin.inject(Fault::Status(503), "/runs/*", Times::Next(1));
    let archive = get(twin.url(), "/repos/acme/api/actions/runs/9801/logs");
    let location = archive.header("location").unwrap().to_owned();
    assert_eq!(send("GET", &location, &[], b"").unwrap().status, 503);
    assert_eq!(send("GET", &location, &[], b"").unwrap().status, 200);
}

#[test]
fn a_stopped_twin_refuses_connections_and_comes_back_at_its_address() {
    let github = GithubTwin::demo().unwrap();
    let linear = LinearTwin::demo().unwrap();
    github.retitle("acme/api", 2853, "Kept over the restart").unwrap();
    github.stop();
    linear.stop();
    for base in [github.url(), linear.url()] {
        let refused = send("GET", &format!("{base}/"), &[], b"").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    github.restart().unwrap();
    linear.restart().unwrap();
    assert_eq!(get(github.url(), ISSUE).json()["title"], "Kept over the restart");
    assert_eq!(graphql(linear.url(), "{ viewer { id } }", ().into()).status, 200);
}

#[test]
fn stopping_cuts_the_connections_that_are_open() {
    use std::io::{Read, Write};
    let twin = GithubTwin::demo().unwrap();
    let mut stream = std::net::TcpStream::connect(&twin.url()["http://".len()..]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"GET /user HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\n\r\n").unwrap();
    let mut chunk = [0; 4096];
    assert!(stream.read(&mut chunk).unwrap() > 0);
    twin.stop();
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                break;
            }
        }
    }
}
