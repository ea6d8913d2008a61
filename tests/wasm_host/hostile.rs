//! What a hostile provider does, and what comes of it: one error each, the provider's name in it, and
//! the next call unharmed.

use crate::support::*;
use omnifs::provider::{Body, Cause, Failure, Provider, Response};
use omnifs::wasm::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[tokio::test]
async fn each_misdeed_is_one_clear_error_and_the_next_call_is_unharmed() {
    let cases: &[(&str, Cause, &str)] = &[
        ("unreachable", Cause::Trap, "trapped: wasm `unreachable` instruction executed"),
        ("recurse", Cause::Trap, "trapped: its call stack is exhausted"),
        ("exit", Cause::Trap, "ended itself with exit code"),
        ("loop", Cause::Limit, "used more than 1s of CPU time in one call"),
        ("allocate", Cause::Limit, "needs more than 256 MiB of memory"),
        ("dotdot", Cause::Invalid, "gave `..` as a name in `dotdot`"),
        ("escape", Cause::Invalid, "gave `../x` as a name in `escape`: it contains `/`"),
        ("empty-name", Cause::Invalid, "gave `` as a name in `empty-name`: it is empty"),
        ("nul-name", Cause::Invalid, "it contains U+0000, which nobody can see"),
        ("control-name", Cause::Invalid, "it contains U+001B, which nobody can see"),
        ("direction-name", Cause::Invalid, "it contains U+202E, which nobody can see"),
        ("invisible-name", Cause::Invalid, "it contains U+200B, which nobody can see"),
        ("separator-name", Cause::Invalid, "it contains U+2028, which nobody can see"),
        ("git-name", Cause::Invalid, "git would run"),
        ("long-name", Cause::Limit, "it has 300 bytes, more than 255"),
        ("duplicate-name", Cause::Invalid, "listed the name `sound` twice"),
        ("empty-id", Cause::Invalid, "gave an empty id for `x`"),
        ("long-id", Cause::Limit, "the id of `x` has 1025 bytes, more than 1024"),
        ("long-version", Cause::Limit, "the version of `x` has 1025 bytes, more than 1024"),
        ("self", Cause::Invalid, "a directory that contains itself"),
        ("both-kinds", Cause::Invalid, "as a directory and as a file"),
        ("content-of-directory", Cause::Invalid, "gave content for the directory `x`"),
        ("wrong-size", Cause::Invalid, "a size of 7 and a content of 1 bytes"),
        ("huge-listing", Cause::Limit, "listed 100001 entries"),
        ("huge-content", Cause::TooLarge, "a content of 67108865 bytes, more than 67108864"),
        ("offer-content-of-nothing", Cause::Invalid, "gave an empty id for an offered content"),
        ("offer-bad", Cause::Invalid, "gave `../x` as a name in `good`"),
        ("no such directory", Cause::NotFound, "there is no such object"),
    ];
    let instance = hostile(short(), None).await;
    for (deed, cause, detail) in cases {
        let failure = instance.list_children(deed).await.expect_err(deed);
        assert_eq!(failure.cause, *cause, "{deed}: {failure}");
        assert!(failure.detail.contains(detail), "{deed}: {failure}");
        assert!(failure.to_string().starts_with("evil: "), "{deed}: {failure}");
        assert!(!failure.to_string().contains('\n'), "{deed}: {failure}");
        assert_unharmed(&instance).await;
    }
}

#[tokio::test]
async fn a_panic_is_reported_with_its_message() {
    let failure = deed("panic").await.unwrap_err();
    assert_eq!(failure.cause, Cause::Trap);
    assert!(failure.detail.contains("it said: panicked at src/lib.rs"), "{failure}");
    assert!(failure.detail.ends_with("the sky fell"), "{failure}");
}

#[tokio::test]
async fn a_lookup_is_held_to_its_question() {
    let instance = hostile(short(), None).await;
    for (name, cause, detail) in [
        ("other", Cause::Invalid, "was asked for `other` and answered `else`"),
        ("escape", Cause::Invalid, "was asked for `escape` and answered `../escape`"),
        ("kind", Cause::Invalid, "gave content for the directory `kind`"),
        ("denied", Cause::Denied, "not yours"),
        ("late", Cause::TimedOut, "did not answer in time"),
        ("large", Cause::TooLarge, "larger than 64 MiB"),
        ("down", Cause::Unavailable, "the service is unavailable"),
        ("../good", Cause::NotFound, "is no name"),
    ] {
        let failure = instance.lookup_child("lookup", name).await.expect_err(name);
        assert_eq!(failure.cause, cause, "{name}: {failure}");
        assert!(failure.detail.contains(detail), "{name}: {failure}");
    }
    let limited = instance.lookup_child("lookup", "limited").await.unwrap_err();
    assert_eq!(limited.cause, Cause::RateLimited);
    assert_eq!(limited.retry_after, Some(Duration::from_secs(90)));
    let odd = instance.lookup_child("lookup", "odd").await.unwrap_err();
    assert!(odd.detail.len() <= 1024, "{} bytes", odd.detail.len());

    let node = instance.lookup_child("good", "hello").await.unwrap().value;
    assert_eq!((&*node.id, node.size), ("hello", Some(6)));
}

#[tokio::test]
async fn a_content_of_64_mib_passes_and_one_byte_more_does_not() {
    let instance = hostile(Limits::default(), None).await;
    assert_eq!(instance.read_file("full").await.unwrap().value.len(), 64 << 20);
    assert_eq!(instance.read_file("over").await.unwrap_err().cause, Cause::TooLarge);
    let failure = instance.read_file("twice").await.unwrap_err();
    assert_eq!(failure.cause, Cause::Limit);
    assert!(failure.detail.contains("handed over more than 128 MiB at once"), "{failure}");
}

#[tokio::test]
async fn the_memory_of_all_calls_together_is_bounded() {
    let limits = Limits { memory_together: 64 << 20, cpu: Duration::from_secs(2), ..short() };
    let instance = hostile(limits, None).await;
    let failure = instance.list_children("allocate").await.unwrap_err();
    assert!(failure.detail.contains("64 MiB of memory for its calls in progress"), "{failure}");
    // It was given back.
    for _ in 0..3 {
        assert_unharmed(&instance).await;
    }
    // A guest that survives a refusal is not blamed for it.
    let answer = instance.list_children("swallow").await.unwrap();
    assert_eq!(only_text(&answer), "48");
}

#[tokio::test]
async fn a_fresh_instance_serves_each_call() {
    let instance = hostile(short(), None).await;
    for _ in 0..3 {
        let answer = instance.list_children("calls").await.unwrap();
        assert_eq!(only_text(&answer), "0");
    }
}

/// On one thread: a guest that blocked it would stop the others.
#[tokio::test]
async fn a_guest_that_sleeps_holds_no_thread_and_ends_at_its_deadline() {
    for deed in ["sleep", "poll"] {
        let limits = Limits { wait: Duration::from_secs(2), ..short() };
        let instance = hostile(limits, None).await;
        let started = Instant::now();
        let sleeper = instance.list_children(deed);
        let others = async {
            for _ in 0..50 {
                assert_unharmed(&instance).await;
            }
            started.elapsed()
        };
        let (slept, others_took) = tokio::join!(sleeper, others);
        let failure = slept.unwrap_err();
        assert_eq!(failure.cause, Cause::TimedOut, "{failure}");
        assert_eq!(failure.detail, "did not answer within 2s, requests not counted");
        assert!(others_took < Duration::from_secs(60), "the others took {others_took:?}");
        assert!(started.elapsed() >= Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_guest_that_computes_lets_others_run_on_the_same_thread() {
    let instance = hostile(short(), None).await;
    let turns = AtomicU32::new(0);
    let others = async {
        loop {
            turns.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
        }
    };
    let failure = tokio::select! {
        spun = instance.list_children("loop") => spun.unwrap_err(),
        () = others => unreachable!(),
    };
    assert_eq!(failure.cause, Cause::Limit);
    // A second of CPU in slices of 10 ms.
    assert!(turns.load(Relaxed) >= 5, "{turns:?} turns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_compute_on_every_thread_do_not_stop_the_epoch() {
    let limits = Limits { cpu: Duration::from_millis(200), ..short() };
    let instance = Arc::new(hostile(limits, None).await);
    let spinners: Vec<_> = (0..8)
        .map(|_| {
            let instance = instance.clone();
            tokio::spawn(async move { instance.read_file("loop").await.unwrap_err().cause })
        })
        .collect();
    assert_unharmed(&instance).await;
    for spinner in spinners {
        assert_eq!(spinner.await.unwrap(), Cause::Limit);
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_for_their_turn() {
    let limits = Limits { in_flight: 1, wait: Duration::from_secs(2), ..short() };
    let instance = hostile(limits, None).await;
    // The call that is in ends as the others' patience does, so which of the two it was that a call waited
    // for is a matter of chance.
    let sleep = || instance.list_children("sleep");
    let (first, second, third) = tokio::join!(sleep(), sleep(), sleep());
    for failure in [first, second, third].map(Result::unwrap_err) {
        assert_eq!(failure.cause, Cause::TimedOut);
        assert!(failure.detail.contains("2s"), "{failure}");
    }
    assert_unharmed(&instance).await;
}

#[tokio::test]
async fn a_dropped_call_gives_everything_back() {
    let limits = Limits { in_flight: 1, ..short() };
    let instance = hostile(limits, None).await;
    let dropped =
        tokio::time::timeout(Duration::from_millis(50), instance.list_children("sleep")).await;
    assert!(dropped.is_err());
    assert_unharmed(&instance).await;
}

#[tokio::test]
async fn offers_are_taken_and_a_flood_of_them_is_cut() {
    let answer = deed("offer-good").await.unwrap();
    let offers: Vec<_> =
        answer.offers.iter().map(|o| (&*o.parent, o.children.len(), o.whole)).collect();
    assert_eq!(offers, [("good", 3, true), ("good/deeper", 1, false)]);

    let instance = hostile(Limits::default(), None).await;
    let answer = instance.list_children("offer-flood").await.unwrap();
    assert_eq!(answer.value.len(), 3, "an offer never changes the answer");
    let bytes: usize = answer
        .offers
        .iter()
        .flat_map(|o| &o.children)
        .map(|n| n.content.as_ref().and_then(Body::held).unwrap().len())
        .sum();
    assert!(bytes <= 128 << 20 && bytes > 100 << 20, "{bytes} bytes");
}

#[tokio::test]
async fn contents_of_other_files_are_taken_and_a_flood_of_them_is_cut() {
    let answer = deed("offer-content").await.unwrap();
    let along: Vec<_> = answer.along.iter().map(|along| (&*along.node, &along.bytes[..])).collect();
    let expected: [(&str, &[u8]); 3] =
        [("hello", b"hello\n"), ("good", b"a directory"), ("unheard of", b"x")];
    assert_eq!(along, expected);

    let answer = deed("offer-content-flood").await.unwrap();
    assert_eq!(answer.value.len(), 3, "an offer never changes the answer");
    let bytes: usize = answer.along.iter().map(|along| along.bytes.len()).sum();
    assert!(bytes <= 128 << 20 && bytes > 100 << 20, "{bytes} bytes");
}

#[tokio::test]
async fn what_is_offered_takes_from_the_memory_of_the_calls_in_progress() {
    for deed in ["offer-flood", "offer-content-flood"] {
        let together = 24 << 20;
        let limits = Limits { memory_together: together, cpu: Duration::from_secs(60), ..short() };
        let limits =
            Limits { wait: Duration::from_secs(60), total: Duration::from_secs(60), ..limits };
        let instance = hostile(limits, None).await;
        let answer = instance.list_children(deed).await.unwrap();
        assert_eq!(answer.value.len(), 3, "an offer never changes the answer");
        let nodes = answer.offers.iter().flat_map(|offer| &offer.children);
        let held = nodes.map(|n| n.content.as_ref().and_then(Body::held).unwrap().len());
        let bytes = held.chain(answer.along.iter().map(|along| along.bytes.len())).sum::<usize>();
        assert!(bytes < together && bytes > 1 << 20, "{deed}: {bytes} bytes");
        // It was given back.
        assert_unharmed(&instance).await;
    }
}

#[tokio::test]
async fn an_offer_of_entries_for_a_file_refuses_the_answer() {
    let failure = deed("offer-to-file").await.unwrap_err();
    assert!(failure.detail.contains("gave the object `hello`"), "{failure}");
}

#[tokio::test]
async fn a_listing_that_stops_short_says_so() {
    let answer = deed("partial").await.unwrap();
    let [partial] = &answer.partials[..] else { panic!("{:?}", answer.partials) };
    assert_eq!((&*partial.directory, partial.shown), ("partial", 3));
    assert_eq!(partial.note, "the 3 newest of 9; set `bound` to see more");
}

#[tokio::test]
async fn an_id_of_another_provider_is_only_a_string() {
    let answer = deed("foreign-id").await.unwrap();
    assert_eq!(&*answer.value[0].id, "of another provider: 1");
}

fn denied(detail: &str) -> Failure {
    Failure {
        provider: "capability".into(),
        cause: Cause::Denied,
        detail: detail.into(),
        retry_after: None,
    }
}

#[tokio::test]
async fn a_request_goes_through_the_upstream_and_nowhere_else() {
    let upstream = Scripted::new(async |request| {
        if request.endpoint != "service" {
            return Err(denied("the endpoint `other` is not declared"));
        }
        let headers = vec![("etag".to_string(), "\"1\"".to_string())];
        Ok(Response { status: 418, headers, body: "tea".into() })
    });
    let instance = hostile(short(), Some(upstream.clone())).await;
    let answer = instance.list_children("fetch").await.unwrap();
    assert_eq!(only_text(&answer), "418 [\"etag=\\\"1\\\"\"] tea");
    let asked = upstream.asked.lock().unwrap().remove(0);
    assert_eq!((asked.endpoint.as_str(), asked.path.as_str()), ("service", "/thing?q=1"));
    assert_eq!(asked.headers, [("accept".to_string(), "text/plain".to_string())]);

    let failure = instance.list_children("undeclared").await.unwrap_err();
    assert_eq!(failure.to_string(), "evil: the endpoint `other` is not declared");
    assert_eq!(failure.cause, Cause::Denied);
}

#[tokio::test]
async fn without_a_grant_a_request_is_denied() {
    let failure = deed("fetch").await.unwrap_err();
    assert_eq!(failure.cause, Cause::Denied);
    assert_eq!(failure.detail, "no endpoint has been granted to this provider");
}

#[tokio::test]
async fn a_failed_request_keeps_its_cause_through_the_guest() {
    let upstream = Scripted::new(async |_| {
        Err(Failure {
            provider: "capability".into(),
            cause: Cause::TimedOut,
            detail: "service.invalid did not answer within 20 s".into(),
            retry_after: None,
        })
    });
    let instance = hostile(short(), Some(upstream)).await;
    let failure = instance.list_children("fetch").await.unwrap_err();
    assert_eq!(failure.cause, Cause::TimedOut);
    assert_eq!(failure.to_string(), "evil: service.invalid did not answer within 20 s");
}

#[tokio::test]
async fn requests_of_one_call_are_counted() {
    let upstream =
        Scripted::new(async |_| Ok(Response { status: 200, headers: vec![], body: "".into() }));
    let limits = Limits { cpu: Duration::from_secs(5), ..short() };
    let instance = hostile(limits, Some(upstream.clone())).await;
    let failure = instance.list_children("fetch-flood").await.unwrap_err();
    assert_eq!(failure.cause, Cause::Limit);
    assert_eq!(failure.detail, "made more than 1000 requests in one call");
    assert_eq!(upstream.asked.lock().unwrap().len(), 1_000);
}

#[tokio::test]
async fn waiting_for_a_request_costs_the_guest_nothing() {
    let upstream = Scripted::new(async |_| {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Response { status: 200, headers: vec![], body: "".into() })
    });
    // The request takes longer than the guest may wait and compute.
    let limits = Limits {
        cpu: Duration::from_millis(500),
        wait: Duration::from_secs(2),
        ..Limits::default()
    };
    let instance = hostile(limits, Some(upstream)).await;
    assert_eq!(instance.read_file("slow").await.unwrap().value, "slow\n");
}

#[tokio::test]
async fn a_guest_within_its_budget_is_let_finish() {
    let instance = hostile(Limits::default(), None).await;
    assert_eq!(instance.read_file("burn").await.unwrap().value, "burnt\n");
}

/// In memory that a guest touched, and in slots of the pool.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_call_allocated_goes_back_to_the_system() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
    };
    let limits = Limits { cpu: Duration::from_secs(5), ..short() };
    let instance = hostile(limits, None).await;
    let calls: Vec<_> = (0..8).map(|_| instance.list_children("allocate")).collect();
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(outcome.unwrap_err().cause, Cause::Limit);
    }
    // Other tests of this process hold memory too, for a while.
    let started = Instant::now();
    while resident() > 256 {
        assert!(started.elapsed() < Duration::from_secs(180), "{} MiB are resident", resident());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
