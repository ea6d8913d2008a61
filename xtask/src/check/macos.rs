//! The macOS back end, checked without a Mac: `cargo clippy` for aarch64-apple-darwin.
//!
//! Nothing is linked, so the standard library of that target is all that the platform crate needs.
//! The whole binary has C in its dependencies (ring's), which wants a cross compiler: PyPI's ziglang
//! is one, with an empty SDKROOT.

use crate::step::{loud, minutes, say};
use crate::{cargo, step, zig};
use anyhow::Result;
use omnifs_support::program;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const TARGET: &str = "aarch64-apple-darwin";

/// Lints the platform crate, and where there is a cross compiler the binary too.
pub fn lints() -> Result<()> {
    if !target_is_there() {
        loud(&format!(
            "the check for {TARGET} DID NOT RUN: its standard library cannot be had (rustup target \
             add {TARGET})"
        ));
        return Ok(());
    }
    clippy("omnifs-platform", &[])?;
    match compiler()? {
        Some(environment) => clippy("omnifs", &environment),
        None => {
            loud(&format!(
                "the check of the binary for {TARGET} DID NOT RUN: no C compiler for it (python3 -m \
                 pip install ziglang)"
            ));
            Ok(())
        }
    }
}

fn clippy(package: &str, environment: &[(String, PathBuf)]) -> Result<()> {
    let mut command = cargo::cargo();
    command.args(["clippy", "--target", TARGET, "--package", package]);
    // A directory of its own: the lock of the usual one may be held, and so may its build.
    command.arg("--target-dir").arg(cargo::target()?.join("macos"));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.args(["--", "--deny", "warnings"]);
    step::run(&mut command, &format!("lints of {package} for {TARGET}"), minutes(30))
}

/// Whether the target's standard library is installed; a rustup that can is asked to add it.
fn target_is_there() -> bool {
    let there = || {
        let mut rustc = Command::new("rustc");
        rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(cargo::root());
        let directory = step::ask(&mut rustc).unwrap_or_default();
        let entries = fs::read_dir(directory.trim()).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    };
    if there() {
        return true;
    }
    if program("rustup").is_some() {
        let mut add = Command::new("rustup");
        add.args(["target", "add", TARGET]).current_dir(cargo::root());
        let added = step::run(&mut add, &format!("adding {TARGET} by rustup"), minutes(3));
        if let Err(error) = added {
            say(&format!("{error:#}"));
        }
    }
    there()
}

/// What makes build scripts use ziglang's compiler, where python has it.
fn compiler() -> Result<Option<Vec<(String, PathBuf)>>> {
    let mut ask = Command::new("python3");
    if step::ask(ask.args(["-m", "ziglang", "version"])).is_none() {
        return Ok(None);
    }
    let place = cargo::target()?.join("macos-cc");
    fs::create_dir_all(place.join("sdk"))?;
    let mut environment = vec![("SDKROOT".to_owned(), place.join("sdk"))];
    for (variable, tool) in [("CC", "cc -target aarch64-macos"), ("AR", "ar")] {
        let file = place.join(variable.to_lowercase());
        zig::script("python3".as_ref(), tool, &file)?;
        environment.push((format!("{variable}_{}", TARGET.replace('-', "_")), file));
    }
    Ok(Some(environment))
}
