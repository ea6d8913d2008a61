//! `omnifs reload` over a real mount: what takes effect, what needs a new mount, and a mistake that changes nothing.
#![cfg(target_os = "linux")]

mod cli;

use cli::Home;
use omnifs_support::{Omnifs, skip};
use serde_json::{Value, json};

const NOTHING: &str = "[instances.docker]\nenabled = false\n[instances.github]\nenabled = false\n\
                       [instances.linear]\nenabled = false\n";

#[test]
fn a_reload_applies_what_it_can_lists_the_rest_and_a_mistake_changes_nothing() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("a_reload", &reason);
    }
    let home = Home::new();
    home.config(NOTHING);
    home.run(["reload"]).fails(3, "nothing is mounted", "omnifs mount");
    // A flag goes on to win over the file.
    home.run(["mount", "mnt", "--cache-capacity", "5000"]).works();
    let stale = || {
        let status: Value =
            serde_json::from_str(home.run(["status", "mnt", "--json"]).works()).unwrap();
        status["mount"]["stale_if_error"] == true
    };
    let keys = |arguments: &[&str]| {
        let ran = home.run([arguments, &["--json"]].concat());
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, &said["ok"]), (0, &true.into()), "{ran:?}");
        let mount = &said["result"]["mounts"][0];
        (mount["applied"].clone(), mount["needs_new_mount"].clone())
    };
    assert!(home.run(["reload", "mnt"]).works().ends_with("/mnt: nothing has changed\n"));
    assert!(!stale());

    home.config(&format!(
        "[mount]\nstale-if-error = true\n[cache]\nnodes = 7000\nbytes = '9MiB'\n{NOTHING}"
    ));
    assert_eq!(keys(&["reload"]), (json!(["mount.stale-if-error"]), json!(["cache.bytes"])));
    assert!(stale());
    let ran = home.run(["reload"]);
    assert!(ran.code == 0 && ran.stdout.contains("/mnt: cache.bytes needs a new mount"), "{ran:?}");
    assert!(!ran.stdout.contains("stale-if-error"), "it is in force already: {ran:?}");
    assert!(ran.stderr.starts_with("note: omnifs unmount /"), "{ran:?}");

    home.run(["providers", "enable", "github"]).works();
    let (_, waiting) = keys(&["reload"]);
    assert_eq!(waiting, json!(["cache.bytes", "instances.github.enabled"]));

    std::fs::create_dir(home.path("mnt2")).unwrap();
    home.config(NOTHING);
    home.run(["mount", "mnt2"]).works();
    home.config("[mount]\nstale-if-eror = false\n");
    home.run(["reload", "mnt"]).fails(1, "nothing was changed: ", "did you mean 'stale-if-error'?");
    // Each of several that fail is told of.
    let ran = home.run(["reload"]);
    for point in ["/mnt: nothing was changed: ", "/mnt2: nothing was changed: "] {
        assert!(ran.code == 1 && ran.stderr.contains(point), "{ran:?}");
    }
    let said: Value = serde_json::from_str(&home.run(["reload", "--json"]).stdout).unwrap();
    let mounts = said["result"]["mounts"].as_array().unwrap();
    assert_eq!(mounts.len(), 2, "{said}");
    assert!(mounts.iter().all(|mount| mount["error"].is_string()), "{said}");
    assert!(stale());
    home.run(["unmount", "--all"]).works();
}
