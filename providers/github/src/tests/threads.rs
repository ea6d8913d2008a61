//! Issues, pull requests and comments.

use super::*;
use omnifs_sdk::Error;

const OPEN: &str = "acme/api/_issues/_open";

#[test]
fn a_cold_title_costs_three_requests_its_next_field_none_and_another_issue_one() {
    let upstream = acme()
        .get(&format!("{REPO}/issues/2853"), issue(2853, 2).to_string())
        .get(&format!("{REPO}/issues/2854"), issue(2854, 0).to_string());
    let mount = mount(upstream);
    assert_eq!(mount.read(&format!("{OPEN}/2853/title")).unwrap(), "Issue 2853\n");
    let account = "GET /users/acme/repos?sort=pushed&per_page=30";
    let asked = [account, "GET /repos/acme/api", "GET /repositories/7/issues/2853"];
    assert_eq!(mount.requests(), asked);
    assert_eq!(mount.read(&format!("{OPEN}/2853/body")).unwrap(), "Text\r\nwithout an end");
    assert_eq!(mount.read("acme/api/_issues/_all/2853/labels").unwrap(), "bug\nauth\n");
    assert_eq!(mount.requests(), [""; 0]);
    assert_eq!(mount.list(&format!("{OPEN}/2854/comments")).unwrap(), [""; 0]);
    assert_eq!(mount.requests(), ["GET /repositories/7/issues/2854"]);
}

#[test]
fn every_leaf_of_an_issue_is_what_github_says() {
    let upstream = acme().get(&format!("{REPO}/issues/1"), issue(1, 0).to_string());
    let mount = mount(upstream);
    let read = |leaf: &str| mount.read(&format!("{OPEN}/1/{leaf}")).unwrap();
    for (leaf, text) in [
        ("state", "open\n"),
        ("author", "mira\n"),
        ("assignees", "jun\nlars\n"),
        ("milestone", "1.0\n"),
        ("created", "2026-01-02T03:04:05Z\n"),
        ("updated", "2026-01-03T00:00:00Z\n"),
        ("closed", ""),
        ("url", "https://github.com/acme/api/issues/1\n"),
    ] {
        assert_eq!(read(leaf), text, "{leaf}");
    }
    let page = read("issue.md");
    assert!(page.starts_with("---\ntitle: Issue 1\nnumber: 1\nstate: open\n"), "{page}");
    assert!(page.ends_with("---\n\nText\r\nwithout an end"), "{page}");
    let document: Value = serde_json::from_str(&read("issue.json")).unwrap();
    assert_eq!(document["milestone"], json!({"title": "1.0"}), "counters move by themselves");
    assert!(document.get("reactions").is_none() && document.get("closed_by").is_none());
    let names = mount.list(&format!("{OPEN}/1")).unwrap();
    assert!(!names.iter().any(|name| name == "diff" || name == "pull.md"), "{names:?}");
    assert_eq!(mount.requests().len(), 3);
}

#[test]
fn three_thousand_issues_and_two_thousand_comments_are_read_with_fifty_requests() {
    let issues: Vec<_> = (1..=3000).rev().map(|n| issue(n, u64::from(n % 3 == 0) * 2)).collect();
    let comments: Vec<_> =
        (1..=2000).map(|n| comment(9000 + n, (n - 1) / 2 * 3 + 3, "issues")).collect();
    let upstream = acme().setting("listing-bound", "5000");
    let upstream = pages(upstream, &format!("{REPO}/issues"), "state=open&per_page=100", &issues);
    let upstream = pages(upstream, &format!("{REPO}/issues/comments"), "per_page=100", &comments);
    let mount = mount(upstream);
    assert_eq!(mount.list(OPEN).unwrap().len(), 3000);
    assert_eq!(mount.requests().len() - 2, 30, "owner and repository aside");
    let files = mount.read_all(OPEN).unwrap();
    assert_eq!(mount.requests().len(), 20);
    assert_eq!(files.len(), 3000 * 13 + 2000);
    let text = String::from_utf8(files["acme/api/_issues/_open/3/comments/9001.md"].clone());
    assert!(text.unwrap().ends_with("---\n\nComment 9001\n"));
    mount.read_all(OPEN).unwrap();
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_listing_stops_at_the_bound_and_what_lies_beyond_is_still_found() {
    let newest: Vec<_> = (0..1100).map(|n| issue(50_000 - n, 0)).collect();
    let upstream = pages(acme(), &format!("{REPO}/issues"), "state=all&per_page=100", &newest)
        .get(&format!("{REPO}/issues/49"), issue(49, 0).to_string());
    let mount = mount(upstream);
    let all = "acme/api/_issues/_all";
    assert_eq!(mount.list(all).unwrap().len(), 1000);
    assert_eq!(mount.requests().len(), 2 + 10);
    let (directory, shown, note) = mount.partials().remove(0);
    assert_eq!((directory.as_str(), shown), ("issue-list/7/all", 1000));
    assert!(note.contains("listing-bound"), "{note}");
    assert_eq!(mount.read(&format!("{all}/49/title")).unwrap(), "Issue 49\n");
    assert_eq!(mount.requests().len(), 1);
}

#[test]
fn pull_requests_among_the_newest_cost_no_further_page() {
    let item = |n: u64| if n.is_multiple_of(2) { issue(n, 0) } else { pull_among_issues(n) };
    let newest: Vec<_> = (0..500).map(|n| item(900 - n)).collect();
    let upstream = acme().setting("listing-bound", "200");
    let path = format!("{REPO}/issues");
    let mount = mount(pages(upstream, &path, "state=open&per_page=100", &newest));
    assert_eq!(mount.list(OPEN).unwrap().len(), 100);
    assert_eq!(mount.requests().len(), 2 + 2);
    assert_eq!(mount.partials().len(), 1);
}

#[test]
fn a_complete_listing_of_all_fills_open_and_closed_and_leaves_out_pull_requests() {
    let items = [issue(5, 0), pull_among_issues(4), closed(3), issue(2, 0)];
    let upstream = pages(acme(), &format!("{REPO}/issues"), "state=all&per_page=100", &items);
    let mount = mount(upstream);
    // A host keeps what is offered for directories that it knows.
    mount.list("acme/api/_issues").unwrap();
    assert_eq!(mount.list("acme/api/_issues/_all").unwrap(), ["2", "3", "5"]);
    assert_eq!(mount.list(OPEN).unwrap(), ["2", "5"]);
    assert_eq!(mount.list("acme/api/_issues/_closed").unwrap(), ["3"]);
    assert_eq!(mount.read("acme/api/_issues/_closed/3/state").unwrap(), "closed\n");
    assert_eq!(mount.requests().len(), 3);
    let id = |path: &str| mount.stat(path).unwrap().id;
    assert_eq!(id("acme/api/_issues/_all/2"), id(&format!("{OPEN}/2")));
}

#[test]
fn what_is_not_an_open_issue_is_not_found_among_them() {
    let upstream = acme()
        .get(&format!("{REPO}/issues/1"), closed(1).to_string())
        .get(&format!("{REPO}/issues/2"), pull_among_issues(2).to_string())
        .answer(&format!("GET {REPO}/issues/3"), 410, &[], "{}")
        // Transferred: the host has followed the redirect.
        .get(&format!("{REPO}/issues/4"), issue(44, 0).to_string())
        .answer(&format!("GET {REPO}/issues/5"), 503, &[], "{}");
    let mount = mount(upstream);
    for name in ["1", "2", "3", "4", "01", "+1", "x", "1.md", "99999999999999999999"] {
        let title = mount.read(&format!("{OPEN}/{name}/title"));
        assert!(matches!(title, Err(Error::NotFound)), "{name}: {title:?}");
    }
    let broken = mount.read(&format!("{OPEN}/5/title"));
    assert!(matches!(broken, Err(Error::Unavailable(_))), "{broken:?}");
    assert_eq!(mount.requests().len(), 2 + 5);
}

#[test]
fn awkward_titles_stay_as_they_are_in_content_and_one_line() {
    let mut odd = issue(1, 0);
    let title = "a/b \u{1b}[31m\u{202e} \u{1f600}\nsecond";
    odd["title"] = json!(title);
    odd["body"] = json!("x".repeat(4096));
    let mount = mount(acme().get(&format!("{REPO}/issues/1"), odd.to_string()));
    let shown = mount.read(&format!("{OPEN}/1/title")).unwrap();
    assert_eq!(shown, format!("{}\n", title.replace('\n', " ")));
    assert_eq!(mount.read(&format!("{OPEN}/1/body")).unwrap().len(), 4096);
    assert!(!mount.read(&format!("{OPEN}/1/issue.md")).unwrap().contains('\u{1b}'));
}

#[test]
fn one_comment_is_found_by_itself_and_only_below_its_issue() {
    let upstream = acme()
        .get(&format!("{REPO}/issues/1"), issue(1, 1).to_string())
        .get(&format!("{REPO}/issues/2"), issue(2, 1).to_string())
        .get(&format!("{REPO}/issues/comments/9"), comment(9, 1, "issues").to_string());
    let mount = mount(upstream);
    let text = mount.read(&format!("{OPEN}/1/comments/9.md")).unwrap();
    assert_eq!(mount.requests().len(), 4);
    assert!(text.contains("author: jun\n") && text.ends_with("\n\nComment 9\n"), "{text}");
    let elsewhere = mount.read(&format!("{OPEN}/2/comments/9.md"));
    assert!(matches!(elsewhere, Err(Error::NotFound)));
}

#[test]
fn where_a_repository_has_too_many_comments_those_of_one_issue_are_asked_for() {
    let far = "<https://api.github.com/x?per_page=100&page=2>; rel=\"next\", \
               <https://api.github.com/x?per_page=100&page=31>; rel=\"last\"";
    let upstream = acme()
        .get(&format!("{REPO}/issues/1"), issue(1, 1).to_string())
        .answer(&format!("GET {REPO}/issues/comments?per_page=100"), 200, &[("link", far)], "[]")
        .get(&format!("{REPO}/issues/1/comments?per_page=100"), list([comment(9, 1, "issues")]));
    let mount = mount(upstream);
    assert_eq!(mount.list(&format!("{OPEN}/1/comments")).unwrap(), ["9.md"]);
    assert_eq!(mount.requests().len(), 5);
}

#[test]
fn the_comments_of_every_pull_request_cost_one_listing_and_the_newest_number() {
    let pulls: Vec<_> = (1..=250).rev().map(|n| pull(2 * n)).collect();
    // 450 comments: two on some pull requests, the rest on issues between them.
    let comments: Vec<_> = (1..=450)
        .map(|n| match n % 3 {
            0 => comment(9000 + n, n / 3 * 2, "pull"),
            _ => comment(9000 + n, n / 3 * 2 + 1, "issues"),
        })
        .collect();
    let upstream = pages(acme(), &format!("{REPO}/pulls"), "state=open&per_page=100", &pulls);
    let upstream = pages(upstream, &format!("{REPO}/issues/comments"), "per_page=100", &comments)
        .get(&format!("{REPO}/issues?state=all&per_page=1"), list([pull_among_issues(500)]))
        // One that was opened since, and that nothing is known of.
        .get(&format!("{REPO}/pulls/501"), pull(501).to_string());
    let mount = mount(upstream);
    let open = "acme/api/_prs/_open";
    let numbers = mount.list(open).unwrap();
    assert_eq!(numbers.len(), 250);
    assert_eq!(mount.requests().len() - 2, 3, "owner and repository aside");
    let listed = |number: &String| mount.list(&format!("{open}/{number}/comments")).unwrap();
    let found: Vec<String> = numbers.iter().flat_map(listed).collect();
    assert_eq!(found.len(), 150);
    assert_eq!(listed(&"2".to_owned()), ["9003.md"]);
    assert_eq!(mount.requests().len(), 5 + 1);
    mount.read(&format!("{open}/501/title")).unwrap();
    mount.requests();
    assert_eq!(listed(&"501".to_owned()), [""; 0]);
    assert_eq!(mount.requests().len(), 5 + 1, "it was asked for, not taken for silent");
}

#[test]
fn a_pull_request_shows_more_than_an_issue_and_asks_for_the_rest_on_demand() {
    let at = format!("{REPO}/pulls/6");
    let mut full = pull(6);
    full["mergeable"] = json!(true);
    full["comments"] = json!(0);
    let upstream = pages(acme(), &format!("{REPO}/pulls"), "state=open&per_page=100", &[pull(6)])
        .get(&format!("{at}/commits?per_page=100"), r#"[{"sha": "c1", "commit": {"message": "Fix\n\nwhy"}}]"#)
        .get(
            &format!("{at}/files?per_page=100"),
            r#"[{"filename": "b", "previous_filename": "a", "status": "renamed"}, {"filename": "c", "status": "modified"}]"#,
        )
        .get(&format!("{at}/reviews?per_page=100"), r#"[{"id": 3, "state": "APPROVED", "body": "", "user": {"login": "jun"}, "submitted_at": "2026-01-02T03:04:05Z"}]"#)
        .get(
            &format!("{REPO}/commits/bb/check-runs?per_page=100"),
            r#"{"check_runs": [{"name": "test", "status": "queued"}, {"name": "build", "status": "completed", "conclusion": "success"}]}"#,
        )
        .get(&format!("{REPO}/issues/comments?per_page=100"), list([comment(9, 4, "issues")]))
        .get(&format!("{REPO}/issues?state=all&per_page=1"), list([issue(8, 0)]));
    let mount = mount(upstream);
    let pulls = "acme/api/_prs/_open";
    assert_eq!(mount.list(pulls).unwrap(), ["6"]);
    let read = |leaf: &str| mount.read(&format!("{pulls}/6/{leaf}")).unwrap();
    for (leaf, text) in [
        ("author", ""),
        ("body", ""),
        ("draft", "true\n"),
        ("merged", "false\n"),
        ("base", "main\n"),
        ("head", "fix/it\n"),
    ] {
        assert_eq!(read(leaf), text, "{leaf}");
    }
    let document: Value = serde_json::from_str(&read("pull.json")).unwrap();
    assert_eq!(document["head"], json!({"ref": "fix/it", "sha": "bb"}));
    assert!(document.get("merge_commit_sha").is_none());
    let as_issue: Value = serde_json::from_str(&read("issue.json")).unwrap();
    assert_eq!((&as_issue["number"], &as_issue["url"]), (&json!(6), &json!("issue-url")));
    assert_eq!(mount.requests().len(), 3, "one listing holds all of these");
    assert_eq!(read("commits"), "c1 Fix\n");
    assert_eq!(read("files"), "R\ta\tb\nM\tc\n");
    assert!(read("reviews/3.md").contains("state: approved\n"));
    assert_eq!(mount.list(&format!("{pulls}/6/comments")).unwrap(), [""; 0]);
    assert_eq!(mount.requests().len(), 5);
    let whole = Recorded::new().get(&at, full.to_string());
    mount.upstream_changes(whole);
    assert_eq!(read("checks"), "success\tbuild\nqueued\ttest\n");
    assert_eq!(mount.requests().len(), 2);
    let before = read("pull.json");
    mount.apply(&invalidated("pull/7/6"));
    assert_eq!(read("pull.json"), before, "its own answer comes to the same bytes");
}

fn invalidated(id: &str) -> omnifs_sdk::Changes {
    omnifs_sdk::Changes(vec![omnifs_sdk::events::Change::Invalidated(id.to_owned())])
}

#[test]
fn a_diff_beyond_githubs_limits_is_too_large() {
    let at = format!("{REPO}/pulls/6");
    let upstream =
        acme().get(&at, pull(6).to_string()).answer(&format!("GET {at}"), 406, &[], "{}");
    let mount = mount(upstream);
    let diff = mount.read("acme/api/_prs/_all/6/diff");
    assert!(matches!(diff, Err(Error::TooLarge)), "{diff:?}");
}

#[test]
fn the_bound_on_comments_holds_where_no_link_says_which_page_is_the_last() {
    let page = |n: u64| list((0..100).map(|k| comment(n * 100 + k, 1, "issues")));
    let mut upstream = acme()
        .setting("comments-bound", "150")
        .get(&format!("{REPO}/issues/1"), issue(1, 1).to_string())
        .get(&format!("{REPO}/issues/1/comments?per_page=100"), list([comment(9, 1, "issues")]));
    for n in 1..=3 {
        let path = format!("{REPO}/issues/comments");
        let next =
            format!("<https://api.github.com{path}?per_page=100&page={}>; rel=\"next\"", n + 1);
        let query = if n == 1 { String::new() } else { format!("&page={n}") };
        let line = format!("GET {path}?per_page=100{query}");
        upstream = upstream.answer(&line, 200, &[("link", &next)], page(n));
    }
    let mount = mount(upstream);
    assert_eq!(mount.list(&format!("{OPEN}/1/comments")).unwrap(), ["9.md"]);
    assert_eq!(mount.requests().len(), 3 + 2 + 1, "two pages of all, one of its own");
}

/// A pull request with so many files and commits, of which GitHub lists these.
fn large(files: &[Value], commits: &[Value], counted: Value) -> Mount<GitHub> {
    let at = format!("{REPO}/pulls/6");
    let mut full = pull(6);
    full["changed_files"] = counted.clone();
    full["commits"] = counted;
    let upstream = acme().get(&at, full.to_string());
    let upstream = pages(upstream, &format!("{at}/files"), "per_page=100", files);
    mount(pages(upstream, &format!("{at}/commits"), "per_page=100", commits))
}

#[test]
fn commits_beyond_those_that_github_lists_are_told_in_a_line() {
    let commit = |n: usize| json!({"sha": format!("c{n}"), "commit": {"message": "x"}});
    let commits = |count| (0..count).map(commit).collect::<Vec<_>>();
    let last = |commits: &[Value], counted: Value| {
        let text = large(&[], commits, counted).read("acme/api/_prs/_all/6/commits").unwrap();
        (text.lines().count(), text.lines().last().unwrap().to_owned())
    };
    let note = |text: &str| (251, text.to_owned());
    assert_eq!(
        last(&commits(250), json!(312)),
        note("? GitHub lists no more than 250 of 312 commits")
    );
    assert_eq!(last(&commits(250), json!(null)), note("? GitHub lists no more than 250 commits"));
    assert_eq!(last(&commits(250), json!(250)), (250, "c249 x".to_owned()));
    let mount = large(&[], &commits(249), json!(249));
    mount.stat("acme/api/_prs/_all/6").unwrap();
    mount.requests();
    mount.read("acme/api/_prs/_all/6/commits").unwrap();
    assert_eq!(mount.requests().len(), 3, "three pages, which are all");
}

#[test]
fn files_beyond_those_that_github_lists_are_told_in_a_line() {
    let file = |n: usize| match n {
        // One that cannot be read is one of them all the same.
        7 => json!({"sha": "f7"}),
        n => json!({"filename": format!("f{n}"), "status": "added"}),
    };
    let files: Vec<_> = (0..3_000).map(file).collect();
    let text = large(&files, &[], json!(4_100)).read("acme/api/_prs/_all/6/files").unwrap();
    assert_eq!(text.lines().count(), 3_001);
    assert!(text.contains("\n? f7 is left out"), "{}", &text[text.len() - 200..]);
    assert!(text.ends_with("\n? GitHub lists no more than 3000 of 4100 files\n"));
}

#[test]
fn what_links_to_an_issue_is_found_by_name_and_asked_at_each_open() {
    let mention = |number: u64, body: &str, repo: u64, pull: Value| {
        json!({"event": "cross-referenced", "source": {"type": "issue", "issue": {
            "number": number, "title": format!("By {number}"), "state": "closed", "body": body,
            "html_url": format!("https://github.com/acme/api/pull/{number}?{repo}"),
            "pull_request": pull, "repository": {"id": repo, "name": "api", "full_name": "acme/api"},
        }}})
    };
    let merged = json!({"merged_at": "2026-01-04T00:00:00Z"});
    let events = [
        json!({"event": "labeled", "label": {"name": "bug"}}),
        json!({"event": "committed", "sha": "c1", "message": "x"}),
        mention(8, "Fixes #1", 7, merged.clone()),
        mention(8, "Fixes #1", 7, merged),
        mention(9, "see #1", 7, json!({"merged_at": null})),
        mention(10, "an issue: fixes #1", 7, Value::Null),
        mention(11, "fixes #1", 8, json!({})),
    ];
    let upstream = acme()
        .get(&format!("{REPO}/issues/1"), issue(1, 0).to_string())
        .get(&format!("{REPO}/issues/1/timeline?per_page=100"), list(events));
    let mount = mount(upstream);
    assert!(!mount.list(&format!("{OPEN}/1")).unwrap().contains(&"linked".to_owned()));
    let linked = mount.read(&format!("{OPEN}/1/linked")).unwrap();
    let rows = [
        "repository\tnumber\tstate\tcloses\ttitle\n",
        "acme/api\t8\tmerged\ttrue\tBy 8\n",
        "acme/api\t9\tclosed\tfalse\tBy 9\n",
        "acme/api\t11\tclosed\tfalse\tBy 11\n",
    ];
    assert_eq!(linked, rows.concat());
    mount.requests();
    mount.read(&format!("{OPEN}/1/linked")).unwrap();
    assert!(mount.requests().iter().any(|line| line.contains("/timeline")));
    let absent = mount.stat(&format!("{OPEN}/1/nothing")).map(|node| node.id);
    assert!(matches!(absent, Err(Error::NotFound)), "{absent:?}");
    assert_eq!(mount.requests(), [""; 0]);
}
