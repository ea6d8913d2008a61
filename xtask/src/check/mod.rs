//! `cargo xtask check`: formatting, links of the documentation, dependencies that nothing uses, lints, also for
//! Windows, lock files, licences, advisories.

mod advisories;
mod licences;
mod macos;
mod spdx;
mod unused;
mod windows;

pub use windows::{libclang, target_added};

use crate::step::{loud, minutes, say};
use crate::{cargo, components, setup, step};
use anyhow::{Context, Result, bail};
use omnifs_support::program;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

pub fn run() -> Result<()> {
    setup::need(setup::Goal::Build)?;
    let mut manifests = vec![cargo::root().join("Cargo.toml")];
    manifests.extend(components::manifests()?);
    let mut failures = 0;
    let mut note = |outcome: Result<()>| {
        if let Err(error) = outcome {
            loud(&format!("{error:#}"));
            failures += 1;
        }
    };
    // Its dependencies run in tests only, and are shipped with nothing.
    let for_tests = [components::descriptions(), components::s3_server()];
    let sources = || manifests.iter().chain(&for_tests);
    for manifest in sources() {
        note(formatting(manifest));
    }
    note(formatting(&cargo::root().join("fuzz/Cargo.toml")));
    for manifest in sources() {
        note(unused::dependencies(manifest));
    }
    note(crate::site::links::check());
    note(supply_chain(&manifests));
    for manifest in sources() {
        note(lints(manifest));
    }
    note(windows::run());
    note(macos::lints());
    match failures {
        0 => {
            say("all checks passed");
            Ok(())
        }
        count => bail!("checks that failed: {count}, each named above"),
    }
}

fn formatting(manifest: &Path) -> Result<()> {
    if !has("fmt", "rustfmt") {
        return Ok(());
    }
    let mut command = cargo::cargo();
    command.args(["fmt", "--all", "--check", "--manifest-path"]).arg(manifest);
    let what = format!("formatting of {}", name(manifest));
    step::run(&mut command, &what, minutes(5)).context("`cargo fmt --all` mends it")
}

fn lints(manifest: &Path) -> Result<()> {
    if !has("clippy", "clippy") {
        return Ok(());
    }
    let mut command = cargo::cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--manifest-path"]).arg(manifest);
    if *manifest != cargo::root().join("Cargo.toml") {
        command.env("CARGO_TARGET_DIR", components::target()?);
    }
    command.args(["--", "--deny", "warnings"]);
    step::run(&mut command, &format!("lints of {}", name(manifest)), minutes(30))
}

/// Whether the cargo subcommand is there; a rustup that can is asked to add it.
fn has(subcommand: &str, component: &str) -> bool {
    let there = || step::ask(cargo::cargo().args([subcommand, "--version"])).is_some();
    if there() {
        return true;
    }
    if program("rustup").is_some() {
        let mut add = Command::new("rustup");
        let what = format!("adding {component} by rustup");
        let added = step::run(add.args(["component", "add", component]), &what, minutes(3));
        if added.is_ok() && there() {
            return true;
        }
    }
    loud(&format!("cargo {subcommand} DID NOT RUN: rustup component add {component}"));
    false
}

/// Lock files, licences and advisories of everything that is linked or built.
fn supply_chain(manifests: &[std::path::PathBuf]) -> Result<()> {
    let policy = licences::Policy::read(&cargo::root().join("deny.toml"))?;
    let mut problems = Vec::new();
    for manifest in manifests {
        say(&format!("licences and known advisories of {}", name(manifest)));
        let metadata = cargo::full_metadata(manifest).with_context(|| {
            format!("is {} current?", manifest.with_file_name("Cargo.lock").display())
        })?;
        let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
        problems.extend(licences::check(&policy, packages));
        problems.extend(advisories::check(packages));
    }
    // The full database is a git repository; cargo-deny fetches it where it can be reached.
    if step::ask(cargo::cargo().args(["deny", "--version"])).is_some() {
        let mut deny = cargo::cargo();
        deny.args(["deny", "--all-features", "check"]);
        step::run(&mut deny, "cargo deny", minutes(10))?;
    } else {
        loud(
            "the advisory database was NOT consulted: cargo-deny is not installed (cargo install \
             --locked cargo-deny). Checked instead: licences by deny.toml, and the floors of \
             xtask/src/check/advisories.rs",
        );
    }
    problems.sort();
    problems.dedup();
    match problems.is_empty() {
        true => Ok(()),
        false => bail!("dependencies:\n  {}", problems.join("\n  ")),
    }
}

fn name(manifest: &Path) -> String {
    let folder = manifest.parent().unwrap_or(manifest);
    match folder.strip_prefix(cargo::root()) {
        Ok(path) if path.as_os_str().is_empty() => "the workspace".to_owned(),
        Ok(path) => path.display().to_string(),
        Err(_) => folder.display().to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Names of the packages that this one is built from, itself included. What its tests alone use
    /// is left out.
    fn built_from(metadata: &Value, name: &str) -> BTreeSet<String> {
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let name_of = |id: &Value| {
            let package = packages.iter().find(|package| package["id"] == *id).unwrap();
            package["name"].as_str().unwrap().to_owned()
        };
        let mut open = vec![packages.iter().find(|p| p["name"] == name).unwrap()["id"].clone()];
        let mut found = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !found.insert(name_of(&id)) {
                continue;
            }
            let node = nodes.iter().find(|node| node["id"] == id).unwrap();
            for dependency in node["deps"].as_array().unwrap() {
                let kinds = dependency["dep_kinds"].as_array().unwrap();
                if kinds.iter().any(|kind| kind["kind"] != "dev") {
                    open.push(dependency["pkg"].clone());
                }
            }
        }
        found
    }

    #[test]
    fn a_back_end_knows_no_wasm_no_http_and_no_json_and_the_core_no_kernel() {
        let metadata = cargo::full_metadata(&cargo::root().join("Cargo.toml")).unwrap();
        let platform = built_from(&metadata, "omnifs-platform");
        assert!(platform.contains("tokio"), "the graph is read: {platform:?}");
        for foreign in ["omnifs", "wasmtime", "reqwest", "hyper", "http", "axum", "serde_json"] {
            assert!(!platform.contains(foreign), "omnifs-platform is built from {foreign}");
        }
        let root = metadata["packages"].as_array().unwrap().iter().find(|p| p["name"] == "omnifs");
        let direct = root.unwrap()["dependencies"].as_array().unwrap();
        let direct: Vec<_> = direct.iter().filter_map(|d| d["name"].as_str()).collect();
        for back_end in ["fuser", "nfs3_server", "nfs3_types", "winfsp"] {
            assert!(!direct.contains(&back_end), "the core depends on {back_end} itself");
        }
    }
}
