//! The daemon and the service are killed and stopped while readers are at work.

use crate::readers::Readers;
use crate::{BOUND, SOON, available, home, home_of, records, setup, title, title_path};
use omnifs_support::mount::is_mounted;
use omnifs_support::{Mounted, tied, wait_until};
use omnifs_twins::GithubTwin;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ENOENT: i32 = 2;
const EIO: i32 = 5;
const ECONNABORTED: i32 = 103;
const ENOTCONN: i32 = 107;
const ETIMEDOUT: i32 = 110;

const ISSUES: u64 = 400;
const READERS: usize = 12;

/// The errors are all among these.
fn only(errors: &BTreeMap<i32, u64>, expected: &[i32]) {
    assert!(errors.keys().all(|errno| expected.contains(errno)), "{errors:?}");
}

#[test]
fn readers_of_a_killed_daemon_fail_at_once_and_the_next_mount_works() {
    if !available("killed_daemon") {
        return;
    }
    let twin = GithubTwin::start(setup(1, ISSUES as usize)).expect("a twin");
    let omnifs = home_of(&twin, BOUND);
    let point = omnifs.mount_point();
    for _ in 0..3 {
        let mounted = omnifs.mount::<&str>(&[]).expect("mount");
        let readers = Readers::start(&twin, &point, ISSUES, READERS);
        readers.await_right(SOON, 100);
        // Every further answer is long in coming, so that the kill meets readers that wait.
        twin.set_latency(Duration::from_secs(1));
        mounted.kill();
        only(&readers.await_error(SOON), &[ECONNABORTED, ENOTCONN]);
        twin.set_latency(Duration::ZERO);
        let seen = readers.stop(SOON);
        only(&seen.errors, &[ECONNABORTED, ENOTCONN]);
        assert!(seen.longest < SOON, "{seen:?}");
        // Nobody takes it for a mount that lives.
        let ran = omnifs.run(&["status"]).expect("status");
        assert!(ran.stdout.contains("nothing is mounted"), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(records(&omnifs), Vec::<PathBuf>::new());
    }
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    assert_eq!(fs::read_to_string(title_path(&point, 1)).expect("read"), title(&twin, 1));
    assert!(mounted.unmount());
    assert_eq!(records(&omnifs), Vec::<PathBuf>::new());
}

/// Whether every thread of the process is stopped.
fn is_stopped(mounted: &Mounted<'_>) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", mounted.pid())) else { return false };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before the state may hold blanks and brackets.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

#[test]
fn a_stopped_daemon_holds_its_readers_no_longer_than_it_is_stopped_and_can_be_ended_by_force() {
    if !available("stopped_daemon") {
        return;
    }
    let twin = GithubTwin::start(setup(1, ISSUES as usize)).expect("a twin");
    // Polls come often, since what changes meanwhile is to show.
    let omnifs = home_of(&twin, BOUND).env("OMNIFS_POLL_MS", "100");
    let point = omnifs.mount_point();
    let text = point.to_string_lossy().into_owned();
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let edited = title_path(&point, ISSUES);
    assert_eq!(fs::read_to_string(&edited).expect("read"), title(&twin, ISSUES));
    // The one that is edited is read by none of them.
    let readers = Readers::start(&twin, &point, ISSUES - 1, READERS);
    readers.await_right(SOON, 100);
    mounted.signal(Signal::STOP);
    assert!(wait_until(SOON, || is_stopped(&mounted).then_some(())).is_some());
    twin.retitle("acme/api", ISSUES, "Changed while nobody looked").expect("retitle");
    let asked = Instant::now();
    let ran = omnifs.run(&["status", &text]).expect("status ends");
    assert!(!ran.status.success(), "{}", ran.stdout);
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    mounted.signal(Signal::CONT);
    readers.await_right(SOON, 100);
    let shown = || (fs::read_to_string(&edited).ok()? == title(&twin, ISSUES)).then_some(());
    assert!(wait_until(SOON, shown).is_some(), "{:?}", fs::read_to_string(&edited));
    // Stopped for good.
    mounted.signal(Signal::STOP);
    let asked = Instant::now();
    let ran = omnifs.run(&["unmount", "--force", &text]).expect("unmount ends");
    assert!(ran.status.success(), "{}", ran.stderr);
    assert!(asked.elapsed() < Duration::from_secs(120), "{:?}", asked.elapsed());
    let seen = readers.stop(SOON);
    // A request that was under way may have been over its time when the daemon went on; and what is
    // there at last is the empty directory below.
    only(&seen.errors, &[ENOENT, ECONNABORTED, ENOTCONN, ETIMEDOUT]);
    assert!(!is_mounted(&point));
    assert_eq!(records(&omnifs), Vec::<PathBuf>::new());
}

/// A twin in a process of its own. Its data are those of one here that was set up alike.
struct Service {
    process: Child,
    port: u16,
}

/// Not a test: the service's process. It does nothing unless a test below started it.
#[test]
fn service() {
    let Some(port) = std::env::var("FAULTS_SERVICE_PORT").ok() else { return };
    let port = port.parse().expect("a port");
    let twin = GithubTwin::start(omnifs_twins::GithubSetup { port, ..setup(1, ISSUES as usize) });
    let twin = twin.expect("the port is free");
    let ready = std::env::var_os("FAULTS_SERVICE_READY").expect("a file");
    fs::write(ready, twin.url()).expect("written");
    loop {
        std::thread::park();
    }
}

impl Service {
    fn start(port: u16) -> Service {
        let directory = tempfile::tempdir().expect("a directory");
        let ready = directory.path().join("ready");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "processes::service", "--nocapture"]);
        command.env("FAULTS_SERVICE_PORT", port.to_string()).env("FAULTS_SERVICE_READY", &ready);
        command.stdout(Stdio::null()).stderr(File::create("/dev/null").expect("a sink"));
        let process = tied::spawn(command).expect("a process");
        let service = Service { process, port };
        let url = || fs::read_to_string(&ready).ok().filter(|url| !url.is_empty());
        assert!(wait_until(SOON, url).is_some(), "the service does not start");
        service
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn signal(&self, signal: Signal) {
        tied::signal(&self.process, signal);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_service_that_is_stopped_or_killed_under_load_is_an_error_in_time_until_it_is_back() {
    if !available("killed_service") {
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let same = GithubTwin::start(setup(1, ISSUES as usize)).expect("a twin");
    let mut service = Service::start(port);
    // So small that most reads ask.
    let sections = format!("{BOUND}[cache]\nnodes = 1000\nbytes = '4MiB'\n");
    let omnifs = home(&service.url(), same.storage_url(), &sections);
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let readers = Readers::start(&same, mounted.path(), ISSUES, READERS);
    for kill in [false, true, false, true] {
        readers.await_right(SOON, 100);
        if kill {
            drop(service);
            // What the kernel still holds is read without anybody's being asked.
            refresh(&mounted, &omnifs);
            only(&readers.await_error(SOON), &[EIO, ETIMEDOUT]);
            service = Service::start(port);
        } else {
            service.signal(Signal::STOP);
            refresh(&mounted, &omnifs);
            only(&readers.await_error(SOON), &[EIO, ETIMEDOUT]);
            service.signal(Signal::CONT);
        }
        readers.await_right(SOON, 100);
        // Some were under way, or share the failure that came last.
        readers.await_calm(SOON, 200);
    }
    let seen = readers.stop(SOON);
    only(&seen.errors, &[EIO, ETIMEDOUT]);
    assert!(seen.longest < SOON, "{seen:?}");
    let waits = || (mounted.status().ok()?["under_way"]["fetches"] == 0).then_some(());
    assert!(wait_until(SOON, waits).is_some(), "{:?}", mounted.status());
    assert!(mounted.unmount());
}

fn refresh(mounted: &Mounted<'_>, omnifs: &omnifs_support::Omnifs) {
    let point = mounted.path().to_string_lossy().into_owned();
    let ran = omnifs.run(&["refresh", &point]).expect("refresh");
    assert!(ran.status.success(), "{}", ran.stderr);
}
