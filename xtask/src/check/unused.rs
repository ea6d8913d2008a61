//! Dependencies that a crate declares and does not name.

use crate::{cargo, step};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Declared for its features alone or for the lock file, as a comment beside it says, or named by the code in
/// the README of the providers.
const ELSEWHERE: &[(&str, &str)] = &[
    ("omnifs", "semver"),
    ("omnifs-descriptions", "linear-schema"),
    ("omnifs-example", "omnifs-provider"),
    ("omnifs-example", "serde"),
];

/// Reads what each crate of a workspace declares, and looks for it in the crate's own sources.
pub fn dependencies(manifest: &Path) -> Result<()> {
    let mut command = cargo::cargo();
    command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
    let told = step::ask(command.arg(manifest)).context("cargo metadata failed")?;
    let told: Value = serde_json::from_str(&told).context("cargo metadata")?;
    let mut unused = Vec::new();
    for package in told["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let place = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let place = place.parent().context("a manifest without a directory")?;
        let shipped = shipped(package);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let declared = dependency["name"].as_str().unwrap_or_default();
            let known = dependency["rename"].as_str().unwrap_or(declared).replace('-', "_");
            let parts = match dependency["kind"].as_str() {
                Some("dev") => vec![place.to_owned()],
                Some("build") => vec![place.join("build.rs")],
                _ => shipped.clone(),
            };
            let named = || parts.iter().any(|part| names(part, &known, place));
            if !ELSEWHERE.contains(&(name, declared)) && !named() {
                unused.push(format!("{name} declares {declared}"));
            }
        }
    }
    if !unused.is_empty() {
        bail!("dependencies that nothing uses, take them out: {}", unused.join(", "));
    }
    Ok(())
}

/// The directories of what is no test, benchmark, example or build script.
fn shipped(package: &Value) -> Vec<PathBuf> {
    let targets = package["targets"].as_array().into_iter().flatten();
    let aside = ["test", "bench", "example", "custom-build"];
    let ships = |target: &&Value| !aside.iter().any(|kind| target["kind"][0] == **kind);
    let sources = targets.filter(ships).filter_map(|target| target["src_path"].as_str());
    sources.filter_map(|source| Some(Path::new(source).parent()?.to_owned())).collect()
}

/// Whether a source file at or below a path names a crate; `own` is the directory of the crate that is
/// looked at.
fn names(path: &Path, known: &str, own: &Path) -> bool {
    if path.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut below: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        below.sort();
        // A crate of its own says itself what it uses.
        let another = path != own && path.join("Cargo.toml").is_file();
        return !another && below.iter().any(|path| names(path, known, own));
    }
    let is_source = path.extension().is_some_and(|extension| extension == "rs");
    is_source && fs::read_to_string(path).is_ok_and(|text| is_named(&text, known))
}

/// As the first part of a path, or by itself after `use`.
fn is_named(text: &str, known: &str) -> bool {
    text.match_indices(known).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + known.len()..]);
        let within = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"');
        let used = before.ends_with("use ") || before.ends_with("extern crate ");
        !within && (after.starts_with("::") || used && after.starts_with([';', ' ']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_by_a_path_and_not_by_a_word() {
        for text in ["toml::from_str(x)", "use toml;", "use toml as t;", "::toml::X", "#[toml::x]"]
        {
            assert!(is_named(text, "toml"), "{text}");
        }
        for text in ["config.toml", "a toml file", "my_toml::x", "use tomlx;", "\"toml::\"", ""] {
            assert!(!is_named(text, "toml"), "{text}");
        }
    }
}
