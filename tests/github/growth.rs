//! Repositories with more in them than the cache may hold, or than one call of a provider used to.

use crate::{API, Wish, World, issues};
use omnifs_support::Mounted;
use omnifs_support::tools::shell;
use omnifs_twins::GithubSetup;
use std::time::{Duration, Instant};

/// Files of an issue without comments.
const FILES: usize = 13;

fn world(test: &str, open: usize) -> Option<World> {
    let setup = GithubSetup { rate_limit: 1_000_000, ..issues(open, 0) };
    let settings = "settings.listing-bound = 60000";
    let sections = "[limits]\nguest-memory = '512MiB'\n";
    World::new(test, Wish { setup, settings, sections, ..Wish::default() })
}

/// The requests of a `grep -r` over all open issues, and its time for each file.
fn grep(world: &World, mounted: &Mounted<'_>, issues: usize) -> (usize, Duration) {
    let open = mounted.join(API).join("_issues/_open");
    world.requests();
    let begun = Instant::now();
    let files = shell(&open, "grep -rc '' . | wc -l");
    let took = begun.elapsed();
    assert_eq!(files, (issues * FILES).to_string());
    (world.requests().len(), took / (issues * FILES) as u32)
}

/// Handles that the kernel holds: what `stat -f` calls the inodes of the mount.
fn handles(mounted: &Mounted<'_>) -> usize {
    shell(mounted.path(), "stat -f -c %c .").parse().expect("a number")
}

#[test]
fn a_grep_over_twice_what_the_cache_holds_asks_for_pages_and_not_for_each_issue() {
    const ISSUES: usize = 10_000;
    const ROOM: usize = 85_000;
    let Some(world) = world("twice", ISSUES) else { return };
    let capacity = format!("{ROOM},512MiB");
    let mounted = world.omnifs.mount(&["--cache-capacity", &capacity]).expect("mount");
    for round in 0..3 {
        let (requests, each) = grep(&world, &mounted, ISSUES);
        let held = handles(&mounted);
        println!("round {round}: {requests} requests, {each:?} for each file, {held} handles");
        assert!(requests <= 250, "{requests} requests in round {round}");
        // The kernel gives back a little later than it is asked to.
        assert!(held <= ROOM + ROOM / 10, "{held} handles");
    }
}

#[test]
fn a_listing_of_twenty_thousand_issues_is_whole() {
    const ISSUES: usize = 20_000;
    let Some(world) = world("twenty_thousand", ISSUES) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert_eq!(shell(&open, "ls | wc -l"), ISSUES.to_string());
    let requests = world.requests().len();
    assert!(requests <= ISSUES / 100 + 5, "{requests} requests");
    assert_eq!(shell(&open, "ls | wc -l"), ISSUES.to_string());
    assert_eq!(world.requests(), [""; 0]);
}

/// `OMNIFS_GROWTH_ISSUES=50000` for so many.
#[test]
fn as_many_issues_are_listed_as_there_are() {
    let given = std::env::var("OMNIFS_GROWTH_ISSUES").ok().and_then(|text| text.parse().ok());
    let Some(issues) = given else { return };
    let Some(world) = world("as_many", issues) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    let begun = Instant::now();
    println!("{}", shell(&open, "ls | wc -l"));
    println!("{:?}, {} requests", begun.elapsed(), world.requests().len());
    let status = mounted.status().expect("status");
    println!("{}\n{}", status["partial_listings"], status["errors"]);
}
