//! Packages for npm: a thin one that runs the program, and one with the program for each platform, of
//! which npm installs that of its machine.

use super::{Machine, Release, archive, write};
use crate::cargo;
use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The machines that the thin package names; npm passes over one whose package is not in the registry.
const MACHINES: [Machine; 2] = [Machine::X64, Machine::Arm64];

fn common(release: &Release, name: &str) -> Value {
    json!({
        "name": name,
        "version": release.version,
        "description": "Mounts remote services as ordinary files",
        "homepage": release.home,
        "license": "MIT OR Apache-2.0",
    })
}

/// The thin one.
pub fn thin(release: &Release) -> Result<()> {
    let mut thin = common(release, "omnifs");
    thin["bin"] = json!({ "omnifs": "bin/omnifs.js" });
    thin["engines"] = json!({ "node": ">=16" });
    for machine in MACHINES {
        thin["optionalDependencies"][platform_package(machine)] = json!(release.version);
    }
    let script = cargo::root().join("installers/npm/omnifs.js");
    pack(release, &thin, &script, "omnifs.js", &thin_name(release))
}

/// The one with the program.
pub fn platform(release: &Release) -> Result<()> {
    let mut platform = common(release, &platform_package(release.machine));
    platform["os"] = json!(["linux"]);
    platform["cpu"] = json!([release.machine.node()]);
    platform["libc"] = json!(["glibc"]);
    pack(release, &platform, &release.binary, "omnifs", &platform_name(release))
}

pub fn thin_name(release: &Release) -> String {
    format!("omnifs-npm-{}.tgz", release.version)
}

pub fn platform_name(release: &Release) -> String {
    format!("omnifs-npm-linux-{}-{}.tgz", release.machine.node(), release.version)
}

fn platform_package(machine: Machine) -> String {
    format!("@omnifs/linux-{}", machine.node())
}

fn pack(release: &Release, about: &Value, program: &Path, name: &str, file: &str) -> Result<()> {
    let folder = release.folder("npm")?;
    let package = folder.join("package");
    fs::create_dir_all(package.join("bin"))?;
    fs::copy(program, package.join("bin").join(name))?;
    write(&package.join("package.json"), format!("{about:#}\n"))?;
    for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(cargo::root().join(name), package.join(name))?;
        fs::set_permissions(package.join(name), fs::Permissions::from_mode(0o644))?;
    }
    for (name, mode) in [("package.json", 0o644), ("bin", 0o755), (&format!("bin/{name}"), 0o755)] {
        fs::set_permissions(package.join(name), fs::Permissions::from_mode(mode))?;
    }
    fs::set_permissions(&package, fs::Permissions::from_mode(0o755))?;
    archive::tar_gz(release, &folder, "package", file)
}
