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

/// What the doctor shows after it has mended, and how it ended.
fn fixed(home: &Home, flags: &[&str]) -> Ran {
    home.run([&["doctor", "--fix"], flags].concat())
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_others_may_write_or_read_is_closed_after_a_yes_and_not_without() {
    let home = home();
    let shared = home.path("state/omnifs");
    std::fs::create_dir(&shared).unwrap();
    set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    set_permissions(home.config_file(), Permissions::from_mode(0o666)).unwrap();
    let ran = fixed(&home, &[]);
    ran.fails(1, "there is no terminal to ask on", "--yes mends it");
    assert_eq!((mode(&shared), mode(&home.config_file())), (0o777, 0o666), "nobody has said yes");
    let ran = fixed(&home, &["--yes"]);
    assert_eq!((mode(&shared), mode(&home.config_file())), (0o755, 0o644), "{ran:?}");
    assert!(row(&ran, "the state directory").starts_with("ok"), "{ran:?}");
    assert!(row(&ran, "the configuration").starts_with("ok"), "{ran:?}");
    assert_eq!(home.run(["doctor", "--yes"]).code, 2, "--yes is of --fix");
}

/// It may be shared with a group for the user's own reasons.
#[test]
fn a_directory_above_those_of_omnifs_is_left_as_it_is() {
    let home = home();
    let above = home.path("state");
    set_permissions(&above, Permissions::from_mode(0o777)).unwrap();
    let ran = fixed(&home, &["--yes"]);
    assert_eq!(mode(&above), 0o777, "{ran:?}");
    assert!(row(&ran, "the state directory").contains("chmod go-w"), "{ran:?}");
}

#[test]
fn a_file_that_several_rows_are_about_is_asked_about_once() {
    use omnifs_support::pty::Pty;
    let home = Home::new();
    let secret = home.path("token");
    std::fs::write(&secret, "not-a-secret").unwrap();
    set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    home.config(&format!(
        "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
         [instances.github]\ncredential-file = '{0}'\nwebhook-secret-file = '{0}'\n",
        secret.display()
    ));
    let mut pty = Pty::spawn(&mut home.command(["doctor", "--fix"]), 100, 200).unwrap();
    pty.until("the question", |screen| screen.contains("Let nobody but you read"));
    pty.send("n\r");
    assert!(pty.ended().is_some(), "{}", pty.contents());
    assert_eq!(pty.contents().matches("Let nobody but you read").count(), 1, "{}", pty.contents());
}

/// As one does who answers a question that is not there yet.
#[test]
fn a_yes_that_was_typed_before_the_question_is_none() {
    use omnifs_support::pty::Pty;
    let home = home();
    let shared = home.path("state/omnifs");
    std::fs::create_dir(&shared).unwrap();
    set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    let early = home.path("early");
    // The program begins when the yes is there.
    let line = format!(
        "while [ ! -e '{}' ]; do sleep 0.05; done; exec '{}' doctor --fix",
        early.display(),
        env!("CARGO_BIN_EXE_omnifs")
    );
    let mut command = std::process::Command::new("sh");
    home.environment(command.args(["-c", &line]));
    let mut pty = Pty::spawn(&mut command, 50, 200).unwrap();
    pty.send("y\r");
    pty.until("it is typed", |screen| screen.contains('y'));
    std::fs::write(&early, "").unwrap();
    pty.until("the question", |screen| screen.contains("Let nobody but you write"));
    pty.send("n\r");
    assert!(pty.ended().is_some(), "{}", pty.contents());
    assert_eq!(mode(&shared), 0o777, "{}", pty.contents());
}

#[test]
fn a_question_is_answered_at_the_terminal() {
    use omnifs_support::pty::Pty;
    let home = home();
    let shared = home.path("state/omnifs");
    std::fs::create_dir(&shared).unwrap();
    for (answer, after) in [("n\r", 0o777), ("y\r", 0o755)] {
        set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
        let mut pty = Pty::spawn(&mut home.command(["doctor", "--fix"]), 50, 200).unwrap();
        pty.until("the question", |screen| screen.contains("Let nobody but you write"));
        pty.send(answer);
        assert!(pty.ended().is_some(), "{}", pty.contents());
        assert_eq!(mode(&shared), after, "{}", pty.contents());
    }
}

#[test]
fn a_secret_that_others_may_read_is_closed_and_what_a_link_leads_to_is_not_touched() {
    let home = Home::new();
    let (secret, other) = (home.path("token"), home.path("other"));
    for file in [&secret, &other] {
        std::fs::write(file, "not-a-secret").unwrap();
        set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    std::os::unix::fs::symlink(&other, home.path("link")).unwrap();
    home.config(&format!(
        "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
         [instances.github]\ncredential-file = '{}'\nwebhook-secret-file = '{}'\n",
        secret.display(),
        home.path("link").display()
    ));
    let ran = home.run(["doctor"]);
    let row = row(&ran, "others may read the secret");
    assert!(row.starts_with("warning") && row.contains("chmod 600"), "{row}");
    let ran = fixed(&home, &["--yes"]);
    assert_eq!((mode(&secret), mode(&other)), (0o600, 0o644), "{ran:?}");
    assert!(ran.stderr.contains("warning: cannot change the permissions of"), "{ran:?}");
}

#[test]
fn a_mount_whose_process_was_killed_is_unmounted() {
    use omnifs_platform::mounting;
    if let Some(reason) = omnifs_support::Omnifs::unavailable() {
        return skip("a_mount_whose_process_was_killed", &reason);
    }
    let home = home();
    // Nobody goes on with it.
    home.run(["mount", "mnt", "--keeper=false"]).works();
    let status = home.run(["status", "mnt", "--json"]);
    let status: serde_json::Value = serde_json::from_str(status.works()).unwrap();
    let pid = i32::try_from(status["mount"]["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    cli::until("the end of the process", || home.run(["status"]).code == 3);
    let ran = home.run(["doctor"]);
    let at = home.path("mnt");
    assert!(row(&ran, &at.display().to_string()).contains("its process has ended"), "{ran:?}");
    let ran = fixed(&home, &["-y"]);
    assert!(mounting::mounted_at(&at).is_none(), "{ran:?}");
    assert!(!ran.stdout.contains("its process has ended"), "{ran:?}");
    let records = std::fs::read_dir(home.path("state/omnifs/mounts")).unwrap();
    let records =
        records.filter(|e| e.as_ref().unwrap().path().extension() == Some("json".as_ref()));
    assert_eq!(records.count(), 0, "the record went as it was looked at");
}

#[test]
fn a_proxy_that_is_set_and_not_used_is_named_with_what_has_it_used() {
    let home = home();
    let set = |home: &Home| {
        let mut command = home.command(["doctor"]);
        command.env("HTTPS_PROXY", "http://u:hunter2@proxy.corp:3128");
        cli::ran(command.output().unwrap())
    };
    let ran = set(&home);
    let found = row(&ran, "HTTPS_PROXY");
    assert!(
        found.contains("do not go through") && found.contains("proxy = \"environment\""),
        "{found}"
    );
    let off = |name| format!("[instances.{name}]\nenabled = false\n");
    let off = ["docker", "github", "linear"].map(off).concat();
    home.config(&format!("[network]\nproxy = 'environment'\n{off}"));
    let ran = set(&home);
    assert!(row(&ran, "HTTPS_PROXY").contains("go through the proxy of"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("hunter2"));
}
