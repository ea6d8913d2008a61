//! What is refused before any connection is made.

use super::server::{Reply, Server, answer};
use super::*;
use futures_util::FutureExt;
use omnifs::capability::Resolver;
use std::net::IpAddr;

fn resolver(addresses: &[&str]) -> Resolver {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Arc::new(move |_| {
        let addresses = addresses.clone();
        async move { Ok(addresses) }.boxed()
    })
}

#[tokio::test]
async fn what_the_manifest_does_not_allow_reaches_no_server() {
    let server = Server::start(|_, _| answer(200, "", "hello")).await;
    let outbound = outbound(&server.url());
    let with = |headers: &[(&str, &str)]| Request {
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..get("/things/1")
    };
    let refused = [
        get("/other"),
        get("/things/../admin"),
        get("/things/%2e%2e/admin"),
        get("/things/%2E%2E%2Fadmin"),
        get("//evil.example/things/1"),
        get("https://evil.example/things/1"),
        get("@evil.example/things/1"),
        get("/things/1#x"),
        get("/things/1 HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET /things/2"),
        get("/things/1?a=\r\nX-Injected: 1"),
        get("\\\\evil.example\\things"),
        Request { endpoint: "other".to_owned(), ..get("/things/1") },
        Request { method: Method::Post, ..get("/things/1") },
        Request { method: Method::Head, ..get("/things/1/2") },
        Request { body: Some("body".into()), ..get("/things/1") },
        with(&[("Authorization", "Bearer mine")]),
        with(&[("host", "evil.example")]),
        with(&[("Cookie", "a=b")]),
        with(&[("Transfer-Encoding", "chunked")]),
        with(&[("Content-Length", "4")]),
        with(&[("Proxy-Authorization", "x")]),
        with(&[("X-Original-URL", "/admin")]),
        with(&[("X-Rewrite-URL", "/admin")]),
        with(&[("Accept", "a\r\nAuthorization: Bearer mine")]),
        with(&[("Accept\r\nAuthorization", "a")]),
        with(&[("accept", &"b".repeat(17 << 10))]),
        // To a server that decodes it, another path than the rule's.
        get("/search/1%2Fsecrets"),
        get("/search/1%252Fsecrets"),
        Request { body: Some(vec![b'x'; 2 << 20].into()), ..post("") },
    ];
    for request in refused {
        let shown = format!("{request:?}");
        let (cause, detail) = fails(&outbound, request).await;
        assert_eq!(cause, Cause::Denied, "{shown}: {detail}");
    }
    assert_eq!(server.seen.connections(), 0);
    let status = outbound.status();
    assert_eq!((status.total.callouts, status.total.failures), (0, 0));
    assert_eq!(status.total.refused, 28, "the unknown endpoint has no counter");
}

#[tokio::test]
async fn an_allowed_request_carries_the_credential_and_nothing_of_the_host_that_it_need_not() {
    let server = Server::start(|_, _| {
        answer(200, "Set-Cookie: session=1\r\nX-Thing: yes\r\nConnection: keep-alive\r\n", "hello")
    })
    .await;
    let outbound = outbound(&format!("{}/prefix/", server.url()));
    let request = Request {
        headers: vec![("Accept".to_owned(), "application/json".to_owned())],
        ..get("/things/caf%C3%A9?q=a%2Fb&x[]=1")
    };
    let response = fetch(&outbound, request).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]));
    assert_eq!(header(&response, "x-thing"), Some("yes"));
    assert_eq!(header(&response, "set-cookie"), None);
    assert_eq!(header(&response, "connection"), None);
    let seen = server.seen.requests()[0].to_lowercase();
    assert!(seen.starts_with("get /prefix/things/caf%c3%a9?q=a%2fb&x[]=1 http/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("authorization: bearer {}", SECRET.to_lowercase())), "{seen}");
    assert!(seen.contains("user-agent: omnifs/"), "{seen}");
    assert!(seen.contains("accept: application/json"), "{seen}");
    assert!(!seen.contains("cookie"), "{seen}");
    assert!(!seen.contains("referer"), "{seen}");
}

#[tokio::test]
async fn a_name_that_leads_into_the_local_network_is_not_connected_to() {
    let server = Server::start(|_, _| answer(200, "", "hello")).await;
    let port = server.address.port();
    for addresses in [
        &["127.0.0.1"][..],
        &["10.0.0.1", "127.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["169.254.169.254"],
        &["fd00:ec2::254"],
        &["100.64.0.1"],
        &["0.0.0.0"],
    ] {
        let mut setup = setup("");
        setup.overrides.clear();
        setup.manifest.endpoints[0].default_url = format!("https://api.example.test:{port}");
        setup.resolver = resolver(addresses);
        let outbound = Outbound::new(setup).unwrap();
        let (cause, detail) = fails(&outbound, get("/things/1")).await;
        assert_eq!(cause, Cause::Denied, "{detail}");
        assert!(detail.contains("api.example.test leads to the"), "{detail}");
    }
    assert_eq!(server.seen.connections(), 0);
}

#[tokio::test]
async fn a_name_the_user_configured_may_be_local_but_not_a_metadata_service() {
    let server = Server::start(|_, _| answer(200, "", "hello")).await;
    let url = format!("https://ghe.example.test:{}", server.address.port());
    let mut local = setup(&url);
    local.resolver = resolver(&["127.0.0.1"]);
    local.limits.connect = Duration::from_secs(2);
    // The server speaks no TLS, so the handshake comes to nothing: the connection was made.
    let (cause, detail) = fails(&Outbound::new(local).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::TimedOut, "{detail}");
    assert!(detail.contains("no connection within the time limit"), "{detail}");
    assert!(server.seen.connections() > 0);
    let mut metadata = setup(&url);
    metadata.resolver = resolver(&["169.254.169.254"]);
    let (cause, detail) = fails(&Outbound::new(metadata).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Denied, "{detail}");
}

#[tokio::test]
async fn localhost_must_be_this_host() {
    let mut setup = setup("http://localhost:1");
    setup.resolver = resolver(&["93.184.216.34"]);
    let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Denied, "{detail}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_says_so() {
    let mut setup = setup("");
    setup.overrides.clear();
    setup.resolver = Arc::new(|_| async { Err(std::io::Error::other("no such name")) }.boxed());
    let (cause, detail) = fails(&Outbound::new(setup).unwrap(), get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    assert_eq!(detail, "cannot resolve api.example.test: no such name; is this machine online?");
}

#[tokio::test]
async fn a_wrong_place_for_an_endpoint_is_one_line_that_names_the_setting() {
    let message = |change: &dyn Fn(&mut Setup)| {
        let mut setup = setup("http://127.0.0.1:1");
        change(&mut setup);
        Outbound::new(setup).expect_err("wrong").to_string()
    };
    let unknown = message(&|setup| {
        setup.overrides.insert("apo".to_owned(), Override::from("https://a.example"));
    });
    assert_eq!(unknown, "provider example has no endpoint \"apo\"; it has: api");
    let plain = message(&|setup| {
        setup.overrides.insert("api".to_owned(), Override::from("http://example.com"));
    });
    assert!(plain.contains("\"api\" (configuration)"), "{plain}");
    assert!(plain.contains("plain http is spoken to loopback only"), "{plain}");
    let tcp = message(&|setup| {
        setup.overrides.clear();
        setup.environment = environment(&[("EXAMPLE_URL", "tcp://127.0.0.1:2375")]);
    });
    assert!(tcp.contains("environment variable EXAMPLE_URL"), "{tcp}");
    assert!(tcp.contains("configuration file"), "{tcp}");
    let declared = message(&|setup| {
        setup.overrides.clear();
        setup.manifest.endpoints[0].default_url = "http://127.0.0.1:1".to_owned();
    });
    assert!(declared.contains("configuration file"), "{declared}");
    let host = message(&|setup| {
        setup.manifest.endpoints[0].redirect_hosts = vec!["http://127.0.0.1:9".to_owned()];
    });
    assert!(host.contains("redirect host"), "{host}");
}

#[tokio::test]
async fn the_configuration_comes_before_the_environment_and_both_before_the_default() {
    let source = |configured: bool, variable: bool| {
        let mut setup = setup("http://127.0.0.1:1");
        if !configured {
            setup.overrides.clear();
        }
        if variable {
            setup.environment = environment(&[("EXAMPLE_URL", "unix:///run/example.sock")]);
        }
        let status = Outbound::new(setup).unwrap().status();
        (status.endpoints[0].url.clone(), status.endpoints[0].source.clone())
    };
    let row = |url: &str, source: &str| (url.to_owned(), source.to_owned());
    assert_eq!(source(true, true), row("http://127.0.0.1:1", "configuration"));
    assert_eq!(
        source(false, true),
        row("unix:///run/example.sock", "environment variable EXAMPLE_URL")
    );
    assert_eq!(source(false, false), row("https://api.example.test", "default"));
}

#[tokio::test]
async fn an_endpoint_gets_no_more_requests_at_a_time_than_it_is_said_to_bear() {
    let server = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let mut setup = setup(&server.url());
    setup.limits.parallel = 4;
    setup.limits.total = Duration::from_secs(3);
    let outbound = Outbound::new(setup).unwrap();
    let requests = (0..10).map(|n| fetch(&outbound, get(&format!("/things/{n}"))));
    let results = futures_util::future::join_all(requests).await;
    // The first four were never answered, and the others had no turn before their time was over.
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().cause == Cause::TimedOut));
    assert_eq!(server.seen.count(), 4);
}

#[tokio::test]
async fn a_variable_that_was_taken_for_an_address_is_repeated_nowhere() {
    for value in [SECRET, "https://x:PASSWORD@ghe.example.test", "postgres://u:PASSWORD@db/x"] {
        let mut setup = setup("");
        setup.overrides.clear();
        let value = value.to_owned();
        let held = value.clone();
        setup.environment =
            Environment::from_fn(move |name| (name == "EXAMPLE_URL").then(|| held.clone()));
        let error = Outbound::new(setup).expect_err(&value);
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("environment variable EXAMPLE_URL"), "{text}");
            assert!(!text.contains(&value) && !text.contains("PASSWORD"), "{text}");
        }
    }
    // One that is an address as well is a secret all the same.
    let server = Server::start(|_, _| Reply::Reset).await;
    let outbound = outbound(&format!("{}/services/{SECRET}", server.url()));
    let _ = fetch(&outbound, get("/things/1")).await;
    let status = outbound.status();
    assert_eq!(status.endpoints[0].url, server.url());
    assert!(!serde_json::to_string(&status).unwrap().contains(SECRET));
}
