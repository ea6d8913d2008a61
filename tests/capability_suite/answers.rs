//! What a server may answer: caps, deadlines, validators.

use super::server::{Reply, Server, answer};
use super::*;
use std::io::Write;
use std::time::Instant;

/// With a deadline that a busy machine does not meet by accident.
fn small(url: &str) -> Outbound {
    bounded(url, Duration::from_secs(10))
}

fn bounded(url: &str, seconds: Duration) -> Outbound {
    let mut setup = setup(url);
    setup.limits.body = 1 << 20;
    setup.limits.total = seconds;
    setup.limits.retries = 0;
    Outbound::new(setup).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_answer_is_decompressed_and_a_bomb_is_cut_off_at_the_cap() {
    let good = gzip(b"hello hello hello");
    let server = Server::start(move |_, request| {
        assert!(request.to_lowercase().contains("accept-encoding: gzip"));
        answer(200, "Content-Encoding: gzip\r\n", &good)
    })
    .await;
    let response = fetch(&small(&server.url()), get("/things/1")).await.unwrap();
    assert_eq!(&response.body[..], b"hello hello hello");
    assert_eq!(header(&response, "content-encoding"), None);

    let bomb = gzip(&vec![0; 256 << 20]);
    assert!(bomb.len() < 1 << 20);
    let server = Server::start(move |_, _| answer(200, "Content-Encoding: gzip\r\n", &bomb)).await;
    let outbound = small(&server.url());
    let (cause, detail) = fails(&outbound, get("/things/1")).await;
    assert_eq!(cause, Cause::TooLarge, "{detail}");
    assert!(outbound.status().total.bytes <= 1 << 20);

    let broken = answer_bytes("Content-Encoding: gzip\r\n", b"this is not gzip at all");
    let server = Server::start(move |_, _| Reply::Send(broken.clone())).await;
    let (cause, detail) = fails(&small(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::Invalid, "{detail}");
}

fn answer_bytes(headers: &str, body: &[u8]) -> Vec<u8> {
    let Reply::Send(bytes) = answer(200, headers, body) else { unreachable!() };
    bytes
}

#[tokio::test]
async fn a_body_beyond_the_cap_is_too_large_promised_or_not() {
    let promised = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\nx".to_vec();
    let server = Server::start(move |_, _| Reply::Hang(promised.clone())).await;
    // Refused at the promise: the body itself never comes.
    let (cause, detail) = fails(&small(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::TooLarge, "{detail}");

    let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let server = Server::start(move |_, _| Reply::Endless(head.clone(), chunk.clone())).await;
    let (cause, detail) = fails(&small(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::TooLarge, "{detail}");

    let exact = vec![b'x'; 1 << 20];
    let server = Server::start(move |_, _| answer(200, "", &exact)).await;
    let response = fetch(&small(&server.url()), get("/things/1")).await.unwrap();
    assert_eq!(response.body.len(), 1 << 20);
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let line = format!("x-filler: {}\r\n", "y".repeat(4000)).into_bytes();
    let server = Server::start(move |_, _| Reply::Endless(head.clone(), line.clone())).await;
    let (cause, detail) = fails(&small(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::TooLarge, "{detail}");
    let large = format!("x-a: {}\r\n", "y".repeat(70 << 10));
    let server = Server::start(move |_, _| answer(200, &large, "")).await;
    let (cause, detail) = fails(&small(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::TooLarge, "{detail}");
    let nonsense = b"SSH-2.0-OpenSSH_9.6\r\n".to_vec();
    let server = Server::start(move |_, _| Reply::Last(nonsense.clone())).await;
    let (cause, detail) = fails(&small(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::Invalid, "{detail}");
}

#[tokio::test]
async fn a_server_that_does_not_get_on_ends_at_the_deadline() {
    for part in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it",
    ] {
        let server = Server::start(move |_, _| Reply::Hang(part.as_bytes().to_vec())).await;
        let outbound = bounded(&server.url(), Duration::from_millis(600));
        let began = Instant::now();
        let (cause, detail) = fails(&outbound, get("/things/1?x=y")).await;
        assert_eq!(cause, Cause::TimedOut, "{detail}");
        assert_eq!(detail, "GET /things/1 was not answered within 0.6 s");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(600) && took < Duration::from_secs(60), "{took:?}");
        assert_eq!(outbound.status().total.failures, 1);
    }
}

#[tokio::test]
async fn half_an_answer_is_unavailable_and_never_content() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec();
    let mut zipped = answer_bytes("Content-Encoding: gzip\r\n", &gzip(&[7; 50_000]));
    zipped.truncate(zipped.len() - 10);
    for part in [half, chunked, zipped, b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()] {
        let server = Server::start(move |_, _| Reply::Last(part.clone())).await;
        let (cause, detail) = fails(&small(&server.url()), get("/things/1")).await;
        assert_eq!(cause, Cause::Unavailable, "{detail}");
    }
}

#[tokio::test]
async fn an_unchanged_object_is_revalidated_and_the_provider_sees_the_kept_answer() {
    let server = Server::start(|number, request| {
        let request = request.to_lowercase();
        match number {
            0 => answer(200, "ETag: W/\"1\"\r\nLink: <a>\r\nX-Old: yes\r\nDate: old\r\n", "body"),
            _ if request.contains("if-none-match: w/\"1\"") => {
                Reply::Send(b"HTTP/1.1 304 X\r\nETag: W/\"1\"\r\nDate: new\r\n\r\n".to_vec())
            }
            _ => answer(200, "ETag: W/\"2\"\r\n", "other"),
        }
    })
    .await;
    let setup = setup(&server.url());
    let validators = setup.validators.clone();
    let outbound = Outbound::new(setup).unwrap();
    let first = fetch(&outbound, get("/things/1")).await.unwrap();
    let second = fetch(&outbound, get("/things/1")).await.unwrap();
    assert_eq!((second.status, &second.body), (200, &first.body));
    assert_eq!(header(&second, "link"), Some("<a>"));
    assert_eq!(header(&second, "x-old"), Some("yes"));
    assert_eq!(header(&second, "date"), Some("new"));
    // Another path and other headers are other requests.
    fetch(&outbound, get("/things/2")).await.unwrap();
    let request =
        Request { headers: vec![("Accept".to_owned(), "text/x".to_owned())], ..get("/things/1") };
    assert_eq!(&fetch(&outbound, request).await.unwrap().body[..], b"other");
    let status = validators.status();
    assert_eq!((status.entries, status.revalidations, status.not_modified), (3, 1, 1));
    let total = outbound.status().total;
    assert_eq!((total.callouts, total.revalidated, total.failures), (4, 1, 0));
}

/// The server knows its objects by the second of their last change, as plain web servers do.
#[tokio::test]
async fn of_two_changes_in_one_second_the_second_shows_at_the_next_request() {
    let server = Server::start(|number, request| {
        let (changed, at) = ("08:49:37", ["08:49:37", "08:49:38", "08:49:39", "08:49:40"][number]);
        let day = "Sun, 06 Nov 1994";
        let headers = format!("Last-Modified: {day} {changed} GMT\r\nDate: {day} {at} GMT\r\n");
        if header_of(request, "if-modified-since").is_some() {
            return Reply::Send(format!("HTTP/1.1 304 X\r\n{headers}\r\n").into_bytes());
        }
        answer(200, &headers, format!("state {number}"))
    })
    .await;
    let outbound = outbound(&server.url());
    let mut seen = Vec::new();
    for _ in 0..4 {
        let response = fetch(&outbound, get("/things/1")).await.unwrap();
        seen.push(String::from_utf8(response.body.to_vec()).unwrap());
    }
    // From the third on, its date is of one state.
    assert_eq!(seen, ["state 0", "state 1", "state 2", "state 2"]);
    let asked = server.seen.requests();
    let asked = asked.iter().map(|request| header_of(request, "if-modified-since").is_some());
    assert_eq!(asked.collect::<Vec<_>>(), [false, false, false, true]);
}

#[tokio::test]
async fn a_date_without_the_time_of_its_answer_confirms_nothing() {
    let then = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let server = Server::start(move |number, _| answer(200, then, format!("state {number}"))).await;
    let outbound = outbound(&server.url());
    for number in 0..2 {
        let response = fetch(&outbound, get("/things/1")).await.unwrap();
        assert_eq!(response.body, format!("state {number}"));
    }
    let asked = server.seen.requests();
    assert!(asked.iter().all(|request| header_of(request, "if-modified-since").is_none()));
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_invalid() {
    let server =
        Server::start(|_, _| Reply::Send(b"HTTP/1.1 304 X\r\nETag: \"1\"\r\n\r\n".to_vec())).await;
    let (cause, detail) = fails(&outbound(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::Invalid, "{detail}");
}

#[tokio::test]
async fn a_changed_object_replaces_what_was_kept() {
    let server = Server::start(|number, _| {
        answer(200, &format!("ETag: \"{number}\"\r\n"), format!("body {number}"))
    })
    .await;
    let outbound = outbound(&server.url());
    for number in 0..3 {
        let response = fetch(&outbound, get("/things/1")).await.unwrap();
        assert_eq!(response.body, format!("body {number}"));
    }
    let requests = server.seen.requests();
    assert!(!requests[0].to_lowercase().contains("if-none-match"));
    assert!(requests[1].to_lowercase().contains("if-none-match: \"0\""));
    assert!(requests[2].to_lowercase().contains("if-none-match: \"1\""));
}

#[tokio::test]
async fn an_answer_that_repeats_the_secret_does_not_enter_the_sandbox() {
    let server = Server::start(|_, request| answer(200, "", request)).await;
    let (cause, detail) = fails(&outbound(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::Invalid, "{detail}");
    let server =
        Server::start(|_, _| answer(200, &format!("X-Echo: Bearer {SECRET}\r\n"), "")).await;
    let (cause, detail) = fails(&outbound(&server.url()), get("/things/1")).await;
    assert_eq!(cause, Cause::Invalid, "{detail}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(|_, _| answer(200, "", "x")).await;
    let outbound = outbound(&server.url());
    for number in 0..20 {
        fetch(&outbound, get(&format!("/things/{number}"))).await.unwrap();
    }
    assert_eq!((server.seen.count(), server.seen.connections()), (20, 1));
}

#[tokio::test]
async fn a_head_request_has_an_answer_without_body() {
    let server = Server::start(|_, _| {
        Reply::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec())
    })
    .await;
    let request = Request { method: Method::Head, ..get("/things/1") };
    let response = fetch(&small(&server.url()), request).await.unwrap();
    assert_eq!((response.status, response.body.len()), (200, 0));
}
