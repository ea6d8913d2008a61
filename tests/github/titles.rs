//! What people write comes through byte for byte, and never becomes a name that harms.

use crate::{API, Wish, World};
use omnifs_support::tools::{read, shell};
use omnifs_twins::github::RepoShape;
use omnifs_twins::{GithubSetup, awkward_titles};
use serde_json::Value;
use std::fs;

/// An issue for each awkward title, the highest number for the last one.
fn awkward(test: &str) -> Option<(World, Vec<(usize, String)>)> {
    let shape = RepoShape { awkward: true, ..RepoShape::issues("acme", "api", 40, 0) };
    let setup = GithubSetup { demo: false, repos: vec![shape], ..GithubSetup::default() };
    let titles = awkward_titles();
    let first = 40 - titles.len() + 1;
    let numbered = (first..).zip(titles).collect();
    Some((World::new(test, Wish { setup, ..Wish::default() })?, numbered))
}

#[test]
fn awkward_titles_come_through_intact() {
    let Some((world, titles)) = awkward("awkward") else { return };
    let mounted = world.mount();
    let open = mounted.join(API).join("_issues/_open");
    assert!(titles.len() >= 20);
    for (number, title) in &titles {
        let issue = open.join(number.to_string());
        let shown = fs::read(issue.join("title")).expect("title");
        // One line: a line end inside a title shows as a space.
        let line = title.replace("\r\n", " ").replace(['\n', '\r'], " ");
        assert_eq!(String::from_utf8(shown).expect("UTF-8"), format!("{line}\n"), "{number}");
        let document: Value = serde_json::from_str(&read(&issue.join("issue.json"))).expect("JSON");
        assert_eq!(document["title"].as_str(), Some(title.as_str()), "{number}");
        let page = read(&issue.join("issue.md"));
        let end = page[4..].find("\n---\n").expect("front matter");
        assert!(!page[..end].contains('\u{1b}'), "{number}: an escape in the front matter");
    }
    let sizes = "find . -name title -printf '%s\\n' | sort -n | tail -1";
    assert_eq!(shell(&open, sizes), "4097", "4 KiB and a line end");
}

#[test]
fn edited_bodies_with_every_kind_of_character_are_verbatim() {
    let Some(world) = World::polled("bodies") else { return };
    let mounted = world.mount();
    let body = mounted.join(API).join("_issues/_open/2853/body");
    read(&body);
    let strange =
        "\u{feff}a\r\n\tb\u{0}\u{1b}[2J\u{202e}x\u{7f}\u{1f469}\u{200d}\u{1f4bb}\u{9b}31m no end";
    world.twin.edit_body("acme/api", 2853, Some(strange)).expect("edit");
    omnifs_support::tools::await_content(&body, strange, crate::SOON);
    assert_eq!(fs::metadata(&body).expect("stat").len(), strange.len() as u64);
}

#[test]
fn names_that_people_choose_are_safe_file_names() {
    let Some(world) = World::demo("names") else { return };
    let twin = &world.twin;
    let main = twin.ref_sha("acme/api", "refs/heads/main").expect("main");
    let strange = ["feature/../x", "a b", "\u{202e}txt.exe", "caf\u{e9}", "%2F", "x\u{1f680}"];
    for name in strange {
        twin.set_ref("acme/api", &format!("refs/heads/{name}"), &main).expect("a ref");
    }
    let jobs = ["../../etc/passwd", "build\n\u{1b}[31m", ".", "..", "", "a/b"];
    let run = twin.start_run("acme/api", "main", &jobs).expect("a run");
    let mounted = world.mount();
    let branches = mounted.join(API).join("_branches");
    let jobs_shown = mounted.join(API).join(format!("_actions/runs/{run}/jobs"));
    for directory in [&branches, &jobs_shown] {
        for entry in fs::read_dir(directory).expect("list") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("UTF-8");
            let bad = |c: char| c.is_control() || c == '/' || c == '\u{202e}';
            assert!(!name.contains(bad) && !["", ".", ".."].contains(&&*name), "{name:?}");
            entry.metadata().expect("each name can be looked up");
        }
    }
    assert_eq!(fs::read_dir(&jobs_shown).expect("list").count(), jobs.len());
    for name in ["feature%2F..%2Fx", "a b", "%E2%80%AEtxt.exe", "caf\u{e9}", "%252F", "x\u{1f680}"]
    {
        assert_eq!(read(&branches.join(name)).trim_end(), main, "{name}");
    }
    assert!(!branches.join("feature").exists(), "no directory of half a name");
}
