//! Coherence end to end: 10,000 random operations through a real mount, the sandboxed GitHub
//! provider and its polls, while the twin of the service changes. Every read is compared with the
//! twin's history: it must have been true at or after the newest change that a poll had delivered
//! before the read began.

#![cfg(target_os = "linux")]

use omnifs_support::{Mounted, Omnifs, skip, wait_until};
use omnifs_twins::github::{NewIssue, RepoShape};
use omnifs_twins::{GithubSetup, GithubTwin, Request, Times};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const OPERATIONS: usize = 10_000;
/// Operations between two changes, and between two looks at which polls have come.
const CHANGE: usize = 8;
const LOOK: usize = 20;
/// Milliseconds between polls: many in a run.
const POLL: &str = "100";
const REPO: &str = "acme/api";
const SOON: Duration = Duration::from_secs(120);

/// splitmix64
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

struct Run<'a> {
    twin: &'a GithubTwin,
    mounted: &'a Mounted<'a>,
    repo: u64,
    numbers: Vec<u64>,
    inodes: HashMap<u64, u64>,
    /// The newest change that is known to have been delivered.
    floor: u64,
    /// When each change took effect, by its number.
    changes: Vec<(Instant, u64)>,
    requests: u64,
    polls: Vec<Instant>,
    present: usize,
    absent: usize,
}

/// Whether a poll of the repository's issues made this request.
fn is_poll(request: &Request, repo: u64) -> bool {
    let query = request.query.as_deref().unwrap_or_default();
    request.path == format!("/repositories/{repo}/issues") && query.contains("since=")
}

impl Run<'_> {
    fn path(&self, rest: &str) -> PathBuf {
        self.mounted.join(&format!("github/{REPO}/_issues/{rest}"))
    }

    /// The values that an issue may be shown with by an operation that began at this floor.
    fn window(&self, number: u64, floor: u64) -> Vec<Option<Value>> {
        let object = format!("issue:{}/{number}", self.repo);
        self.twin.values_between(&object, floor, self.twin.sequence())
    }

    /// A poll is delivered when the next one begins. The one after that leaves the kernel time for
    /// its notifications.
    fn look(&mut self) {
        let new = self.twin.requests().into_iter().filter(|r| r.id > self.requests);
        for request in new.collect::<Vec<_>>() {
            self.requests = request.id;
            if is_poll(&request, self.repo) {
                self.polls.push(request.at);
            }
        }
        if let [.., delivered, _, _] = self.polls[..] {
            let told = self.changes.iter().filter(|(at, _)| *at < delivered);
            self.floor = told.map(|(_, sequence)| *sequence).max().unwrap_or(0).max(self.floor);
        }
    }

    fn change(&mut self, dice: &mut Dice) {
        let number = self.numbers[dice.below(self.numbers.len())];
        let (twin, text) = (self.twin, format!("text {}", dice.below(1_000_000)));
        match dice.below(10) {
            0..=3 => twin.retitle(REPO, number, &text),
            4..=5 => twin.edit_body(REPO, number, Some(&text)),
            6..=7 => twin.close(REPO, number),
            8 => twin.reopen(REPO, number),
            _ => twin
                .open_issue(REPO, NewIssue { title: text, ..NewIssue::default() })
                .map(|number| self.numbers.push(number)),
        }
        .expect("a change of the twin");
        // Noted after it took effect: its delivery counts from later on, never from earlier.
        self.changes.push((Instant::now(), twin.sequence()));
    }

    fn read(&mut self, dice: &mut Dice) {
        let number = self.numbers[dice.below(self.numbers.len())];
        let view = ["_open", "_closed", "_all"][dice.below(3)];
        let (leaf, field) =
            [("title", "title"), ("body", "body"), ("state", "state")][dice.below(3)];
        let floor = self.floor;
        let path = self.path(&format!("{view}/{number}/{leaf}"));
        let stat = dice.below(3) == 0;
        let found = match stat {
            true => {
                fs::metadata(&path).map(|attributes| (attributes.len(), attributes.ino(), None))
            }
            false => fs::read_to_string(&path).map(|text| (text.len() as u64, 0, Some(text))),
        };
        let window = self.window(number, floor);
        let shows = |value: &Option<Value>| match value {
            Some(value) => match view {
                "_open" => value["state"] == "open",
                "_closed" => value["state"] == "closed",
                _ => true,
            },
            None => false,
        };
        match found {
            Ok((size, inode, text)) => {
                self.present += 1;
                assert!(window.iter().any(shows), "{path:?} is there: {window:?}");
                let expected: Vec<String> = window
                    .iter()
                    .flatten()
                    .map(|value| match (field, value[field].as_str()) {
                        ("body", body) => body.unwrap_or_default().to_owned(),
                        (_, line) => format!("{}\n", line.unwrap_or_default()),
                    })
                    .collect();
                let fits = |one: &String| match &text {
                    Some(text) => one == text,
                    None => one.len() as u64 == size,
                };
                assert!(
                    expected.iter().any(fits),
                    "{path:?} shows {text:?} ({size} bytes), and since change {floor} it was {expected:?}"
                );
                if stat && leaf == "title" {
                    let first = *self.inodes.entry(number).or_insert(inode);
                    assert_eq!(first, inode, "{path:?} has another inode");
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.absent += 1;
                assert!(!window.iter().all(shows), "{path:?} is absent: {window:?}");
            }
            Err(error) => panic!("{path:?}: {error}"),
        }
    }

    fn list(&mut self, dice: &mut Dice) {
        let (view, state) = [("_open", "open"), ("_closed", "closed")][dice.below(2)];
        let floor = self.floor;
        let entries = fs::read_dir(self.path(view)).expect("a listing");
        let listed: BTreeSet<u64> = entries
            .map(|entry| {
                entry.expect("an entry").file_name().to_string_lossy().parse().expect(view)
            })
            .collect();
        for &number in &self.numbers {
            let window = self.window(number, floor);
            let in_state =
                |value: &Option<Value>| value.as_ref().is_some_and(|v| v["state"] == state);
            let possible = match listed.contains(&number) {
                true => window.iter().any(in_state),
                false => !window.iter().all(in_state),
            };
            assert!(possible, "{view} since change {floor}: {number} in {listed:?}: {window:?}");
        }
    }
}

#[test]
fn ten_thousand_operations_show_nothing_older_than_what_a_poll_had_delivered() {
    if let Some(reason) = Omnifs::unavailable() {
        skip("ten_thousand_operations", &reason);
        return;
    }
    let repos = vec![RepoShape::issues("acme", "api", 30, 0)];
    let setup = GithubSetup { demo: false, repos, rate_limit: 1_000_000, ..GithubSetup::default() };
    let twin = GithubTwin::start(setup).expect("a twin");
    let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", POLL);
    let config = format!(
        "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
         [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
        twin.url(),
        twin.storage_url()
    );
    omnifs.config(&config).expect("a configuration");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let seed = std::env::var("OMNIFS_MODEL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(1);
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut run = Run {
        twin: &twin,
        mounted: &mounted,
        repo: twin.repo_id(REPO).expect("the repository"),
        numbers: twin.numbers(REPO),
        inodes: HashMap::new(),
        floor: 0,
        changes: Vec::new(),
        requests: 0,
        polls: Vec::new(),
        present: 0,
        absent: 0,
    };
    // The feed stands before the first change, so that all of them are on it.
    run.list(&mut dice);
    let polled = wait_until(SOON, || {
        run.look();
        (run.polls.len() > 2).then_some(())
    });
    assert!(polled.is_some(), "nothing is polled: {:?}", mounted.status());
    let mut outages = 0;
    for operation in 0..OPERATIONS {
        if operation % CHANGE == 0 {
            run.change(&mut dice);
        }
        if operation % LOOK == 0 {
            run.look();
        }
        if operation % 2_500 == 2_499 {
            // What happens while polls fail has to be asked for at each use.
            let polls = run.polls.len();
            twin.inject(omnifs_twins::Fault::Status(500), "/repositories/*/issues", Times::Next(3));
            for _ in 0..20 {
                run.change(&mut dice);
            }
            outages += 1;
            let back = wait_until(SOON, || {
                run.look();
                (run.polls.len() > polls + 6).then_some(())
            });
            assert!(back.is_some(), "polls do not come back: {:?}", mounted.status());
        }
        match dice.below(12) {
            0 => run.list(&mut dice),
            _ => run.read(&mut dice),
        }
    }
    println!(
        "{OPERATIONS} operations, {} changes, {} polls, {outages} outages; {} found, {} absent",
        run.changes.len(),
        run.polls.len(),
        run.present,
        run.absent
    );
    assert!(run.floor > 0, "no change was ever known to be delivered");
    assert!(run.present > 1_000 && run.absent > 1_000, "{} and {}", run.present, run.absent);
}
