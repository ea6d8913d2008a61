//! Tables, views and searches through a mount: what they cost, and that they are as true as their listing.

use crate::{API, OFTEN, SOON, Wish, World, await_polled, issues};
use omnifs_support::tools::{read, shell};
use omnifs_support::wait_until;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn whoever_has_listed_the_open_issues_pays_for_no_view_of_them() {
    let setup = issues(300, 0);
    let Some(world) = World::new("views", Wish { setup, ..Wish::default() }) else { return };
    let mounted = world.mount();
    let directory = mounted.join(API).join("_issues");
    assert_eq!(shell(&directory, "ls -l _open | grep -c '^d'"), "300");
    assert_eq!(world.requests().len(), 1 + 3, "the account, and three pages");
    let rows = shell(&directory, "tail -n +2 _open.tsv | wc -l; wc -l < _open.jsonl");
    assert_eq!(rows, "300\n300");
    assert_eq!(shell(&directory, "stat -c %s _open.tsv"), shell(&directory, "wc -c < _open.tsv"));
    // Each issue shows below its author once, and leads to where it is.
    assert_eq!(shell(&directory, "ls _by-author/* | grep -c '^[0-9]'"), "300");
    assert_eq!(shell(&directory, "cat _by-author/*/*/title | wc -l"), "300");
    let labels = shell(&directory, "ls _by-label | wc -l");
    assert_ne!(labels, "0");
    let by_label = shell(&directory, "ls -U _by-label/* | grep -c '^[0-9]'");
    let carried = shell(&directory, "cat _open/*/labels | wc -l");
    assert_eq!(by_label, carried, "one link for each label of an issue");
    assert_eq!(world.requests(), [""; 0]);
}

#[test]
fn a_link_leads_to_the_issues_inode_and_a_walk_meets_each_issue_once() {
    let Some(world) = World::demo("links") else { return };
    let mounted = world.mount();
    let directory = mounted.join(API).join("_issues");
    let inode = |path: &str| fs::metadata(directory.join(path)).expect(path).ino();
    assert_eq!(inode("_by-label/auth/2853"), inode("_open/2853"));
    assert_eq!(inode("2853"), inode("_open/2853"));
    assert_eq!(inode("_recent/2830/title"), inode("_closed/2830/title"));
    let link = |path: &str| fs::symlink_metadata(directory.join(path)).expect(path);
    let once = link("_by-label/auth/2853");
    assert!(once.is_symlink());
    assert_eq!(once.ino(), link("_by-assignee/priya-n/2853").ino());
    let found = shell(&directory, "grep -rl 'Login fails' . | sort");
    let expected = ["_all", "_open"].map(|view| {
        ["issue.json", "issue.md", "title"].map(|leaf| format!("./{view}/2853/{leaf}"))
    });
    let issues: Vec<_> = found.lines().filter(|line| line.contains("/2853/")).collect();
    assert_eq!(issues, expected.concat());
    for table in ["_open.tsv", "_open.jsonl"] {
        assert!(found.lines().any(|line| line == format!("./{table}")), "{table}: {found}");
    }
}

#[test]
fn a_walk_over_the_open_issues_asks_for_no_more_than_it_would_without_views() {
    let setup = issues(200, 100);
    let Some(world) = World::new("walk", Wish { setup, ..Wish::default() }) else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    shell(&open, "grep -rc auth . | wc -l");
    // Account, repository, two pages of issues and one of comments.
    let cold = world.requests();
    assert_eq!(cold.len(), 2 + 2 + 1, "{cold:#?}");
    shell(&open, "grep -rc auth . | wc -l");
    assert_eq!(world.requests(), [""; 0]);
}

#[test]
fn a_change_upstream_shows_in_every_table_and_view() {
    let wish = Wish { polls: Some(OFTEN), ..Wish::default() };
    let Some(world) = World::new("views_change", wish) else { return };
    let mounted = world.mount();
    let directory = mounted.join(API).join("_issues");
    let reads = |line: &str| shell(&directory, line);
    assert_eq!(reads("ls _by-label/auth"), "2841\n2853");
    assert_eq!(reads("grep -c ^2846 _open.tsv"), "1");
    assert_eq!(reads("ls -d 2846"), "2846");
    await_polled(&mounted);
    world.twin.set_labels("acme/api", 2846, &["auth"]).expect("label");
    let shown =
        wait_until(SOON, || (reads("ls _by-label/auth") == "2841\n2846\n2853").then_some(()));
    assert!(shown.is_some(), "{}", reads("ls _by-label/auth"));
    assert!(
        read(&directory.join("_open.tsv")).contains("\tauth\tWebhook retries"),
        "and the table"
    );
    world.twin.close("acme/api", 2846).expect("close");
    let shown = wait_until(SOON, || (reads("ls _by-label/auth") == "2841\n2853").then_some(()));
    assert!(shown.is_some(), "{}", reads("ls _by-label/auth"));
    assert_eq!(reads("grep -c ^2846 _open.tsv; grep -c ^2846 _closed.tsv"), "0\n1");
    assert_eq!(reads("cat 2846/state"), "closed");
    let new = omnifs_twins::github::NewIssue {
        title: "Brand new".into(),
        ..omnifs_twins::github::NewIssue::default()
    };
    let number = world.twin.open_issue("acme/api", new).expect("open");
    let row = format!("grep -c '^{number}\t.*Brand new' _open.tsv || true");
    let shown = wait_until(SOON, || (reads(&row) == "1").then_some(()));
    assert!(shown.is_some(), "{}", read(&directory.join("_open.tsv")));
}

#[test]
fn a_search_is_asked_at_each_open_and_leads_to_the_issues() {
    let Some(world) = World::demo("search") else { return };
    let mounted = world.mount();
    let directory = mounted.join(API).join("_issues");
    shell(&directory, "ls _open");
    world.requests();
    let searches = |requests: Vec<String>| {
        requests.iter().filter(|line| line.starts_with("GET /search/issues")).count()
    };
    assert_eq!(shell(&directory, "ls _search"), "");
    let line = "cat '_search/token is:open/results.tsv' | cut -f1";
    assert_eq!(shell(&directory, line), "number\n2853");
    assert!((1..=2).contains(&searches(world.requests())), "asked for what nobody had");
    shell(&directory, line);
    assert_ne!(searches(world.requests()), 0, "no feed tells of the index");
    assert_eq!(
        shell(&directory, "ls '_search/label:auth is:open'"),
        "2841\n2853\nresults.jsonl\nresults.tsv"
    );
    let title = "cat '_search/label:bug author:jun-h/2853/title'";
    assert_eq!(shell(&directory, title), "Login fails after token refresh");
    assert_eq!(shell(&directory, "ls _search"), "", "it is not listed now, either");
}

#[test]
fn code_commits_and_repositories_are_found_and_lead_to_what_they_are() {
    let Some(world) = World::demo("wide_search") else { return };
    let mounted = world.mount();
    let repo = mounted.join(API);
    assert_eq!(shell(&repo, "find _search | sort"), "_search\n_search/code\n_search/commits");
    let path = shell(&repo, "sed -n 2p '_search/code/token path:src/results.tsv' | cut -f1");
    assert!(path.starts_with("src/"), "{path}");
    let link = format!("_search/code/token path:src/{}", path.replace('/', "%2F"));
    assert_eq!(read(&repo.join(&link)), read(&repo.join("_repo").join(&path)));
    let same = format!("stat -L -c %i '{link}' '_repo/{path}' | uniq | wc -l");
    assert_eq!(shell(&repo, &same), "1", "it is the file itself");

    let commit = "cut -f1,4 '_search/commits/tls/results.tsv' | sed -n 2p";
    let commit = shell(&repo, commit);
    let (sha, subject) = commit.split_once('\t').expect("a commit");
    assert_eq!(subject, "Refuse TLS 1.1");
    assert_eq!(
        shell(&repo, &format!("ls _search/commits/tls/{sha}/")),
        shell(&repo, &format!("ls _tree/{sha}"))
    );

    // What a listing brought along is not asked for by each name.
    world.requests();
    let names = shell(&repo, "ls -U --color=never '_search/code/e path:src'");
    assert!(names.lines().count() > 4, "{names}");
    let asked = world.requests();
    let searches = asked.iter().filter(|line| line.starts_with("GET /search/code")).count();
    assert_eq!(searches, 2, "to find the directory's names, and to list it: {asked:?}");

    let top = mounted.join("github");
    assert!(!shell(&top, "ls").contains("_search"), "no listing shows it");
    let found = shell(&top, "ls -d _search/repositories/acme/acme%2Fapi/_issues");
    assert_eq!(found, "_search/repositories/acme/acme%2Fapi/_issues");
}
