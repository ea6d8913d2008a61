//! Cargo: which one, where its target directory is, and what it says about packages.

use crate::step::{self, minutes};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace's Cargo.toml.
pub fn root() -> PathBuf {
    // Set by `cargo run`; the compiled-in one serves a binary that is started directly.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().map(Path::to_owned).unwrap_or(xtask)
}

/// The cargo that runs this program, in the workspace's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // Set by `cargo run` for this program, and taken by build scripts for their own.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "OUT_DIR"] {
        command.env_remove(name);
    }
    command
}

/// `cargo metadata` of a manifest, without its dependencies.
pub fn metadata(manifest: &Path) -> Result<Value> {
    read_metadata(manifest, &["--no-deps"])
}

/// `cargo metadata` with the dependencies for every platform, from the lock file as it is.
pub fn full_metadata(manifest: &Path) -> Result<Value> {
    read_metadata(manifest, &["--locked"])
}

fn read_metadata(manifest: &Path, args: &[&str]) -> Result<Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(manifest).args(args);
    let what = format!("cargo metadata of {}", manifest.display());
    // Fetches what the lock file names and is not there yet.
    let text = step::output(&mut command, &what, minutes(10))?;
    serde_json::from_str(&text).with_context(|| what)
}

/// The workspace's target directory, as cargo's own settings say.
pub fn target() -> Result<PathBuf> {
    let metadata = metadata(&root().join("Cargo.toml"))?;
    let directory = metadata.get("target_directory").and_then(Value::as_str);
    directory.map(PathBuf::from).context("cargo metadata names no target_directory")
}

/// Builds the omnifs binary; its path.
pub fn build_binary(release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "omnifs", "--bin", "omnifs"]);
    if release {
        command.arg("--release");
    }
    step::run(&mut command, "building omnifs", minutes(45))?;
    let profile = if release { "release" } else { "debug" };
    let name = format!("omnifs{}", std::env::consts::EXE_SUFFIX);
    Ok(target()?.join(profile).join(name))
}
