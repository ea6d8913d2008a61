//! Every request that the provider makes, against GitHub's own OpenAPI description. The answers come
//! from the twin, over loopback, so that each request is one that a walk really leads to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use omnifs_sdk::{Error, Position};
use support::world;

/// What a complete walk asks for. An operation that is missing here would go unchecked.
const OPERATIONS: &[&str] = &[
    "actions/download-job-logs-for-workflow-run",
    "actions/list-jobs-for-workflow-run",
    "actions/list-repo-workflows",
    "actions/list-workflow-runs",
    "actions/list-workflow-runs-for-repo",
    "checks/list-for-ref",
    "git/get-blob",
    "git/get-tree",
    "issues/list-comments-for-repo",
    "issues/list-for-repo",
    "orgs/list-for-authenticated-user",
    "pulls/get",
    "pulls/list",
    "pulls/list-commits",
    "pulls/list-files",
    "pulls/list-reviews",
    "repos/get",
    "repos/list-branches",
    "repos/list-releases",
    "repos/list-tags",
    "users/get-authenticated",
];

#[test]
fn every_request_of_a_walk_and_of_names_beyond_the_listings_is_allowed() {
    let Some(world) = world() else { return };
    let mount = &world.mount;
    assert_eq!(mount.list("").unwrap(), ["acme", "acme-labs", "mira"]);
    for repo in ["acme/api", "acme/big", "acme/infra", "mira/dotfiles"] {
        let files = mount.read_all(repo).unwrap();
        assert!(files.contains_key(&format!("{repo}/repo.json")), "{repo}");
    }
    for (path, exists) in [
        ("lars", true),
        ("nobody-here", false),
        ("acme/nothing", false),
        ("acme/api/_issues/_all/999999", false),
        ("acme/big/_issues/_closed/7", false),
        ("acme/api/_prs/_all/999999", false),
        ("acme/api/_actions/runs/9801/log", true),
        ("acme/api/_actions/runs/424242", false),
        ("acme/api/_releases/v1.8.0/assets/SHA256SUMS", true),
        ("acme/api/_releases/v0.0.0", false),
        ("acme/api/_branches/no-such", false),
        ("acme/api/_tags/no-such", false),
        ("acme/api/_tree/lars%2Frouter/src/router.rs", true),
        ("acme/api/_tree/no-such-ref", false),
    ] {
        match mount.read_bytes(path) {
            Ok(_) => assert!(exists, "{path}"),
            Err(Error::NotFound) => assert!(!exists, "{path}"),
            // A directory, whose content nobody can ask for.
            Err(other) => assert!(mount.list(path).is_ok() && exists, "{path}: {other:?}"),
        }
    }
    world.assert_allowed();
    let operations = &world.asked.borrow().operations;
    let missing: Vec<_> =
        OPERATIONS.iter().filter(|name| !operations.contains_key(**name)).collect();
    assert!(missing.is_empty(), "never asked: {missing:?}\n{operations:#?}");
    println!("{} operations of the description are asked for", operations.len());
}

#[test]
fn every_request_of_a_poll_is_allowed() {
    let Some(world) = world() else { return };
    let repo = world.twin.repo_id("acme/big").unwrap();
    let owners = ["owner:org/acme", "owner:user/mira"].map(str::to_owned);
    let scopes = ["issues", "actions", "refs", "releases", "repo"];
    let scopes = scopes.iter().map(|kind| format!("{kind}:{repo}")).chain(owners);
    for scope in scopes {
        let mut cursor = None;
        for round in 0..3 {
            let position = Position {
                feed: "poll".to_owned(),
                scope: scope.clone(),
                cursor: cursor.take(),
                since: if round == 0 { 0 } else { 1_767_000_000 },
            };
            let progress = world.mount.poll(&position);
            cursor = progress.unwrap_or_else(|error| panic!("{scope}: {error:?}")).cursor;
            assert!(cursor.is_some(), "{scope}");
            let number = world.twin.numbers("acme/big")[round];
            world.twin.retitle("acme/big", number, &format!("Round {round}")).unwrap();
        }
    }
    world.assert_allowed();
    assert!(world.asked.borrow().operations.len() >= 9, "{:#?}", world.asked.borrow().operations);
}
