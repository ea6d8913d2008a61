//! Tables and directories of links, and that they cost nothing beyond their listing.

use super::*;
use omnifs_sdk::{Delivery, Error};

const ISSUES: &str = "acme/api/_issues";

fn with(mut item: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        item[name] = value.clone();
    }
    item
}

/// Three open issues and a closed one.
fn four() -> [Value; 4] {
    [
        with(issue(9, 0), json!({"labels": [{"name": "area/auth"}], "assignees": []})),
        issue(7, 0),
        with(closed(5), json!({"title": "a\tb\nc"})),
        with(issue(2, 0), json!({"user": null, "milestone": null, "labels": []})),
    ]
}

fn open(upstream: Recorded, items: &[Value]) -> Recorded {
    pages(upstream, &format!("{REPO}/issues"), "state=open&per_page=100", items)
}

fn all(upstream: Recorded, items: &[Value]) -> Recorded {
    pages(upstream, &format!("{REPO}/issues"), "state=all&per_page=100", items)
}

/// Those of [`four`] that are open.
fn three() -> Recorded {
    let [a, b, _, c] = four();
    open(acme(), &[a, b, c])
}

const HEAD: &str = "number\tstate\tupdated\tauthor\tassignees\tlabels\ttitle\n";

#[test]
fn a_table_of_all_issues_is_exact_and_its_listing_and_the_other_tables_come_along() {
    let mount = mount(all(acme(), &four()));
    mount.list(ISSUES).unwrap();
    mount.requests();
    let table = mount.read(&format!("{ISSUES}/_all.tsv")).unwrap();
    let rows = [
        "9\topen\t2026-01-03T00:00:00Z\tmira\t\tarea/auth\tIssue 9\n",
        "7\topen\t2026-01-03T00:00:00Z\tmira\tjun,lars\tbug,auth\tIssue 7\n",
        "5\tclosed\t2026-01-03T00:00:00Z\tmira\tjun,lars\tbug,auth\ta\\tb\\nc\n",
        "2\topen\t2026-01-03T00:00:00Z\t\tjun,lars\t\tIssue 2\n",
    ];
    assert_eq!(table, HEAD.to_owned() + &rows.concat());
    assert_eq!(mount.requests(), [format!("GET {REPO}/issues?state=all&per_page=100")]);

    let closed = mount.read(&format!("{ISSUES}/_closed.tsv")).unwrap();
    assert_eq!(closed, HEAD.to_owned() + rows[2]);
    let lines = mount.read(&format!("{ISSUES}/_open.jsonl")).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1]["labels"], json!(["bug", "auth"]));
    assert_eq!(rows[2]["author"], Value::Null);
    assert_eq!(mount.list(&format!("{ISSUES}/_open")).unwrap(), ["2", "7", "9"]);
    assert_eq!(mount.read(&format!("{ISSUES}/_all/5/title")).unwrap(), "a\tb c\n");
    let size = mount.stat(&format!("{ISSUES}/_open.tsv")).unwrap().size;
    assert!(size.is_some_and(|size| size > HEAD.len() as u64));
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn whoever_has_listed_the_open_ones_pays_for_no_view_of_them() {
    let mount = mount(three());
    mount.list(&format!("{ISSUES}/_open")).unwrap();
    mount.requests();
    let list = |path: &str| mount.list(&format!("{ISSUES}/{path}")).unwrap();
    assert_eq!(list("_by-label"), ["area%2Fauth", "auth", "bug"]);
    assert_eq!(list("_by-label/area%2Fauth"), ["9"]);
    assert_eq!(list("_by-label/bug"), ["7"]);
    assert_eq!(list("_by-assignee"), ["jun", "lars"]);
    assert_eq!(list("_by-assignee/lars"), ["2", "7"]);
    assert_eq!(list("_by-author/mira"), ["7", "9"]);
    assert_eq!(list("_by-milestone/1.0"), ["7", "9"]);
    assert_eq!(mount.read(&format!("{ISSUES}/_by-label/bug/7")).unwrap(), "../../7");
    assert_eq!(mount.read(&format!("{ISSUES}/7/title")).unwrap(), "Issue 7\n");
    let id = |path: &str| mount.stat(&format!("{ISSUES}/{path}")).unwrap().id;
    assert_eq!(id("7"), id("_open/7"));
    let absent = mount.list(&format!("{ISSUES}/_by-label/none"));
    assert!(matches!(absent, Err(Error::NotFound)), "{absent:?}");
    mount.read(&format!("{ISSUES}/_open.tsv")).unwrap();
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_view_that_is_asked_for_first_costs_its_listing_and_brings_it_along() {
    for (first, names) in [
        ("_by-label", &["area%2Fauth", "auth", "bug"][..]),
        ("_by-assignee/jun", &["2", "7"]),
        ("_by-milestone/1.0", &["7", "9"]),
    ] {
        let mount = mount(three());
        mount.list(ISSUES).unwrap();
        mount.requests();
        assert_eq!(mount.list(&format!("{ISSUES}/{first}")).unwrap(), names, "{first}");
        let asked = mount.requests();
        assert_eq!(asked, [format!("GET {REPO}/issues?state=open&per_page=100")], "{first}");
        assert_eq!(mount.list(&format!("{ISSUES}/_open")).unwrap(), ["2", "7", "9"]);
        mount.read(&format!("{ISSUES}/_open/9/labels")).unwrap();
        mount.read(&format!("{ISSUES}/_open.jsonl")).unwrap();
        assert_eq!(mount.requests(), [""; 0], "{first}");
    }
}

#[test]
fn what_changes_an_issue_ends_each_view_of_it() {
    let mount = mount(three());
    let table = format!("{ISSUES}/_open.tsv");
    assert!(mount.read(&table).unwrap().contains("\tIssue 7\n"));
    assert_eq!(mount.list(&format!("{ISSUES}/_by-label/bug")).unwrap(), ["7"]);
    let [a, b, _, c] = four();
    let b = with(b, json!({"title": "New", "labels": [{"name": "done"}]}));
    mount.upstream_changes(open(Recorded::new(), &[a, b, c]));
    let delivery = json!({
        "action": "labeled", "issue": {"number": 7}, "repository": {"id": 7},
    });
    let headers = [("x-github-event", "issues")];
    mount.deliver(&Delivery::new("webhooks", &headers, delivery.to_string())).unwrap();
    mount.requests();
    assert!(mount.read(&table).unwrap().contains("\tdone\tNew\n"));
    assert_eq!(mount.list(&format!("{ISSUES}/_by-label")).unwrap(), ["area%2Fauth", "done"]);
    assert_eq!(mount.list(&format!("{ISSUES}/_by-label/done")).unwrap(), ["7"]);
    assert_eq!(mount.requests().len(), 1);
}

#[test]
fn a_number_leads_to_its_issue_and_nothing_else_is_asked_for() {
    let upstream = acme().get(&format!("{REPO}/issues/5"), closed(5).to_string());
    let mount = mount(upstream);
    assert_eq!(mount.read(&format!("{ISSUES}/5/state")).unwrap(), "closed\n");
    assert_eq!(mount.requests().len(), 3);
    assert_eq!(mount.read(&format!("{ISSUES}/_closed/5/title")).unwrap(), "Issue 5\n");
    for name in [".git", "05", "+5", "_none", "README.md"] {
        let absent = mount.stat(&format!("{ISSUES}/{name}")).map(|node| node.id);
        assert!(matches!(absent, Err(Error::NotFound)), "{name}: {absent:?}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn what_is_made_of_a_listing_that_stops_short_says_so() {
    let newest: Vec<_> = (0..300).map(|n| issue(900 - n, 0)).collect();
    let mount = mount(open(acme().setting("listing-bound", "100"), &newest));
    let table = mount.read(&format!("{ISSUES}/_open.tsv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 100 + 1);
    let last = table.lines().last().unwrap();
    assert!(last.starts_with("?\t\t\t\t\t\t") && last.contains("listing-bound"), "{last}");
    assert_eq!(mount.list(&format!("{ISSUES}/_by-label/bug")).unwrap().len(), 100);
    let (directory, shown, note) = mount.partials().pop().unwrap();
    assert_eq!((directory.as_str(), shown), ("with/7/issues/label/bug", 100));
    assert!(note.contains("listing-bound"), "{note}");
    // Nobody knows whether one of the others has it.
    let unknown = mount.list(&format!("{ISSUES}/_by-label/none"));
    assert!(matches!(unknown, Err(Error::Invalid(_))), "{unknown:?}");
}

#[test]
fn a_label_too_long_for_an_id_is_left_out_of_its_view_alone() {
    let long = "/".repeat(300);
    let odd = with(issue(1, 0), json!({"labels": [{"name": long}, {"name": ".."}, {"name": ""}]}));
    let mount = mount(open(acme(), &[odd]));
    assert_eq!(mount.list(&format!("{ISSUES}/_by-label")).unwrap(), ["%", "%2E%2E"]);
    assert_eq!(mount.list(&format!("{ISSUES}/_by-label/%2E%2E")).unwrap(), ["1"]);
    assert!(mount.partials().iter().any(|(_, _, note)| note.contains("255 bytes")));
    assert!(mount.read(&format!("{ISSUES}/_open.tsv")).unwrap().contains(&long));
}

#[test]
fn the_newest_changes_come_with_what_they_lead_to() {
    let query = "state=all&sort=updated&direction=desc&per_page=100";
    let items = [issue(7, 0), closed(5), pull_among_issues(4)];
    let upstream = acme().get(&format!("{REPO}/issues?{query}"), list(items));
    let mount = mount(upstream);
    mount.list(ISSUES).unwrap();
    let recent = format!("{ISSUES}/_recent");
    assert_eq!(mount.list(&recent).unwrap(), ["5", "7"]);
    assert_eq!(mount.read(&format!("{recent}/5")).unwrap(), "../5");
    assert!(mount.stat(&format!("{recent}/5")).unwrap().modified.is_some());
    assert_eq!(mount.read(&format!("{ISSUES}/5/state")).unwrap(), "closed\n");
    assert_eq!(mount.requests().len(), 3);
}

#[test]
fn what_is_mine_costs_the_user_and_a_page() {
    let upstream = acme()
        .get("/user", r#"{"login": "jun"}"#)
        .get(&format!("{REPO}/issues?state=open&assignee=jun&per_page=100"), list([issue(7, 0)]))
        .get(
            &format!("{REPO}/issues?state=open&creator=jun&per_page=100"),
            list([pull_among_issues(4), issue(3, 0)]),
        );
    let mount = mount(upstream);
    assert_eq!(mount.list(&format!("{ISSUES}/_mine")).unwrap(), ["7"]);
    assert_eq!(mount.read(&format!("{ISSUES}/7/title")).unwrap(), "Issue 7\n");
    assert_eq!(mount.list("acme/api/_prs/_mine").unwrap(), ["4"]);
    assert_eq!(mount.read("acme/api/_prs/_mine/4").unwrap(), "../4");
}

#[test]
fn a_token_of_nobody_has_nothing_that_is_mine_and_no_error() {
    let upstream =
        acme().answer("GET /user", 403, &[], r#"{"message": "Resource not accessible"}"#);
    let mount = mount(upstream);
    assert_eq!(mount.list(&format!("{ISSUES}/_mine")).unwrap(), [""; 0]);
    assert_eq!(mount.partials().len(), 1);
}

#[test]
fn a_pull_request_says_what_it_closes() {
    let first = with(pull(8), json!({"body": "Fixes #7, see #6", "user": {"login": "jun"}}));
    let path = format!("{REPO}/pulls");
    let upstream = pages(acme(), &path, "state=open&per_page=100", &[first, pull(3)]);
    let mount = mount(upstream);
    let table = mount.read("acme/api/_prs/_open.tsv").unwrap();
    let row = "8\topen\ttrue\tfalse\t2026-01-03T00:00:00Z\tjun\t\t\tmain\tfix/it\t7\tPull 8\n";
    assert!(table.contains(row), "{table}");
    let head = table.lines().next().unwrap();
    assert!(head.ends_with("base\thead\tcloses\ttitle"), "{head}");
    mount.requests();
    assert_eq!(mount.read("acme/api/_prs/_open/8/closes").unwrap(), "7\n");
    assert_eq!(mount.read("acme/api/_prs/_open/3/closes").unwrap(), "");
    assert_eq!(mount.list("acme/api/_prs/_by-author/jun").unwrap(), ["8"]);
    assert_eq!(mount.requests(), [""; 0]);
}

const SEARCH: &str =
    "/search/issues?q=repo%3Aacme%2Fapi%20is%3Aissue%20auth%20is%3Aopen&per_page=100";

fn hit(number: u64, repository: &str) -> Value {
    let url = format!("https://api.github.com/repos/{repository}");
    with(issue(number, 0), json!({"repository_url": url, "score": 1.5}))
}

#[test]
fn a_query_is_a_directory_of_links_and_a_table_and_is_listed_nowhere() {
    let items = [hit(7, "Acme/api"), hit(8, "acme/other-api"), hit(9, "other/api")];
    let body = json!({"total_count": 3, "incomplete_results": false, "items": items});
    let mount = mount(acme().get(SEARCH, body.to_string()));
    let search = format!("{ISSUES}/_search");
    assert_eq!(mount.list(&search).unwrap(), [""; 0]);
    mount.requests();
    let query = format!("{search}/auth is:open");
    assert_eq!(mount.list(&query).unwrap(), ["7", "results.jsonl", "results.tsv"]);
    let asked = [format!("GET {REPO}"), format!("GET {SEARCH}")];
    assert_eq!(mount.requests(), asked);
    assert_eq!(mount.read(&format!("{query}/7")).unwrap(), "../../7");
    let table = mount.read(&format!("{query}/results.tsv")).unwrap();
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.ends_with("\tIssue 7\n"), "{table}");
    let absent = mount.stat(&format!("{query}/8")).map(|node| node.id);
    assert!(matches!(absent, Err(Error::NotFound)), "{absent:?}");
    mount.requests();
    for name in [".git", ".DS_Store", " "] {
        let absent = mount.stat(&format!("{search}/{name}")).map(|node| node.id);
        assert!(matches!(absent, Err(Error::NotFound)), "{name}: {absent:?}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_search_that_is_refused_or_finds_more_says_so() {
    let body = json!({"total_count": 300, "items": [hit(7, "acme/api")]});
    let bad = "/search/issues?q=repo%3Aacme%2Fapi%20is%3Aissue%20bad%3A&per_page=100";
    let upstream = acme().get(SEARCH, body.to_string()).answer(
        &format!("GET {bad}"),
        422,
        &[],
        r#"{"message": "Validation Failed"}"#,
    );
    let mount = mount(upstream);
    let table = mount.read(&format!("{ISSUES}/_search/auth is:open/results.tsv")).unwrap();
    assert!(table.lines().last().unwrap().starts_with("?\t"), "{table}");
    let refused = mount.list(&format!("{ISSUES}/_search/bad:"));
    assert!(refused.as_ref().is_err_and(|error| !matches!(error, Error::NotFound)), "{refused:?}");
}

fn repository(id: u64, name: &str) -> Value {
    json!({"id": id, "name": name.rsplit('/').next(), "full_name": name})
}

fn file(path: &str, repository: Value) -> Value {
    json!({"path": path, "sha": "b0b", "html_url": "u", "repository": repository})
}

#[test]
fn code_and_commits_are_searched_in_their_repository_and_lead_into_it() {
    let repo: u64 = REPO.rsplit('/').next().unwrap().parse().unwrap();
    let here = || repository(repo, "acme/api");
    let code = "/search/code?q=repo%3Aacme%2Fapi%20refresh&per_page=100";
    let files = [
        file("src/a%20b.rs", here()),
        file(".gitignore", here()),
        file("results.tsv", here()),
        file("x", repository(repo + 1, "other/x")),
    ];
    let commits = "/search/commits?q=repo%3Aacme%2Fapi%20refresh&per_page=100";
    let said = json!({"message": "Refresh it\n\nbody", "author": {"name": "Jun", "date": "2026-01-02T00:00:00Z"}});
    let commit = json!({"sha": "c0ffee0000000000000000000000000000000000", "commit": said, "author": null, "html_url": "u", "repository": here()});
    let answer = |items: Value| json!({"total_count": 1, "items": items}).to_string();
    let upstream = acme().get(code, answer(json!(files))).get(commits, answer(json!([commit])));
    let mount = mount(upstream);
    assert_eq!(mount.list("acme/api/_search").unwrap(), ["code", "commits"]);
    assert_eq!(mount.list("acme/api/_search/code").unwrap(), [""; 0]);
    let query = "acme/api/_search/code/refresh";
    let names = mount.list(query).unwrap();
    assert_eq!(names, ["results.jsonl", "results.tsv", "src%2Fa%2520b.rs"]);
    let target = mount.read(&format!("{query}/src%2Fa%2520b.rs")).unwrap();
    assert_eq!(target, "../../../_repo/src/a%2520b.rs");
    let table = mount.read(&format!("{query}/results.tsv")).unwrap();
    assert_eq!(
        table,
        "path\tsha\turl\nsrc/a%20b.rs\tb0b\tu\n.gitignore\tb0b\tu\nresults.tsv\tb0b\tu\n"
    );
    mount.requests();
    assert!(mount.stat(&format!("{query}/.gitignore")).is_err());
    assert_eq!(mount.requests(), [""; 0]);

    let query = "acme/api/_search/commits/refresh";
    mount.requests();
    for name in ["HEAD", "AGENTS.md"] {
        assert!(mount.stat(&format!("{query}/{name}")).is_err());
    }
    assert_eq!(mount.requests(), [""; 0]);
    assert_eq!(
        mount.read(&format!("{query}/c0ffee0000000000000000000000000000000000")).unwrap(),
        "../../../_tree/c0ffee0000000000000000000000000000000000"
    );
    let table = mount.read(&format!("{query}/results.tsv")).unwrap();
    assert!(
        table.ends_with(
            "\nc0ffee0000000000000000000000000000000000\t2026-01-02T00:00:00Z\tJun\tRefresh it\tu\n"
        ),
        "{table}"
    );
}

#[test]
fn repositories_are_searched_beside_the_accounts() {
    let asked = "/search/repositories?q=topic%3Afuse&per_page=100";
    let mut found = repository(5, "acme/files");
    found["stargazers_count"] = json!(3);
    found["description"] = json!("Files\tof all");
    let answer = json!({"total_count": 1, "items": [found]});
    let mount = mount(acme().get(asked, answer.to_string()));
    assert_eq!(mount.list("_search").unwrap(), ["repositories"]);
    assert_eq!(mount.requests(), [""; 0]);
    let query = "_search/repositories/topic:fuse";
    assert_eq!(mount.read(&format!("{query}/acme%2Ffiles")).unwrap(), "../../../acme/files");
    let table = mount.read(&format!("{query}/results.tsv")).unwrap();
    assert!(table.contains("\nacme/files\t3\t\tfalse\tFiles"), "{table}");
}
