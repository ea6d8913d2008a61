//! Accounts, repositories, refs, trees and releases.

use super::*;
use omnifs_sdk::{Error, Kind};

#[test]
fn the_root_lists_the_user_and_organizations_and_finds_any_other_account() {
    let upstream = acme()
        .get("/user", r#"{"login": "mira", "type": "User"}"#)
        .get("/user/orgs?per_page=100", r#"[{"login": "acme"}]"#)
        // It has no repository that can be seen.
        .get("/users/other/repos?sort=pushed&per_page=30", "[]")
        .get("/users/other", r#"{"login": "other", "type": "User"}"#)
        .answer("GET /users/nobody/repos?sort=pushed&per_page=30", 404, &[], "{}");
    let mount = mount(upstream);
    assert_eq!(mount.list("").unwrap(), ["acme", "mira"]);
    assert_eq!(mount.stat("acme").unwrap().id, "org/acme");
    assert_eq!(mount.stat("other").unwrap().id, "user/other");
    assert!(matches!(mount.stat("nobody"), Err(Error::NotFound)));
    assert_eq!(mount.requests().len(), 5);
    for name in [".hidden", "a b", "a%2Fb", "user"] {
        if name != "user" {
            assert!(matches!(mount.stat(name), Err(Error::NotFound)), "{name}");
        }
    }
    assert_eq!(mount.requests(), [""; 0], "what can be no login is not asked for");
}

#[test]
fn an_account_comes_with_its_newest_repositories() {
    let newest = |login: &str, kind: &str| {
        let mut repo = repository("tool");
        repo["owner"] = json!({"login": login, "type": kind});
        list([repo, json!({"odd": true}), other_repository("web")])
    };
    let upstream = Recorded::new()
        .get("/users/mira/repos?sort=pushed&per_page=30", newest("mira", "User"))
        // As another instance of GitHub may have it.
        .get("/users/jun/repos?sort=pushed&per_page=30", newest("jun", ""))
        .get("/users/jun", r#"{"login": "jun", "type": "User"}"#);
    let mount = mount(upstream);
    assert_eq!(mount.stat("mira/tool").unwrap().id, "repo/7");
    assert_eq!(mount.requests(), ["GET /users/mira/repos?sort=pushed&per_page=30"]);
    assert_eq!(mount.stat("jun").unwrap().id, "user/jun");
    assert_eq!(mount.requests().len(), 2);
}

#[test]
fn a_token_that_may_not_see_organizations_still_lists_its_user() {
    let upstream = Recorded::new().get("/user", r#"{"login": "mira", "type": "User"}"#).answer(
        "GET /user/orgs?per_page=100",
        403,
        &[],
        r#"{"message": "no"}"#,
    );
    let mount = mount(upstream);
    assert_eq!(mount.list("").unwrap(), ["mira"]);
    assert_eq!(mount.partials().len(), 1);
}

#[test]
fn a_former_name_leads_to_the_repository_and_another_spelling_does_not() {
    let upstream = acme()
        .get("/repos/acme/old", repository("api").to_string())
        .get("/repos/acme/API", repository("api").to_string());
    let mount = mount(upstream);
    assert_eq!(mount.stat("acme/old").unwrap().id, "repo/7");
    assert_eq!(mount.stat("acme/api").unwrap().id, "repo/7");
    assert!(matches!(mount.stat("acme/API"), Err(Error::NotFound)));
    let text = mount.read("acme/old/repo.json").unwrap();
    assert!(text.contains("acme/api") && !text.contains("secret"), "{text}");
    assert_eq!(mount.requests().len(), 4, "repo.json came with the lookup");
}

#[test]
fn repositories_are_listed_as_each_kind_of_account_has_them() {
    let repos = |name: &str| list([repository(name)]);
    let upstream = acme()
        .get("/user", r#"{"login": "mira", "type": "User"}"#)
        .get("/users/mira/repos?sort=pushed&per_page=30", "[]")
        .get("/users/mira", r#"{"login": "mira", "type": "User"}"#)
        .get("/users/jun/repos?sort=pushed&per_page=30", "[]")
        .get("/users/jun", r#"{"login": "jun", "type": "User"}"#)
        .get("/orgs/acme/repos?sort=pushed&per_page=100", repos("api"))
        .get("/user/repos?affiliation=owner&sort=pushed&per_page=100", repos("private"))
        .get("/users/jun/repos?sort=pushed&per_page=100", repos("public"));
    let mount = mount(upstream);
    assert_eq!(mount.list("acme").unwrap(), ["api"]);
    assert_eq!(mount.list("mira").unwrap(), ["private"]);
    assert_eq!(mount.list("jun").unwrap(), ["public"]);
}

const TREE: &str = r#"{"sha": "t0", "truncated": false, "tree": [
    {"path": "README.md", "mode": "100644", "type": "blob", "sha": "b1", "size": 6},
    {"path": "src", "mode": "040000", "type": "tree", "sha": "t1"},
    {"path": "src/main.rs", "mode": "100644", "type": "blob", "sha": "b2", "size": 3},
    {"path": "src/deep", "mode": "040000", "type": "tree", "sha": "t2"},
    {"path": "src/deep/run", "mode": "100755", "type": "blob", "sha": "b2", "size": 3},
    {"path": "latest", "mode": "120000", "type": "blob", "sha": "b3", "size": 3},
    {"path": "vendor", "mode": "160000", "type": "commit", "sha": "c9"}]}"#;

#[test]
fn one_request_shows_a_whole_tree_with_sizes_modes_and_links() {
    let upstream = acme()
        .get(&format!("{REPO}/git/trees/HEAD?recursive=1"), TREE)
        .get(&format!("{REPO}/git/blobs/b1"), "readme")
        .get(&format!("{REPO}/git/blobs/b2"), "run")
        .get(&format!("{REPO}/git/blobs/b3"), "src");
    let mount = mount(upstream);
    let root = "acme/api/_repo";
    assert_eq!(mount.list(root).unwrap(), ["README.md", "latest", "src", "vendor"]);
    assert_eq!(mount.list(&format!("{root}/src/deep")).unwrap(), ["run"]);
    let kind = |path: &str| mount.stat(&format!("{root}/{path}")).unwrap().kind;
    assert!(matches!(kind("src/deep/run"), Kind::Executable));
    assert!(matches!(kind("src/main.rs"), Kind::File));
    assert!(matches!(kind("latest"), Kind::Symlink));
    assert_eq!(mount.stat(&format!("{root}/README.md")).unwrap().size, Some(6));
    assert_eq!(mount.read(&format!("{root}/vendor")).unwrap(), "c9\n");
    assert_eq!(mount.requests().len(), 3);
    let files = mount.read_all(root).unwrap();
    assert_eq!(files["acme/api/_repo/latest"], b"src");
    assert_eq!(files.len(), 5);
}

#[test]
fn what_cannot_be_read_of_a_tree_is_missing_from_no_directory_without_a_word() {
    let odd = |text: &str| text.replace(r#""sha": "b2", "#, "");
    let src = r#"{"truncated": false, "tree": [
        {"path": "main.rs", "mode": "100644", "type": "blob", "sha": "b2", "size": 3},
        {"path": "deep", "mode": "040000", "type": "tree", "sha": "t2"}]}"#;
    let upstream = acme()
        .get(&format!("{REPO}/git/trees/HEAD?recursive=1"), odd(TREE))
        .get(&format!("{REPO}/git/trees/t1?recursive=1"), odd(src));
    let mount = mount(upstream);
    assert_eq!(mount.list("acme/api/_repo").unwrap(), ["README.md", "latest", "src", "vendor"]);
    assert_eq!(mount.list("acme/api/_repo/src").unwrap(), ["deep"]);
    let lost = mount.stat("acme/api/_repo/src/main.rs");
    assert!(matches!(lost, Err(Error::Invalid(_))), "it is there: {lost:?}");
    let notes: Vec<_> = mount.partials().into_iter().map(|(_, _, note)| note).collect();
    assert!(notes.iter().any(|note| note.contains("sha")), "{notes:?}");
}

#[test]
fn a_truncated_tree_is_asked_for_directory_by_directory() {
    let cut = TREE.replace("false", "true");
    let root = r#"{"truncated": false, "tree": [{"path": "src", "mode": "040000", "type": "tree", "sha": "t1"}]}"#;
    let src = r#"{"truncated": false, "tree": [{"path": "main.rs", "mode": "100644", "type": "blob", "sha": "b2", "size": 3}]}"#;
    let trees = format!("{REPO}/git/trees");
    let upstream = acme()
        .get(&format!("{trees}/feature%2Fx?recursive=1"), cut)
        .get(&format!("{trees}/feature%2Fx"), root)
        .get(&format!("{trees}/t1?recursive=1"), src);
    let mount = mount(upstream);
    assert_eq!(mount.list("acme/api/_tree/feature%2Fx").unwrap(), ["src"]);
    assert_eq!(mount.list("acme/api/_tree/feature%2Fx/src").unwrap(), ["main.rs"]);
    assert_eq!(mount.requests().len(), 2 + 3);
}

#[test]
fn a_repository_without_a_commit_has_an_empty_tree_and_readme() {
    let upstream = acme()
        .answer(&format!("GET {REPO}/git/trees/HEAD?recursive=1"), 409, &[], "{}")
        .answer(&format!("GET {REPO}/readme"), 404, &[], "{}");
    let mount = mount(upstream);
    assert_eq!(mount.list("acme/api/_repo").unwrap(), [""; 0]);
    assert_eq!(mount.read("acme/api/README.md").unwrap(), "");
}

#[test]
fn branches_and_tags_are_files_that_hold_a_commit() {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let one = |name: &str| json!({"name": name, "commit": {"sha": sha}});
    let upstream = acme()
        .get(&format!("{REPO}/branches?per_page=100"), list([one("main"), one("feature/x")]))
        .get(&format!("{REPO}/tags?per_page=100"), list([one("main"), one("v1")]))
        .get(&format!("{REPO}/branches/old%2Fone"), one("old/one").to_string())
        .get(&format!("{REPO}/branches/renamed"), one("other").to_string())
        .get(&format!("{REPO}/commits/tags%2Fv0"), sha)
        .answer(&format!("GET {REPO}/commits/tags%2Fnone"), 422, &[], "{}");
    let mount = mount(upstream);
    assert_eq!(mount.list("acme/api/_tree").unwrap(), ["feature%2Fx", "main", "v1"]);
    assert_eq!(mount.list("acme/api/_branches").unwrap(), ["feature%2Fx", "main"]);
    let line = format!("{sha}\n");
    for path in ["_branches/main", "_branches/old%2Fone", "_tags/v0"] {
        assert_eq!(mount.read(&format!("acme/api/{path}")).unwrap(), line, "{path}");
    }
    for path in ["_branches/renamed", "_tags/none"] {
        let missing = mount.read(&format!("acme/api/{path}"));
        assert!(matches!(missing, Err(Error::NotFound)), "{path}: {missing:?}");
    }
}

#[test]
fn a_release_shows_its_notes_and_assets_with_exact_sizes() {
    let release = json!({
        "id": 5, "tag_name": "v1/final", "body": "Notes", "draft": false, "published_at": null,
        "updated_at": "2026-01-02T03:04:05Z", "reactions": {"+1": 1},
        "assets": [
            {"id": 8, "name": "a.tar", "size": 4, "state": "uploaded", "download_count": 9},
            {"id": 9, "name": "b.tar", "size": 0, "state": "starter"},
        ],
    });
    let draft = json!({"id": 6, "tag_name": "v2", "draft": true});
    let upstream = acme()
        .get(&format!("{REPO}/releases?per_page=100"), list([draft, release.clone()]))
        .get(&format!("{REPO}/releases/tags/v1%2Ffinal"), release.to_string())
        .get(&format!("{REPO}/releases/assets/8"), "tar!");
    let mount = mount(upstream);
    let at = "acme/api/_releases/v1%2Ffinal";
    assert_eq!(mount.read(&format!("{at}/notes.md")).unwrap(), "Notes");
    assert_eq!(mount.list("acme/api/_releases").unwrap(), ["latest", "v1%2Ffinal"]);
    assert_eq!(mount.list(&format!("{at}/assets")).unwrap(), ["a.tar"]);
    assert_eq!(mount.stat(&format!("{at}/assets/a.tar")).unwrap().size, Some(4));
    assert_eq!(mount.read(&format!("{at}/assets/a.tar")).unwrap(), "tar!");
    let document = mount.read(&format!("{at}/release.json")).unwrap();
    assert!(!document.contains("download_count") && !document.contains("reactions"));
    assert_eq!(mount.requests().len(), 2 + 3);
}

#[test]
fn a_tree_by_a_name_of_which_no_event_tells_is_asked_for_at_each_open() {
    let tree = |sha: &str| {
        format!(r#"{{"tree": [{{"path": "{sha}", "mode": "100644", "sha": "{sha}"}}]}}"#)
    };
    let names = ["pull/4/head", "refs/pull/4/merge", "main~1", "@", "0123abc"];
    let covered = ["main", "heads/main", "refs/tags/v1", "HEAD", "pulling"];
    for (names, asked_again) in [(&names[..], true), (&covered[..], false)] {
        for name in names {
            let volatile =
                matches!(crate::tree::coherence(&7, name), omnifs_sdk::Coherence::Volatile);
            assert_eq!(volatile, asked_again, "{name}");
        }
    }
    let at = format!("{REPO}/git/trees/pull%2F4%2Fhead?recursive=1");
    let mount = mount(acme().get(&at, tree("b1")));
    let node = || mount.stat("acme/api/_tree/pull%2F4%2Fhead").unwrap();
    assert!(matches!(node().coherence, omnifs_sdk::Coherence::Volatile));
}

#[test]
fn latest_leads_to_the_release_that_github_calls_so() {
    let release = |id: u64, tag: &str, prerelease: bool| {
        json!({
            "id": id, "tag_name": tag, "body": "", "draft": false, "prerelease": prerelease,
            "published_at": "2026-01-02T03:04:05Z", "assets": [],
        })
    };
    let both = [release(2, "v2-rc", true), release(1, "rel/1", false)];
    let upstream = acme()
        .get(&format!("{REPO}/releases?per_page=100"), list(both))
        .get(&format!("{REPO}/releases/latest"), release(1, "rel/1", false).to_string());
    let mount = mount(upstream);
    let releases = "acme/api/_releases";
    assert_eq!(mount.list(releases).unwrap(), ["latest", "rel%2F1", "v2-rc"]);
    mount.requests();
    assert_eq!(mount.read(&format!("{releases}/latest")).unwrap(), "rel%2F1");
    assert_eq!(mount.requests(), [format!("GET {REPO}/releases/latest")]);
    assert_eq!(mount.read(&format!("{releases}/rel%2F1/notes.md")).unwrap(), "");
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_release_that_is_tagged_latest_takes_the_place_of_the_link() {
    let release = json!({
        "id": 1, "tag_name": "latest", "body": "nightly", "draft": false, "prerelease": true,
        "published_at": "2026-01-02T03:04:05Z", "assets": [],
    });
    let listed = list([release.clone()]);
    let upstream = acme()
        .get(&format!("{REPO}/releases?per_page=100"), listed)
        .get(&format!("{REPO}/releases/tags/latest"), release.to_string());
    let mount = mount(upstream);
    assert_eq!(mount.read("acme/api/_releases/latest/notes.md").unwrap(), "nightly");
    assert_eq!(mount.list("acme/api/_releases").unwrap(), ["latest"]);
}
