//! `omnifs reload` over a real mount: what takes effect, what needs a new mount, a component that takes another's
//! place, and a mistake that changes nothing.
#![cfg(target_os = "linux")]

mod cli;

use cli::Home;
use omnifs_support::{Omnifs, skip};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// `hello`, with other words of the same length in the place of its own.
fn hello(file: &Path, words: &[(&str, &str)]) {
    let built = omnifs_support::components().expect("components").join("hello.wasm");
    let mut bytes = fs::read(built).unwrap();
    for (old, new) in words {
        assert_eq!(old.len(), new.len());
        let places: Vec<_> = bytes.windows(old.len()).enumerate().collect();
        let places: Vec<_> =
            places.into_iter().filter(|(_, at)| *at == old.as_bytes()).map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "{old} is nowhere in it");
        for at in places {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_reload_puts_an_approved_component_in_the_place_of_the_one_that_runs() {
    let test = "a_reload_puts_an_approved_component_in_the_place_of_the_one_that_runs";
    if let Some(reason) = Omnifs::unavailable() {
        return skip(test, &reason);
    }
    if omnifs_support::components().is_none() {
        return skip(test, "no components are built");
    }
    let home = Home::new();
    home.config(NOTHING);
    let file = home.path("x.wasm");
    let add = |words: &[(&str, &str)]| {
        hello(&file, words);
        let ran =
            home.run(["providers", "add", file.to_str().unwrap(), "--name", "greeter", "--yes"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    assert!(add(&[]).contains("from their next start"));
    home.run(["mount", "mnt"]).works();
    let shown = home.path("mnt/greeter/hello.txt");
    let read = || cli::text(&shown);
    assert_eq!(read(), "Hello, world!\n");
    let inode = fs::metadata(&shown).unwrap().ino();
    let mut open = File::open(&shown).unwrap();
    let mut before = String::new();
    open.read_to_string(&mut before).unwrap();
    let directory = File::open(home.path("mnt/greeter")).unwrap();

    // Another component, which asks for the same.
    assert!(add(&[("Hello, ", "Howdy, ")]).contains("`omnifs reload` has running mounts run it"));
    assert_eq!(read(), "Hello, world!\n", "nobody has said that mounts run it");
    let ran = home.run(["reload", "mnt"]);
    assert!(ran.works().ends_with("/mnt: instances.greeter.grant is in force\n"), "{ran:?}");
    assert_eq!(read(), "Howdy, world!\n");
    assert_eq!(fs::metadata(&shown).unwrap().ino(), inode);
    // What was open before stays, and the same directory leads to what is there now.
    let mut again = String::new();
    open.seek(SeekFrom::Start(0)).unwrap();
    open.read_to_string(&mut again).unwrap();
    assert_eq!((before.as_str(), again.as_str()), ("Hello, world!\n", "Hello, world!\n"));
    let through = rustix::fs::openat(
        &directory,
        "hello.txt",
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    );
    let mut now = String::new();
    File::from(through.unwrap()).read_to_string(&mut now).unwrap();
    assert_eq!(now, "Howdy, world!\n");
    assert!(home.run(["reload", "mnt"]).works().ends_with("/mnt: nothing has changed\n"));

    // What it says of itself has changed too, and was approved.
    add(&[("Hello, ", "Salut, "), ("to start from", "to begin with")]);
    let ran = home.run(["reload", "mnt", "--json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let applied = &said["result"]["mounts"][0]["applied"];
    assert_eq!(*applied, json!(["instances.greeter.grant", "instances.greeter.asks"]), "{said}");
    assert_eq!(read(), "Salut, world!\n");
    assert!(cli::text(&home.path("mnt/greeter/README.md")).contains("to begin with"));
    assert!(cli::text(&home.path("mnt/greeter/.omnifs/manifest.json")).contains("to begin with"));

    // One whose words were not approved, whatever the file says of its bytes, leaves the one before.
    let approved = cli::text(&home.config_file());
    let installed = home.path("data/omnifs/providers/greeter.wasm");
    hello(&installed, &[("Hello, ", "Hejsa, ")]);
    let digest = |path: &Path| omnifs::component::digest(&fs::read(path).unwrap());
    let before = approved.lines().find(|line| line.starts_with("grant = ")).unwrap();
    home.config(&approved.replace(before, &format!("grant = \"{}\"", digest(&installed))));
    let ran = home.run(["reload", "mnt"]);
    ran.fails(1, "/mnt: the component before goes on: greeter: ", "omnifs providers add ");
    assert!(ran.stderr.contains("asks for something else than was approved"), "{ran:?}");
    assert_eq!((ran.stdout.as_str(), read().as_str()), ("", "Salut, world!\n"));
    // And so does one whose bytes were not.
    home.config(&approved.replace(before, &format!("grant = \"sha256:{}\"", "0".repeat(64))));
    home.run(["reload", "mnt"]).fails(1, "is not the file that was approved", "providers add");
    home.run(["refresh", "mnt"]).works();
    assert_eq!(read(), "Salut, world!\n");
    drop(open);
    drop(directory);
    home.run(["unmount", "--all"]).works();
}
