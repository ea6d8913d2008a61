//! A repository with far more in it than the cache may hold.

use crate::{API, Wish, World, issues};
use omnifs_support::Mounted;
use omnifs_support::tools::{list, read, shell};
use omnifs_twins::github::RepoShape;
use omnifs_twins::{Fault, GithubSetup, Times};
use std::time::{Duration, Instant};

/// Anonymous memory of the daemon in bytes: what it holds, its code and mapped files aside.
fn resident(mounted: &Mounted<'_>) -> u64 {
    let status = read(format!("/proc/{}/status", mounted.pid()).as_ref());
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Memory of a handle: its node, its names, the mirror of what the kernel was told.
const HANDLE: u64 = 1 << 10;
/// One listing and one call of a provider, connections, the allocator's slack: measured 25 MiB.
const WORKING: u64 = 40 << 20;

fn held(mounted: &Mounted<'_>) -> (u64, u64) {
    let status = mounted.status().expect("status");
    let number = |name: &str| status["cache"][name].as_u64().expect(name);
    assert!(number("nodes") <= number("nodes_capacity"), "{}", status["cache"]);
    assert!(number("bytes") <= number("bytes_capacity"), "{}", status["cache"]);
    (number("evictions"), number("bytes_capacity"))
}

#[test]
fn of_fifty_thousand_issues_the_newest_thousand_are_listed_and_all_can_be_opened() {
    let setup = issues(50_000, 0);
    let Some(world) = World::new("fifty_thousand", Wish { setup, ..Wish::default() }) else {
        return;
    };
    let mounted = world.mount();
    let all = mounted.join(API).join("_issues/_all");
    assert!(all.is_dir());
    world.requests();
    let title = read(&all.join("49999/title"));
    let requests = world.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].ends_with("/issues/49999"), "{requests:?}");
    let listed = shell(&all, "ls | sort -n");
    let requests = world.requests();
    assert_eq!(requests.len(), 10, "{requests:#?}");
    let expected: Vec<_> = (49_001..=50_000).map(|n| n.to_string()).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(read(&all.join("49999/title")), title);
    assert_eq!(world.requests(), [""; 0]);
    // Beyond the bound.
    assert!(!read(&all.join("17/title")).is_empty());
    assert_eq!(world.requests().len(), 1);
    let status = mounted.status().expect("status");
    let partial = &status["partial_listings"][0];
    assert_eq!(partial["path"], "github/acme/api/_issues/_all");
    assert_eq!(partial["shown"], 1_000);
    assert!(partial["note"].as_str().expect("note").contains("listing-bound"), "{partial}");
}

#[test]
fn three_thousand_issues_wait_for_no_more_than_a_few_requests_after_each_other() {
    const ISSUES: usize = 3_000;
    const EACH: Duration = Duration::from_millis(500);
    /// Of one endpoint at the same time. GitHub itself takes a hundred.
    const PARALLEL: usize = 32;
    let settings = "settings.listing-bound = 3000";
    // The best of three: whoever shares the machine slows down none of them or some.
    let listed = |each: Duration| {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let wish = Wish { setup: issues(ISSUES, 0), settings, ..Wish::default() };
            let world = World::new("three_thousand", wish)?;
            let mounted = world.mount();
            let open = mounted.join(API).join("_issues/_open");
            assert!(open.is_dir());
            world.requests();
            world.twin.inject(Fault::Slow(each), "/repositories/*/issues", Times::UntilCleared);
            let begun = Instant::now();
            assert_eq!(list(&open).expect("list").len(), ISSUES);
            best = best.min(begun.elapsed());
            let asked = world.taken();
            assert_eq!(asked.len(), ISSUES / 100, "{asked:?}");
            // Each is under way for as long as it takes at least.
            let under_way = |at| asked.iter().filter(|r| r.at >= at && r.at < at + each).count();
            let most = asked.iter().map(|request| under_way(request.at)).max();
            assert!(most <= Some(PARALLEL), "{most:?} at the same time");
        }
        Some(best)
    };
    let Some((without, with)) = listed(Duration::ZERO).zip(listed(EACH)) else { return };
    // The first page says how many there are, and the others come in one go.
    assert!(with < without * 3 + 5 * EACH, "{with:?} and {without:?} without");
}

/// Handles that the kernel holds: what `stat -f` calls the inodes of the mount.
fn handles(mounted: &Mounted<'_>) -> u64 {
    shell(mounted.path(), "stat -f -c %c .").parse().expect("a number")
}

#[test]
fn memory_stays_within_the_capacity_however_many_issues_are_read() {
    // 50,000 issues; of each repository 2,000 are listed, and offered with 16 leaves each.
    let names: Vec<_> = (0..10).map(|n| format!("r{n}")).collect();
    let repos = names.iter().map(|name| RepoShape::issues("acme", name, 5_000, 0)).collect();
    let setup = GithubSetup { demo: false, repos, rate_limit: 1_000_000, ..issues(0, 0) };
    let sections = "[cache]\nnodes = 20000\nbytes = '16MiB'\n";
    let settings = "settings.listing-bound = 2000";
    let wish = Wish { setup, sections, settings, ..Wish::default() };
    let Some(world) = World::new("within_capacity", wish) else { return };
    let mounted = world.mount();
    let base = resident(&mounted);
    let (mut evicted, mut capacity) = (0, 0);
    for name in &names {
        let all = mounted.join("github/acme").join(name).join("_issues/_all");
        assert_eq!(shell(&all, "ls | wc -l"), "2000");
        // What is still known, and what has gone already and is asked for again.
        let found =
            shell(&all, "for n in $(ls | head -n 100); do cat $n/issue.json; done | grep -c title");
        assert!(found.parse::<u64>().expect("a number") >= 100, "{found}");
        (evicted, capacity) = held(&mounted);
    }
    // All listings together are 17 times the capacity. An eviction is of a directory with its leaves, or of a
    // listing; what is asked for again comes a listing at a time.
    assert!(evicted > 20_000, "{evicted} evictions");
    let grown = resident(&mounted).saturating_sub(base);
    let handles = handles(&mounted);
    // Beside the cache: what the kernel may come back to, which it forgets when it needs memory.
    let most = capacity + handles * HANDLE + WORKING;
    assert!(
        grown < most,
        "grew by {} MiB since the mount: more than {} MiB with a capacity of {} MiB",
        grown >> 20,
        most >> 20,
        capacity >> 20
    );
}
