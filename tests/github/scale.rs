//! A repository with far more in it than the cache may hold.

use crate::{API, Wish, World, issues};
use omnifs_support::Mounted;
use omnifs_support::tools::{read, shell};
use omnifs_twins::GithubSetup;

/// Anonymous memory of the daemon in bytes: what it holds, its code and mapped files aside.
fn resident(mounted: &Mounted<'_>) -> u64 {
    let status = read(format!("/proc/{}/status", mounted.pid()).as_ref());
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

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
fn memory_stays_within_the_capacity_however_many_issues_are_read() {
    let setup = GithubSetup { rate_limit: 1_000_000, ..issues(50_000, 0) };
    let sections = "[cache]\nnodes = 20000\nbytes = '16MiB'\n";
    let settings = "settings.listing-bound = 2000";
    let wish = Wish { setup, sections, settings, ..Wish::default() };
    let Some(world) = World::new("within_capacity", wish) else { return };
    let mounted = world.mount();
    let base = resident(&mounted);
    let all = mounted.join(API).join("_issues/_all");
    // A walk over 2,000 issues is 36,000 nodes: more than fit.
    let walk = "find . -name '*' > /dev/null; grep -rl token . | wc -l";
    let found = shell(&all, walk);
    assert!(found.parse::<u64>().expect("a number") > 100, "{found}");
    let (evicted, capacity) = held(&mounted);
    assert!(evicted > 0, "the walk did not fill the cache");
    for block in 0..10 {
        let numbers: Vec<_> = (0..200).map(|n| (1 + block * 4_000 + n).to_string()).collect();
        shell(
            &all,
            &format!("for n in {}; do cat $n/issue.json; done > /dev/null", numbers.join(" ")),
        );
        held(&mounted);
    }
    let grown = resident(&mounted).saturating_sub(base);
    // What the cache counts is bytes and strings; their bookkeeping, the handles that the kernel
    // holds and the allocator's slack come to as much again, and one running call to 16 MiB.
    let most = 2 * capacity + (16 << 20);
    assert!(
        grown < most,
        "grew by {} MiB since the mount, with a capacity of {} MiB",
        grown >> 20,
        capacity >> 20
    );
}
