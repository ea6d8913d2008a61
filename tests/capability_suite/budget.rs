//! Rate limits, seen from the outside.

use super::server::{Reply, Server, answer};
use super::*;
use omnifs::capability::{Clock, in_background};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that stands until a test moves it.
fn clock() -> (Clock, Arc<AtomicU64>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seconds = Arc::new(AtomicU64::new(now));
    let read = seconds.clone();
    let clock =
        Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(read.load(Ordering::SeqCst)));
    (clock, seconds)
}

fn limits(remaining: usize, reset: u64) -> String {
    format!(
        "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: {remaining}\r\n\
         X-RateLimit-Reset: {reset}\r\nX-RateLimit-Resource: core\r\n"
    )
}

#[tokio::test]
async fn people_are_served_before_polls_and_nobody_once_the_budget_is_gone() {
    let (clock, now) = clock();
    let start = now.load(Ordering::SeqCst);
    let left = Arc::new(AtomicUsize::new(22));
    let counter = left.clone();
    let server = Server::start(move |_, _| {
        let reset = start + 60;
        let left = counter.load(Ordering::SeqCst);
        if left == 0 {
            return answer(403, &limits(0, reset), "{\"message\":\"API rate limit exceeded\"}");
        }
        counter.store(left - 1, Ordering::SeqCst);
        answer(200, &limits(left - 1, reset), "ok")
    })
    .await;
    let mut setup = setup(&server.url());
    setup.clock = clock;
    let outbound = Outbound::new(setup).unwrap();
    let background = outbound.background();
    fetch(&background, get("/things/1")).await.unwrap();
    fetch(&background, get("/things/1")).await.unwrap();
    // 20 of 100 are left: the reserve.
    let failure = background.fetch(get("/things/1")).await.unwrap_err();
    assert_eq!(failure.cause, Cause::RateLimited);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(60)));
    assert!(failure.detail.contains("kept for reads"), "{}", failure.detail);
    let failure = in_background(outbound.fetch(get("/things/1"))).await.unwrap_err();
    assert_eq!(failure.cause, Cause::RateLimited);
    for _ in 0..20 {
        fetch(&outbound, get("/things/1")).await.unwrap();
    }
    assert_eq!(server.seen.count(), 22);
    for _ in 0..50 {
        let failure = outbound.fetch(get("/things/1")).await.unwrap_err();
        assert_eq!(failure.cause, Cause::RateLimited);
        assert!(failure.detail.contains("is used up"), "{}", failure.detail);
    }
    assert_eq!(server.seen.count(), 22, "no request is made without budget");
    let status = outbound.status();
    assert_eq!((status.budgets[0].throttled, status.total.throttled), (52, 52));
    let window = &status.budgets[0].windows[0];
    assert_eq!((window.remaining, window.reserve, window.resets_at), (0, 20, start + 60));
    let json = serde_json::to_string(&status).unwrap();
    assert!(json.contains("\"resource\":\"core\""), "{json}");
    // It recovers by itself at the reset.
    now.store(start + 60, Ordering::SeqCst);
    left.store(100, Ordering::SeqCst);
    fetch(&outbound, get("/things/1")).await.unwrap();
}

#[tokio::test]
async fn a_429_is_answered_at_once_and_starts_no_storm() {
    let (clock, now) = clock();
    let server = Server::start(|number, _| match number {
        0 => answer(429, "Retry-After: 7\r\n", "slow down"),
        _ => answer(200, "", "ok"),
    })
    .await;
    let mut setup = setup(&server.url());
    setup.clock = clock;
    let outbound = Outbound::new(setup).unwrap();
    for _ in 0..20 {
        let failure = outbound.fetch(get("/things/1")).await.unwrap_err();
        assert_eq!(failure.cause, Cause::RateLimited);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    }
    assert_eq!(server.seen.count(), 1);
    assert!(outbound.status().budgets[0].stopped_until.is_some());
    now.fetch_add(7, Ordering::SeqCst);
    fetch(&outbound, get("/things/1")).await.unwrap();
    assert_eq!(outbound.status().budgets[0].stopped_until, None);
}

#[tokio::test]
async fn limits_of_graphql_services_arrive_with_status_200_and_400() {
    let (clock, now) = clock();
    let start = now.load(Ordering::SeqCst);
    let server = Server::start(move |number, _| match number {
        0 => answer(
            200,
            &limits(0, start + 90).replace("core", "graphql"),
            r#"{"errors":[{"type":"RATE_LIMITED","message":"exceeded"}]}"#,
        ),
        1 => answer(200, "", "{}"),
        _ => Reply::Send({
            let body = r#"{"errors":[{"extensions":{"code":"RATELIMITED"}}]}"#;
            format!(
                "HTTP/1.1 400 X\r\nX-RateLimit-Requests-Limit: 5000\r\n\
                 X-RateLimit-Requests-Remaining: 0\r\n\
                 X-RateLimit-Requests-Reset: {}\r\ncontent-length: {}\r\n\r\n{body}",
                (start + 200) * 1000,
                body.len()
            )
            .into_bytes()
        }),
    })
    .await;
    let mut setup = setup(&server.url());
    setup.clock = clock;
    let outbound = Outbound::new(setup).unwrap();
    for wait in [90, 110] {
        let failure = outbound.fetch(post("{}")).await.unwrap_err();
        assert_eq!(
            (failure.cause, failure.retry_after.unwrap().as_secs()),
            (Cause::RateLimited, wait)
        );
        let again = outbound.fetch(post("{}")).await.unwrap_err();
        assert_eq!(again.cause, Cause::RateLimited);
        now.fetch_add(90, Ordering::SeqCst);
        if wait == 90 {
            fetch(&outbound, post("{}")).await.unwrap();
        }
    }
    assert_eq!(server.seen.count(), 3);
}

#[tokio::test]
async fn an_ordinary_403_is_the_providers_to_read() {
    let server = Server::start(|_, _| {
        answer(403, &limits(50, 2_000_000_000), "{\"message\":\"Resource not accessible\"}")
    })
    .await;
    assert_eq!(fetch(&outbound(&server.url()), get("/things/1")).await.unwrap().status, 403);
}
