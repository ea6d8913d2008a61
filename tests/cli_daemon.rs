//! The life of a mount's process, with the real commands beside it: the claim, the control channel,
//! signals, panics. What is mounted is a tmpfs, which needs root and nothing else.
#![cfg(target_os = "linux")]

mod cli;

use cli::{Home, Ran, until};
use futures_util::future::BoxFuture;
use omnifs::config::Config;
use omnifs::control::{CacheStatus, CoreStatus, Daemon, Refreshed, Refused, key};
use omnifs::daemon::{self, Mount, Options};
use omnifs::host::Mounted;
use omnifs::logs;
use omnifs::paths::Paths;
use omnifs_platform::mounting::{self, UnmountMode};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Answers status, and panics when it is asked to refresh `panic`.
struct Core;

impl Daemon for Core {
    fn status(&self) -> CoreStatus {
        let cache = CacheStatus { nodes: 42, nodes_capacity: 1000, ..CacheStatus::default() };
        CoreStatus { cache, ..CoreStatus::default() }
    }

    fn refresh<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Refreshed, Refused>> {
        assert_ne!(path, "panic", "asked to");
        Box::pin(std::future::ready(Ok(Refreshed { nodes: path.len() as u64 })))
    }
}

struct Tmpfs(PathBuf);

impl Mount for Tmpfs {
    fn unmount(&mut self, how: UnmountMode) -> Result<(), mounting::Error> {
        mounting::detach(&self.0, how)
    }

    fn ended(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while mounting::mounted_at(&self.0).is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
    }
}

/// Not a test: the mount's process. It does nothing unless a test below started it.
#[test]
fn child() {
    let Some(at) = std::env::var_os("TEST_MOUNT").map(PathBuf::from) else { return };
    let paths = Paths::of_user().unwrap();
    let log = logs::path(&paths.logs(), &key(&at));
    logs::start(&log, tracing::level_filters::LevelFilter::INFO, logs::Format::Text, false)
        .unwrap();
    let config = Config::default();
    let instances = Vec::new();
    let reread = None;
    let options = Options {
        mountpoint: at,
        serve_only: false,
        config,
        instances,
        paths,
        log,
        reread,
        poll_every: None,
        keeper: None,
    };
    let start = async |options: &Options| {
        let hardened = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(hardened, rustix::process::DumpableBehavior::NotDumpable);
        let at = options.mountpoint.clone();
        mount("omnifs-test", &at, "tmpfs", MountFlags::empty(), None).unwrap();
        let (warnings, credentials) = (Vec::new(), Vec::new());
        Ok(Mounted { daemon: Arc::new(Core), mount: Box::new(Tmpfs(at)), warnings, credentials })
    };
    let result = daemon::run_with(options, start, |_| {});
    std::process::exit(if result.is_ok() { 0 } else { 1 });
}

struct Running {
    home: Home,
    child: Child,
}

fn running() -> Option<Running> {
    if !rustix::process::geteuid().is_root() {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("cli_daemon");
        omnifs_support::skip(test, "a tmpfs can only be mounted by root");
        return None;
    }
    let home = Home::new();
    let child = start(&home);
    Some(Running { home, child })
}

fn start(home: &Home) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    home.environment(&mut command).env("TEST_MOUNT", home.path("mnt"));
    command.args(["--exact", "child", "--nocapture"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the mount", || home.run(["status"]).code == 0);
    child
}

impl Running {
    fn at(&self) -> PathBuf {
        self.home.path("mnt")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The exit code of the mount's process, once it has ended and given everything back.
    fn ended(mut self) -> (i32, Home) {
        let mut code = None;
        until("the end of the process", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        assert!(mounting::mounted_at(&self.at()).is_none());
        assert_eq!(self.home.run(["status"]).code, 3);
        let home = std::mem::replace(&mut self.home, Home::new());
        (code.unwrap().code().unwrap_or(-1), home)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = unmount(self.at(), UnmountFlags::DETACH);
    }
}

fn log(home: &Home) -> String {
    home.run(["logs", "mnt"]).works().to_owned()
}

#[test]
fn status_and_refresh_reach_the_mount_from_any_path_in_it() {
    let Some(running) = running() else { return };
    let home = &running.home;
    let text = home.run(["status"]);
    assert!(text.works().contains("42 of 1000 nodes"), "{text:?}");
    let json: serde_json::Value =
        serde_json::from_str(home.run(["status", "--json", "mnt/a/b"]).works()).unwrap();
    assert_eq!(json["mount"]["pid"], running.child.id());
    assert_eq!(json["mount"]["mountpoint"], running.at().to_str().unwrap());
    assert_eq!(json["cache"]["nodes"], 42);
    let refreshed = home.run(["refresh", "mnt/ab/./x/../c"]);
    assert!(refreshed.works().starts_with("4 cached nodes"), "{refreshed:?}");
    home.run(["mount", "--foreground", "mnt"]).fails(4, "already mounted", "omnifs unmount");
}

#[test]
fn each_signal_unmounts() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let Some(running) = running() else { return };
        running.signal(signal);
        let (code, home) = running.ended();
        assert_eq!(code, 0, "{signal:?}");
        assert!(log(&home).contains("unmounting"), "{}", log(&home));
    }
}

#[test]
fn a_signal_unmounts_also_what_is_in_use() {
    let Some(running) = running() else { return };
    let _open = std::fs::File::create(running.at().join("f")).unwrap();
    running.signal(Signal::TERM);
    assert_eq!(running.ended().0, 0);
}

#[test]
fn unmount_returns_when_a_new_mount_may_begin() {
    let Some(mut running) = running() else { return };
    for _ in 0..5 {
        running.home.run(["unmount", "mnt"]).works();
        assert!(mounting::mounted_at(&running.at()).is_none());
        assert!(running.child.wait().unwrap().success());
        running.child = start(&running.home);
    }
}

#[test]
fn a_mount_in_use_stays_until_it_is_forced() {
    let Some(running) = running() else { return };
    let file = std::fs::File::create(running.at().join("f")).unwrap();
    running.home.run(["unmount", "mnt"]).fails(4, "mnt is in use", "omnifs unmount --force");
    assert_eq!(running.home.run(["status"]).code, 0);
    running.home.run(["unmount", "--force", "mnt"]).works();
    drop(file);
    assert_eq!(running.ended().0, 0);
}

#[test]
fn a_panic_gives_the_mountpoint_back_and_is_logged() {
    let Some(running) = running() else { return };
    assert_eq!(running.home.run(["refresh", "mnt/panic"]).code, 1);
    let (code, home) = running.ended();
    assert_eq!(code, 1);
    let log = log(&home);
    assert!(log.contains("panic: ") && log.contains("asked to"), "{log}");
}

#[test]
fn an_unmount_from_outside_ends_the_process() {
    let Some(running) = running() else { return };
    unmount(running.at(), UnmountFlags::empty()).unwrap();
    assert_eq!(running.ended().0, 0);
}

#[test]
fn a_process_that_hangs_is_ended_by_force() {
    let Some(running) = running() else { return };
    running.signal(Signal::STOP);
    let Ran { code, .. } = running.home.run(["unmount", "--force", "mnt"]);
    // A tmpfs is none of ours, so the command leaves it; the process it must end.
    assert_eq!(code, 0);
    assert_eq!(running.home.run(["status"]).code, 3);
}

#[test]
fn a_killed_mount_leaves_no_record_behind() {
    let Some(running) = running() else { return };
    running.signal(Signal::KILL);
    until("the end of the record", || running.home.run(["status"]).code == 3);
    let records = std::fs::read_dir(running.home.path("state/omnifs/mounts")).unwrap();
    let names: Vec<_> = records.map(|e| e.unwrap().path()).collect();
    assert!(names.iter().all(|name| name.extension() == Some("lock".as_ref())), "{names:?}");
}

#[test]
fn secrets_of_the_process_are_closed_to_other_processes() {
    let Some(running) = running() else { return };
    let pid = running.child.id();
    let limits = cli::text(Path::new(&format!("/proc/{pid}/limits")));
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
