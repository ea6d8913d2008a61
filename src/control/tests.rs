//! The channel end to end, over real connections.

use super::*;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
    _dir: Option<tempfile::TempDir>,
    registry: Registry,
    server: Server,
    unmounts: mpsc::Receiver<Unmount>,
    record: Record,
}

fn mount_status() -> MountStatus {
    MountStatus {
        mountpoint: "/mnt/x".into(),
        pid: std::process::id(),
        version: "1".into(),
        backend: "fuse".into(),
        started: 1,
        log: "/log".into(),
        allow_other: false,
        stale_if_error: false,
        kept: false,
        taken_back: false,
    }
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let fixture = fixture_in(dir.path()).await;
    Fixture { _dir: Some(dir), ..fixture }
}

async fn fixture_in(directory: &Path) -> Fixture {
    let registry = Registry::new(directory.join("mounts"));
    let at = Path::new("/mnt/x");
    let (sender, unmounts) = mpsc::channel(1);
    let claim = registry.claim(at).unwrap();
    let server = Server::start(claim, mount_status(), Arc::new(Still), sender).await.unwrap();
    let record = registry.get(at).unwrap();
    Fixture { _dir: None, registry, server, unmounts, record }
}

/// Sends raw bytes and returns all that comes back.
async fn raw(record: &Record, request: &str) -> String {
    #[cfg(unix)]
    let mut stream = tokio::net::UnixStream::connect(&record.channel).await.unwrap();
    #[cfg(windows)]
    let mut stream =
        tokio::net::windows::named_pipe::ClientOptions::new().open(&record.channel).unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: omnifs\r\nConnection: close\r\n{fields}\r\n")
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
async fn an_oversized_body_is_refused() {
    let f = fixture().await;
    let fields = format!("Content-Length: {}\r\n", MOST_REQUEST + 1);
    let post = request("POST /v1/refresh", &fields) + &"x".repeat(MOST_REQUEST + 1);
    assert!(raw(&f.record, &post).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn garbage_is_answered_and_the_channel_lives() {
    let f = fixture().await;
    let _ = raw(&f.record, "\0\x01garbage\r\n\r\n").await;
    let length = "Content-Length: 3\r\n";
    let answer = raw(&f.record, &(request("POST /v1/refresh", length) + "{{{")).await;
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

#[cfg(unix)]
#[tokio::test]
async fn the_channel_is_a_socket_that_only_the_user_may_open() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let f = fixture().await;
    let found = std::fs::metadata(&f.record.channel).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let channel = f.record.channel.clone();
    drop(f.server);
    assert!(!channel.exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let f = fixture_in(&dir.path().join("d".repeat(200))).await;
    assert!(Client::new(f.record.clone()).unwrap().status().await.is_ok());
}

#[tokio::test]
async fn the_metrics_come_over_the_channel_as_open_metrics() {
    let f = fixture().await;
    let text = Client::new(f.record.clone()).unwrap().metrics().await.unwrap();
    assert!(text.contains("\nomnifs_cache_nodes 7\n") && text.ends_with("\n# EOF\n"), "{text}");
    let answer = raw(&f.record, &request("GET /v1/metrics", "")).await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(kind), "{answer}");
}

/// What a port answers to one request.
async fn asked(address: std::net::SocketAddr, line: &str, host: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn the_port_for_metrics_gives_these_and_nothing_else_to_this_machine_alone() {
    let error = Scrape::bind("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("not a loopback address"), "{error}");
    let scrape = Scrape::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = scrape.local_addr().unwrap();
    let taken = Scrape::bind(address).await.unwrap_err();
    assert!(taken.hint().unwrap().contains("another port"), "{taken}");
    let serving = scrape.serve(mount_status(), Arc::new(Still));
    let own = address.to_string();
    let answer = asked(address, "GET /metrics", &own).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\n# EOF\n"), "{answer}");
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    for (line, host, status) in [
        ("GET /metrics", "evil.example", "421"),
        ("POST /metrics", &own, "405"),
        ("GET /v1/status", &own, "404"),
        ("POST /v1/unmount", &own, "404"),
    ] {
        let answer = asked(address, line, host).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {host}: {answer}");
    }
    drop(serving);
    let gone = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    gone.await.unwrap();
}
