//! A repository with twice as much in it as the cache may hold.

use crate::{API, Wish, World, issues};
use omnifs_support::tools::shell;
use omnifs_twins::GithubSetup;
use std::time::{Duration, Instant};

/// The requests and the time of a `grep -r` over all open issues.
fn grep(world: &World, mounted: &omnifs_support::Mounted<'_>) -> (usize, Duration, u64) {
    let open = mounted.join(API).join("_issues/_open");
    world.requests();
    let begun = Instant::now();
    let files = shell(&open, "grep -rc '' . | wc -l");
    let took = begun.elapsed();
    (world.requests().len(), took, files.parse().expect("a number"))
}

fn world(test: &str, open: usize) -> Option<World> {
    let setup = GithubSetup { rate_limit: 1_000_000, ..issues(open, 0) };
    let settings = "settings.listing-bound = 20000";
    World::new(test, Wish { setup, settings, ..Wish::default() })
}

#[test]
fn a_grep_over_twice_what_the_cache_holds_asks_for_pages_and_not_for_each_issue() {
    const ISSUES: usize = 10_000;
    let Some(world) = world("twice", ISSUES) else { return };
    let mounted = world.omnifs.mount(&["--cache-capacity", "85000,512MiB"]).expect("mount");
    for round in 0..3 {
        let (requests, took, files) = grep(&world, &mounted);
        println!("round {round}: {requests} requests, {files} files in {took:?}");
        assert_eq!(files as usize, ISSUES * 13);
        assert!(requests <= 250, "{requests} requests in round {round}");
    }
}
