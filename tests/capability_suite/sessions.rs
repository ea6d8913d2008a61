//! Sessions that a service names in a header, which the host keeps for a component.

use super::server::{Server, answer};
use super::*;
use omnifs::provider::{Bodies, Session};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const BEGIN: &str = r#"{"method":"begin"}"#;
const BEGUN: &str = r#"{"method":"begun"}"#;
const LIST: &str = r#"{"method":"list"}"#;

fn in_sessions(url: &str) -> Setup {
    let mut setup = setup(url);
    let values = ["begin", "begun", "list"].map(str::to_owned).to_vec();
    let endpoint = &mut setup.manifest.endpoints[0];
    endpoint.bodies = Some(Bodies { member: "method".to_owned(), values });
    endpoint.session = Some(Session {
        header: "x-session-id".to_owned(),
        begun_by: "begin".to_owned(),
        confirmed_by: "begun".to_owned(),
    });
    setup
}

fn saying(body: &'static str) -> Request {
    let kind = ("content-type".to_owned(), "application/json".to_owned());
    Request { headers: vec![kind], ..post(body) }
}

fn named(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("x-session-id: "))
}

/// Names each session after the number of the request by which it began.
async fn naming() -> Server {
    Server::start(|number, request| match request.ends_with(BEGIN) {
        true => answer(200, &format!("x-session-id: number-{number}\r\n"), "{}"),
        false => answer(200, "x-session-id: another\r\n", "{}"),
    })
    .await
}

#[tokio::test]
async fn a_session_is_kept_for_later_requests_and_the_component_does_not_see_it() {
    let server = naming().await;
    let outbound = Outbound::new(in_sessions(&server.url())).unwrap();
    for body in [LIST, BEGIN, LIST, BEGUN, LIST, LIST, BEGIN, LIST, BEGUN, LIST] {
        let response = fetch(&outbound, saying(body)).await.unwrap();
        assert_eq!(header(&response, "x-session-id"), None);
    }
    fetch(&outbound, get("/things/1")).await.unwrap();
    let seen = server.seen.requests();
    let names: Vec<_> = seen.iter().map(|request| named(request)).collect();
    // Another call sends nothing in a session before the one that began it has said so.
    let (first, second) = (Some("number-1"), Some("number-6"));
    let expected = [None, None, None, first, first, first, None, first, second, second, second];
    assert_eq!(names, expected);
    assert!(!format!("{outbound:?} {:?}", outbound.status()).contains("number-"));
    // Nor can it name one.
    let mut own = saying(LIST);
    own.headers.push(("x-session-id".to_owned(), "number-1".to_owned()));
    assert_eq!(fails(&outbound, own).await.0, Cause::Denied);
}

#[tokio::test]
async fn a_service_without_sessions_is_sent_none() {
    let server = Server::start(|_, request| {
        let begins = request.ends_with(BEGIN);
        answer(if begins { 400 } else { 200 }, "x-session-id: x\r\n", "{}")
    })
    .await;
    let outbound = Outbound::new(in_sessions(&server.url())).unwrap();
    for body in [LIST, BEGIN, BEGUN, LIST] {
        fetch(&outbound, saying(body)).await.unwrap();
    }
    assert!(server.seen.requests().iter().all(|request| named(request).is_none()));
}

#[tokio::test]
async fn a_session_goes_to_no_other_origin_and_is_of_the_credentials_that_began_it() {
    let logs = Server::start(|_, _| answer(200, "", "log")).await;
    let away = logs.url();
    let server = Server::start(move |_, request| match request.starts_with("GET /things/away") {
        true => answer(302, &format!("Location: {away}/x\r\n"), ""),
        false => answer(200, "x-session-id: mine\r\n", "{}"),
    })
    .await;
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("secret");
    let write = |text: &str| {
        use std::os::unix::fs::PermissionsExt;
        // Another file, so that nobody takes it for the one before.
        let fresh = secrets.path().join("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(fresh, &secret).unwrap();
    };
    write("one-secret-0123456789");
    let mut setup = in_sessions(&server.url());
    setup.overrides.get_mut("api").unwrap().redirect_hosts.push(logs.url());
    setup.credential_files.insert("token".to_owned(), secret.clone());
    let outbound = Outbound::new(setup).unwrap();
    fetch(&outbound, saying(BEGIN)).await.unwrap();
    fetch(&outbound, saying(BEGUN)).await.unwrap();
    fetch(&outbound, get("/things/away")).await.unwrap();
    assert_eq!(named(&server.seen.requests()[2]), Some("mine"));
    assert_eq!(named(&logs.seen.requests()[0]), None);
    write("another-secret-0123456789");
    fetch(&outbound, saying(LIST)).await.unwrap();
    let last = server.seen.requests().pop().unwrap();
    assert!(last.contains("another-secret") && named(&last).is_none(), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_requests_with_one_body_the_second_waits_for_the_first() {
    // Bodies that are being answered, and how often one of them came once more.
    let under_way = Arc::new(Mutex::new(Vec::<String>::new()));
    let met = Arc::new(AtomicUsize::new(0));
    let (noted, counted) = (under_way.clone(), met.clone());
    let server = Server::start(move |_, request| {
        let body = request.rsplit("\r\n").next().unwrap_or_default().to_owned();
        {
            let mut under_way = noted.lock().unwrap();
            if under_way.contains(&body) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            under_way.push(body.clone());
        }
        // Work, during which another one could come.
        std::thread::sleep(Duration::from_millis(20));
        let mut under_way = noted.lock().unwrap();
        let at = under_way.iter().position(|other| *other == body).unwrap();
        under_way.remove(at);
        answer(200, "", "{}")
    })
    .await;
    let outbound = Outbound::new(in_sessions(&server.url())).unwrap();
    let asked: Vec<_> = (0..8)
        .map(|number| {
            let outbound = outbound.clone();
            let body = if number % 2 == 0 { LIST } else { BEGIN };
            tokio::spawn(async move { fetch(&outbound, saying(body)).await.map(|_| ()) })
        })
        .collect();
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    assert_eq!((server.seen.count(), met.load(Ordering::SeqCst)), (8, 0));
    assert!(under_way.lock().unwrap().is_empty());
}

#[tokio::test]
async fn of_two_sessions_that_begin_at_once_each_request_is_sent_in_one_that_is_confirmed() {
    let server = naming().await;
    let outbound = Outbound::new(in_sessions(&server.url())).unwrap();
    for body in [BEGIN, BEGIN, LIST, BEGUN, LIST, BEGUN, LIST] {
        fetch(&outbound, saying(body)).await.unwrap();
    }
    let seen = server.seen.requests();
    let names: Vec<_> = seen.iter().map(|request| named(request)).collect();
    let last = Some("number-1");
    assert_eq!(names, [None, None, None, last, last, last, last]);
}
