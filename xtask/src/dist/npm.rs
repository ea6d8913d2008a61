//! Packages for npm: a thin one that runs the program, and one with the program for each platform, of
//! which npm installs that of its machine.

use super::{Release, archive, write};
use crate::cargo;
use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub fn make(release: &Release) -> Result<()> {
    let common = |name: &str| {
        json!({
            "name": name,
            "version": release.version,
            "description": "Mounts remote services as ordinary files",
            "homepage": release.home,
            "license": "MIT OR Apache-2.0",
        })
    };
    let mut thin = common("omnifs");
    thin["bin"] = json!({ "omnifs": "bin/omnifs.js" });
    thin["engines"] = json!({ "node": ">=16" });
    thin["optionalDependencies"] = json!({ "@omnifs/linux-x64": release.version });
    let script = cargo::root().join("installers/npm/omnifs.js");
    pack(release, &thin, &script, "omnifs.js", &thin_name(release))?;
    let mut platform = common("@omnifs/linux-x64");
    platform["os"] = json!(["linux"]);
    platform["cpu"] = json!(["x64"]);
    platform["libc"] = json!(["glibc"]);
    pack(release, &platform, &release.binary, "omnifs", &platform_name(release))
}

pub fn thin_name(release: &Release) -> String {
    format!("omnifs-npm-{}.tgz", release.version)
}

pub fn platform_name(release: &Release) -> String {
    format!("omnifs-npm-linux-x64-{}.tgz", release.version)
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
