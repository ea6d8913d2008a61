//! `omnifs demo`: what it prints works, and costs what it says.

#![cfg(target_os = "linux")]

use omnifs::host;
use omnifs_support::mount::is_mounted;
use omnifs_support::tools::{shell, try_shell};
use omnifs_support::{Omnifs, skip, tied, wait_until};
use omnifs_twins::Request;
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// What only polls ask; they come once a minute, and at the first use of a scope.
fn is_poll(request: &Request) -> bool {
    let query = request.query.as_deref().unwrap_or_default();
    let by_id = request.path.strip_prefix("/repositories/");
    // What the feed lists, and no command does.
    let listed = ["/actions/runs", "/actions/workflows", "/issues/events"];
    query.contains("since=")
        || query.contains("sort=updated")
        || query.contains("per_page=1&sort=created")
        || by_id.is_some_and(|rest| !rest.contains('/'))
        || by_id.is_some_and(|rest| listed.iter().any(|list| rest.ends_with(list)))
        || request.body.windows(13).any(|part| part == b"query Changed")
}

#[test]
fn each_command_costs_what_is_said_and_nothing_when_typed_again() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("demo_costs", &reason);
    }
    let demo = host::demo().expect("the demo's services");
    let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", "3600000");
    let mut toml = String::new();
    for (name, instance) in &demo.config.written {
        for (endpoint, place) in &instance.endpoints {
            let url = place.url.as_deref().expect("a place");
            let hosts = &place.redirect_hosts;
            toml += &format!(
                "[instances.{name}.endpoints.{endpoint}]\nurl = {url:?}\nredirect-hosts = {hosts:?}\n"
            );
        }
    }
    omnifs.config(&toml).expect("a configuration");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let mut seen = 0;
    let mut new = || {
        let requests = demo.requests();
        let lines: Vec<_> = requests.iter().filter(|r| !is_poll(r)).map(Request::line).collect();
        let new = lines[seen.min(lines.len())..].len();
        seen = lines.len();
        (new as u64, lines)
    };
    let told: Vec<_> = demo.commands.iter().filter(|command| command.requests.is_some()).collect();
    assert_eq!(told.len(), 5);
    for command in &told {
        assert!(!shell(mounted.path(), command.line).is_empty(), "{}", command.line);
        let (count, lines) = new();
        assert_eq!(Some(count), command.requests, "{}: {lines:#?}", command.line);
    }
    for command in &told {
        shell(mounted.path(), command.line);
        assert_eq!(new().0, 0, "{} again", command.line);
    }
}

/// `omnifs demo`, and what it prints.
struct Demo {
    child: Child,
    point: PathBuf,
    printed: PathBuf,
}

impl Demo {
    /// Starts it, and waits until it has printed `ready`.
    fn start(omnifs: &Omnifs, ready: &str) -> Demo {
        let (point, printed) = (omnifs.path("try-it"), omnifs.path("printed"));
        let output = File::create(&printed).expect("a file");
        let mut command = omnifs.command();
        command.arg("demo").arg(&point).stdout(output.try_clone().expect("dup")).stderr(output);
        let child = tied::spawn(command).expect("omnifs demo");
        let demo = Demo { child, point, printed };
        let said = wait_until(SOON, || demo.said().contains(ready).then_some(()));
        assert!(said.is_some(), "{}", demo.said());
        demo
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.printed).unwrap_or_default()
    }

    fn interrupt(&mut self) {
        tied::signal(&self.child, Signal::INT);
        let ended = tied::wait(&mut self.child, SOON);
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}: {}", self.said());
    }
}

#[test]
fn the_demo_mounts_and_ctrl_c_leaves_nothing_behind() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("demo_runs", &reason);
    }
    // As in a bare container, which has no certificate authorities.
    let omnifs = Omnifs::new().expect("a home").env("SSL_CERT_FILE", "/dev/null");
    let mut demo = Demo::start(&omnifs, "costs nothing");
    let said = demo.said();
    let lines: Vec<_> =
        said.lines().filter_map(|l| Some(l.trim().split_once(" && ")?.1.to_owned())).collect();
    assert_eq!(lines.len(), 5, "five commands, and none for an engine that is not there: {said}");
    for line in &lines {
        let output = try_shell(&demo.point, line);
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {output:?}");
    }
    demo.interrupt();
    let gone = !is_mounted(&demo.point) && !demo.point.exists();
    assert!(gone, "the directory was made, and is removed");
}

#[test]
fn what_happens_in_the_demo_shows_by_the_command_that_it_names() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("demo_lives", &reason);
    }
    let omnifs = Omnifs::new().expect("a home");
    let mut demo = Demo::start(&omnifs, "something happens");
    // What each command shows before, and that it shows something else once that was told.
    let told = [
        ("was retitled", "cat github/acme/api/_issues/_open/2853/title"),
        ("mira commented", "ls github/acme/api/_issues/_open/2853/comments"),
        ("2841 was closed", "ls github/acme/api/_issues/_open"),
        ("ENG-204 moved on", "cat linear/teams/ENG/issues/_open/ENG-204/state"),
    ];
    let before: Vec<_> = told.iter().map(|(_, line)| shell(&demo.point, line)).collect();
    for ((what, line), before) in told.iter().zip(before) {
        let happened = wait_until(SOON, || {
            demo.said().lines().any(|said| said.contains(what) && said.contains(line)).then_some(())
        });
        assert!(happened.is_some(), "{what}: {}", demo.said());
        let shown = wait_until(SOON, || {
            let output = try_shell(&demo.point, line);
            (output.status.success() && output.stdout != before.as_bytes()).then_some(())
        });
        assert!(shown.is_some(), "{line} shows nothing new: {before}");
    }
    demo.interrupt();
}
