//! The channel end to end, over real loopback connections.

use super::*;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

struct Still;

impl Daemon for Still {
    fn status(&self) -> CoreStatus {
        let cache = CacheStatus { nodes: 7, ..CacheStatus::default() };
        CoreStatus { cache, ..CoreStatus::default() }
    }

    fn refresh<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Refreshed, Refused>> {
        let answer = match path {
            "absent" => Err(Refused { message: "no such path".into(), hint: Some("look".into()) }),
            path => Ok(Refreshed { nodes: path.len() as u64 }),
        };
        Box::pin(std::future::ready(answer))
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    registry: Registry,
    server: Server,
    unmounts: mpsc::Receiver<Unmount>,
    record: Record,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new(dir.path().join("mounts"));
    let at = Path::new("/mnt/x");
    let mount = MountStatus {
        mountpoint: "/mnt/x".into(),
        pid: std::process::id(),
        version: "1".into(),
        backend: "fuse".into(),
        started: 1,
        log: "/log".into(),
        allow_other: false,
        stale_if_error: false,
    };
    let (sender, unmounts) = mpsc::channel(1);
    let claim = registry.claim(at).unwrap();
    let server = Server::start(claim, mount, Arc::new(Still), sender).await.unwrap();
    let record = registry.get(at).unwrap();
    Fixture { _dir: dir, registry, server, unmounts, record }
}

/// Sends raw bytes and returns all that comes back.
async fn raw(record: &Record, request: &str) -> String {
    let mut stream = TcpStream::connect(record.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(record: &Record, line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}\r\n", record.address)
}

#[tokio::test]
async fn a_client_with_the_record_is_answered() {
    let f = fixture().await;
    let client = Client::new(f.record.clone()).unwrap();
    let status = client.status().await.unwrap();
    assert_eq!(status.mount.mountpoint, "/mnt/x");
    assert_eq!(status.core.cache.nodes, 7);
    assert_eq!(client.refresh("a/b").await.unwrap(), Refreshed { nodes: 3 });
    let refused = client.refresh("absent").await.unwrap_err();
    assert_eq!((refused.to_string(), refused.hint()), ("no such path".into(), Some("look".into())));
}

#[tokio::test]
async fn an_unmount_waits_for_its_outcome() {
    let mut f = fixture().await;
    let client = Client::new(f.record.clone()).unwrap();
    let unmounts = async {
        for outcome in [Err(Refused { message: "busy".into(), hint: None }), Ok(())] {
            let unmount = f.unmounts.recv().await.unwrap();
            assert_eq!(unmount.force, outcome.is_ok());
            unmount.answer.send(outcome).unwrap();
        }
    };
    let asks = async {
        assert_eq!(client.unmount(false).await.unwrap_err().to_string(), "busy");
        client.unmount(true).await.unwrap();
    };
    tokio::join!(unmounts, asks);
    drop(f.unmounts);
    client.unmount(false).await.unwrap();
}

#[tokio::test]
async fn a_request_without_the_token_is_refused() {
    let mut f = fixture().await;
    for fields in ["", "Authorization: Bearer 00\r\n", "Authorization: Basic eDp5\r\n"] {
        let answer = raw(&f.record, &request(&f.record, "GET /v1/status", fields)).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!answer.contains("/mnt/x"), "{answer}");
        let line = "POST /v1/unmount";
        let fields = format!("{fields}Content-Length: 15\r\n");
        let post = request(&f.record, line, &fields) + "{\"force\": true}";
        let answer = raw(&f.record, &post).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    assert!(f.unmounts.try_recv().is_err());
    let mut forged = f.record.clone();
    forged.token = Token::random().unwrap();
    let error = Client::new(forged).unwrap().status().await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
}

#[tokio::test]
async fn a_browser_is_refused_even_with_the_token() {
    let f = fixture().await;
    let token = format!("Authorization: Bearer {}\r\n", f.record.token.reveal());
    let good = request(&f.record, "GET /v1/status", &token);
    assert!(raw(&f.record, &good).await.starts_with("HTTP/1.1 200 "));
    let rebound = good.replace(&f.record.address.to_string(), "attacker.example");
    assert!(raw(&f.record, &rebound).await.starts_with("HTTP/1.1 403 "));
    let origin = format!("{token}Origin: https://attacker.example\r\n");
    let crossed = request(&f.record, "GET /v1/status", &origin);
    assert!(raw(&f.record, &crossed).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let f = fixture().await;
    let fields = format!(
        "Authorization: Bearer {}\r\nContent-Length: {}\r\n",
        f.record.token.reveal(),
        MOST_REQUEST + 1
    );
    let post = request(&f.record, "POST /v1/refresh", &fields) + &"x".repeat(MOST_REQUEST + 1);
    assert!(raw(&f.record, &post).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn garbage_is_answered_and_the_channel_lives() {
    let f = fixture().await;
    let _ = raw(&f.record, "\0\x01garbage\r\n\r\n").await;
    let token =
        format!("Authorization: Bearer {}\r\nContent-Length: 3\r\n", f.record.token.reveal());
    let answer = raw(&f.record, &(request(&f.record, "POST /v1/refresh", &token) + "{{{")).await;
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert!(Client::new(f.record.clone()).unwrap().status().await.is_ok());
}

#[tokio::test]
async fn the_record_goes_with_the_server_and_a_client_learns_that_it_is_gone() {
    let f = fixture().await;
    let client = Client::new(f.record.clone()).unwrap();
    drop(f.server);
    assert_eq!(f.registry.list(), []);
    let error = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        // The task is aborted at its next poll; until then a connection may still be accepted.
        loop {
            if let Err(error) = client.status().await {
                return error;
            }
        }
    });
    let error = error.await.unwrap();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(error.hint().unwrap().contains("unmount --force"));
}
