//! What providers cost that are configured and that nobody uses: no component in memory, and no more.

use crate::home;
use omnifs_support::{provider, wait_until};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Whose components are in memory.
fn loaded(status: &Value) -> Vec<&str> {
    let rows = status["providers"].as_array().expect("providers").iter();
    rows.filter(|row| row["loaded"] == true)
        .map(|row| row["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn a_component_is_in_memory_from_its_first_use_on() {
    let test = "a_component_is_in_memory_from_its_first_use_on";
    let Some(omnifs) = home(test, &[]) else { return };
    // `docker` is not among them: the stream of an engine's events is asked for as a mount begins, which is a use.
    let names = ["dns", "git", "mcp", "oci", "s3"];
    let sections = names
        .iter()
        .map(|name| format!("[instances.{name}]\n[instances.{name}2]\nprovider = '{name}'\n"));
    let off =
        ["docker", "github", "linear"].map(|name| format!("[instances.{name}]\nenabled = false\n"));
    omnifs.config(&(off.concat() + &sections.collect::<String>())).expect("a configuration");
    let compiled = || {
        let files = fs::read_dir(omnifs.path("cache/omnifs/components")).expect("what is compiled");
        let of =
            |entry: fs::DirEntry| (entry.path(), entry.metadata().expect("a file").modified().ok());
        let mut files: Vec<_> = files.map(|entry| of(entry.expect("an entry"))).collect();
        files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "bin"));
        files.sort();
        files
    };
    let mut first = Vec::new();
    for start in ["the first, which compiles them", "one that finds them compiled"] {
        let mounted = omnifs.mount(&provider("hello")).expect("mount");
        let status = mounted.status().expect("status");
        assert_eq!(status["providers"].as_array().map(Vec::len), Some(2 * names.len() + 1));
        let problems = status["providers"].as_array().expect("providers").iter();
        assert_eq!(problems.filter(|row| row["component"].is_null()).count(), 0, "{status}");
        assert_eq!(loaded(&status), [""; 0], "{start}");
        assert_eq!(compiled().len(), names.len() + 1, "{start}");

        assert!(fs::read_dir(mounted.join("hello")).expect("a listing").count() > 0);
        assert_eq!(loaded(&mounted.status().expect("status")), ["hello"], "{start}");
        if first.is_empty() {
            first = compiled();
        }
        assert_eq!(compiled(), first, "{start}");
        assert!(mounted.unmount());
    }

    // Without its artifact it is compiled as the mount begins, and not at somebody's first look.
    for (path, _) in &first {
        fs::remove_file(path).expect("an artifact");
    }
    let mounted = omnifs.mount(&provider("hello")).expect("mount");
    assert_eq!(compiled().len(), first.len());
    // One that is lost under a mount is made again by the first use.
    for (path, _) in compiled() {
        fs::remove_file(path).expect("an artifact");
    }
    assert!(fs::read_dir(mounted.join("hello")).expect("a listing").count() > 0);
    assert!(wait_until(SOON, || (compiled().len() == 1).then_some(())).is_some());
    assert_eq!(loaded(&mounted.status().expect("status")), ["hello"]);
    assert!(mounted.unmount());
}
