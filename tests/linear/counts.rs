//! Requests are counted exactly: one for 50 issues with their leaves.

use crate::{World, await_live, issues};
use omnifs_support::tools::{read, shell};
use std::sync::{Arc, Barrier};
use std::thread;

#[test]
fn five_hundred_issues_cost_ten_requests_and_a_walk_over_them_few_more() {
    let Some(world) = World::team("five_hundred", 500, 600, false) else { return };
    let mounted = world.mount();
    let all = issues(&mounted).join("_all");
    assert!(all.is_dir());
    world.requests();
    let points = world.twin.points();
    assert_eq!(shell(&all, "ls -l | grep -c '^d'"), "500");
    let requests = world.requests();
    let listing = requests.iter().filter(|name| name.ends_with("Issues")).count();
    assert_eq!(listing, 10, "{requests:?}");
    // Issues with more comments than come along: one request for 50 of them.
    assert!(requests.len() <= 20, "{requests:?}");
    let points = world.twin.points() - points;
    assert!(points < 10_000 * requests.len() as u64, "{points} points");
    assert!(points < 40_000, "{points} points of 250,000 in an hour");
    let walks =
        ["ls -lR | grep -c '^-'", "grep -rc . . | wc -l", "du -a . | wc -l", "tar cf - . | wc -c"];
    let first: Vec<_> = walks.iter().map(|line| shell(&all, line)).collect();
    assert_eq!(first[0], (500 * 16 + 600).to_string(), "16 files of each issue and its comments");
    let second: Vec<_> = walks.iter().map(|line| shell(&all, line)).collect();
    assert_eq!(second[..3], first[..3]);
    assert_eq!(world.requests(), [""; 0], "the listing held everything");
}

#[test]
fn a_cold_deep_path_costs_two_requests_its_next_field_none() {
    let Some(world) = World::demo("deep_path") else { return };
    let mounted = world.mount();
    let open = issues(&mounted).join("_open");
    assert_eq!(read(&open.join("ENG-204/priority")), "High\n");
    assert_eq!(world.requests(), ["Team", "Issue"]);
    for leaf in ["title", "description.md", "state", "labels", "issue.md", "issue.json"] {
        read(&open.join("ENG-204").join(leaf));
    }
    shell(&open, "cat ENG-204/comments/*");
    assert_eq!(world.requests(), [""; 0], "the issue held its fields");
    read(&open.join("ENG-203/title"));
    assert_eq!(world.requests(), ["Issue"]);
    for name in ["ENG-999999", "nonsense", ".git", "ENG-"] {
        assert!(!open.join(name).exists());
        assert!(!open.join(name).exists());
    }
    assert_eq!(world.requests(), ["Issue"], "only what could be one is asked for, and once");
}

#[test]
fn twenty_cats_of_one_cold_issue_make_one_request() {
    let Some(world) = World::demo("twenty_cats") else { return };
    let mounted = world.mount();
    let open = issues(&mounted).join("_open");
    assert!(open.is_dir());
    await_live(&mounted);
    world.requests();
    let start = Arc::new(Barrier::new(20));
    let cats: Vec<_> = (0..20)
        .map(|_| {
            let (file, start) = (open.join("ENG-204/title"), start.clone());
            thread::spawn(move || {
                start.wait();
                read(&file)
            })
        })
        .collect();
    for cat in cats {
        assert!(cat.join().expect("join").starts_with("Rotate auth tokens"));
    }
    assert_eq!(world.requests(), ["Issue"]);
}

#[test]
fn grep_over_the_open_issues_costs_the_team_and_one_listing() {
    let Some(world) = World::demo("grep") else { return };
    let mounted = world.mount();
    shell(mounted.path(), "grep -r auth linear/teams/ENG/issues/_open");
    assert_eq!(world.requests(), ["Team", "Issues"]);
    shell(
        mounted.path(),
        "grep -r auth linear/teams/ENG/issues/_open; ls -lR linear/teams/ENG/issues/_open",
    );
    assert_eq!(world.requests(), [""; 0]);
}
