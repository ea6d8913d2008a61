//! The paths that are promised, exactly as they are promised.

use crate::{World, issues};
use omnifs_support::tools::{read, shell};
use serde_json::Value;
use std::fs;

#[test]
fn the_seed_paths_read_as_promised() {
    let Some(world) = World::demo("seed_paths") else { return };
    let mounted = world.mount();
    let root = mounted.path();
    assert_eq!(shell(root, "cat linear/teams/ENG/issues/_open/ENG-204/priority"), "High");
    let found = shell(root, "grep -r auth linear/teams/ENG/issues/_open");
    assert!(
        found.contains("ENG-204/title:Rotate auth tokens without signing people out"),
        "{found}"
    );
    assert!(found.contains("ENG-203/description.md:"), "{found}");
    assert!(found.contains("ENG-201/labels:auth"), "{found}");
}

#[test]
fn an_issue_shows_every_promised_leaf() {
    let Some(world) = World::demo("leaves") else { return };
    let mounted = world.mount();
    let issue = issues(&mounted).join("_open/ENG-204");
    assert_eq!(
        shell(&issue, "ls"),
        "assignee\ncomments\ncreated\ncycle\ndescription.md\ndue\nestimate\nissue.json\nissue.md\n\
         labels\nparent\npriority\nproject\nstate\ntitle\nupdated\nurl"
    );
    for (leaf, expected) in [
        ("title", "Rotate auth tokens without signing people out\n"),
        ("state", "In Progress\n"),
        ("assignee", "priya\n"),
        ("labels", "auth\n"),
        ("estimate", "3\n"),
        ("cycle", "12\n"),
        ("project", "Sign-in\n"),
        ("parent", ""),
        ("due", "2026-01-16\n"),
    ] {
        assert_eq!(read(&issue.join(leaf)), expected, "{leaf}");
    }
    assert!(read(&issue.join("description.md")).contains("- [x] find the race\n"));
    assert_eq!(shell(&issue, "jq -r .identifier issue.json"), "ENG-204");
    assert!(read(&issue.join("issue.md")).starts_with("---\n"));
    assert!(shell(&issue, "cat comments/*.md").contains("Fix is in review."));
    assert_eq!(shell(&issue, "ls comments | wc -l"), "2");
}

#[test]
fn priorities_are_linears_own_words() {
    let Some(world) = World::demo("priorities") else { return };
    let mounted = world.mount();
    let all = issues(&mounted).join("_all");
    for (issue, word) in [
        ("ENG-201", "No priority"),
        ("ENG-199", "Urgent"),
        ("ENG-204", "High"),
        ("ENG-203", "Medium"),
        ("ENG-188", "Low"),
    ] {
        assert_eq!(read(&all.join(issue).join("priority")), format!("{word}\n"), "{issue}");
    }
}

#[test]
fn teams_states_cycles_projects_and_people_are_where_they_are_promised() {
    let Some(world) = World::demo("everything_else") else { return };
    let mounted = world.mount();
    let linear = mounted.join("linear");
    assert_eq!(shell(&linear, "ls"), "AGENTS.md\nREADME.md\nmy\nprojects\nteams\nusers");
    assert_eq!(shell(&linear, "ls teams"), "ENG\nOPS");
    assert_eq!(shell(&linear, "ls teams/ENG"), "cycles\nissues\nmembers\nprojects\nstates");
    let issues = linear.join("teams/ENG/issues");
    let views = "_all\n_by-assignee\n_by-creator\n_by-label\n_by-project\n_mine\n_open\n_open.jsonl\n_open.tsv\n\
                 _search\nby-state";
    assert_eq!(shell(&issues, "ls"), views);
    assert_eq!(shell(&issues, "ls _open"), "ENG-196\nENG-199\nENG-201\nENG-203\nENG-204");
    assert_eq!(shell(&issues, "ls _all | wc -l"), "7");
    assert_eq!(
        shell(&issues, "ls by-state"),
        "Backlog\nCanceled\nDone\nIn Progress\nIn Review\nTodo"
    );
    assert_eq!(shell(&issues, "ls by-state/Todo"), "ENG-196\nENG-203");
    assert_eq!(shell(&issues, "ls by-state/Done"), "ENG-188");
    assert!(!issues.join("_open/ENG-188").exists(), "it is done");
    assert_eq!(shell(&linear, "ls users"), "jun\nlars\nmira\npriya\nsofia\ntomasz");
    assert_eq!(shell(&linear, "ls teams/ENG/members | wc -l"), "6");
    assert!(shell(&linear, "ls projects").contains("Sign-in"));
    assert_eq!(shell(&linear, "ls teams/ENG/projects"), "Sign-in");
    assert_eq!(shell(&linear, "ls my"), "assigned\ncreated");
    assert_eq!(shell(&linear, "ls my/created | wc -l"), "8");
    let sizes = "find . -type f -printf '%s %p\\n' | sort -k2";
    let counted = "find . -type f -print0 | sort -z | xargs -0 -n1 wc -c | sort -k2";
    assert_eq!(shell(&linear, sizes), shell(&linear, counted), "stat and read agree");
}

#[test]
fn awkward_titles_come_through_intact() {
    let titles = omnifs_twins::awkward_titles();
    let Some(world) = World::team("awkward", 40, 0, true) else { return };
    let mounted = world.mount();
    let all = issues(&mounted).join("_all");
    for (number, title) in (40 - titles.len() + 1..).zip(&titles) {
        let issue = all.join(format!("ENG-{number}"));
        let line = title.replace("\r\n", " ").replace(['\n', '\r'], " ");
        let shown = String::from_utf8(fs::read(issue.join("title")).expect("read")).expect("UTF-8");
        assert_eq!(shown, format!("{line}\n"), "{number}");
        let document: Value = serde_json::from_str(&read(&issue.join("issue.json"))).expect("JSON");
        assert_eq!(document["title"].as_str(), Some(title.as_str()), "{number}");
    }
}
