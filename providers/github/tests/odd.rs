//! Lists of a hundred items of which one is odd in one of its fields: the others are shown, and the odd one
//! is shown too, or named. The items are GitHub's own examples, and the fields those that they have.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use omnifs_github::GitHub;
use omnifs_sdk::testing::{Mount, Recorded, odd};
use serde_json::{Value, json};

const REPO: &str = "/repositories/7";

/// A listing of the provider.
struct List {
    /// The operation's path in the description, whose example has the item.
    operation: &'static str,
    /// Where the answer wraps its items.
    member: Option<&'static str>,
    directory: &'static str,
    request: String,
    /// Makes the example's item the `n`th of a list.
    number: fn(&mut Value, u64),
    /// The name under which that one is shown.
    name: fn(u64) -> String,
}

fn id(item: &mut Value, n: u64) {
    item["id"] = json!(1_000 + n);
}

fn by_id(n: u64) -> String {
    (1_000 + n).to_string()
}

fn lists() -> Vec<List> {
    let of = |path: &str| format!("{REPO}/{path}");
    let numbered = |item: &mut Value, n: u64| item["number"] = json!(1_000 + n);
    let named = |item: &mut Value, n: u64| item["name"] = json!(format!("name-{n}"));
    let name = |n: u64| format!("name-{n}");
    vec![
        List {
            operation: "/repos/{owner}/{repo}/issues",
            member: None,
            directory: "acme/api/_issues/_all",
            request: of("issues?state=all&per_page=100"),
            number: numbered,
            name: by_id,
        },
        List {
            operation: "/repos/{owner}/{repo}/pulls",
            member: None,
            directory: "acme/api/_prs/_all",
            request: of("pulls?state=all&per_page=100"),
            number: numbered,
            name: by_id,
        },
        List {
            operation: "/repos/{owner}/{repo}/issues/comments",
            member: None,
            directory: "acme/api/_issues/_all/1/comments",
            request: of("issues/comments?per_page=100"),
            number: |item, n| {
                id(item, n);
                item["issue_url"] = json!("https://api.github.com/repos/acme/api/issues/1");
                item["html_url"] = json!(format!("https://github.com/acme/api/issues/1#{n}"));
            },
            name: |n| format!("{}.md", by_id(n)),
        },
        List {
            operation: "/repos/{owner}/{repo}/pulls/{pull_number}/reviews",
            member: None,
            directory: "acme/api/_prs/_all/2/reviews",
            request: of("pulls/2/reviews?per_page=100"),
            number: id,
            name: |n| format!("{}.md", by_id(n)),
        },
        List {
            operation: "/repos/{owner}/{repo}/actions/runs",
            member: Some("workflow_runs"),
            directory: "acme/api/_actions/runs",
            request: of("actions/runs?per_page=100"),
            number: id,
            name: by_id,
        },
        List {
            operation: "/repos/{owner}/{repo}/actions/workflows",
            member: Some("workflows"),
            directory: "acme/api/_actions/workflows",
            request: of("actions/workflows?per_page=100"),
            number: |item, n| {
                id(item, n);
                item["name"] = json!(format!("name-{n}"));
            },
            name,
        },
        List {
            operation: "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs",
            member: Some("jobs"),
            directory: "acme/api/_actions/runs/9/jobs",
            request: of("actions/runs/9/jobs?per_page=100"),
            number: |item, n| {
                id(item, n);
                item["name"] = json!(format!("name-{n}"));
            },
            name,
        },
        List {
            operation: "/repos/{owner}/{repo}/releases",
            member: None,
            directory: "acme/api/_releases",
            request: of("releases?per_page=100"),
            number: |item, n| {
                id(item, n);
                item["tag_name"] = json!(format!("name-{n}"));
            },
            name,
        },
        List {
            operation: "/repos/{owner}/{repo}/branches",
            member: None,
            directory: "acme/api/_branches",
            request: of("branches?per_page=100"),
            number: named,
            name,
        },
        List {
            operation: "/repos/{owner}/{repo}/tags",
            member: None,
            directory: "acme/api/_tags",
            request: of("tags?per_page=100"),
            number: named,
            name,
        },
        List {
            operation: "/repos/{owner}/{repo}/git/trees/{tree_sha}",
            member: Some("tree"),
            directory: "acme/api/_tree/main",
            request: of("git/trees/main?recursive=1"),
            number: |item, n| item["path"] = json!(format!("name-{n}")),
            name,
        },
        List {
            operation: "/orgs/{org}/repos",
            member: None,
            directory: "acme",
            request: "/orgs/acme/repos?sort=pushed&per_page=100".to_owned(),
            number: |item, n| {
                id(item, n);
                item["name"] = json!(format!("name-{n}"));
            },
            name,
        },
        List {
            operation: "/user/orgs",
            member: None,
            directory: "",
            request: "/user/orgs?per_page=100".to_owned(),
            number: |item, n| {
                id(item, n);
                item["login"] = json!(format!("name-{n}"));
            },
            name,
        },
    ]
}

/// The item of GitHub's example, with what its fields hold made short.
fn example(description: &omnifs_descriptions::OpenApi, list: &List) -> Value {
    let operation = &description.document()["paths"][list.operation]["get"];
    let answer = description.follow(&operation["responses"]["200"]);
    let examples = answer["content"]["application/json"]["examples"].as_object().unwrap();
    let example = description.follow(examples.values().next().unwrap());
    let items = list.member.map_or(&example["value"], |member| &example["value"][member]);
    items[0].clone()
}

fn upstream(description: &omnifs_descriptions::OpenApi) -> Recorded {
    let one = |path: &str, key: &str, n: u64| {
        let list = lists().into_iter().find(|list| list.operation == path).unwrap();
        let mut item = example(description, &list);
        item[key] = json!(n);
        item["comments"] = json!(1);
        item.as_object_mut().unwrap().remove("pull_request");
        item.to_string()
    };
    let repository = json!({"id": 7, "name": "api", "owner": {"login": "acme"}});
    Recorded::new()
        .get("/user", r#"{"login": "mira", "type": "User"}"#)
        .get("/users/acme/repos?sort=pushed&per_page=30", "[]")
        .get("/users/acme", r#"{"login": "acme", "type": "Organization"}"#)
        .get("/repos/acme/api", repository.to_string())
        .get(&format!("{REPO}/issues/1"), one("/repos/{owner}/{repo}/issues", "number", 1))
        .get(&format!("{REPO}/pulls/2"), one("/repos/{owner}/{repo}/pulls", "number", 2))
        .get(&format!("{REPO}/actions/runs/9"), one("/repos/{owner}/{repo}/actions/runs", "id", 9))
}

/// Lists with the odd item in the middle of `good` others.
fn check(base: &Recorded, list: &List, good: &[String], what: &str, odd: &str) {
    let place = good.len() / 2;
    let items: Vec<&str> = good[..place]
        .iter()
        .map(String::as_str)
        .chain([odd])
        .chain(good[place..].iter().map(String::as_str))
        .collect();
    let items = format!("[{}]", items.join(","));
    let body = match list.member {
        Some(member) => format!(r#"{{"total_count": {}, "{member}": {items}}}"#, good.len() + 1),
        None => items,
    };
    // The only page.
    let only = [("link", "<https://api.github.com/x?page=1>; rel=\"first\"")];
    let request = format!("GET {}", list.request);
    let mount = Mount::<GitHub>::new(base.clone().answer(&request, 200, &only, body));
    let what = format!("{}: {what}", list.directory);
    let names = mount.list(list.directory).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    for n in 0..good.len() as u64 {
        assert!(names.contains(&(list.name)(n)), "{what}: {n} is missing");
    }
    let own = (list.name)(99);
    let shown = names.len() > good.len() + usize::from(list.directory.is_empty());
    let named = mount.partials().iter().any(|(_, _, note)| {
        // By its number, its place, or its name.
        let plain = own.trim_end_matches(".md");
        note.contains(plain)
            || note.contains(&format!("item {}", place + 1))
            || note.contains(" is left out (")
    });
    // An issue that says that it is a pull request is none, and a draft is not listed.
    let elsewhere = what.contains("/pull_request is") || what.contains("/draft is");
    let elsewhere = elsewhere || what.contains("/assets") || what.contains("issue_url is");
    assert!(shown || named || elsewhere, "{what}: neither shown nor named: {names:?}");
}

#[test]
fn of_a_hundred_items_one_may_be_odd_in_any_field_and_the_others_are_shown() {
    let Some(description) = omnifs_descriptions::github() else { return };
    let base = upstream(description);
    for list in lists() {
        let mut template = example(description, &list);
        template.as_object_mut().unwrap().remove("pull_request");
        let item = |n: u64| {
            let mut item = template.clone();
            (list.number)(&mut item, n);
            item
        };
        // The others without what makes an item long.
        let short = |n: u64| {
            let mut item = item(n);
            for place in ["/base", "/head", ""] {
                let part = item.pointer_mut(place).and_then(Value::as_object_mut);
                let Some(part) = part else { continue };
                for name in ["repo", "repository", "head_repository", "_links"] {
                    part.remove(name);
                }
            }
            item.to_string()
        };
        let mut checked = 0;
        // Each field of the item's own among a hundred, every kind of oddity in every field among a few,
        // which is all the same to what is decoded item by item.
        let hundred: Vec<String> = (0..99).map(short).collect();
        // A repository within an item is read by nobody.
        let deep = |what: &str| what.contains("/repo/") || what.contains("repository/");
        for (what, text) in odd(&item(99)).into_iter().filter(|(what, _)| !deep(what)) {
            let own_field = what.matches('/').count() == 1;
            let among = own_field && (what.ends_with("missing") || what.ends_with("null"));
            check(&base, &list, if among { &hundred } else { &hundred[..3] }, &what, &text);
            checked += 1;
        }
        assert!(checked > 8, "{}: only {checked} fields", list.directory);
        println!("{}: {checked} odd items", list.directory);
    }
}
