//! Redirects: where they may lead, and what travels along.

use super::server::{Server, answer};
use super::*;

fn to(location: &str) -> String {
    format!("Location: {location}\r\n")
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_followed_with_the_credential() {
    let server = Server::start(|number, _| match number {
        0 => answer(301, &to("/things/moved?x=2"), "moved"),
        _ => answer(200, "", "here"),
    })
    .await;
    let outbound = outbound(&server.url());
    let response = fetch(&outbound, get("/things/1")).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"here"[..]));
    let second = &server.seen.requests()[1];
    assert!(second.starts_with("GET /things/moved?x=2 "), "{second}");
    assert!(second.contains(SECRET));
    let total = outbound.status().total;
    assert_eq!((total.callouts, total.redirects, total.retries), (2, 1, 0));
}

#[tokio::test]
async fn a_redirect_within_the_origin_leads_nowhere_that_the_manifest_does_not_allow() {
    let head = || Request { method: Method::Head, ..get("/things/1") };
    let named = |path: &str| format!("allows no GET {path} at");
    let escapes = || "a dot segment".to_owned();
    for (request, location, why) in [
        (get("/things/1"), "/admin/keys", named("/admin/keys")),
        (get("/things/1"), "/admin?x=/things/1", named("/admin")),
        (get("/things/1"), "../admin", named("/admin")),
        (get("/things/1"), "/things/../admin", named("/admin")),
        (get("/things/1"), "/things/%2e%2e/admin", named("/admin")),
        (get("/things/1"), "/things/x%2f..%2f..%2fadmin", escapes()),
        (get("/things/1"), "/things/%252e%252e/admin", escapes()),
        (get("/things/1"), "/things//admin", "an empty segment".to_owned()),
        (get("/search/1"), "/search/1/2", named("/search/1/2")),
        (get("/search/1"), "/search/1%2F2", named("/search/1%2F2")),
        // What one method may have, another may not.
        (get("/things/1"), "/graphql", named("/graphql")),
        (head(), "/things/1/2", "allows no HEAD /things/1/2 at".to_owned()),
        (post("{}"), "/things/1", "allows no POST /things/1 at".to_owned()),
    ] {
        let server = Server::start(move |number, _| match number {
            0 => answer(307, &to(location), ""),
            _ => answer(200, "", "stolen"),
        })
        .await;
        let (cause, detail) = fails(&outbound(&server.url()), request).await;
        assert_eq!(cause, Cause::Denied, "{location}: {detail}");
        assert!(detail.contains(&why), "{location}: {detail}");
        assert_eq!(server.seen.count(), 1, "{location}");
    }
}

#[tokio::test]
async fn a_redirect_is_compared_below_the_path_that_the_endpoint_was_given() {
    let served = |location: &'static str| {
        Server::start(move |number, _| match number {
            0 => answer(301, &to(location), ""),
            _ => answer(200, "", "here"),
        })
    };
    for good in ["/api/v3/things/2?x=1", "2?x=1", "../things/2?x=1"] {
        let server = served(good).await;
        let outbound = outbound(&format!("{}/api/v3", server.url()));
        let response = fetch(&outbound, get("/things/1")).await.unwrap();
        assert_eq!(header(&response, "content-location"), Some("/things/2"), "{good}");
        let second = &server.seen.requests()[1];
        assert!(second.starts_with("GET /api/v3/things/2?x=1 "), "{second}");
    }
    for bad in ["/things/2", "/api/v3", "/api/v33/things/2", "/api/v3/../things/2"] {
        let server = served(bad).await;
        let outbound = outbound(&format!("{}/api/v3", server.url()));
        let (cause, detail) = fails(&outbound, get("/things/1")).await;
        assert_eq!(cause, Cause::Denied, "{bad}: {detail}");
        assert!(detail.contains("outside of the endpoint"), "{bad}: {detail}");
        assert_eq!(server.seen.count(), 1, "{bad}");
    }
}

#[tokio::test]
async fn what_is_read_in_parts_and_what_tells_whose_a_credential_is_follow_the_same_rules() {
    let server = Server::start(|_, request| match request.starts_with("GET /admin") {
        true => answer(206, "Content-Range: bytes 0-3/4\r\n", "{\"\"}"),
        false => answer(302, &to("/admin"), ""),
    })
    .await;
    let mut setup = setup(&server.url());
    setup.manifest.credentials[0].whose = Some(provider::Probe {
        endpoint: "api".to_owned(),
        method: Method::Get,
        path: "/things/me".to_owned(),
        body: None,
        name: "/login".to_owned(),
    });
    let outbound = Outbound::new(setup).unwrap();
    outbound.ask_whose().await;
    let source = provider::Source {
        request: get("/things/1"),
        offset: 0,
        length: 4,
        validator: None,
        digest: None,
    };
    let wanted = provider::Wanted { source: &source, start: 0, length: 4, validator: None };
    let failure = outbound.part(wanted).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Denied, "{failure}");
    assert!(failure.detail.contains("no GET /admin at"), "{failure}");
    let asked = server.seen.requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[tokio::test]
async fn the_way_back_into_the_origin_is_checked_though_it_brings_no_credential() {
    let home = Arc::new(std::sync::OnceLock::<String>::new());
    let back = home.clone();
    let away =
        Server::start(move |_, _| answer(302, &to(&format!("{}/admin", back.get().unwrap())), ""))
            .await;
    let leave = away.url();
    let server = Server::start(move |_, _| answer(302, &to(&format!("{leave}/x")), "")).await;
    home.set(server.url()).unwrap();
    let mut setup = setup(&server.url());
    setup.overrides.get_mut("api").unwrap().redirect_hosts.push(away.url());
    let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Denied, "{detail}");
    assert!(detail.contains("no GET /admin at"), "{detail}");
    assert_eq!((server.seen.count(), away.seen.count()), (1, 1));
}

#[tokio::test]
async fn a_redirect_to_an_undeclared_place_is_refused_without_a_connection() {
    let other = Server::start(|_, _| answer(200, "", "stolen")).await;
    let port = other.address.port();
    for location in [
        other.url(),
        format!("//127.0.0.1:{port}/x"),
        format!("http://localhost:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://evil.example/".to_owned(),
        "http://logs.example.test/".to_owned(),
        "https://logs.example.test:8443/".to_owned(),
        "https://logs.example.test@evil.example/".to_owned(),
        "https://user:pass@logs.example.test/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "unix:///var/run/docker.sock".to_owned(),
        "http://[".to_owned(),
    ] {
        let target = location.clone();
        let server = Server::start(move |_, _| answer(302, &to(&target), "")).await;
        let outbound = outbound(&server.url());
        let (cause, detail) = fails(&outbound, get("/things/1")).await;
        assert_eq!(cause, Cause::Denied, "{location}: {detail}");
        assert!(detail.contains("a redirect to"), "{detail}");
        assert_eq!(server.seen.count(), 1, "{location}");
    }
    assert_eq!(other.seen.connections(), 0);
}

#[tokio::test]
async fn the_credential_stays_behind_when_the_origin_changes_and_does_not_come_back() {
    let back = Arc::new(std::sync::OnceLock::<String>::new());
    let home = back.clone();
    let logs = Server::start(move |number, _| match number {
        0 => answer(200, "ETag: \"theirs\"\r\n", "log"),
        _ => answer(302, &to(&format!("{}/things/back", home.get().unwrap())), ""),
    })
    .await;
    let logs_url = logs.url();
    let server = Server::start(move |_, request| {
        if request.starts_with("GET /things/back") {
            answer(200, "", "back")
        } else {
            answer(302, &format!("Location: {logs_url}/job/1?sig=abc\r\n"), "")
        }
    })
    .await;
    back.set(server.url()).unwrap();
    let mut setup = setup(&server.url());
    let given = setup.overrides.get_mut("api").unwrap();
    given.redirect_hosts.push(logs.url());
    let outbound = Outbound::new(setup).unwrap();
    let request = || Request {
        headers: vec![
            ("Accept".to_owned(), "text/plain".to_owned()),
            ("X-Private-Version".to_owned(), "guest".to_owned()),
        ],
        ..get("/things/1")
    };
    let response = fetch(&outbound, request()).await.unwrap();
    assert_eq!(&response.body[..], b"log");
    let seen = logs.seen.requests()[0].to_lowercase();
    assert!(seen.starts_with("get /job/1?sig=abc "), "{seen}");
    assert!(!seen.contains("authorization"), "{seen}");
    assert!(!seen.contains("x-private-version"), "{seen}");
    assert!(seen.contains("accept: text/plain"), "{seen}");
    // The other server's validator is not kept for the endpoint, and the way back is without it too.
    let response = fetch(&outbound, request()).await.unwrap();
    assert_eq!(&response.body[..], b"back");
    let returned = server.seen.requests().pop().unwrap();
    assert!(returned.starts_with("GET /things/back"), "{returned}");
    assert!(!returned.to_lowercase().contains("authorization"), "{returned}");
    assert!(!returned.to_lowercase().contains("if-none-match"), "{returned}");
}

#[tokio::test]
async fn a_loop_of_redirects_ends_after_five() {
    let server =
        Server::start(|number, _| answer(302, &to(&format!("/things/{number}")), "")).await;
    let outbound = outbound(&server.url());
    let (cause, detail) = fails(&outbound, get("/things/0")).await;
    assert_eq!(cause, Cause::Unavailable, "{detail}");
    assert!(detail.contains("more than 5 times"), "{detail}");
    assert_eq!(server.seen.count(), 6);
}

#[tokio::test]
async fn the_body_of_a_post_goes_to_no_other_place() {
    let other = Server::start(|_, _| answer(200, "", "stolen")).await;
    let url = other.url();
    for status in [301, 302, 303, 307, 308] {
        let url = url.clone();
        let server = Server::start(move |_, _| answer(status, &to(&url), "")).await;
        let mut setup = setup(&server.url());
        setup.overrides.get_mut("api").unwrap().redirect_hosts.push(other.url());
        let (cause, detail) = fails(&Outbound::new(setup).unwrap(), post("{}")).await;
        assert_eq!(cause, Cause::Denied, "{status}: {detail}");
    }
    assert_eq!(other.seen.connections(), 0);
    let server = Server::start(|number, _| match number {
        0 => answer(307, &to("/graphql?again"), ""),
        _ => answer(200, "", "ok"),
    })
    .await;
    let response = fetch(&outbound(&server.url()), post("{\"query\":1}")).await.unwrap();
    assert_eq!(&response.body[..], b"ok");
    assert!(server.seen.requests()[1].ends_with("{\"query\":1}"));
}

#[tokio::test]
async fn the_provider_learns_which_path_answered_where_a_redirect_led_to_another() {
    let server = Server::start(|number, request| match number {
        0 => answer(301, &to("/things/moved?x=2"), "moved"),
        1 => answer(200, "ETag: \"a\"\r\n", "here"),
        2 => answer(301, &to("/things/moved?x=2"), "moved"),
        3 if request.contains("If-None-Match: \"a\"")
            || request.contains("if-none-match: \"a\"") =>
        {
            answer(304, "", "")
        }
        _ => answer(200, "", "no redirect any more"),
    })
    .await;
    let outbound = outbound(&server.url());
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = fetch(&outbound, get("/things/1")).await.unwrap();
        let location = answer.headers.into_iter().find(|(name, _)| name == "content-location");
        answers.push((
            location.map(|(_, path)| path),
            String::from_utf8_lossy(&answer.body).into_owned(),
        ));
    }
    let moved = || (Some("/things/moved".to_owned()), "here".to_owned());
    assert_eq!(answers, [moved(), moved(), (None, "no redirect any more".to_owned())]);
}
