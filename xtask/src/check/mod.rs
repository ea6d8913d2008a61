//! `cargo xtask check`: formatting, lints, also for Windows, lock files, licences, advisories.

mod advisories;
mod licences;
mod spdx;
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
    for manifest in &manifests {
        note(formatting(manifest));
    }
    note(supply_chain(&manifests));
    for manifest in &manifests {
        note(lints(manifest));
    }
    note(windows::run());
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
    if manifest.starts_with(cargo::root().join("providers")) {
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
