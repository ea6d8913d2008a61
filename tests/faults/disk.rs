//! Disks without room: what a mount keeps on them costs a warning at most, and is kept once there is room.

use crate::{Background, SOON, available, home_of, is_root, records, setup, title, title_path};
use omnifs_support::tools::errno;
use omnifs_support::{Container, Engine, Omnifs, wait_until};
use omnifs_twins::{Fault, GithubTwin, Times};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const EIO: i32 = 5;

/// A tmpfs of so many KiB.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf, kib: usize) -> Disk {
        fs::create_dir_all(&at).expect("a directory");
        let options = CString::new(format!("size={kib}k,mode=0700")).expect("no zero");
        mount("none", &at, "tmpfs", MountFlags::NOSUID, &*options).expect("a tmpfs");
        Disk(at)
    }

    /// Leaves room for nothing.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file");
        let full = loop {
            if let Err(error) = file.write_all(&[0; 512]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn path(omnifs: &Omnifs, name: &str) -> String {
    omnifs.path(name).to_string_lossy().into_owned()
}

#[test]
fn a_full_disk_costs_a_mount_what_it_would_keep_and_nothing_else() {
    if !available("full_disk") || !is_root("full_disk", "a small disk") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 20)).expect("a twin");
    let omnifs = home_of(&twin, "");
    let disks = ["state", "cache", "tmp"].map(|name| Disk::new(omnifs.path(name), 8 << 10));
    let temporary = path(&omnifs, "tmp");
    let omnifs = omnifs.env("TMPDIR", &temporary);
    disks.iter().for_each(Disk::fill);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    for said in ["No space left", "omnifs unmount"] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    for number in 1..=20 {
        let text = fs::read_to_string(title_path(mounted.path(), number)).expect("read");
        assert_eq!(text, title(&twin, number));
    }
    assert!(mounted.status().is_err(), "there is no room for a record");
    let artifacts = || crate::files(&omnifs.path("cache/omnifs"));
    assert_eq!(artifacts(), Vec::<PathBuf>::new(), "nothing is left of what did not fit");

    disks.iter().for_each(Disk::make_room);
    let found = || mounted.status().ok();
    assert!(wait_until(SOON, found).is_some(), "{:?}", mounted.status());
    mounted.unmount();
    assert_eq!(records(&omnifs), Vec::<PathBuf>::new());
    await_end(&omnifs);

    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success() && !ran.stderr.contains("No space"), "{}", ran.stderr);
    assert_eq!(artifacts().len(), 2, "and this time it is kept, with what it says of itself");
    mounted.unmount();
}

#[test]
fn a_disk_that_fills_while_a_mount_lives_stops_neither_its_answers_nor_its_end() {
    if !available("filling_disk") || !is_root("filling_disk", "a small disk") {
        return;
    }
    let twin = GithubTwin::start(setup(1, 20)).expect("a twin");
    let omnifs = home_of(&twin, "");
    let disks = ["state", "cache"].map(|name| Disk::new(omnifs.path(name), 8 << 10));
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    disks.iter().for_each(Disk::fill);
    // Each failure is a line in the log.
    twin.inject(Fault::Status(500), "*/issues/1*", Times::UntilCleared);
    for number in 1000..1200 {
        assert_eq!(errno(&title_path(mounted.path(), number)), EIO);
    }
    let text = fs::read_to_string(title_path(mounted.path(), 7)).expect("read");
    assert_eq!(text, title(&twin, 7));
    mounted.status().expect("status");
    disks.iter().for_each(Disk::make_room);
    mounted.unmount();
    await_end(&omnifs);
}

/// Waits for the last line of a mount's log, whose process may outlive its record for a moment.
fn await_end(omnifs: &Omnifs) {
    let log = || crate::read(&crate::files(&omnifs.path("state/omnifs/logs"))[0]);
    let ended = || log().lines().last()?.ends_with("INFO ended").then_some(());
    assert!(wait_until(SOON, ended).is_some(), "{}", log());
}

/// Lines of which there are more than memory holds of a log.
const LINES: u64 = 40_000;

#[test]
fn a_log_that_finds_no_room_says_so_and_is_whole_once_there_is_some() {
    if !available("full_log") || !is_root("full_log", "a small disk") {
        return;
    }
    let Some(engine) = Engine::shared("full_log") else { return };
    let omnifs = Omnifs::new().expect("a home").env("DOCKER_HOST", &engine.host());
    let disk = Disk::new(omnifs.path("tmp"), 16 << 10);
    let temporary = path(&omnifs, "tmp");
    let omnifs = omnifs.env("TMPDIR", &temporary);
    disk.fill();
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    // The first line is followed as it comes; the others come at once, and find no room.
    let script = format!(
        "n=1; echo a line of some length, number 1; sleep 3; while [ $n -lt {LINES} ]; do \
         n=$((n+1)); echo a line of some length, number $n; done; sleep 3600"
    );
    let command = ["sh", "-c", &script];
    let container = Container { name: "full-log", command: &command, ..Container::default() };
    engine.api().run(&container).expect("run");
    let log = mounted.join("docker/containers/by-name/full-log/logs");
    assert!(wait_until(SOON, || (lines(&log)? > 0).then_some(())).is_some());
    let told = || {
        // What is read meanwhile is an error, or is cut at what there was room for.
        let _ = fs::read(&log);
        let status = mounted.status().ok()?;
        let errors = status["errors"].as_array()?.clone();
        let says = |error: &serde_json::Value| {
            error["detail"].as_str().is_some_and(|detail| detail.contains("make room in TMPDIR"))
        };
        errors.iter().any(says).then_some(())
    };
    assert!(wait_until(SOON, told).is_some(), "{:?}", mounted.status());
    disk.make_room();
    let whole = || (lines(&log)? == LINES).then_some(());
    assert!(wait_until(Duration::from_secs(60), whole).is_some(), "{:?}", lines(&log));
    assert!(mounted.unmount());
    engine.api().remove("full-log").expect("removed");
}

/// How many lines the log shows. They count from 1 without a gap.
fn lines(log: &Path) -> Option<u64> {
    let text = fs::read_to_string(log).ok()?;
    for (line, number) in text.lines().zip(1_u64..) {
        assert!(line.ends_with(&format!("number {number}")), "{line:?} in place of {number}");
    }
    Some(text.lines().count() as u64)
}

#[test]
fn a_disk_that_fills_up_under_a_store_ends_the_store_and_no_read() {
    if !available("full_store") || !is_root("full_store", "a small disk") {
        return;
    }
    const ISSUES: u64 = 60;
    let twin = GithubTwin::start(setup(1, ISSUES as usize)).expect("a twin");
    let omnifs = home_of(&twin, "[cache]\ndisk = '256MiB'\n");
    let cache = Disk::new(omnifs.path("cache"), 128 << 10);
    let (mounted, ran) = Background::mount(&omnifs, "true", &[]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let read = |number| {
        let text = fs::read_to_string(title_path(mounted.path(), number)).expect("read");
        assert_eq!(text, title(&twin, number));
    };
    read(1);
    let disk = || mounted.status().ok().map(|status| status["cache"]["disk"].clone());
    let kept = || disk().filter(|disk| disk["answers"].as_u64() > Some(0));
    assert!(wait_until(SOON, kept).is_some(), "{:?}", disk());
    cache.fill();
    (2..=ISSUES).for_each(read);
    // What is kept grows until there is no room left for it.
    let mut round = 0;
    let off = || {
        round += 1;
        twin.edit_body("acme/api", 1 + round % ISSUES, Some(&noise(round))).expect("changed");
        mounted.run(&["refresh"], &[]).ok()?;
        let body = title_path(mounted.path(), 1 + round % ISSUES).with_file_name("body");
        assert_eq!(fs::read_to_string(body).expect("read").trim_end(), noise(round));
        disk().filter(|disk| disk["off"].is_string())
    };
    assert!(wait_until(SOON, off).is_some(), "{:?}", disk());
    cache.make_room();
    (1..=ISSUES).for_each(read);
    let left = crate::files(&omnifs.path("cache/omnifs/answers"));
    assert_eq!(left, Vec::<PathBuf>::new(), "it gives the room back");
    mounted.unmount();
}

/// A text that no compression makes much shorter.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut digit = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..200_000).map(|_| digit()).collect()
}
