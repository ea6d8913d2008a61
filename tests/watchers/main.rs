//! Ordinary watching tools react to what changes at the service: a twin of GitHub sends a webhook,
//! and the tools see inotify events on the mount.

#![cfg(target_os = "linux")]

use omnifs_support::{Mounted, Omnifs, program, skip, tied, wait_until};
use omnifs_twins::github::NewIssue;
use omnifs_twins::{GithubSetup, GithubTwin};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "a-webhook-secret-of-the-test";
const ISSUES: &str = "github/acme/api/_issues";

struct World {
    twin: GithubTwin,
    omnifs: Omnifs,
    port: u16,
}

impl World {
    /// Nothing where it cannot run, which is said.
    fn new(test: &str, needs: &str) -> Option<World> {
        let missing = (!needs.is_empty() && program(needs).is_none())
            .then(|| format!("{needs} is not installed: cargo xtask setup"));
        if let Some(reason) = Omnifs::unavailable().or(missing) {
            skip(test, &reason);
            return None;
        }
        let twin = GithubTwin::start(GithubSetup::default()).expect("a twin");
        let omnifs = Omnifs::new()
            .expect("a home")
            .env("OMNIFS_POLL_MS", "3600000")
            .env("OMNIFS_WEBHOOK_SECRET_GITHUB", SECRET);
        let config = format!(
            "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
             [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
            twin.url(),
            twin.storage_url()
        );
        omnifs.config(&config).expect("a configuration");
        // Free a moment ago; the mount says so if it is taken by now.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        Some(World { twin, omnifs, port: port.port() })
    }

    fn mount(&self) -> Mounted<'_> {
        let listen = format!("127.0.0.1:{}", self.port);
        let mounted =
            self.omnifs.mount(&["--webhook-listen", &listen, "--watch-events"]).expect("mount");
        // What a person enters at the service is what the status says.
        let status = mounted.status().expect("status");
        let row = &status["webhooks"][0];
        assert!(row["provider"] == "github" && row["problem"].is_null(), "{row}");
        self.twin
            .set_webhook(row["address"].as_str().expect("an address"), SECRET)
            .expect("a webhook");
        mounted
    }
}

/// A tool that runs beside the test, and what it has printed.
struct Tool {
    child: Child,
    output: PathBuf,
    _directory: tempfile::TempDir,
}

impl Tool {
    fn start(line: &mut Command) -> Tool {
        let directory = tempfile::tempdir().expect("a directory");
        let output = directory.path().join("output");
        let file = File::create(&output).expect("a file");
        line.stdout(file.try_clone().expect("a copy")).stderr(file);
        let mut command = Command::new(line.get_program());
        std::mem::swap(&mut command, line);
        Tool { child: tied::spawn(command).expect("the tool"), output, _directory: directory }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    fn await_line(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let seen = wait_until(SOON, || self.said().lines().any(&holds).then_some(()));
        assert!(seen.is_some(), "{what}: {}", self.said());
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        tied::stop(&mut self.child, Duration::from_secs(5));
    }
}

fn has_parts(line: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| line.contains(part))
}

/// inotifywait says when its watches are there.
fn inotifywait(arguments: &[&str], path: &Path) -> Tool {
    let mut line = Command::new("inotifywait");
    line.arg("-m").args(arguments).arg(path);
    let tool = Tool::start(&mut line);
    tool.await_line("the watches", |line| line.contains("Watches established"));
    tool
}

#[test]
fn inotifywait_sees_an_edit_an_issue_that_opens_and_one_that_closes() {
    let Some(world) = World::new("inotifywait", "inotifywait") else { return };
    let mounted = world.mount();
    let open = mounted.join(ISSUES).join("_open");
    let title = open.join("2853/title");
    fs::read_to_string(&title).expect("read");
    fs::read_dir(&open).expect("list").count();
    let on_open = inotifywait(&[], &open);
    let on_issue = inotifywait(&[], &open.join("2853"));
    let on_title = inotifywait(&[], &title);

    world.twin.retitle("acme/api", 2853, "Watched").expect("retitle");
    on_title.await_line("the file", |line| has_parts(line, &["MODIFY"]));
    on_issue.await_line("the file in its directory", |line| has_parts(line, &["MODIFY", "title"]));
    on_issue.await_line("the issue", |line| has_parts(line, &["ATTRIB,ISDIR"]));
    // Who reacts by reading finds the new.
    assert_eq!(fs::read_to_string(&title).expect("read"), "Watched\n");

    let number = world
        .twin
        .open_issue("acme/api", NewIssue { title: "New".into(), ..NewIssue::default() })
        .expect("open");
    let new = number.to_string();
    on_open.await_line("a new issue", |line| has_parts(line, &["CREATE,ISDIR", &new]));
    let shown = fs::read_to_string(open.join(&new).join("title")).expect("read");
    assert_eq!(shown, "New\n");

    world.twin.close("acme/api", number).expect("close");
    on_open.await_line("a closed issue", |line| has_parts(line, &["DELETE,ISDIR", &new]));
    assert!(!open.join(&new).exists());
    drop((on_open, on_issue, on_title));
    assert!(mounted.unmount(), "clean");
}

#[test]
fn entr_runs_its_command_at_each_change() {
    let Some(world) = World::new("entr", "entr") else { return };
    let mounted = world.mount();
    let title = mounted.join(ISSUES).join("_open/2853/title");
    let before = fs::read_to_string(&title).expect("read");
    // In the shell's own place, so that it ends with it.
    let script = format!("exec entr -n cat '{0}' <<END\n{0}\nEND\n", title.display());
    let tool = Tool::start(Command::new("sh").args(["-c", &script]));
    tool.await_line("the first run", |line| line == before.trim_end());
    for round in 0..3 {
        // On any file system entr misses what changes while its own run is ending, and nothing shows
        // when it is ready again: such a change is made anew.
        let seen = (0..10).any(|attempt| {
            let new = format!("Round {round}.{attempt}");
            world.twin.retitle("acme/api", 2853, &new).expect("retitle");
            let run = || tool.said().lines().any(|line| line == new).then_some(());
            wait_until(Duration::from_secs(5), run).is_some()
        });
        assert!(seen, "no run at any change of round {round}: {}", tool.said());
    }
}

const WATCHDOG: &str = r#"
import sys
from watchdog.events import FileSystemEventHandler
from watchdog.observers.inotify import InotifyObserver

class Say(FileSystemEventHandler):
    def on_any_event(self, event):
        kind = "directory" if event.is_directory else "file"
        print(event.event_type, kind, event.src_path, flush=True)

observer = InotifyObserver()
observer.schedule(Say(), sys.argv[1], recursive=True)
observer.start()
print("watching", flush=True)
observer.join()
"#;

#[test]
fn a_python_watchdog_script_sees_edits_and_new_issues() {
    // The distribution's own Python, which has the distribution's modules.
    let python = "/usr/bin/python3";
    let asked = Command::new(python).args(["-c", "import watchdog.observers.inotify"]).output();
    if !asked.is_ok_and(|asked| asked.status.success()) {
        skip("watchdog", "python3-watchdog is not installed: cargo xtask setup");
        return;
    }
    let Some(world) = World::new("watchdog", "") else { return };
    let mounted = world.mount();
    let open = mounted.join(ISSUES).join("_open");
    let tool = Tool::start(Command::new(python).args(["-c", WATCHDOG]).arg(&open));
    tool.await_line("the observer", |line| line == "watching");

    world.twin.retitle("acme/api", 2853, "Watched").expect("retitle");
    let title = open.join("2853/title").display().to_string();
    tool.await_line("the edit", |line| line == format!("modified file {title}"));
    let issue = NewIssue { title: "New".into(), ..NewIssue::default() };
    let number = world.twin.open_issue("acme/api", issue).expect("open");
    let new = open.join(number.to_string()).display().to_string();
    tool.await_line("the new issue", |line| line == format!("created directory {new}"));
    world.twin.close("acme/api", number).expect("close");
    tool.await_line("the closed issue", |line| line == format!("deleted directory {new}"));
}

#[test]
fn tail_follows_a_name_that_goes_and_comes_back() {
    let Some(world) = World::new("tail", "tail") else { return };
    let mounted = world.mount();
    let title = mounted.join(ISSUES).join("_open/2853/title");
    let before = fs::read_to_string(&title).expect("read");
    let tool = Tool::start(Command::new("tail").args(["-s", "0.1", "-F"]).arg(&title));
    tool.await_line("the file", |line| line == before.trim_end());
    world.twin.close("acme/api", 2853).expect("close");
    tool.await_line("the name is gone", |line| line.contains("has become inaccessible"));
    world.twin.retitle("acme/api", 2853, "Back").expect("retitle");
    world.twin.reopen("acme/api", 2853).expect("reopen");
    tool.await_line("the name is back, with its new content", |line| line == "Back");
}

#[test]
fn without_watchers_an_event_asks_the_service_nothing_and_events_can_be_off() {
    let Some(world) = World::new("no_watchers", "inotifywait") else { return };
    let mounted = world.mount();
    let open = mounted.join(ISSUES).join("_open");
    let title = open.join("2853/title");
    fs::read_to_string(&title).expect("read");
    fs::read_dir(&open).expect("list").count();
    world.twin.reset_counts();
    let before = world.twin.requests().len();
    // Somebody watches one file, so that it can be seen when the events are over.
    let watch = inotifywait(&[], &title);
    for round in 0..10 {
        world.twin.retitle("acme/api", 2853, &format!("Round {round}")).expect("retitle");
        world.twin.retitle("acme/api", 2846, &format!("Round {round}")).expect("retitle");
    }
    watch.await_line("the file", |line| line.contains("MODIFY"));
    let delivered = wait_until(SOON, || (world.twin.webhook_outcomes().len() >= 20).then_some(()));
    assert!(delivered.is_some());
    let requests: Vec<_> = world.twin.requests()[before..].iter().map(|r| r.line()).collect();
    assert_eq!(requests, [""; 0], "nobody has looked");
    drop(watch);
    assert!(mounted.unmount(), "clean");

    let mounted = world.omnifs.mount(&["--watch-events=false"]).expect("mount");
    fs::read_to_string(&title).expect("read");
    let watch = inotifywait(&[], &title);
    let ran = world.omnifs.run(&["refresh", &title.display().to_string()]).expect("refresh");
    assert!(ran.status.success(), "{}", ran.stderr);
    fs::read_to_string(&title).expect("read");
    assert!(!watch.said().contains("MODIFY"), "{}", watch.said());
    drop((watch, mounted));
}
