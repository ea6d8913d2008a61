//! Requests are counted exactly: a listing brings everything below it, and what is cached is not
//! asked for again.

use crate::{API, Wish, World, await_polled, issues};
use omnifs_support::Mounted;
use omnifs_support::tools::{read, shell, try_shell};
use omnifs_twins::GithubSetup;
use omnifs_twins::github::RepoShape;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread;

/// Requests for a page of issues.
fn pages(requests: &[String], of: &str) -> usize {
    requests.iter().filter(|line| line.split('?').next().is_some_and(|p| p.ends_with(of))).count()
}

/// 3,000 open issues with 2,000 comments, and room to list them all; `acme/api` already looked up.
fn large(test: &str) -> Option<World> {
    let setup = issues(3_000, 2_000);
    World::new(test, Wish { setup, settings: "settings.listing-bound = 5000", ..Wish::default() })
}

fn open(mounted: &Mounted<'_>) -> PathBuf {
    mounted.join(API).join("_issues/_open")
}

#[test]
fn ls_l_of_three_thousand_issues_costs_thirty_requests() {
    let Some(world) = large("ls_l") else { return };
    let mounted = world.mount();
    let open = open(&mounted);
    // The account, which comes with its newest repositories.
    assert!(open.is_dir());
    assert_eq!(world.requests(), ["GET /users/acme/repos?sort=pushed&per_page=30"]);
    assert_eq!(shell(&open, "ls -l | grep -c '^d'"), "3000");
    let requests = world.requests();
    assert_eq!(requests.len(), 30, "{requests:#?}");
    assert_eq!(pages(&requests, "/issues"), 30);
    shell(&open, "ls -l; stat 17 17/title; find 17 29 -maxdepth 1 -type f -exec cat {} +");
    let silent: Vec<u64> = (1..=3_000)
        .filter(|number| world.twin.comment_ids("acme/api", *number).is_empty())
        .collect();
    assert!(silent.len() > 500, "{} issues without comments", silent.len());
    let lines: Vec<_> = silent.iter().map(|number| format!("{number}/comments")).collect();
    assert_eq!(shell(&open, &format!("ls -A {} | grep -c md; true", lines.join(" "))), "0");
    assert_eq!(world.requests(), [""; 0], "an issue without comments costs nothing");
}

#[test]
fn four_walks_over_three_thousand_issues_cost_fifty_requests_and_then_none() {
    let Some(world) = large("four_walks") else { return };
    let mounted = world.mount();
    let open = open(&mounted);
    assert!(open.is_dir());
    world.requests();
    let walks = [
        "ls -lR | grep -c '^-'",
        "grep -rc . . | wc -l",
        "du -a . | wc -l",
        "tar cf - . | tar tf - | wc -l",
    ];
    let cold: Vec<_> = walks.iter().map(|line| shell(&open, line)).collect();
    let requests = world.requests();
    assert_eq!(pages(&requests, "/issues"), 30);
    assert_eq!(pages(&requests, "/comments"), 20);
    assert_eq!(requests.len(), 50, "{requests:#?}");
    // 13 files of each issue, and one of each comment.
    assert_eq!(cold[0], (3_000 * 13 + 2_000).to_string());
    assert_eq!(cold[0], cold[1], "grep -r saw every file");
    let warm: Vec<_> = walks.iter().map(|line| shell(&open, line)).collect();
    assert_eq!(warm, cold);
    assert_eq!(world.requests(), [""; 0], "warm");
}

#[test]
fn pull_requests_cost_a_request_for_each_hundred_and_all_their_comments_one_listing() {
    // About half of them are open.
    let mut shape = RepoShape::issues("acme", "api", 20, 250);
    shape.pulls = 500;
    let setup = GithubSetup { demo: false, repos: vec![shape], ..GithubSetup::default() };
    let Some(world) = World::new("pulls", Wish { setup, ..Wish::default() }) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_prs/_open");
    assert!(open.is_dir());
    world.requests();
    let pulls: usize = shell(&open, "ls -l | grep -c '^d'").parse().expect("a number");
    assert!((201..=300).contains(&pulls), "{pulls} are three pages");
    let requests = world.requests();
    assert_eq!(requests.len(), 3, "{requests:#?}");
    assert_eq!(pages(&requests, "/pulls"), 3);

    // Everything but what is asked for on demand.
    let held = "find . -mindepth 2 -maxdepth 2 -type f -not -name commits -not -name files \
        -not -name diff -not -name patch -not -name checks -print0 | sort -z";
    let files = shell(&open, &format!("{held} | xargs -0 -n1 basename -a | sort | uniq -c"));
    for leaf in ["title", "body", "head", "merged", "pull.md", "pull.json", "issue.json"] {
        assert!(files.lines().any(|line| line.trim() == format!("{pulls} {leaf}")), "{files}");
    }
    let read = shell(&open, &format!("{held} | xargs -0 cat | wc -c"));
    let told =
        shell(&open, &format!("{held} | xargs -0 stat -c %s | awk '{{n += $1}} END {{print n}}'"));
    assert_eq!(read, told);
    assert_eq!(world.requests(), [""; 0], "the listing held them");

    let comments = "find . -path '*/comments/*.md' -exec cat {} + | grep -c ^created:";
    let expected: usize = shell(&open, "ls")
        .lines()
        .map(|number| world.twin.comment_ids("acme/api", number.parse().expect("a number")).len())
        .sum();
    assert!(expected > 30, "{expected} comments");
    let comments_of =
        |directory: &Path| shell(directory, comments).parse::<usize>().expect("a number");
    // `find` walks the reviews too, which belong to one pull request each.
    let of_comments =
        |requests: &[String]| pages(requests, "/comments") + pages(requests, "/issues");
    assert_eq!(comments_of(&open), expected);
    let requests = world.requests();
    assert_eq!(of_comments(&requests), 3 + 1, "{requests:#?}");
    assert_eq!(pages(&requests, "/reviews"), pulls);
    assert_eq!(requests.len(), 4 + pulls);
    assert_eq!(comments_of(&open), expected);
    assert_eq!(world.requests(), [""; 0], "warm");
}

#[test]
fn a_cold_deep_path_costs_two_requests_its_next_field_none_another_issue_one() {
    let Some(world) = World::demo("deep_path") else { return };
    let mounted = world.mount();
    let open = open(&mounted);
    assert_eq!(read(&open.join("2853/title")), "Login fails after token refresh\n");
    let requests = world.requests();
    assert_eq!(requests.len(), 2, "account with repositories, issue: {requests:?}");
    for leaf in ["title", "body", "state", "labels", "author", "issue.md", "issue.json"] {
        read(&open.join("2853").join(leaf));
    }
    assert_eq!(world.requests(), [""; 0], "the issue held its fields");
    assert!(mounted.join(API).join("_issues/_all").is_dir());
    read(&open.join("2846/body"));
    let requests = world.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    // Elsewhere it is the same object, and this place is known as well.
    read(&mounted.join(API).join("_issues/_all/2846/title"));
    assert_eq!(world.requests(), [""; 0]);
}

#[test]
fn twenty_cats_of_one_cold_issue_make_one_request() {
    let Some(world) = World::demo("twenty_cats") else { return };
    let mounted = world.mount();
    let open = open(&mounted);
    assert!(open.is_dir());
    await_polled(&mounted);
    world.requests();
    let start = Arc::new(Barrier::new(20));
    let cats: Vec<_> = (0..20)
        .map(|n| {
            let leaf = ["title", "body", "state", "labels"][n % 4];
            let (file, start) = (open.join("2841").join(leaf), start.clone());
            thread::spawn(move || {
                start.wait();
                read(&file)
            })
        })
        .collect();
    for (n, cat) in cats.into_iter().enumerate() {
        let content = cat.join().expect("join");
        if n % 4 == 0 {
            assert_eq!(content, "Allow several API keys per project\n");
        }
    }
    let requests = world.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[test]
fn crawlers_probes_and_names_that_are_no_numbers_cost_no_request() {
    let Some(world) = World::demo("probes") else { return };
    let mounted = world.mount();
    let open = open(&mounted);
    assert!(open.is_dir());
    world.requests();
    for name in [".git", ".DS_Store", "._2853", "Thumbs.db", "README", "02853", "+2853", "-1"] {
        assert!(!open.join(name).exists(), "{name}");
    }
    assert_eq!(world.requests(), [""; 0]);
    assert!(!open.join("999999").exists());
    assert!(!open.join("999999").exists());
    assert_eq!(world.requests().len(), 1, "what is not there is remembered");
}

#[test]
fn every_tool_may_walk_the_whole_repository() {
    let Some(world) = World::demo("whole_walk") else { return };
    let mounted = world.mount();
    let repo = mounted.join(API);
    let sizes = "find . -type f -printf '%s %p\\n' | sort -k2";
    let counted = "find . -type f -print0 | sort -z | xargs -0 -n1 wc -c | sort -k2";
    assert_eq!(shell(&repo, sizes), shell(&repo, counted), "stat and read agree");
    let output = try_shell(&repo, "grep -r acme . > /dev/null && tar cf /dev/null . && du -a .");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    await_polled(&mounted);
    world.requests();
    shell(
        &repo,
        "find . -type f -not -path './_actions/*' -not -name checks -exec cat {} + | wc -c",
    );
    assert_eq!(world.requests(), [""; 0], "warm");
}
