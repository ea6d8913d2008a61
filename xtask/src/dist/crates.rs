//! The crates that a release holds: those of the binary, and of the components in it.

use super::text;
use crate::{cargo, step};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    pub name: String,
    pub version: String,
    /// As an SPDX expression.
    pub licence: String,
    /// SHA-256 of its file in the registry.
    pub checksum: Option<String>,
    folder: PathBuf,
}

/// Crates that are linked, ours left out, sorted.
pub fn linked() -> Result<Vec<Crate>> {
    let root = cargo::root();
    let mut all = BTreeSet::new();
    for (manifest, target, tops) in [
        ("Cargo.toml", "x86_64-unknown-linux-gnu", &["omnifs"][..]),
        (
            "providers/Cargo.toml",
            "wasm32-wasip2",
            &[
                "crates",
                "db",
                "dns",
                "docker",
                "git",
                "github",
                "k8s",
                "linear",
                "mcp",
                "npm",
                "oci",
                "pg",
                "prometheus",
                "pypi",
                "rest",
                "s3",
            ],
        ),
    ] {
        let manifest = root.join(manifest);
        let mut command = cargo::cargo();
        command.args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            target,
        ]);
        command.arg("--manifest-path").arg(&manifest);
        let text = step::output(&mut command, "cargo metadata", step::minutes(10))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
        let lock = fs::read_to_string(manifest.with_extension("lock"))?;
        let lock: toml::Table = toml::from_str(&lock).context("Cargo.lock")?;
        all.extend(reached(&metadata, tops)?.into_iter().map(|package| read(package, &lock)));
    }
    Ok(all.into_iter().filter(|one| one.checksum.is_some()).collect())
}

/// Packages that the ones of these names link, themselves included. What runs at build time alone is left out.
fn reached<'a>(metadata: &'a Value, tops: &[&str]) -> Result<Vec<&'a Value>> {
    let list = |value: &'a Value| value.as_array().context("cargo metadata has another form");
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"])?.iter().map(|package| (text(package, "id"), package)).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"])?.iter().map(|node| (text(node, "id"), node)).collect();
    let is_top = |package: &&&Value| tops.iter().any(|top| text(package, "name").ends_with(top));
    let mut open: Vec<&str> = packages
        .values()
        .filter(|package| package["source"].is_null())
        .filter(is_top)
        .map(|package| text(package, "id"))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in
            nodes.get(id).map(|node| list(&node["deps"])).transpose()?.into_iter().flatten()
        {
            let linked = list(&dependency["dep_kinds"])?.iter().any(|kind| kind["kind"].is_null());
            let package = packages.get(text(dependency, "pkg"));
            let is_macro = |package: &&Value| {
                package["targets"].as_array().is_some_and(|targets| {
                    targets.iter().any(|target| {
                        target["kind"]
                            .as_array()
                            .is_some_and(|k| k.iter().any(|k| k == "proc-macro"))
                    })
                })
            };
            if linked && package.is_some_and(|package| !is_macro(package)) {
                open.push(text(dependency, "pkg"));
            }
        }
    }
    Ok(found.into_iter().filter_map(|id| packages.get(id).copied()).collect())
}

fn read(package: &Value, lock: &toml::Table) -> Crate {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let locked = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let checksum = locked
        .filter(|entry| entry.get("name").and_then(|n| n.as_str()) == Some(name))
        .filter(|entry| entry.get("version").and_then(|v| v.as_str()) == Some(version))
        .find_map(|entry| Some(entry.get("checksum")?.as_str()?.to_owned()));
    let manifest = Path::new(text(package, "manifest_path"));
    Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        // The slash is how crates wrote OR before there were expressions.
        licence: text(package, "license").replace('/', " OR "),
        checksum,
        folder: manifest.parent().unwrap_or(manifest).to_owned(),
    }
}

/// Which crate has which licence, and each text once.
pub fn licences(linked: &[Crate]) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::from("omnifs holds these libraries. Their licences follow.\n\n");
    for one in linked {
        let name = format!("{} {}", one.name, one.version);
        // Writing to a String does not fail.
        let _ = writeln!(list, "  {name}: {}", one.licence);
        let mut files: Vec<PathBuf> = fs::read_dir(&one.folder)
            .with_context(|| one.folder.display().to_string())?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_file() && is_licence(path))
            .collect();
        files.sort();
        for file in files {
            let text = String::from_utf8_lossy(&fs::read(&file)?).replace("\r\n", "\n");
            texts.entry(text.trim().to_owned()).or_default().push(name.clone());
        }
    }
    for (text, names) in texts {
        let _ = write!(list, "\n{}\n{}:\n\n{text}\n", "-".repeat(78), names.join(", "));
    }
    Ok(list)
}

fn is_licence(path: &Path) -> bool {
    let name =
        path.file_name().map(|name| name.to_string_lossy().to_uppercase()).unwrap_or_default();
    ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
        .iter()
        .any(|start| name.starts_with(start))
}
