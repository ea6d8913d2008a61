//! Services whose refusal says how they want the secret, and services that give tokens for them.

use super::server::{Reply, Server, answer};
use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::atomic::{AtomicUsize, Ordering};

const PAIR: &str = "user:0123456789abcdefSECRET";
const TAGS: &str = "/things/library/tool/tags/list";
const BLOB: &str = "/things/library/tool/blobs/sha256:00";
const SCOPE: &str = "repository:library/tool:pull";

fn basic() -> String {
    format!("authorization: Basic {}", STANDARD.encode(PAIR))
}

fn asking(url: &str, hosts: &[String], pair: Option<&str>) -> Outbound {
    let mut setup = setup(url);
    setup.manifest.credentials[0].scheme = Scheme::Challenge { hosts: Vec::new() };
    setup.environment = environment(&[]);
    if let Some(pair) = pair {
        setup.environment = environment(&[("EXAMPLE_TOKEN_HERE", pair)]);
    }
    let place = Override { token_hosts: hosts.to_vec(), ..Override::from(url) };
    setup.overrides.insert("api".to_owned(), place);
    Outbound::new(setup).unwrap()
}

fn refusal(realm: &str) -> Reply {
    let challenge = format!("Bearer realm=\"{realm}\",service=\"reg.example\",scope=\"{SCOPE}\"");
    answer(401, &format!("WWW-Authenticate: {challenge}\r\n"), "{}")
}

/// Gives tokens `T1`, `T2`, ... at `/token`, and takes the newest one elsewhere.
async fn registry() -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |_, request| {
        if request.starts_with("GET /token?") {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return answer(200, "", format!("{{\"token\": \"T{number}-of-the-service\"}}"));
        }
        let newest = format!("authorization: Bearer T{}-of-", given.load(Ordering::SeqCst));
        if request.contains(&newest) { answer(200, "", "ok") } else { refusal("/token") }
    })
    .await
}

fn paths(server: &Server) -> Vec<String> {
    let of = |request: &String| request.split(' ').nth(1).unwrap_or_default().to_owned();
    server.seen.requests().iter().map(of).collect()
}

#[tokio::test]
async fn basic_is_sent_to_who_asks_for_it_and_from_then_on() {
    let server = Server::start(|_, request| match request.contains(&basic()) {
        true => answer(200, "", "ok"),
        false => answer(401, "WWW-Authenticate: Basic realm=\"test\"\r\n", ""),
    })
    .await;
    let outbound = asking(&server.url(), &[], Some(PAIR));
    for path in [TAGS, BLOB, "/things/other/thing/tags/list"] {
        assert_eq!(fetch(&outbound, get(path)).await.unwrap().status, 200);
    }
    assert_eq!(paths(&server), [TAGS, TAGS, BLOB, "/things/other/thing/tags/list"]);
    assert!(!server.seen.requests()[0].contains("authorization"));
}

#[tokio::test]
async fn a_token_is_got_by_the_secret_and_serves_a_whole_repository() {
    let server = registry().await;
    let outbound = asking(&server.url(), &[], Some(PAIR));
    for path in [TAGS, BLOB, TAGS] {
        assert_eq!(fetch(&outbound, get(path)).await.unwrap().status, 200);
    }
    let token = "/token?service=reg.example&scope=repository%3Alibrary%2Ftool%3Apull";
    assert_eq!(paths(&server), [TAGS, token, TAGS, BLOB, TAGS]);
    for (number, request) in server.seen.requests().iter().enumerate() {
        assert_eq!(request.contains(&basic()), number == 1, "{request}");
    }
    // Another repository is another matter.
    fetch(&outbound, get("/things/library/other/tags/list")).await.unwrap();
    assert_eq!(server.seen.count(), 8);
}

#[tokio::test]
async fn without_a_secret_a_token_is_asked_for_all_the_same() {
    let server = registry().await;
    let outbound = asking(&server.url(), &[], None);
    assert_eq!(fetch(&outbound, get(TAGS)).await.unwrap().status, 200);
    let requests = server.seen.requests();
    assert!(requests[1].starts_with("GET /token?") && !requests[1].contains("authorization"));
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_got_anew_once() {
    let server = registry().await;
    let outbound = asking(&server.url(), &[], Some(PAIR));
    fetch(&outbound, get(TAGS)).await.unwrap();
    // Its successor is another's, so that the first one is refused.
    fetch(&outbound, get("/things/library/other/tags/list")).await.unwrap();
    let before = server.seen.count();
    fetch(&outbound, get(TAGS)).await.unwrap();
    assert_eq!(server.seen.count() - before, 3);

    let never = Server::start(|number, request| match request.starts_with("GET /token?") {
        true => answer(200, "", format!("{{\"token\": \"token-number-{number}\"}}")),
        false => refusal("/token"),
    })
    .await;
    let outbound = asking(&never.url(), &[], Some(PAIR));
    let (cause, detail) = fails(&outbound, get(TAGS)).await;
    assert_eq!((cause, never.seen.count()), (Cause::Denied, 3));
    // The secret may be good, and only not for this.
    assert!(detail.contains("the token that it asked for is not enough"), "{detail}");
}

#[tokio::test]
async fn those_who_ask_at_once_share_a_token() {
    let server = registry().await;
    let outbound = asking(&server.url(), &[], Some(PAIR));
    let all = (0..8)
        .map(|n| fetch(&outbound, get(&format!("/things/library/tool/blobs/{n}"))))
        .collect::<Vec<_>>();
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    let tokens = paths(&server).iter().filter(|path| path.starts_with("/token")).count();
    assert_eq!(tokens, 1);
}

#[tokio::test]
async fn a_secret_goes_to_no_token_service_but_the_named_ones() {
    let other = Server::start(|_, _| answer(200, "", "{\"token\": \"from-the-other-one\"}")).await;
    let realm = format!("{}/token", other.url());
    let at = realm.clone();
    let server = Server::start(move |_, request| match request.contains("Bearer from-the-other") {
        true => answer(200, "", "ok"),
        false => refusal(&at),
    })
    .await;
    for pair in [Some(PAIR), None] {
        let (cause, detail) = fails(&asking(&server.url(), &[], pair), get(TAGS)).await;
        assert_eq!((cause, other.seen.count()), (Cause::Denied, 0));
        assert!(detail.contains("token-hosts"), "{detail}");
    }
    let named = asking(&server.url(), &[other.url()], Some(PAIR));
    assert_eq!(fetch(&named, get(TAGS)).await.unwrap().status, 200);
    assert!(other.seen.requests()[0].contains(&basic()));
    assert!(!server.seen.requests().iter().any(|request| request.contains("Basic")));
    // A realm that carries a name of its own, or is none.
    for (realm, why) in [("http://a:b@127.0.0.1:1/", "user name"), ("http://[", "no URL")] {
        let server = Server::start(move |_, _| refusal(realm)).await;
        let (cause, detail) = fails(&asking(&server.url(), &[], Some(PAIR)), get(TAGS)).await;
        assert_eq!(cause, Cause::Denied, "{detail}");
        assert!(detail.contains(why), "{realm}: {detail}");
    }
}

#[tokio::test]
async fn a_token_stays_behind_where_a_redirect_leaves_the_origin() {
    let storage = Server::start(|_, _| answer(200, "", "bytes")).await;
    let at = storage.url();
    let server = Server::start(move |_, request| {
        if request.starts_with("GET /token?") {
            return answer(200, "", "{\"token\": \"token-of-the-service\"}");
        }
        match request.contains("Bearer token-of") {
            true => answer(307, &format!("Location: {at}/x\r\n"), ""),
            false => refusal("/token"),
        }
    })
    .await;
    let mut setup = setup(&server.url());
    setup.manifest.credentials[0].scheme = Scheme::Challenge { hosts: Vec::new() };
    setup.environment = environment(&[("EXAMPLE_TOKEN_HERE", PAIR)]);
    let place = Override { redirect_hosts: vec![storage.url()], ..Override::from(&*server.url()) };
    setup.overrides.insert("api".to_owned(), place);
    let outbound = Outbound::new(setup).unwrap();
    assert_eq!(&fetch(&outbound, get(BLOB)).await.unwrap().body[..], b"bytes");
    assert!(!storage.seen.requests()[0].contains("authorization"));
}

#[tokio::test]
async fn what_a_token_service_may_answer_ends_in_one_error_each() {
    type Case = (fn() -> Reply, Cause, &'static str);
    let cases: [Case; 7] = [
        (|| answer(401, "", ""), Cause::Denied, "gives no token for the credential"),
        (|| answer(403, "", ""), Cause::Denied, "gives no token for the credential"),
        (|| answer(302, "Location: /other\r\n", ""), Cause::Denied, "answered 302"),
        (|| answer(429, "", ""), Cause::RateLimited, "asked too often"),
        (|| answer(500, "", ""), Cause::Unavailable, "answered 500"),
        (|| answer(200, "", "<html>"), Cause::Invalid, "answered no token"),
        (|| answer(200, "", vec![b' '; 1 << 20]), Cause::Invalid, "answered no token"),
    ];
    for (reply, expected, why) in cases {
        let server = Server::start(move |_, request| match request.starts_with("GET /token?") {
            true => reply(),
            false => refusal("/token"),
        })
        .await;
        let (cause, detail) = fails(&asking(&server.url(), &[], Some(PAIR)), get(TAGS)).await;
        assert_eq!((cause, server.seen.count()), (expected, 2), "{detail}");
        assert!(detail.contains(why) && !detail.contains("SECRET"), "{detail}");
    }
    let (_, detail) = {
        let server = Server::start(|_, request| match request.starts_with("GET /token?") {
            true => answer(401, "", ""),
            false => refusal("/token"),
        })
        .await;
        fails(&asking(&server.url(), &[], None), get(TAGS)).await
    };
    assert!(detail.contains("gives no token without a credential; run `"), "{detail}");
}

#[tokio::test]
async fn an_answer_that_repeats_the_token_is_dropped() {
    let server = Server::start(|_, request| {
        if request.starts_with("GET /token?") {
            // It has ended by the time that it is repeated.
            return answer(200, "", "{\"token\": \"token-of-the-service\", \"expires_in\": 3}");
        }
        match request.contains("Bearer token-of") {
            true => answer(200, "", request),
            false => refusal("/token"),
        }
    })
    .await;
    let (cause, detail) = fails(&asking(&server.url(), &[], Some(PAIR)), get(TAGS)).await;
    assert_eq!(cause, Cause::Invalid);
    assert!(detail.contains("repeats the credential") && !detail.contains("token-of"), "{detail}");
}
