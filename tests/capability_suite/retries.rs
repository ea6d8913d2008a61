//! What is tried again, what is not, and what unreachable servers are called.

use super::server::{Reply, Seen, Server, answer, converse};
use super::*;
use std::path::Path;
use std::time::Instant;
use tokio::net::UnixListener;

#[tokio::test]
async fn an_idempotent_request_is_retried_twice_and_a_post_is_not() {
    for status in [502, 503, 504] {
        let server = Server::start(move |number, _| match number {
            0 | 1 => answer(status, "", "busy"),
            _ => answer(200, "", "ok"),
        })
        .await;
        let outbound = outbound(&server.url());
        let response = fetch(&outbound, get("/things/1")).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
        let total = outbound.status().total;
        assert_eq!((total.callouts, total.retries, total.failures), (3, 2, 0));

        let server = Server::start(move |_, _| answer(status, "", "busy")).await;
        let outbound = super::outbound(&server.url());
        assert_eq!(fetch(&outbound, get("/things/1")).await.unwrap().status, status);
        assert_eq!(server.seen.count(), 3);
        assert_eq!(fetch(&outbound, post("{}")).await.unwrap().status, status);
        assert_eq!(server.seen.count(), 4);
        assert_eq!(outbound.status().total.failures, 2);
    }
    for status in [400, 401, 404, 500, 501] {
        let server = Server::start(move |_, _| answer(status, "", "no")).await;
        let _ = fetch(&outbound(&server.url()), get("/things/1")).await;
        assert_eq!(server.seen.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_reset_connection_is_retried_for_a_get_and_not_for_a_post() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Reset,
        1 => Reply::Last(Vec::new()),
        _ => answer(200, "", "ok"),
    })
    .await;
    let response = fetch(&outbound(&server.url()), get("/things/1")).await.unwrap();
    assert_eq!(&response.body[..], b"ok");

    let server = Server::start(|_, _| Reply::Reset).await;
    let outbound = outbound(&server.url());
    let (cause, detail) = fails(&outbound, post("{}")).await;
    assert_eq!(cause, Cause::Unavailable, "{detail}");
    assert!(detail.contains("closed the connection"), "{detail}");
    assert_eq!(server.seen.count(), 1);
    let (cause, _) = fails(&outbound, get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    assert_eq!(server.seen.count(), 4);
}

#[tokio::test]
async fn a_refused_connection_is_retried_and_named() {
    // A port that nothing listens on: bound and given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outbound = outbound(&format!("http://127.0.0.1:{port}"));
    for request in [get("/things/1"), post("{}")] {
        let (cause, detail) = fails(&outbound, request).await;
        assert_eq!(cause, Cause::Unavailable);
        let expected = format!(
            "cannot reach example at http://127.0.0.1:{port}: connection refused; is it running?"
        );
        assert_eq!(detail, expected);
    }
    assert_eq!(outbound.status().total.retries, 4);
}

#[tokio::test]
async fn retries_stay_within_the_deadline_and_respect_retry_after() {
    let server = Server::start(|_, _| answer(503, "Retry-After: 30\r\n", "busy")).await;
    let began = Instant::now();
    let response = fetch(&outbound(&server.url()), get("/things/1")).await.unwrap();
    assert_eq!((response.status, server.seen.count()), (503, 1));
    assert!(began.elapsed() < Duration::from_secs(30));
}

fn unix(path: &Path) -> Outbound {
    outbound(&format!("unix://{}", path.display()))
}

#[tokio::test]
async fn a_unix_socket_is_an_endpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Seen::default());
    let noted = seen.clone();
    let task = tokio::spawn(async move {
        let reply = |number: usize, _: &str| match number {
            0 => answer(200, "", "from the socket"),
            1 => answer(302, "Location: /things/2\r\n", ""),
            2 => answer(200, "", "within"),
            _ => answer(302, "Location: http://127.0.0.1:1/\r\n", ""),
        };
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            converse(&mut stream, &reply, &noted).await;
        }
    });
    let outbound = unix(&path);
    let response = fetch(&outbound, get("/things/1")).await.unwrap();
    assert_eq!(&response.body[..], b"from the socket");
    assert!(seen.requests()[0].starts_with("GET /things/1 HTTP/1.1\r\n"));
    assert_eq!(&fetch(&outbound, get("/things/1")).await.unwrap().body[..], b"within");
    let (cause, detail) = fails(&outbound, get("/things/1")).await;
    assert_eq!(cause, Cause::Denied, "{detail}");
    task.abort();
}

#[tokio::test]
async fn an_absent_or_refused_socket_fails_at_once_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let outbound = unix(&path);
    let began = Instant::now();
    let (cause, detail) = fails(&outbound, get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    let shown = path.display();
    assert_eq!(detail, format!("cannot reach example at {shown}: no such socket; is it running?"));
    // A socket file that nobody listens on any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (cause, detail) = fails(&outbound, get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    let expected = format!("cannot reach example at {shown}: connection refused; is it running?");
    assert_eq!(detail, expected);
    let total = outbound.status().total;
    assert_eq!((total.callouts, total.retries, total.failures), (2, 0, 2));
    assert!(began.elapsed() < Duration::from_secs(30));
    // It recovers by itself.
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        converse(&mut stream, &|_: usize, _: &str| answer(200, "", "back"), &Seen::default()).await;
    });
    assert_eq!(&fetch(&outbound, get("/things/1")).await.unwrap().body[..], b"back");
    task.abort();
}

#[cfg(unix)]
#[tokio::test]
async fn a_named_pipe_is_a_clear_error_on_other_systems() {
    let outbound = outbound("npipe:////./pipe/docker_engine");
    let (cause, detail) = fails(&outbound, get("/things/1")).await;
    assert_eq!(cause, Cause::Unavailable);
    assert_eq!(detail, "named pipes exist on Windows only; use unix:///PATH");
}
