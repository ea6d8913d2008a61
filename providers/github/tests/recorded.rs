//! The provider over what GitHub itself answered: the traffic recorded in `@octokit/fixtures`.
//!
//! Of the 71 exchanges in 22 scenarios, 32 are `GET`. The answers to 21 of those are what is served here. The
//! other 11 ask for what this provider never does (collaborators, invitations, statuses, an archive, project
//! cards, the root of the API, an asset's description by itself). 39 exchanges write (`POST`, `PATCH`, `PUT`, `DELETE`), which it never does;
//! from a few of them comes what GitHub held afterwards: an asset's content, a label's later name, an issue's
//! labels. No 304 was recorded: a provider asks without conditions, and the host revalidates.
//!
//! A request is answered by its path and page, whatever else its query says; one by the id of the
//! repository as one by its name. What was recorded in another form than the one asked for (refs, a
//! directory's contents, the items of a search) is put into that form by `also`, in the test that needs it.
//! Everything else is answered by the 404 that was recorded.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use omnifs_descriptions as check;
use omnifs_sdk::events::Change;
use omnifs_sdk::{Error, Position, time};
use serde_json::{Value, json};
use support::replay::{BY_ID, OWNER, Replay, gets, replay};

/// The scenarios with `GET` of which none is served.
const ELSEWHERE: [&str; 5] = [
    "add-and-remove-repository-collaborator",
    "create-status",
    "get-archive",
    "get-root",
    "project-cards",
];

fn without(value: &Value, members: &[&str]) -> Value {
    let mut value = value.clone();
    members.iter().for_each(|member| drop(value.as_object_mut().unwrap().remove(*member)));
    value
}

/// Every leaf of an issue is the recorded value.
#[track_caller]
fn assert_issue(replay: &Replay, at: &str, issue: &Value) {
    let read = |leaf: &str| replay.mount.read(&format!("{at}/{leaf}")).unwrap();
    let line = |value: &Value| value.as_str().map_or_else(String::new, |v| format!("{v}\n"));
    let lines = |list: &Value, member: &str| -> String {
        list.as_array().unwrap().iter().map(|one| line(&one[member])).collect()
    };
    for (leaf, value) in [
        ("title", &issue["title"]),
        ("state", &issue["state"]),
        ("author", &issue["user"]["login"]),
        ("milestone", &issue["milestone"]["title"]),
        ("created", &issue["created_at"]),
        ("updated", &issue["updated_at"]),
        ("closed", &issue["closed_at"]),
        ("url", &issue["html_url"]),
    ] {
        assert_eq!(read(leaf), line(value), "{at}/{leaf}");
    }
    let body = issue["body"].as_str().unwrap_or_default();
    assert_eq!(read("body"), body);
    assert_eq!(read("labels"), lines(&issue["labels"], "name"));
    assert_eq!(read("assignees"), lines(&issue["assignees"], "login"));
    assert!(read("issue.md").ends_with(&format!("---\n\n{body}")));
    assert_eq!(
        replay.json(&format!("{at}/issue.json")),
        without(issue, &["reactions", "closed_by"])
    );
}

#[test]
fn a_repository_is_shown_as_it_was_recorded_but_for_its_token() {
    let Some(replay) = replay("get-repository") else { return };
    let recorded = replay.recorded("get", "/hello-world");
    assert_eq!(replay.json(&replay.at("/repo.json")), without(recorded, &["temp_clone_token"]));
    assert_eq!(replay.mount.stat(OWNER).unwrap().id, format!("org/{OWNER}"));
    let node = replay.mount.stat(&replay.at("")).unwrap();
    let created = time::rfc3339_ms(recorded["created_at"].as_str().unwrap());
    assert_eq!((node.id.as_str(), node.modified), ("repo/1000", created));
    let asked = replay.mount.requests();
    assert!(asked[0].starts_with(&format!("GET /users/{OWNER}/repos?")), "{asked:?}");
    assert_eq!(
        asked[1..],
        [format!("GET /users/{OWNER}"), format!("GET /repos/{OWNER}/hello-world")]
    );
    replay.assert_whole();
}

#[test]
fn a_recorded_redirect_leads_a_former_name_to_the_repository() {
    let Some(replay) = replay("rename-repository") else { return };
    let former = format!("{OWNER}/rename-repository");
    assert_eq!(replay.exchange("get", "/rename-repository")["status"], 301);
    let recorded = replay.recorded("get", BY_ID);
    assert_eq!(replay.at(""), recorded["full_name"].as_str().unwrap());
    for name in [&former, &replay.at("")] {
        assert_eq!(replay.mount.stat(name).unwrap().id, "repo/1000", "{name}");
        let shown = replay.json(&format!("{name}/repo.json"));
        assert_eq!(shown, without(recorded, &["temp_clone_token"]));
    }
    assert_eq!(replay.mount.requests().len(), 4, "the account, and the repository by each name");
    let missing = replay.mount.stat(&format!("{OWNER}/never-there"));
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
    replay.assert_whole();
}

#[test]
fn issues_on_five_recorded_pages_are_listed_whole_with_every_field() {
    let Some(replay) = replay("paginate-issues") else { return };
    let pages = replay.exchanges.iter().map(|page| page["response"].as_array().unwrap());
    let recorded: Vec<&Value> = pages.flatten().collect();
    assert_eq!((replay.exchanges.len(), recorded.len()), (5, 13));
    let mut numbers: Vec<_> = recorded.iter().map(|issue| issue["number"].to_string()).collect();
    numbers.sort();
    assert_eq!(replay.mount.list(&replay.at("/_issues/_all")).unwrap(), numbers);
    let asked = replay.mount.requests();
    assert_eq!(asked.iter().filter(|line| line.contains("/issues?")).count(), 5, "{asked:#?}");
    for issue in recorded {
        assert_issue(&replay, &replay.at(&format!("/_issues/_all/{}", issue["number"])), issue);
    }
    assert_eq!(replay.mount.list(&replay.at("/_issues/_open")).unwrap(), numbers);
    assert_eq!(replay.mount.list(&replay.at("/_issues/_closed")).unwrap(), [""; 0]);
    assert_eq!(replay.mount.requests(), [""; 0], "all of it came with the listing");
    replay.assert_whole();
}

#[test]
fn issues_that_a_search_found_are_shown_one_by_one() {
    let Some(replay) = replay("search-issues") else { return };
    let found = &replay.recorded("get", "/search/issues")["items"];
    for issue in found.as_array().unwrap() {
        let number = &issue["number"];
        replay.also(&format!("issues/{number}"), issue);
        assert!(!issue["body"].as_str().unwrap().is_empty());
        assert_issue(&replay, &replay.at(&format!("/_issues/_open/{number}")), issue);
        let closed = replay.mount.stat(&replay.at(&format!("/_issues/_closed/{number}")));
        assert!(matches!(closed, Err(Error::NotFound)), "{closed:?}");
    }
    let missing = replay.mount.stat(&replay.at("/_issues/_open/3"));
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
    replay.assert_whole();
}

#[test]
fn the_labels_that_an_issue_was_given_are_its_lines() {
    let Some(replay) = replay("add-labels-to-issue") else { return };
    let mut issue = replay.recorded("post", "/issues").clone();
    issue["labels"] = replay.recorded("post", "/issues/1/labels").clone();
    assert!(issue["labels"].as_array().unwrap().len() > 1);
    replay.also("issues/1", &issue);
    assert_issue(&replay, &replay.at("/_issues/_open/1"), &issue);
    replay.assert_whole();
}

#[test]
fn a_label_that_was_renamed_is_a_gap_once_and_one_that_was_made_is_none() {
    let Some(replay) = replay("labels") else { return };
    let with = |label: &Value| {
        let mut labels = replay.recorded("get", "/labels").clone();
        labels.as_array_mut().unwrap().push(label.clone());
        labels
    };
    // The repository had no issues.
    for nothing in ["issues", "issues/comments", "issues/events", "milestones"] {
        replay.also(nothing, &json!([]));
    }
    let mut cursor = None;
    // Labels are asked for at each third poll.
    let mut gaps = |rounds: usize| {
        let mut poll = || {
            let (feed, scope) = ("issues".to_owned(), "issues:1000".to_owned());
            let position = Position { feed, scope, cursor: cursor.take(), since: 0 };
            let progress = replay.mount.poll(&position).unwrap();
            cursor = progress.cursor;
            progress.changes.0
        };
        (0..rounds).flat_map(|_| poll()).collect::<Vec<_>>()
    };
    assert!(gaps(3).is_empty());
    replay.also("labels", &with(replay.recorded("get", "/labels/test-label")));
    assert!(gaps(3).is_empty(), "nobody can carry a new one yet");
    replay.also("labels", &with(replay.recorded("patch", "/labels/test-label")));
    assert_eq!(gaps(6), [Change::Gap("issues:1000".to_owned())]);
    replay.assert_whole();
}

#[test]
fn releases_show_recorded_notes_and_the_assets_that_were_uploaded() {
    for scenario in ["release-assets", "release-assets-conflict"] {
        let Some(replay) = replay(scenario) else { return };
        let release = replay.recorded("get", "/releases/tags/v1.0.0");
        let at = replay.at("/_releases/v1.0.0");
        let notes = replay.mount.read(&format!("{at}/notes.md")).unwrap();
        assert_eq!(notes, release["body"].as_str().unwrap());
        assert_eq!(replay.json(&format!("{at}/release.json")), *release);
        assert_eq!(replay.mount.list(&format!("{at}/assets")).unwrap(), [""; 0], "there was none");
        // As it was later, of which a feed that is down tells nothing.
        for feed in ["releases", "webhooks"] {
            replay.mount.down(feed);
        }
        let assets = replay.recorded("get", "/releases/1000/assets");
        let uploaded = &replay.exchange("post", "/releases/1000/assets")["body"];
        let mut later = release.clone();
        later["assets"] = assets.clone();
        replay.also("releases/tags/v1.0.0", &later);
        replay.also("releases/1000", &later);
        replay.also("releases/assets/1000", uploaded);
        let name = assets[0]["name"].as_str().unwrap();
        assert_eq!(replay.mount.list(&format!("{at}/assets")).unwrap(), [name]);
        let listing = format!("GET {BY_ID}/releases/1000/assets?per_page=100");
        assert_eq!(replay.mount.requests().last(), Some(&listing));
        let file = format!("{at}/assets/{name}");
        assert_eq!(replay.mount.stat(&file).unwrap().size, assets[0]["size"].as_u64());
        assert_eq!(replay.mount.read(&file).unwrap(), uploaded.as_str().unwrap());
        replay.assert_whole();
    }
}

#[test]
fn a_branch_that_came_between_two_recordings_is_told_and_listed() {
    let Some(replay) = replay("git-refs") else { return };
    // As GitHub lists branches and tags.
    let show = |refs: &Value| {
        for (below, prefix) in [("branches", "refs/heads/"), ("tags", "refs/tags/")] {
            let named = refs.as_array().unwrap().iter().filter_map(|one| {
                let name = one["ref"].as_str().unwrap().strip_prefix(prefix)?;
                Some(json!({"name": name, "commit": {"sha": one["object"]["sha"]}}))
            });
            replay.also(below, &named.collect());
        }
    };
    let recorded = replay.exchanges.iter().filter(|exchange| exchange["method"] == "get");
    let recorded: Vec<&Value> = recorded.map(|exchange| &exchange["response"]).collect();
    let mut cursor = None;
    for (refs, names) in recorded.into_iter().zip([&["main"][..], &["main", "test"]]) {
        show(refs);
        let (feed, scope) = ("refs".to_owned(), "refs:1000".to_owned());
        let position = Position { feed, scope, cursor: cursor.take(), since: 0 };
        cursor = replay.mount.poll(&position).unwrap().cursor;
        assert_eq!(replay.mount.list(&replay.at("/_branches")).unwrap(), names);
        assert_eq!(replay.mount.list(&replay.at("/_tree")).unwrap(), names);
        assert_eq!(replay.mount.list(&replay.at("/_tags")).unwrap(), [""; 0]);
        for (name, one) in names.iter().zip(refs.as_array().unwrap()) {
            let commit = replay.mount.read(&replay.at(&format!("/_branches/{name}"))).unwrap();
            assert_eq!(commit.trim_end(), one["object"]["sha"].as_str().unwrap());
        }
    }
    replay.assert_whole();
}

#[test]
fn recorded_contents_are_the_files_of_the_tree() {
    let Some(replay) = replay("get-content") else { return };
    let item = &replay.recorded("get", "/contents")[0];
    let (name, text) = ("README.md", replay.recorded("get", "/contents/README.md"));
    let (sha, size) = (item["sha"].as_str().unwrap(), item["size"].as_u64());
    assert_eq!((item["name"].as_str(), item["type"].as_str()), (Some(name), Some("file")));
    let node = json!({"path": name, "mode": "100644", "type": "blob", "sha": sha, "size": size});
    replay.also("git/trees/HEAD", &json!({"truncated": false, "tree": [node]}));
    replay.also(&format!("git/blobs/{sha}"), text);
    replay.also("readme", text);
    assert_eq!(replay.mount.list(&replay.at("/_repo")).unwrap(), [name]);
    let file = replay.at("/_repo/README.md");
    assert_eq!(replay.mount.stat(&file).unwrap().size, size);
    for file in [&file, &replay.at("/README.md")] {
        assert_eq!(replay.mount.read(file).unwrap(), text.as_str().unwrap());
    }
    // Where GitHub cuts the tree, the item is asked for by itself.
    replay.also("git/trees/master", &json!({"truncated": true, "tree": []}));
    replay.also("contents/README.md", item);
    replay.assert_whole();
    let beyond = replay.mount.stat(&replay.at("/_tree/master/README.md")).unwrap();
    assert_eq!((beyond.id, beyond.size), (format!("blob/1000/{sha}"), size));
    replay.assert_allowed();
}

#[test]
fn the_rest_of_the_recordings_is_no_traffic_of_this_provider() {
    let Some(all) = check::github_recordings() else { return };
    let scenarios = all.as_object().unwrap();
    let exchanges = || scenarios.values().flat_map(|all| all.as_array().unwrap());
    let asked: usize = scenarios.values().map(|all| gets(all).count()).sum();
    let elsewhere: usize = ELSEWHERE.iter().map(|name| gets(&all[*name]).count()).sum();
    let asset = |e: &&Value| e["path"].as_str().unwrap().ends_with("/releases/assets/1000");
    let elsewhere = elsewhere + gets(&all["release-assets"]).filter(asset).count();
    let writes = exchanges().count() - asked;
    assert_eq!((scenarios.len(), asked - elsewhere, elsewhere, writes), (22, 21, 11, 39));
    assert!(exchanges().all(|exchange| exchange["status"] != 304));
}
