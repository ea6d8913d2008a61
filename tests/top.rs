//! `omnifs top` in a terminal, over a real mount: what it shows moves with what is read, keys work, and the terminal
//! is as before however it ends.
#![cfg(target_os = "linux")]

use omnifs_support::pty::Pty;
use omnifs_support::{Mounted, Omnifs, Ran, home, tied, wait_until};
use omnifs_twins::github::RepoShape;
use omnifs_twins::{Fault, GithubSetup, GithubTwin, Times};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// A service, and a mount of it.
struct Setup {
    twin: GithubTwin,
    omnifs: Omnifs,
}

fn setup(test: &str) -> Option<Setup> {
    // No poll makes a request of its own within a test.
    let omnifs = home(test)?.env("OMNIFS_POLL_MS", "3600000");
    let repos = vec![RepoShape::issues("acme", "api", 40, 0)];
    let setup = GithubSetup { demo: false, repos, rate_limit: 1_000_000, ..GithubSetup::default() };
    let twin = GithubTwin::start(setup).expect("a twin");
    let config = format!(
        "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
         [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
        twin.url(),
        twin.storage_url()
    );
    omnifs.config(&config).expect("a configuration");
    Some(Setup { twin, omnifs })
}

impl Setup {
    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// In a terminal of this size.
    fn top(&self, rows: u16, columns: u16) -> Pty {
        let mut command = self.omnifs.command();
        command.args(["top", "--interval", "200ms"]);
        Pty::spawn(&mut command, rows, columns).expect("a terminal")
    }

    /// To its end, without a terminal.
    fn run(&self, arguments: &[&str]) -> Ran {
        self.omnifs.run(arguments).expect("it runs")
    }

    fn title(&self, number: u64) -> PathBuf {
        self.omnifs.mount_point().join(format!("github/acme/api/_issues/_all/{number}/title"))
    }

    fn read(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            fs::read_to_string(self.title(number)).expect("a title");
        }
    }
}

/// The cell of a column in the row of an instance. Columns before FEED hold one word.
fn cell(screen: &str, instance: &str, column: &str) -> Option<String> {
    let header = screen.lines().find(|line| line.starts_with("INSTANCE"))?;
    let at = header.split_whitespace().position(|word| word == column)?;
    let row = screen.lines().find(|line| line.starts_with(&format!("{instance} ")))?;
    row.split_whitespace().nth(at).map(str::to_owned)
}

fn requests(screen: &str) -> Option<u64> {
    cell(screen, "github", "REQS")?.parse().ok()
}

#[test]
fn requests_go_up_on_the_screen_while_files_are_read() {
    let Some(setup) = setup("top_requests") else { return };
    let mounted = setup.mount();
    let top = setup.top(30, 140);
    top.until("a row", |screen| requests(screen).is_some());
    let before = requests(&top.contents()).expect("a number");
    setup.read(1..11);
    top.until("more requests", |screen| requests(screen).is_some_and(|now| now >= before + 3));
    // Memory answers from here on.
    let at = requests(&top.contents()).expect("a number");
    setup.twin.inject(Fault::Slow(Duration::from_millis(700)), "*/issues/31*", Times::UntilCleared);
    setup.read(31..32);
    top.until("the slow path", |screen| {
        let slow = screen.lines().find(|line| line.contains("_issues/_all/31"));
        slow.is_some_and(|line| line.contains(" ms  "))
    });
    setup.twin.inject(Fault::Status(500), "*/issues/999*", Times::UntilCleared);
    fs::read(setup.title(999)).expect_err("the service fails");
    top.until("the error", |screen| {
        let errors = screen.lines().skip_while(|line| !line.starts_with("LAST ERRORS"));
        errors.into_iter().any(|line| line.contains("999") && line.contains("unavailable"))
    });
    assert!(requests(&top.contents()).is_some_and(|now| now > at), "{}", top.contents());
    drop(top);
    assert!(mounted.unmount());
}

#[test]
fn keys_filter_pause_tell_a_paths_story_and_quit() {
    let Some(setup) = setup("top_keys") else { return };
    let mounted = setup.mount();
    setup.read(1..4);
    let mut top = setup.top(30, 140);
    top.until("a row", |screen| requests(screen).is_some());
    top.send("/nothing-is-called-so");
    top.until("the filter", |screen| screen.contains("filter: nothing-is-called-so"));
    top.until("no row", |screen| requests(screen).is_none() && screen.contains("INSTANCE"));
    top.send("\x1b");
    top.until("the row again", |screen| requests(screen).is_some());
    top.send(" ");
    top.until("the pause", |screen| screen.contains("PAUSED"));
    let before = requests(&top.contents());
    setup.read(20..30);
    let status = setup.run(&["status", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert!(made[0]["providers"][0]["callouts"].as_u64() > before, "{}", status.stdout);
    // A key that is answered after looks that are not shown.
    top.send("j");
    assert_eq!(requests(&top.contents()), before, "{}", top.contents());
    top.send("\r");
    top.until("the story", |screen| {
        screen.contains("Enter, Esc or q: back") && screen.contains("instance github: github")
    });
    assert!(top.contents().contains("among the slowest"), "{}", top.contents());
    top.send("q");
    top.until("the tables", |screen| screen.contains("q quit"));
    top.send(" ");
    top.until("newer looks", |screen| requests(screen) > before && !screen.contains("PAUSED"));
    top.send("q");
    assert_eq!(top.ended(), Some(0), "{}", top.contents());
    assert!(top.was_taken() && top.is_given_back(), "{}", top.contents());
    assert!(mounted.unmount());
}

#[test]
fn the_terminal_is_given_back_after_ctrl_c_a_signal_and_the_end_of_the_mount() {
    let Some(setup) = setup("top_ends") else { return };
    let mounted = setup.mount();
    let shown = || {
        let top = setup.top(24, 100);
        top.until("a row", |screen| requests(screen).is_some());
        assert!(!top.is_given_back(), "it is in use");
        top
    };
    let mut top = shown();
    top.send("\x03");
    assert_eq!(top.ended(), Some(0), "{}", top.contents());
    assert!(top.is_given_back(), "{}", top.contents());

    let mut top = shown();
    let pid = rustix::process::Pid::from_raw(top.pid() as i32).expect("a process");
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(top.ended(), Some(0), "{}", top.contents());
    assert!(top.is_given_back(), "{}", top.contents());

    let mut top = shown();
    assert!(mounted.unmount());
    assert_eq!(top.ended(), Some(3), "{}", top.contents());
    assert!(top.is_given_back(), "{}", top.contents());
    assert!(top.contents().contains("error: nothing is mounted any more"), "{}", top.contents());
}

/// Which is the first moment at which somebody would be left with a terminal that is not his.
#[test]
fn a_signal_that_comes_as_the_terminal_is_taken_gives_it_back() {
    let Some(setup) = setup("top_first_moment") else { return };
    let mounted = setup.mount();
    for _ in 0..5 {
        let mut top = setup.top(24, 100);
        let taken = wait_until(Duration::from_secs(60), || top.is_taken().then_some(()));
        assert!(taken.is_some(), "{}", top.contents());
        let pid = rustix::process::Pid::from_raw(top.pid() as i32).expect("a process");
        rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
        assert_eq!(top.ended(), Some(0), "{}", top.contents());
        assert!(top.is_given_back(), "{}", top.contents());
    }
    assert!(mounted.unmount());
}

#[test]
fn a_tiny_terminal_shows_what_fits_and_one_that_grows_shows_more() {
    let Some(setup) = setup("top_tiny") else { return };
    let mounted = setup.mount();
    let mut top = setup.top(5, 20);
    top.until("something", |screen| screen.contains("omnifs top") && screen.contains("INSTANCE"));
    for (rows, columns) in [(2, 3), (1, 1), (30, 140)] {
        top.resize(rows, columns);
    }
    top.until("the whole row", |screen| requests(screen).is_some() && screen.contains("BUDGET"));
    top.send("q");
    assert_eq!(top.ended(), Some(0), "{}", top.contents());
    assert!(top.is_given_back(), "{}", top.contents());
    assert!(mounted.unmount());
}

#[test]
fn pipes_get_a_table_or_an_object_for_each_interval() {
    let Some(setup) = setup("top_pipes") else { return };
    let ran = setup.run(&["top"]);
    assert_eq!(ran.status.code(), Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing is mounted"), "{}", ran.stderr);
    let mounted = setup.mount();
    setup.read(1..4);
    for flags in [&[][..], &["--plain"]] {
        let ran = setup.run(&[&["top", "-i", "0.2", "-n", "2"], flags].concat());
        assert!(ran.status.success(), "{}", ran.stderr);
        assert_eq!(ran.stdout.matches("INSTANCE ").count(), 2, "{}", ran.stdout);
        assert!(requests(&ran.stdout).is_some_and(|requests| requests > 0), "{}", ran.stdout);
        assert!(!ran.stdout.contains('\x1b'), "{:?}", ran.stdout);
    }
    let ran = setup.run(&["top", "--json", "--interval", "0.2", "--count", "3"]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    let mount = &lines[2]["mounts"][0];
    assert_eq!(mount["mountpoint"], setup.omnifs.mount_point().to_str().expect("text"));
    // What lies between two answers, which is about the 0.2 s between two questions.
    assert!(mount["interval"].as_f64().is_some_and(|seconds| seconds > 0.1), "{mount}");
    let github = &mount["instances"][0];
    // Polls may come in between.
    let rate = github["requests"]["per_second"].as_f64();
    assert!(github["name"] == "github" && rate.is_some_and(|rate| rate >= 0.0), "{github}");
    assert!(github["hits"]["total"].as_u64() > Some(0), "{github}");
    assert!(
        mount["slowest"][0]["path"].as_str().is_some_and(|p| p.starts_with("github")),
        "{mount}"
    );

    // A reader that has what it wants ends it.
    let mut command = setup.omnifs.command();
    command
        .args(["top", "--plain", "--interval", "0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = tied::spawn(command).expect("it runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.ends_with("Z\n"), "{first}");
    let ended = tied::wait(&mut child, Duration::from_secs(60));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert!(mounted.unmount());
}
