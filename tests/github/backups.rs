//! A backup survives whatever becomes of the service: `rsync -a --delete` of a directory that was
//! listed before and cannot be listed now fails, and deletes nothing.

use crate::nfs::Export;
use crate::{API, OFTEN, SOON, Wish, World, issues};
use omnifs_support::{Mounted, program, skip, user, wait_until};
use omnifs_twins::{Fault, Times};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const OPEN: usize = 5;
/// What every listing of issues asks for, and every poll for changes of them.
const LISTING: &str = "/repositories/*/issues";

/// A service that refuses, breaks, talks nonsense, or takes requests and never answers.
const FAULTS: [Fault; 7] = [
    Fault::Status(404),
    Fault::Status(410),
    Fault::Status(403),
    Fault::Status(429),
    Fault::Status(500),
    Fault::MalformedJson,
    Fault::Slow(Duration::from_secs(60)),
];

fn world(test: &str) -> Option<World> {
    let sections = "[limits]\nrequest-time = '1s'\n";
    World::new(
        test,
        Wish { setup: issues(OPEN, 0), sections, polls: Some(OFTEN), ..Wish::default() },
    )
}

/// Changes an issue, so that no listing is as it was: else the service would say so, and that is an
/// answer. The title as a file holds it, of a length of its own: rsync takes what is as long and of the
/// same second for the same.
fn retitled(world: &World, fault: Fault) -> String {
    let turn = FAULTS.iter().position(|of| *of == fault).expect("one of them");
    let title = format!("Changed under {fault:?}{}", "!".repeat(40 * turn));
    world.twin.retitle("acme/api", 1, &title).expect("retitle");
    title + "\n"
}

/// Every file below a directory with its content.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(directory: &Path, below: &str, all: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(directory).expect("the copy") {
            let entry = entry.expect("an entry");
            let name = format!("{below}/{}", entry.file_name().to_string_lossy());
            match entry.file_type().expect("a type").is_dir() {
                true => collect(&entry.path(), &name, all),
                false => drop(all.insert(name, fs::read(entry.path()).expect("a file"))),
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(directory, "", &mut all);
    all
}

/// Whether the scopes of the repository are in doubt, so that a listing asks.
fn in_doubt(mounted: &Mounted<'_>) -> Option<()> {
    let status = mounted.status().ok()?;
    let scopes = status["scopes"].as_array()?;
    scopes.iter().any(|scope| scope["state"] == "lost").then_some(())
}

fn a_backup_survives(test: &str) {
    if program("rsync").is_none() {
        return skip(test, "rsync is missing: apt-get install rsync");
    }
    let Some(world) = world(test) else { return };
    let mounted = world.mount();
    let issues = mounted.join(API).join("_issues");
    let copy = world.omnifs.path("copy");
    let sync = || {
        let (from, to) = (issues.join("_open/"), copy.join("_open/"));
        let ran = Command::new("rsync").args(["-a", "--delete"]).arg(&from).arg(&to).output();
        ran.expect("rsync")
    };
    fs::create_dir(&copy).expect("a directory");
    let synced = || sync().status.success().then(|| files(&copy));
    let mut whole = wait_until(SOON, synced).expect("a copy");
    assert!(whole.len() >= 2 * OPEN, "{:?}", whole.keys());
    for fault in FAULTS {
        world.twin.inject(fault, LISTING, Times::UntilCleared);
        let title = retitled(&world, fault);
        assert!(wait_until(SOON, || in_doubt(&mounted)).is_some(), "{fault:?}");
        for _ in 0..2 {
            let ran = sync();
            assert!(!ran.status.success(), "{fault:?}: {ran:?}");
            assert_eq!(files(&copy), whole, "{fault:?}: {ran:?}");
            let listed = Command::new("ls").arg(issues.join("_open")).output().expect("ls");
            assert!(!listed.status.success() && listed.stdout.is_empty(), "{fault:?}: {listed:?}");
        }
        let status = mounted.status().expect("status");
        let errors = status["errors"].as_array().expect("errors");
        let told = errors.iter().any(|error| error["path"] == format!("{API}/_issues/_open"));
        assert!(told, "{fault:?}: {errors:?}");
        world.twin.clear_faults();
        let newest = || {
            let files = synced()?;
            let found = files.get("/_open/1/title");
            let found =
                found.unwrap_or_else(|| panic!("{fault:?}: no title in {:?}", files.keys()));
            (found == title.as_bytes()).then_some(files)
        };
        whole = wait_until(SOON, newest)
            .unwrap_or_else(|| panic!("{fault:?}: {:?} {:?}", sync(), mounted.status()));
    }
}

#[test]
fn a_backup_by_rsync_survives_a_service_that_fails() {
    a_backup_survives("a_backup_by_rsync_survives_a_service_that_fails");
}

#[test]
fn an_ordinary_users_backup_by_rsync_survives_a_service_that_fails() {
    let test = "backups::an_ordinary_users_backup_by_rsync_survives_a_service_that_fails";
    if user::is_ordinary(test) {
        a_backup_survives(test);
    }
}

/// By libnfs's own walk: the machine that runs the tests may have no NFS client in its kernel.
#[test]
fn a_listing_by_nfs_of_a_service_that_fails_is_an_error_and_never_empty() {
    let test = "a_listing_by_nfs_of_a_service_that_fails_is_an_error_and_never_empty";
    if program("nfs-ls").is_none() {
        return skip(test, "nfs-ls is missing: apt-get install libnfs-utils");
    }
    let Some(world) = world(test) else { return };
    let export = Export::start(&world);
    let directory = format!("{API}/_issues/_open");
    // Never fewer names than there are.
    let list = || {
        let ran = export.run("nfs-ls", &directory);
        // A failure is told on standard output as well.
        let said = String::from_utf8_lossy(&ran.stdout);
        let names = said.lines().filter(|line| line.starts_with(['d', '-', 'l'])).count();
        match ran.status.success() {
            true => assert_eq!(names, OPEN, "{ran:?}"),
            false => assert_eq!(names, 0, "{ran:?}"),
        }
        ran.status.success()
    };
    assert!(wait_until(SOON, || list().then_some(())).is_some());
    for fault in FAULTS {
        world.twin.inject(fault, LISTING, Times::UntilCleared);
        retitled(&world, fault);
        assert!(wait_until(SOON, || (!list()).then_some(())).is_some(), "{fault:?}");
        world.twin.clear_faults();
        assert!(wait_until(SOON, || list().then_some(())).is_some(), "{fault:?}");
    }
}
