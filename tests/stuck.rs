//! A service that is stuck, seen through the kernel: each use waits for it once. Linux only: it mounts
//! through FUSE.

#![cfg(target_os = "linux")]

use omnifs::cache::Capacity;
use omnifs::provider::Cause;
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, Style};
use omnifs_platform::fuse::{MountOptions, mount};
use omnifs_support::{Omnifs, skip};
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// The kernel asks for the name once more where it is not sure of what it knew.
#[test]
fn a_use_of_a_known_name_waits_for_a_stuck_service_once() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("a stuck service", &reason);
    }
    let tokio = tokio::runtime::Runtime::new().expect("a tokio runtime");
    let upstream = Memory::new(Style::default());
    upstream.file(ROOT, "a", "id-a", b"hello");
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream.clone()) };
    let router = Router::new(vec![instance]);
    let handle = tokio.handle().clone();
    let runtime = Runtime::new(router, Capacity::default(), UNIX_EPOCH, handle);
    let point = tempfile::tempdir().expect("a mountpoint");
    let options = MountOptions::default();
    let mounted = mount(runtime, point.path(), &options, tokio.handle()).expect("mount");
    let path = point.path().join("m/a");
    // No feed vouches for it, so each use asks.
    assert_eq!(fs::read_to_string(&path).expect("read"), "hello");
    for _ in 0..3 {
        let calls = upstream.calls();
        let gate = Arc::new(Semaphore::new(0));
        upstream.fail(Some(Cause::TimedOut));
        upstream.hold(Some(gate.clone()));
        let service = tokio.spawn(async move {
            tokio::time::sleep(Duration::from_millis(1100)).await;
            gate.add_permits(1);
            // A second question would wait until here, and be counted.
            tokio::time::sleep(Duration::from_secs(20)).await;
            gate.add_permits(100);
        });
        assert_eq!(fs::metadata(&path).expect_err("stuck").kind(), ErrorKind::TimedOut);
        service.abort();
        assert_eq!(upstream.calls(), calls + 1);
        upstream.hold(None);
        upstream.fail(None);
        assert_eq!(wait_for(&path), "hello");
    }
    drop(mounted);
}

/// The service answers again, and soon the file is there.
fn wait_for(path: &std::path::Path) -> String {
    let began = std::time::Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return text,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(60), "{error}"),
        }
    }
}
