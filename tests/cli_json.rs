//! `--json`, `--quiet`, `--verbose` and `--color`: one document on standard output however a command ends, and no
//! more on standard error than was asked for.

mod cli;

use cli::{Home, Ran};
use serde_json::Value;

/// The document, which is all that was printed.
#[track_caller]
fn document(ran: &Ran) -> Value {
    assert_eq!(ran.stderr, "", "{ran:?}");
    assert!(ran.stdout.ends_with('\n'), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn run(home: &Home, arguments: &[&str]) -> Ran {
    home.run([arguments, &["--json"]].concat())
}

/// A home in which no component is looked at.
fn home() -> Home {
    let home = Home::new();
    let off = |name| format!("[instances.{name}]\nenabled = false\n");
    home.config(&["docker", "github", "linear"].map(off).concat());
    home
}

#[test]
fn every_failure_is_the_same_document_with_what_the_lines_say() {
    let home = home();
    for arguments in [
        &["mont"][..],
        // There is no log until something was to be mounted.
        &["logs"],
        &["logs", "--follow"],
        &["mount", "absent"],
        &["mount", "--threads", "0", "mnt"],
        &["mount", "--foreground", "absent"],
        &["serve", "nfs", "--backend", "fuse"],
        #[cfg(target_os = "linux")]
        &["serve", "docker-volumes"],
        &["unmount", "mnt"],
        &["unmount", "--all"],
        &["status", "mnt"],
        &["top"],
        &["metrics"],
        &["refresh", "mnt"],
        &["demo", "/proc/none"],
        &["providers", "info", "none"],
        &["providers", "remove", "none"],
        &["providers", "add", "none.wasm", "--yes"],
        &["auth", "status", "none"],
        &["auth", "login", "none"],
        &["--config", "none.toml", "config", "show"],
    ] {
        let ran = run(&home, arguments);
        let (said, lines) = (document(&ran), home.run(arguments));
        assert_eq!(ran.code, lines.code, "{arguments:?}");
        let error = &said["error"];
        assert_eq!((&said["ok"], &error["exit"]), (&false.into(), &ran.code.into()), "{ran:?}");
        let message = error["message"].as_str().unwrap();
        assert!(lines.stderr.contains(&format!("error: {message}\n")), "{message}: {lines:?}");
        let hints = error["hints"].as_array().unwrap();
        assert!(!lines.stderr.contains("hint: ") || !hints.is_empty(), "{said} {lines:?}");
        for hint in hints {
            assert!(lines.stderr.contains(hint.as_str().unwrap()), "{hint}: {lines:?}");
        }
    }
}

#[test]
fn every_verb_that_prints_gives_a_document() {
    let home = home();
    let text = |arguments: &[&str]| home.run(arguments).works().to_owned();
    for arguments in [&["completions", "bash"][..], &["config", "show"], &["reference"]] {
        let said = document(&run(&home, arguments));
        assert_eq!(said["ok"], true);
        assert_eq!(said["result"]["text"], text(arguments));
    }
    let file = home.config_file();
    let said = document(&run(&home, &["config", "path"]));
    assert_eq!(said["result"]["path"], file.to_str().unwrap());
    let said = document(&run(&home, &["config", "check"]));
    assert_eq!((&said["ok"], &said["result"]["exists"]), (&true.into(), &true.into()));
    assert_eq!(document(&run(&home, &[]))["result"]["mounts"], serde_json::json!([]));
    // These have a form of their own.
    let ran = run(&home, &["status"]);
    assert_eq!((ran.code, document(&ran)), (3, serde_json::json!([])));
    for arguments in [&["doctor"][..], &["providers", "list"], &["auth", "status"]] {
        let said = document(&run(&home, arguments));
        assert!(said.is_array(), "{arguments:?}: {said}");
    }
    // A flag may stand before the verb.
    assert!(document(&home.run(["--json", "doctor"])).is_array());
    assert!(document(&home.run(["--json", "auth", "status"])).is_array());
    let said = document(&run(&home, &["providers", "remove", "docker"]));
    assert_eq!((&said["ok"], &said["result"]["name"]), (&true.into(), &"docker".into()));
}

#[test]
fn mistakes_of_the_configuration_are_a_list() {
    let home = Home::new();
    home.config("[mount]\nthread = 4\n[cache]\nnodes = 'many'\n");
    let ran = run(&home, &["config", "check"]);
    let said = document(&ran);
    assert_eq!((ran.code, &said["ok"]), (2, &false.into()));
    let mistakes = said["result"]["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), 2, "{said}");
    assert_eq!(mistakes[0]["hints"][0], "did you mean 'threads'?");
}

#[test]
fn warnings_are_in_the_document_and_quiet_leaves_them_out() {
    let home = home();
    let trusting = ["--trust-path", "mnt", "config", "path"];
    let said = document(&run(&home, &trusting));
    assert_eq!(said["warnings"][0]["kind"], "warning");
    assert!(said["warnings"][0]["text"].as_str().unwrap().starts_with("--trust-path: "), "{said}");
    assert!(home.run(trusting).stderr.starts_with("warning: --trust-path: "));
    let ran = home.run([&["--quiet"], &trusting[..]].concat());
    assert!(ran.works().ends_with("config.toml\n"), "what was asked for is printed: {ran:?}");
    // Beside a list there is no place for them in it.
    let ran = home.run(["--json", "--trust-path", "mnt", "auth", "status"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), serde_json::json!([]));
    assert!(ran.stderr.starts_with("warning: --trust-path: "), "{ran:?}");
    let ran = home.run(["--json", "-q", "--trust-path", "mnt", "auth", "status"]);
    assert_eq!(ran.stderr, "");
    // "Done" is nothing that was asked for; an error is.
    assert_eq!(home.run(["config", "check", "-q"]).works(), "");
    home.run(["unmount", "mnt", "-q"]).fails(3, "nothing is mounted at mnt", "omnifs status");
    assert_eq!(home.run(["status", "-q", "-v"]).code, 2);
}

#[test]
fn verbose_says_what_is_used() {
    let home = home();
    let ran = home.run(["providers", "list", "-v"]);
    let said = format!("detail: the configuration is {}\n", home.config_file().display());
    assert!(ran.code == 0 && ran.stderr.contains(&said), "{ran:?}");
    let ran = home.run(["status", "--verbose"]);
    assert!(ran.stderr.contains("detail: running mounts are recorded in /"), "{ran:?}");
}

#[test]
fn colours_are_where_they_are_wanted() {
    let home = home();
    let stderr = |color: &str| home.run(["--color", color, "unmount", "mnt"]).stderr;
    let plain = home.run(["unmount", "mnt"]).stderr;
    assert!(!plain.contains('\x1b'), "a pipe has none: {plain:?}");
    let painted = stderr("always");
    assert!(painted.starts_with("\x1b[1;31merror:\x1b[0m nothing is mounted"), "{painted:?}");
    assert!(painted.contains("\x1b[1;36mhint:\x1b[0m"), "{painted:?}");
    for plainly in ["auto", "never"] {
        assert_eq!(stderr(plainly), plain);
    }
    assert_eq!(home.run(["--color", "red", "status"]).code, 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_has_colours_unless_no_color_says_so() {
    use omnifs_support::pty::Pty;
    let home = home();
    let painted = |variable: Option<&str>| {
        let mut command = home.command(["unmount", "mnt"]);
        command.env_remove("NO_COLOR").envs(variable.map(|value| ("NO_COLOR", value)));
        let mut pty = Pty::spawn(&mut command, 24, 80).unwrap();
        assert_eq!(pty.ended(), Some(3));
        assert!(pty.contents().starts_with("error: nothing is mounted"), "{}", pty.contents());
        pty.is_colored(0, 0)
    };
    assert!(painted(None) && painted(Some("")) && !painted(Some("1")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_mount_and_its_end_are_documents() {
    use omnifs_support::{Omnifs, skip};
    if let Some(reason) = Omnifs::unavailable() {
        return skip("a_mount_and_its_end_are_documents", &reason);
    }
    let home = home();
    let at = home.path("mnt");
    let said = document(&run(&home, &["mount", "mnt"]));
    assert_eq!(
        (&said["ok"], &said["result"]["mountpoint"]),
        (&true.into(), &at.to_str().unwrap().into())
    );
    let refused = run(&home, &["mount", "mnt"]);
    assert_eq!((refused.code, &document(&refused)["error"]["exit"]), (4, &4.into()));
    assert!(document(&run(&home, &["status"])).is_array());
    assert!(document(&run(&home, &["status", "mnt"]))["mount"]["pid"].is_number());
    assert!(document(&run(&home, &["refresh", "mnt"]))["result"]["nodes"].is_u64());
    let metrics = document(&run(&home, &["metrics"]));
    assert!(metrics["result"]["text"].as_str().unwrap().ends_with("# EOF\n"), "{metrics}");
    let log = document(&run(&home, &["logs"]));
    let lines = log["result"]["lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line.as_str().unwrap().contains("mounted")), "{log}");
    let said = document(&run(&home, &["unmount", "--all"]));
    assert_eq!(said["result"]["unmounted"][0], at.to_str().unwrap());
    // Quiet, and still there.
    assert_eq!(home.run(["mount", "mnt", "--quiet"]).works(), "");
    assert_eq!(home.run(["unmount", "mnt", "--quiet"]).works(), "");
}
