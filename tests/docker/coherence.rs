//! Engine events show in the mount, with no polling and no waiting for a clock.

use crate::{SOON, World, await_content, await_live, feed_state, read, shell, stdout};
use omnifs_support::{Container, wait_until};
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

#[test]
fn run_stop_and_rm_show_by_event() {
    let Some(world) = World::new("run_stop_rm") else { return };
    let api = world.api();
    let mounted = world.mount();
    let base = mounted.join("docker/containers");
    let seen = |directory: &str, name: &str| base.join(directory).join(name).exists();
    assert!(!seen("by-name", "evented") && !seen("_running", "evented"));
    fs::read_dir(base.join("by-name")).expect("list").count();

    api.run(&Container { name: "evented", ..Container::default() }).expect("run");
    let shown = wait_until(SOON, || seen("_running", "evented").then_some(()));
    assert!(shown.is_some() && seen("by-name", "evented"));
    let listed = stdout(&shell(&base.join("by-name"), "ls"));
    assert!(listed.lines().any(|name| name == "evented"), "{listed}");
    assert_eq!(read(&base.join("by-name/evented/state")), "running\n");

    api.stop("evented").expect("stop");
    await_content(&base.join("by-name/evented/state"), "exited\n");
    let moved = || seen("_stopped", "evented") && !seen("_running", "evented");
    assert!(wait_until(SOON, || moved().then_some(())).is_some());

    api.remove("evented").expect("remove");
    assert!(wait_until(SOON, || (!seen("by-name", "evented")).then_some(())).is_some());
    let listed = stdout(&shell(&base.join("by-name"), "ls"));
    assert!(!listed.lines().any(|name| name == "evented"), "{listed}");
}

/// Three rounds of whoever polls once a second.
const IDLE: Duration = Duration::from_secs(3);

#[test]
fn nothing_is_asked_while_nothing_happens() {
    let Some(world) = World::new("quiet") else { return };
    let api = world.api();
    api.create(&Container { name: "quiet", ..Container::default() }).expect("create");
    let mounted = world.mount();
    let path = mounted.join("docker/containers/by-name/quiet/inspect.json");
    let first = read(&path);
    world.requests();
    // As fast as it goes, and then for longer than anything that asks by a clock would wait.
    for _ in 0..200 {
        assert_eq!(read(&path), first);
    }
    let asked = wait_until(IDLE, || {
        assert_eq!(read(&path), first);
        Some(world.requests()).filter(|requests| !requests.is_empty())
    });
    assert_eq!(asked, None, "asked while nothing happened");
    api.remove("quiet").expect("remove");
}

#[test]
fn a_dropped_stream_reconnects_with_since_and_nothing_stale_is_served() {
    let Some(world) = World::new("dropped_stream") else { return };
    let api = world.api();
    api.run(&Container { name: "dropped", ..Container::default() }).expect("run");
    let mounted = world.mount();
    let state = mounted.join("docker/containers/by-name/dropped/state");
    assert_eq!(read(&state), "running\n");
    // The stream is gone and cannot come back: what happens now brings no event.
    world.proxy.fault("/events", omnifs_support::Fault::Drop);
    assert!(world.proxy.cut("/events") > 0, "there was a stream");
    let lost = wait_until(SOON, || (feed_state(&mounted)? != "live").then_some(()));
    assert!(lost.is_some(), "{:?}", mounted.status());
    api.stop("dropped").expect("stop");
    assert_eq!(read(&state), "exited\n", "without a feed every read asks");
    world.proxy.take();
    world.proxy.mend();
    await_live(&mounted);
    let reconnected = world.proxy.wait_for("since=", SOON);
    assert!(reconnected.is_some(), "reconnects with since");
    assert_eq!(read(&state), "exited\n");
    world.requests();
    read(&state);
    assert_eq!(world.requests(), [""; 0], "live again");
    api.remove("dropped").expect("remove");
}

/// `tail -f` from the first line on, for five minutes at most, and what it shows.
fn follow(log: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut tail = Command::new("timeout")
        .args(["300", "tail", "-n", "+1", "-f"])
        .arg(log)
        .stdout(Stdio::piped())
        .spawn()
        .expect("tail");
    let lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    (tail, lines)
}

#[test]
fn tail_f_follows_a_running_containers_log() {
    let Some(world) = World::new("tail_f") else { return };
    let api = world.api();
    let command =
        ["sh", "-c", "n=0; while [ $n -lt 600 ]; do n=$((n+1)); echo line $n; sleep 0.2; done"];
    api.run(&Container { name: "chatty", command: &command, ..Container::default() }).expect("run");
    let mounted = world.mount();
    let log = mounted.join("docker/containers/by-name/chatty/logs");
    let (mut tail, lines) = follow(&log);
    let mut expected = 1;
    for line in lines {
        let line = line.expect("utf-8");
        assert!(line.ends_with(&format!("line {expected}")), "{line:?}, expected {expected}");
        expected += 1;
        // Far more than was there at the open.
        if expected > 25 {
            break;
        }
    }
    assert!(expected > 25, "tail ended after {expected} lines");
    tail.kill().expect("kill");
    tail.wait().expect("wait");
    api.remove("chatty").expect("remove");
}

#[test]
fn tail_f_shows_the_last_lines_of_a_container_that_ends() {
    let Some(world) = World::new("tail_last") else { return };
    let api = world.api();
    let command = ["sh", "-c", "echo first; sleep 2; seq 1 100; echo last"];
    api.run(&Container { name: "brief", command: &command, ..Container::default() }).expect("run");
    let mounted = world.mount();
    let log = mounted.join("docker/containers/by-name/brief/logs");
    let (mut tail, lines) = follow(&log);
    let mut shown = 0;
    let last = lines.map_while(Result::ok).any(|line| {
        shown += 1;
        line.ends_with("last")
    });
    assert!(last && shown == 102, "the last line: {last}, after {shown} lines");
    tail.kill().expect("kill");
    tail.wait().expect("wait");
    api.remove("brief").expect("remove");
}
