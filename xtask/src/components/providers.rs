//! Which providers there are.

use crate::cargo;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A crate below providers/ that builds to a component.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The name of its folder, and of its component.
    pub name: String,
    pub package: String,
    /// The manifest to build it with: the workspace's or, for a crate beside it, its own.
    pub manifest: PathBuf,
    /// It misbehaves on purpose, or is the example of README.md: its imports are not checked and it
    /// never ships.
    pub test_only: bool,
}

/// The manifest of the providers' workspace.
pub fn workspace() -> PathBuf {
    cargo::root().join("providers/Cargo.toml")
}

/// Beside the host's own, so that the two do not wait for each other's lock.
pub fn target() -> Result<PathBuf> {
    Ok(cargo::target()?.join("providers"))
}

/// The members of the workspace, and the crates beside it, that build to a cdylib.
pub fn all() -> Result<Vec<Provider>> {
    let root = cargo::root().join("providers");
    if !workspace().is_file() {
        bail!("{} is missing", workspace().display());
    }
    let (mut found, members) = read(&workspace(), &root)?;
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&root)?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    for folder in folders {
        let manifest = folder.join("Cargo.toml");
        if manifest.is_file() && !members.contains(&manifest) {
            found.extend(read(&manifest, &root)?.0);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = found.windows(2).find(|pair| pair[0].name == pair[1].name) {
        bail!("two providers are called {}", pair[0].name);
    }
    Ok(found)
}

/// One cargo run builds all providers of a manifest.
pub fn by_manifest(providers: &[Provider]) -> BTreeMap<&Path, Vec<&Provider>> {
    let mut sorted: BTreeMap<&Path, Vec<&Provider>> = BTreeMap::new();
    for provider in providers {
        sorted.entry(&provider.manifest).or_default().push(provider);
    }
    sorted
}

/// The providers of one manifest, and the manifests of all its packages.
fn read(manifest: &Path, root: &Path) -> Result<(Vec<Provider>, Vec<PathBuf>)> {
    let metadata = cargo::metadata(manifest)?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    let mut providers = Vec::new();
    let mut members = Vec::new();
    for package in packages {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let own = PathBuf::from(text("manifest_path").context("a package without a manifest")?);
        if is_component(package) {
            let folder = own.parent().and_then(|folder| folder.strip_prefix(root).ok());
            let folder = folder.with_context(|| format!("{} is elsewhere", own.display()))?;
            let parts: Vec<_> = folder.iter().map(|part| part.to_string_lossy()).collect();
            providers.push(Provider {
                name: parts.join("-"),
                package: text("name").context("a package without a name")?.to_owned(),
                manifest: manifest.to_owned(),
                test_only: parts
                    .first()
                    .is_some_and(|p| p.starts_with("hostile") || p == "example"),
            });
        }
        members.push(own);
    }
    Ok((providers, members))
}

fn is_component(package: &Value) -> bool {
    let targets = package.get("targets").and_then(Value::as_array);
    targets.into_iter().flatten().any(|target| {
        let kinds = target.get("crate_types").and_then(Value::as_array);
        kinds.into_iter().flatten().any(|kind| kind == "cdylib")
    })
}
