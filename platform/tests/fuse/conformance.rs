use crate::fixture::{Fixture, NOBODY, child_of, is_root, possible, public_program, role};
use omnifs_platform::conformance::{self, tree};
use omnifs_platform::fuse::MountOptions;
use omnifs_platform::memory::Memory;
use std::os::unix::process::CommandExt;
use std::path::Path;

fn assert_conforms(root: &Path) {
    let outcomes = conformance::run(root);
    assert_eq!(outcomes.len(), conformance::names().count());
    for outcome in &outcomes {
        println!("{outcome}");
    }
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.result.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn planted() -> std::sync::Arc<Memory> {
    let memory = Memory::new();
    tree::plant(&memory).unwrap();
    memory
}

#[test]
fn the_standard_tree_conforms_while_entries_come_and_go() {
    let Some(fixture) = Fixture::with(planted(), &runnable()) else { return };
    let _churn = tree::Churn::start(fixture.memory.clone()).unwrap();
    assert_conforms(&fixture.path(""));
}

/// The suite runs a program.
fn runnable() -> MountOptions {
    MountOptions { exec: true, ..MountOptions::default() }
}

/// The other process, and another user in it: an ordinary one gets EROFS for each write too.
#[test]
fn the_standard_tree_conforms_for_an_ordinary_user_in_another_process() {
    if let Some(root) = role("conform") {
        return assert_conforms(&root);
    }
    if !possible(is_root(), "allow_other without /etc/fuse.conf needs root") {
        return;
    }
    let options = MountOptions { allow_other: true, ..runnable() };
    let Some(fixture) = Fixture::with(planted(), &options) else { return };
    let programs = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(programs.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let program = public_program(programs.path());
    let name = "conformance::the_standard_tree_conforms_for_an_ordinary_user_in_another_process";
    let output = child_of(&program, name, "conform", &fixture.path(""))
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("ok      every_size_is_exact"), "{said}");
}
