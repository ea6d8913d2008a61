//! The paths that are promised, exactly as they are promised.

use crate::{API, World};
use omnifs_support::tools::{read, shell};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_seed_paths_read_as_promised() {
    let Some(world) = World::demo("seed_paths") else { return };
    let mounted = world.mount();
    let root = mounted.path();
    assert_eq!(
        shell(root, "cat github/acme/api/_issues/_open/2853/title"),
        "Login fails after token refresh"
    );
    let body = shell(root, "cat github/acme/api/_issues/_open/2853/body");
    assert!(body.starts_with("After the refresh token is rotated"), "{body}");
    assert_eq!(shell(root, "cat github/acme/api/_actions/runs/9801/status"), "completed");
    assert_eq!(shell(root, "cat github/acme/api/_actions/runs/9801/conclusion"), "failure");
}

#[test]
fn an_issue_shows_every_promised_leaf() {
    let Some(world) = World::demo("issue_leaves") else { return };
    let mounted = world.mount();
    let issue = mounted.join(API).join("_issues/_open/2853");
    assert_eq!(
        shell(&issue, "ls"),
        "assignees\nauthor\nbody\nclosed\ncomments\ncreated\nissue.json\nissue.md\nlabels\n\
         milestone\nstate\ntitle\nupdated\nurl"
    );
    assert_eq!(read(&issue.join("state")), "open\n");
    assert_eq!(read(&issue.join("author")), "jun-h\n");
    assert_eq!(read(&issue.join("assignees")), "priya-n\n");
    assert_eq!(read(&issue.join("labels")), "bug\nauth\n");
    assert_eq!(read(&issue.join("milestone")), "Next quarter\n");
    assert_eq!(read(&issue.join("closed")), "");
    assert!(read(&issue.join("created")).ends_with("Z\n"));
    assert!(read(&issue.join("url")).ends_with("/acme/api/issues/2853\n"));
    assert_eq!(shell(&issue, "jq -r .title issue.json"), "Login fails after token refresh");
    let page = read(&issue.join("issue.md"));
    assert!(page.starts_with("---\n") && page.contains("## Steps"), "{page}");
    assert!(!page.contains("Confirmed on staging"), "without comments");
    let comments = shell(&issue, "cat comments/*.md");
    assert!(comments.contains("Confirmed on staging"), "{comments}");
    assert_eq!(shell(&issue, "ls comments | wc -l"), "2");
}

#[test]
fn views_show_what_is_open_closed_and_all_and_no_pull_requests() {
    let Some(world) = World::demo("views") else { return };
    let mounted = world.mount();
    let issues = mounted.join(API).join("_issues");
    assert_eq!(
        shell(&issues, "ls"),
        "_all\n_by-assignee\n_by-author\n_by-label\n_by-milestone\n_closed\n_mine\n\
         _open\n_open.jsonl\n_open.tsv\n_recent\n_search"
    );
    assert_eq!(shell(&issues, "ls _open"), "2838\n2841\n2846\n2849\n2853");
    assert_eq!(shell(&issues, "ls _closed"), "2815\n2827\n2830");
    assert_eq!(shell(&issues, "ls _all | wc -l"), "8");
    assert!(!issues.join("_open/2830").exists(), "it is closed");
    assert!(!issues.join("_closed/2853").exists(), "it is open");
    assert!(!issues.join("_all/2860").exists(), "it is a pull request");
    let pulls = mounted.join(API).join("_prs");
    assert_eq!(shell(&pulls, "ls _open"), "2857\n2860");
    assert_eq!(shell(&pulls, "ls _closed"), "2833");
}

#[test]
fn a_pull_request_shows_every_promised_leaf() {
    let Some(world) = World::demo("pull_leaves") else { return };
    let mounted = world.mount();
    let pull = mounted.join(API).join("_prs/_open/2860");
    for leaf in [
        "title",
        "body",
        "state",
        "author",
        "assignees",
        "labels",
        "milestone",
        "created",
        "updated",
        "closed",
        "url",
        "issue.md",
        "issue.json",
        "draft",
        "merged",
        "base",
        "head",
        "commits",
        "files",
        "diff",
        "patch",
        "checks",
        "pull.md",
        "pull.json",
    ] {
        assert!(fs::metadata(pull.join(leaf)).expect(leaf).is_file(), "{leaf}");
        read(&pull.join(leaf));
    }
    assert_eq!(read(&pull.join("draft")), "false\n");
    assert_eq!(read(&pull.join("merged")), "false\n");
    assert_eq!(read(&pull.join("base")), "main\n");
    assert_eq!(read(&pull.join("head")), "fix/session-cache\n");
    assert!(read(&pull.join("diff")).contains("self.cache.drop(id)"));
    assert!(read(&pull.join("patch")).starts_with("From "));
    assert!(read(&pull.join("files")).contains("src/session.rs"));
    assert!(read(&pull.join("commits")).contains("Clear the session cache"));
    let reviews = shell(&pull, "cat reviews/*.md");
    assert!(reviews.contains("Looks right"), "{reviews}");
    let comments = shell(&pull, "cat comments/*.md");
    assert!(comments.contains("One question in the review"), "{comments}");
    assert_eq!(read(&mounted.join(API).join("_prs/_closed/2833/merged")), "true\n");
    assert_eq!(read(&mounted.join(API).join("_prs/_open/2857/draft")), "true\n");
}

#[test]
fn a_run_shows_its_jobs_and_their_logs() {
    let Some(world) = World::demo("runs") else { return };
    let mounted = world.mount();
    let actions = mounted.join(API).join("_actions");
    assert_eq!(shell(&actions, "ls runs"), "9799\n9801\n9802");
    let run = actions.join("runs/9801");
    for leaf in
        ["name", "event", "branch", "sha", "attempt", "created", "updated", "url", "run.json"]
    {
        assert!(!read(&run.join(leaf)).is_empty(), "{leaf}");
    }
    assert_eq!(read(&run.join("branch")), "fix/session-cache\n");
    assert_eq!(read(&actions.join("runs/9802/status")), "in_progress\n");
    assert_eq!(read(&actions.join("runs/9802/conclusion")), "");
    assert_eq!(shell(&run, "ls jobs"), "build\nlint %2F clippy\ntest (ubuntu-24.04, 1.95)");
    assert_eq!(read(&run.join("jobs/lint %2F clippy/conclusion")), "success\n");
    let log = read(&run.join("jobs/test (ubuntu-24.04, 1.95)/log"));
    assert!(log.contains("exit code 1"), "{log}");
    let whole = read(&run.join("log"));
    assert!(whole.contains(&log) && whole.contains("==> build <=="), "{whole}");
    assert_eq!(shell(&actions, "ls workflows"), "CI\nRelease");
    assert_eq!(shell(&actions.join("workflows/CI/runs"), "ls"), "9799\n9801\n9802");
}

#[test]
fn releases_refs_and_trees_are_as_git_has_them() {
    let Some(world) = World::demo("trees") else { return };
    let mounted = world.mount();
    let repo = mounted.join(API);
    assert_eq!(
        shell(&repo, "ls"),
        "README.md\n_actions\n_branches\n_issues\n_prs\n_releases\n_repo\n_search\n_tags\n_tree\nrepo.json"
    );
    assert_eq!(read(&repo.join("README.md")), "# api\n\nThe API server of Acme.\n\n    make run\n");
    assert_eq!(shell(&repo, "jq -r .full_name repo.json"), "acme/api");
    assert_eq!(shell(&repo, "ls _releases"), "latest\nv1.8.0\nv1.9.0-rc.1");
    let release = repo.join("_releases/v1.8.0");
    assert!(read(&release.join("notes.md")).contains("TLS 1.1 is gone"));
    assert_eq!(shell(&release, "jq -r .tag_name release.json"), "v1.8.0");
    assert_eq!(shell(&release, "ls assets"), "SHA256SUMS\napi-v1.8.0.tar");
    assert_eq!(
        shell(&release, "stat -c %s assets/api-v1.8.0.tar; wc -c < assets/api-v1.8.0.tar"),
        "4096\n4096"
    );
    assert_eq!(shell(&repo, "ls _branches"), "fix%2Fsession-cache\nlars%2Frouter\nmain");
    let main = world.twin.ref_sha("acme/api", "refs/heads/main").expect("main");
    assert_eq!(read(&repo.join("_branches/main")).trim_end(), main);
    assert_eq!(read(&repo.join("_tags/v1.8.0")).trim_end(), main);
    assert_eq!(shell(&repo, "ls _tags"), "nightly%2F2026-01-04\nv1.8.0\nv1.9.0-rc.1");

    let tree = repo.join("_repo");
    assert_eq!(read(&tree.join("src/main.rs")), "fn main() {\n    api::serve();\n}\n");
    let mode = fs::metadata(tree.join("bin/deploy")).expect("stat").permissions().mode();
    assert_ne!(mode & 0o111, 0, "the executable bit is kept");
    assert_eq!(
        fs::read_link(tree.join("docs/index.md")).expect("link").to_str(),
        Some("../README.md")
    );
    assert_eq!(read(&tree.join("docs/index.md")), read(&tree.join("README.md")));
    assert_eq!(fs::metadata(tree.join("empty")).expect("stat").len(), 0);
    assert_eq!(fs::read(tree.join("docs/logo.png")).expect("read").len(), 520);
    assert!(tree.join("docs/\u{fc}bersicht.md").exists());
    let router = repo.join("_tree/lars%2Frouter/src/router.rs");
    assert_eq!(read(&router), "pub struct Router;\n");
    assert_eq!(read(&repo.join("_tree").join(&main).join("Makefile")), "run:\n\tcargo run\n");
    assert!(!repo.join("_tree/no-such-ref").exists());
}

#[test]
fn the_users_own_account_and_organizations_are_listed_and_others_can_be_opened() {
    let Some(world) = World::demo("accounts") else { return };
    let mounted = world.mount();
    let github = mounted.join("github");
    assert_eq!(shell(&github, "ls"), "AGENTS.md\nREADME.md\nacme\nacme-labs\nmira");
    assert_eq!(shell(&github, "ls acme"), "api\ninfra\nwebsite");
    assert_eq!(shell(&github, "ls mira"), "dotfiles");
    assert!(github.join("lars").is_dir(), "not listed, and there");
    assert!(!github.join("nobody-here").exists());
    assert!(!github.join("acme/nothing").exists());
}
