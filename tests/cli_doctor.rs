//! What `omnifs doctor` reports in place of ending, and what it says to do.

#![cfg(target_os = "linux")]

mod cli;

use cli::{Home, Ran};
use omnifs_support::skip;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

/// A user without a name and a home, as in many containers.
const NAMELESS: u32 = 54_321;

/// A home in which no provider is looked at, which would take the time of compiling it.
fn home() -> Home {
    let home = Home::new();
    let off = |name| format!("[instances.{name}]\nenabled = false\n");
    home.config(&["docker", "github", "linear"].map(off).concat());
    home
}

/// The row about something, with the line that says what to do.
fn row(ran: &Ran, about: &str) -> String {
    let mut lines = ran.stdout.lines().skip_while(|line| !line.contains(about));
    let row = lines.next().unwrap_or_else(|| panic!("no row about {about}: {ran:?}"));
    format!("{row} {}", lines.next().unwrap_or_default().trim())
}

#[test]
fn a_directory_that_others_may_write_is_a_row_and_the_other_rows_are_there() {
    for (name, verdict) in [("state", "BAD"), ("data", "BAD"), ("cache", "warning")] {
        let home = home();
        let shared = home.path(name);
        set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
        let ran = home.run(["doctor"]);
        let row = row(&ran, &format!("the {name} directory"));
        assert!(row.starts_with(verdict) && row.contains("can be written by other users"), "{row}");
        assert!(row.contains("chmod go-w") && row.contains("--trust-path"), "{row}");
        assert!(ran.stdout.contains("ok       the configuration"), "{ran:?}");
        assert!(!shared.join("omnifs").exists(), "nothing is made there");
        assert_eq!(ran.stderr, "");
    }
}

#[test]
fn without_a_home_the_doctor_says_so_in_a_row() {
    let home = Home::new();
    let mut command = home.command(["doctor"]);
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        command.env_remove(name);
    }
    let ran = cli::ran(command.env("HOME", "relative").output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(row(&ran, "no home directory").contains("set HOME"), "{ran:?}");
}

#[test]
fn a_user_without_a_name_and_a_home_is_told_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        return skip("a_user_without_a_name", "becoming another user needs root");
    }
    let home = home();
    let mut command = home.command_as(NAMELESS, &["config", "data", "state"], ["doctor"]);
    let ran = cli::ran(
        command.env_remove("XDG_CACHE_HOME").env("HOME", "/nonexistent").output().unwrap(),
    );
    let cache = row(&ran, "the cache directory /nonexistent");
    assert!(cache.starts_with("warning") && cache.contains("set HOME to a directory"), "{cache}");
    if omnifs_support::program("fusermount3").is_some() {
        let name = row(&ran, "fusermount3");
        assert!(name.starts_with("BAD") && name.contains("user 54321 has none"), "{name}");
        assert!(name.contains("useradd -u 54321"), "{name}");
    }
    let mut command = home.command_as(65_534, &["config", "data", "state", "cache"], ["doctor"]);
    let ran = cli::ran(command.output().unwrap());
    assert!(!ran.stdout.contains("has none"), "nobody has a name: {ran:?}");
}
