use super::*;
use crate::provider::{ResetUnit, Window, WindowName};
use http::{HeaderName, HeaderValue};

const START: u64 = 1_800_000_000;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(START + second)
}

fn route() -> Route {
    ("api".to_owned(), 0)
}

fn declared(name: WindowName, prefix: &str, reset_unit: ResetUnit, fixed: bool) -> Window {
    let header = |suffix: &str| format!("{prefix}-{suffix}");
    let (limit, remaining, reset) = (header("limit"), header("remaining"), header("reset"));
    Window { name, limit, remaining, reset, reset_unit, cost: None, fixed }
}

/// A fixed window for each resource, a refusal in words.
fn github_limits() -> Limits {
    let name = WindowName::Header("x-ratelimit-resource".to_owned());
    let words = ["secondary rate limit", "abuse detection", "rate limit exceeded", "rate_limited"];
    Limits {
        windows: vec![declared(name, "x-ratelimit", ResetUnit::EpochSeconds, true)],
        throttled: words.map(str::to_owned).into(),
        slow_down: words[..2].iter().map(|word| (*word).to_owned()).collect(),
    }
}

/// Two leaking buckets, one of which a request may empty by more than one, and a refusal by code.
fn linear_limits() -> Limits {
    let bucket = |name: &str| {
        let prefix = format!("x-ratelimit-{name}");
        declared(WindowName::Fixed(name.to_owned()), &prefix, ResetUnit::EpochMilliseconds, false)
    };
    let complexity = Window { cost: Some("x-complexity".to_owned()), ..bucket("complexity") };
    Limits {
        windows: vec![bucket("requests"), complexity],
        throttled: vec!["ratelimited".to_owned()],
        slow_down: Vec::new(),
    }
}

fn headers(pairs: &[(&str, String)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("name");
            (name, HeaderValue::from_str(value).expect("value"))
        })
        .collect()
}

fn github(remaining: u64, reset: u64) -> HeaderMap {
    headers(&[
        ("x-ratelimit-limit", "100".to_owned()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-used", (100 - remaining).to_string()),
        ("x-ratelimit-reset", (START + reset).to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ])
}

fn see(budget: &Budget, headers: &HeaderMap, now: u64) -> Result<(), Limited> {
    observe(budget, &github_limits(), false, (200, headers, b""), now)
}

fn observe(
    budget: &Budget,
    limits: &Limits,
    post: bool,
    answer: (u16, &HeaderMap, &[u8]),
    now: u64,
) -> Result<(), Limited> {
    budget.observe(&route(), Some(1), limits, post, answer, at(now))
}

fn admit(budget: &Arc<Budget>, priority: Priority, now: u64) -> Result<Permit, Limited> {
    budget.admit(&route(), Some(1), priority, at(now))
}

#[test]
fn background_leaves_the_reserve_to_interactive_reads_until_the_reset() {
    let budget = Arc::new(Budget::new("token"));
    see(&budget, &github(21, 60), 0).expect("not limited");
    drop(admit(&budget, Priority::Background, 0).expect("one above the reserve"));
    see(&budget, &github(20, 60), 1).expect("not limited");
    let kept = admit(&budget, Priority::Background, 1).expect_err("reserve");
    assert!(kept.detail.contains("kept for reads"), "{}", kept.detail);
    drop(admit(&budget, Priority::Interactive, 1).expect("interactive"));
    see(&budget, &github(0, 60), 2).expect("the last one was answered");
    let gone = admit(&budget, Priority::Interactive, 2).expect_err("gone");
    assert_eq!(gone.retry_after, Duration::from_secs(58));
    assert!(gone.detail.contains("2027-01-15T08:01:00Z"), "{}", gone.detail);
    assert_eq!(budget.status(at(2)).throttled, 2);
    // It recovers by itself.
    admit(&budget, Priority::Interactive, 60).expect("reset");
    admit(&budget, Priority::Background, 60).expect("reset");
}

#[test]
fn requests_under_way_count_against_what_is_left() {
    let budget = Arc::new(Budget::new("token"));
    see(&budget, &github(2, 60), 0).expect("not limited");
    let one = admit(&budget, Priority::Interactive, 0).expect("first");
    let _two = admit(&budget, Priority::Interactive, 0).expect("second");
    admit(&budget, Priority::Interactive, 0).expect_err("third");
    drop(one);
    admit(&budget, Priority::Interactive, 0).expect("a 304 gave its room back");
}

#[test]
fn an_answer_that_was_overtaken_does_not_raise_the_budget() {
    let budget = Arc::new(Budget::new("token"));
    see(&budget, &github(0, 60), 0).expect("not limited");
    see(&budget, &github(9, 61), 0).expect("not limited");
    admit(&budget, Priority::Interactive, 1).expect_err("still gone");
    // A new window does.
    see(&budget, &github(99, 3660), 61).expect("not limited");
    admit(&budget, Priority::Interactive, 61).expect("new window");
    // And an answer of the old window changes nothing.
    see(&budget, &github(0, 60), 61).expect("not limited");
    admit(&budget, Priority::Interactive, 61).expect("new window");
}

#[test]
fn github_primary_secondary_and_graphql_limits_are_told_apart() {
    let primary = Arc::new(Budget::new("token"));
    let limited = observe(&primary, &github_limits(), false, (403, &github(0, 30), b"{}"), 0)
        .expect_err("primary");
    assert_eq!(limited.retry_after, Duration::from_secs(30));
    // Another resource of the same credential goes on.
    primary
        .admit(&("api".to_owned(), 1), Some(1), Priority::Interactive, at(0))
        .expect("other route");

    let secondary = Arc::new(Budget::new("token"));
    let mut told = github(50, 3000);
    told.insert("retry-after", HeaderValue::from_static("7"));
    let limited =
        observe(&secondary, &github_limits(), false, (403, &told, b""), 0).expect_err("secondary");
    assert_eq!(limited.retry_after, Duration::from_secs(7));
    secondary
        .admit(&("api".to_owned(), 1), Some(1), Priority::Interactive, at(6))
        .expect_err("every route stops");
    admit(&secondary, Priority::Interactive, 7).expect("over");

    let silent = Arc::new(Budget::new("token"));
    let body = br#"{"message":"You have exceeded a secondary rate limit."}"#;
    for (now, wait) in [(0, 60), (60, 120), (180, 240)] {
        let limited =
            observe(&silent, &github_limits(), false, (403, &github(50, 3000), body), now)
                .expect_err("secondary");
        assert_eq!(limited.retry_after, Duration::from_secs(wait));
    }

    let graphql = Arc::new(Budget::new("token"));
    let body = br#"{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}"#;
    let limited = observe(&graphql, &github_limits(), true, (200, &github(0, 90), body), 0)
        .expect_err("graphql");
    assert_eq!(limited.retry_after, Duration::from_secs(90));
    // The same words in a GET's content are content.
    observe(&graphql, &github_limits(), false, (200, &github(5, 4000), body), 91).expect("get");
    // And in a title within a GraphQL answer.
    let title = br#"{"data":{"issue":{"title":"errors: RATE_LIMITED"}}}"#;
    observe(&graphql, &github_limits(), true, (200, &github(5, 4000), title), 91).expect("title");

    let plain = Arc::new(Budget::new("token"));
    let body = br#"{"message":"Resource not accessible by personal access token"}"#;
    observe(&plain, &github_limits(), false, (403, &github(50, 60), body), 0)
        .expect("an ordinary 403 is no rate limit");
}

#[test]
fn linear_counts_requests_and_complexity_with_resets_in_milliseconds() {
    let linear = |requests: u64, complexity: u64| {
        headers(&[
            ("x-ratelimit-requests-limit", "5000".to_owned()),
            ("x-ratelimit-requests-remaining", requests.to_string()),
            ("x-ratelimit-requests-reset", ((START + 10) * 1000).to_string()),
            ("x-complexity", "400".to_owned()),
            ("x-ratelimit-complexity-limit", "250000".to_owned()),
            ("x-ratelimit-complexity-remaining", complexity.to_string()),
            ("x-ratelimit-complexity-reset", ((START + 40) * 1000).to_string()),
        ])
    };
    let budget = Arc::new(Budget::new("token"));
    let seen = |budget: &Budget, headers: &HeaderMap, now| {
        observe(budget, &linear_limits(), true, (200, headers, b""), now)
    };
    seen(&budget, &linear(4000, 60_000), 0).expect("not limited");
    drop(admit(&budget, Priority::Background, 0).expect("room"));
    seen(&budget, &linear(4000, 399), 0).expect("not limited");
    let limited = admit(&budget, Priority::Interactive, 0).expect_err("complexity");
    assert_eq!(limited.retry_after, Duration::from_secs(40));
    assert!(limited.detail.contains("complexity"), "{}", limited.detail);
    let body = br#"{"errors":[{"message":"x","extensions":{"code":"RATELIMITED"}}]}"#;
    let limited = observe(&budget, &linear_limits(), true, (400, &linear(0, 200_000), body), 1)
        .expect_err("400");
    assert_eq!(limited.retry_after, Duration::from_secs(9));
    admit(&budget, Priority::Interactive, 10).expect("reset");
    // Any other 400 is an error of the query.
    let other =
        br#"{"errors":[{"message":"x","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}"#;
    observe(&budget, &linear_limits(), true, (400, &linear(9, 200_000), other), 11)
        .expect("not a rate limit");
}

#[test]
fn a_bare_429_backs_off_from_a_second_and_an_answer_ends_it() {
    let budget = Arc::new(Budget::new("token"));
    let bare = |now: u64| {
        observe(&budget, &github_limits(), false, (429, &HeaderMap::new(), b"busy"), now)
            .expect_err("429")
            .retry_after
            .as_secs()
    };
    assert_eq!((bare(0), bare(1), bare(3), bare(7)), (1, 2, 4, 8));
    see(&budget, &HeaderMap::new(), 20).expect("answered");
    assert_eq!(bare(21), 1);
}

#[test]
fn a_clock_that_is_wrong_here_does_not_move_the_reset() {
    let budget = Arc::new(Budget::new("token"));
    let mut told = github(0, 60);
    // The service's clock is at START; ours an hour ahead.
    told.insert("date", HeaderValue::from_static("Fri, 15 Jan 2027 08:00:00 GMT"));
    see(&budget, &told, 3600).expect("not limited");
    let limited = admit(&budget, Priority::Interactive, 3600).expect_err("gone");
    assert_eq!(limited.retry_after, Duration::from_secs(60));
}

#[test]
fn another_secret_starts_with_a_budget_of_its_own() {
    let budget = Arc::new(Budget::new("token"));
    see(&budget, &github(0, 60), 0).expect("not limited");
    admit(&budget, Priority::Interactive, 0).expect_err("gone");
    budget.admit(&route(), Some(2), Priority::Interactive, at(0)).expect("other secret");
}

#[test]
fn what_a_manifest_does_not_name_is_no_limit() {
    let budget = Arc::new(Budget::new("token"));
    let silent = Limits::default();
    observe(&budget, &silent, false, (200, &github(0, 60), b""), 0).expect("no window is declared");
    admit(&budget, Priority::Interactive, 0).expect("nothing is known");
    let body = br#"{"message":"API rate limit exceeded"}"#;
    observe(&budget, &silent, false, (403, &github(0, 60), body), 0).expect("an ordinary 403");
    observe(&budget, &github_limits(), false, (403, &github(9, 60), body), 0)
        .expect_err("its words");
}

#[test]
fn a_reset_may_be_seconds_from_now_and_a_refusal_any_status_of_the_client() {
    let budget = Arc::new(Budget::new("token"));
    let name = WindowName::Fixed("requests".to_owned());
    let limits = Limits {
        windows: vec![declared(name, "ratelimit", ResetUnit::Seconds, true)],
        throttled: vec!["throttlingexception".to_owned()],
        slow_down: Vec::new(),
    };
    let headers = headers(&[
        ("ratelimit-limit", "10".to_owned()),
        ("ratelimit-remaining", "0".to_owned()),
        ("ratelimit-reset", "30".to_owned()),
    ]);
    observe(&budget, &limits, false, (200, &headers, b""), 5).expect("the last one was answered");
    let gone = admit(&budget, Priority::Interactive, 5).expect_err("gone");
    assert_eq!(gone.retry_after, Duration::from_secs(30));
    let body = br#"{"errors":[{"extensions":{"code":"ThrottlingException"}}]}"#;
    observe(&budget, &limits, false, (420, &HeaderMap::new(), body), 5).expect_err("by its code");
}

#[test]
fn absurd_headers_do_no_harm() {
    let budget = Arc::new(Budget::new("token"));
    let told = headers(&[
        ("x-ratelimit-limit", u64::MAX.to_string()),
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", u64::MAX.to_string()),
        ("retry-after", u64::MAX.to_string()),
    ]);
    let limited =
        observe(&budget, &github_limits(), false, (429, &told, b"\xff\xfe"), 0).expect_err("429");
    assert_eq!(limited.retry_after, Duration::from_secs(24 * 3600));
    assert!(admit(&budget, Priority::Interactive, 24 * 3600).is_ok());
    let _ = budget.status(at(0));
}

#[test]
fn a_clock_that_is_set_back_makes_no_wait_longer() {
    const YEAR: u64 = 365 * 24 * 3600;
    for (status, headers) in
        [(429, headers(&[("retry-after", "60".to_owned())])), (403, github(0, YEAR + 60))]
    {
        let budget = Arc::new(Budget::new("token"));
        observe(&budget, &github_limits(), false, (status, &headers, b""), YEAR)
            .expect_err("refused");
        let early = admit(&budget, Priority::Interactive, YEAR + 20).expect_err("early");
        assert_eq!(early.retry_after, Duration::from_secs(40));
        // At 20 s after the refusal the clock is set back by a year.
        let early = admit(&budget, Priority::Interactive, 20).expect_err("early");
        assert_eq!(early.retry_after, Duration::from_secs(40), "{status}");
        budget.status(at(59));
        admit(&budget, Priority::Interactive, 60).expect("the wait is over");
    }
}

#[test]
fn threads_that_ask_in_another_order_than_the_clocks_move_no_reset() {
    let budget = Arc::new(Budget::new("token"));
    let headers = headers(&[("retry-after", "60".to_owned())]);
    observe(&budget, &github_limits(), false, (429, &headers, b""), 10).expect_err("refused");
    for second in [12, 11, 12, 11, 12, 11] {
        admit(&budget, Priority::Interactive, second).expect_err("early");
    }
    let early = admit(&budget, Priority::Interactive, 12).expect_err("early");
    assert_eq!(early.retry_after, Duration::from_secs(58));
}
