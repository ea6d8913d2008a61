//! What feeds cost, and what a lost one costs.

use crate::{API, OFTEN, SOON, Wish, World, await_scope, is_poll, issues, scope};
use omnifs_support::tools::{await_content, list, read, shell};
use omnifs_support::{Mounted, wait_until};
use omnifs_twins::github::RepoShape;
use omnifs_twins::{Fault, GithubSetup, GithubTwin, Request, Times};
use std::path::Path;
use std::time::{Duration, Instant};

/// Reads every file below, each by its whole path from the root of the mount on.
fn read_by_path(mounted: &Mounted<'_>, below: &Path) -> usize {
    let script = format!("find {} -type f -print0 | xargs -0 -n 50 cat | wc -c", below.display());
    shell(mounted.path(), &script).parse().expect("a number")
}

fn lists_of_repositories(twin: &GithubTwin) -> usize {
    twin.requests().iter().filter(|request| request.path == "/orgs/acme/repos").count()
}

#[test]
fn where_the_list_of_repositories_cannot_be_had_a_warm_walk_asks_for_no_path() {
    let Some(world) = World::new("no_list", Wish { setup: issues(300, 0), ..Wish::default() })
    else {
        return;
    };
    world.twin.inject(Fault::Status(404), "/orgs/*/repos", Times::UntilCleared);
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    let bytes = read_by_path(&mounted, &open);
    await_scope(&mounted, "owner:", "lost");
    await_scope(&mounted, "issues:", "live");
    for _ in 0..5 {
        let attempts = lists_of_repositories(&world.twin);
        world.requests();
        assert_eq!(read_by_path(&mounted, &open), bytes);
        let requests = world.requests();
        let attempts = lists_of_repositories(&world.twin) - attempts;
        // The account and the repository once for each attempt of their feed, for 3,900 files.
        assert!(requests.len() <= 2 * (attempts + 1), "{attempts} attempts, {requests:?}");
        let account = "GET /users/acme/repos?sort=pushed&per_page=30";
        let names = [account, "GET /repos/acme/api"];
        assert!(requests.iter().all(|line| names.contains(&line.as_str())), "{requests:?}");
    }
    // Without an attempt in between there is none.
    let none = wait_until(SOON, || {
        let attempts = lists_of_repositories(&world.twin);
        read_by_path(&mounted, &open);
        world.requests();
        read_by_path(&mounted, &open);
        let requests = world.requests();
        (lists_of_repositories(&world.twin) == attempts).then_some(requests)
    });
    assert_eq!(none.expect("two walks between two attempts"), [""; 0]);
}

#[test]
fn without_the_list_of_repositories_a_name_that_leads_elsewhere_shows_with_the_next_attempt() {
    let repos =
        vec![RepoShape::issues("acme", "api", 3, 0), RepoShape::issues("acme", "web", 1, 0)];
    let setup = GithubSetup { demo: false, repos, ..GithubSetup::default() };
    let wish = Wish { setup, polls: Some(OFTEN), ..Wish::default() };
    let Some(world) = World::new("no_list_renamed", wish) else { return };
    world.twin.inject(Fault::Status(404), "/orgs/*/repos", Times::UntilCleared);
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert_eq!(list(&open).expect("list").len(), 3);
    await_scope(&mounted, "owner:", "lost");
    world.twin.rename_repo("acme/api", "old").expect("rename");
    world.twin.rename_repo("acme/web", "api").expect("rename");
    // One that the service has said is not there is tried once a minute.
    let elsewhere = || (list(&open).ok()?.len() == 1).then_some(());
    assert!(wait_until(Duration::from_secs(240), elsewhere).is_some(), "{:?}", mounted.status());
}

/// Of one repository, by its id.
fn of_id(request: &Request) -> bool {
    request.path.starts_with("/repositories/")
}

/// All that is asked for while nobody reads.
fn polls_since(world: &World, from: Instant) -> Vec<Request> {
    world.twin.requests().into_iter().filter(|request| request.at >= from).collect()
}

#[test]
fn five_hundred_walked_repositories_that_nobody_reads_cost_sixty_requests_and_show_nothing_stale() {
    const REPOS: usize = 500;
    // For a minute of polls, five seconds.
    const WINDOW: Duration = Duration::from_secs(5);
    let name = |n: usize| format!("r{n:03}");
    let mut repos: Vec<_> = (1..REPOS).map(|n| RepoShape::issues("acme", &name(n), 2, 0)).collect();
    repos.insert(0, RepoShape::issues("acme", &name(0), 1_000, 0));
    let setup = GithubSetup { demo: false, repos, ..GithubSetup::default() };
    let Some(world) = World::new("idle", Wish { setup, polls: Some("5000"), ..Wish::default() })
    else {
        return;
    };
    let mounted = world.mount();
    let acme = mounted.join("github/acme");
    let first = acme.join(name(0)).join("_issues/_open");
    let cold = shell(&first, "cat */title | wc -l");
    assert_eq!(cold, "1000");
    let listed = world.twin.requests().into_iter().find_map(|request| {
        let (id, rest) = request.path.strip_prefix("/repositories/")?.split_once('/')?;
        (rest == "issues").then(|| id.to_owned())
    });
    let id = listed.expect("the listing of its issues");
    for n in 1..REPOS {
        let repo = acme.join(name(n));
        for below in ["_issues/_open", "_releases", "_branches", "_actions/runs"] {
            list(&repo.join(below)).expect("list");
        }
    }
    // The best of five: whoever shares the machine slows down none of them or some.
    let status = (0..5).map(|_| {
        let asked = Instant::now();
        let status = mounted.status().expect("status");
        let took = asked.elapsed();
        let scopes = status["scopes"].as_array().expect("scopes").len();
        assert!(scopes >= 4 * REPOS, "{scopes} scopes");
        took
    });
    let best = status.min().expect("five");
    println!("the status of {} scopes: {} ms", 4 * REPOS, best.as_millis());
    assert!(best < Duration::from_secs(1), "{best:?}");
    let begun = Instant::now();
    let rests = || {
        let state = scope(&mounted.status().ok()?, &format!("issues:{id}"))?;
        (state == "resting" && begun.elapsed() > 2 * WINDOW).then_some(())
    };
    assert!(wait_until(Duration::from_secs(300), rests).is_some());
    let polls = polls_since(&world, begun);
    // All together: a busy machine may hold back some of one window until the next.
    let windows = begun.elapsed().as_secs() / WINDOW.as_secs() + 2;
    let most = 60 * windows as usize;
    assert!((20..=most).contains(&polls.len()), "{} in {windows} windows", polls.len());

    // A thousand paths in a scope that rests: one poll for all, of four requests, and what it tells.
    world.twin.retitle("acme/r000", 17, "Changed while it rested").expect("retitle");
    let before = world.twin.requests().last().map_or(0, |request| request.id);
    let walk = Instant::now();
    assert_eq!(shell(&first, "cat */title | wc -l"), cold);
    let intervals = walk.elapsed().as_secs() / WINDOW.as_secs();
    let after = world.twin.requests().into_iter().filter(|request| request.id > before);
    // The polls of the other repositories go on.
    let own = format!("/repositories/{id}/issues");
    let of_first = after.filter(|request| request.path.starts_with(&own) || !of_id(request));
    let (polled, asked): (Vec<_>, Vec<_>) = of_first.partition(is_poll);
    let lines: Vec<_> = asked.iter().map(Request::line).collect();
    assert!(asked.len() <= 1, "the changed issue at most: {lines:?}");
    let polled = polled.iter().filter(|request| request.path.starts_with(&own)).count() as u64;
    assert!((2..=4 * (intervals + 2)).contains(&polled), "{polled} requests of the poll");
    assert_eq!(read(&first.join("17/title")), "Changed while it rested\n");

    // And so it is everywhere, at the first use.
    let rest = || {
        let status = mounted.status().ok()?;
        let scopes = status["scopes"].as_array()?.iter();
        let issues = scopes.filter(|scope| {
            scope["scope"].as_str().is_some_and(|id| id.starts_with("issues:"))
                && scope["state"] != "resting"
        });
        // As many as sixty requests keep live.
        (issues.count() <= 20).then_some(())
    };
    assert!(wait_until(Duration::from_secs(300), rest).is_some());
    let mut resting = 0;
    for n in (1..REPOS).step_by(25) {
        world.twin.retitle(&format!("acme/{}", name(n)), 1, "Changed").expect("retitle");
        let title = acme.join(name(n)).join("_issues/_open/1/title");
        if read(&title) == "Changed\n" {
            resting += 1;
        }
        await_content(&title, "Changed\n", SOON);
    }
    assert!(resting >= 10, "{resting} of 20; what is live shows with its next poll");
}
