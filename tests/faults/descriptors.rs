//! A daemon that may have few descriptors.

use crate::readers::Readers;
use crate::{API, BOUND, Background, SOON, available, home_of, setup};
use omnifs_support::wait_until;
use omnifs_twins::GithubTwin;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

const ISSUES: u64 = 300;

fn open_descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").count()
}

#[test]
fn with_sixty_four_descriptors_a_mount_works_under_load_and_recovers_when_all_are_taken() {
    if !available("few_descriptors") {
        return;
    }
    let twin = GithubTwin::start(setup(1, ISSUES as usize)).expect("a twin");
    let omnifs = home_of(&twin, BOUND);
    let (mounted, ran) = Background::mount(&omnifs, "ulimit -n 64", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let pid = mounted.pid();
    let limits = crate::read(format!("/proc/{pid}/limits").as_ref());
    assert!(limits.contains("Max open files            64"), "{limits}");
    let readers = Readers::start(&twin, mounted.path(), ISSUES, 32);
    // Files that stay open cost the daemon none.
    let open = |n: u64| File::open(mounted.path().join(API).join(format!("_issues/_all/{n}/body")));
    let held: Vec<_> = (1..=ISSUES).map(open).collect::<Result<_, _>>().expect("all are opened");
    readers.await_calm(SOON, 500);

    // Connections to the control channel take all that there are.
    let socket = |path: &PathBuf| path.extension().is_some_and(|end| end == "sock");
    let socket = crate::records(&omnifs).into_iter().find(socket).expect("a socket");
    let before = open_descriptors(pid);
    let idle: Vec<_> = (0..60).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    let taken = || (open_descriptors(pid) >= 60).then_some(());
    assert!(
        wait_until(SOON, taken).is_some(),
        "{} are open, before that {before}, with {} connections",
        open_descriptors(pid),
        idle.len()
    );
    // What needs a connection to the service may fail now, in time; what is known is shown.
    twin.set_latency(Duration::from_millis(5));
    readers.await_seen(SOON, |before, now| now.right > before.right + 100);
    drop((idle, held));
    readers.await_calm(SOON, 500);
    let seen = readers.stop(SOON);
    assert!(seen.longest < SOON, "{seen:?}");
    let status = wait_until(SOON, || mounted.status().ok());
    assert!(status.is_some(), "{:?}", mounted.status());
    let given_back = || (open_descriptors(pid) <= before).then_some(());
    assert!(wait_until(SOON, given_back).is_some(), "{} are open", open_descriptors(pid));
    mounted.unmount();
}

#[test]
fn with_too_few_descriptors_to_begin_a_mount_says_so_and_leaves_nothing() {
    if !available("no_descriptors") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 5)).expect("a twin");
    let omnifs = home_of(&twin, BOUND);
    for limit in (8..32).step_by(2) {
        let (mounted, ran) = Background::mount(&omnifs, &format!("ulimit -n {limit}"), &[]);
        if ran.status.success() {
            // It may have no descriptor left with which to end by itself.
            let ran = mounted.run(&["unmount", "--force"], &[]).expect("unmount");
            assert!(ran.status.success(), "{limit}: {}", ran.stderr);
            assert!(!omnifs_support::mount::is_mounted(mounted.path()), "{limit}");
        } else {
            // Where it was ready before, the hint names its log.
            let logs = crate::files(&omnifs.path("state/omnifs/logs"));
            let log: String = logs.iter().map(|log| crate::read(log)).collect();
            let told = format!("{}{log}", ran.stderr);
            assert!(told.contains("Too many open files"), "{limit}: {told}");
            assert!(!omnifs_support::mount::is_mounted(mounted.path()), "{limit}");
        }
        let ran = omnifs.run(&["status"]).expect("status");
        assert!(ran.stdout.contains("nothing is mounted"), "{limit}: {}", ran.stdout);
    }
}
