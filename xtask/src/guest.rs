//! The kernel of the virtual machine that mounts the NFS back end in tests.
//!
//! The package is unpacked below the target directory and not installed: this machine's own kernels
//! and boot loader are none of its business.

use crate::step::{minutes, say};
use crate::{cargo, setup, step};
use anyhow::{Context, Result, bail};
use omnifs_support::program;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Debian's smallest kernel package with what such a machine needs. It depends on the current one.
const META: &str = "linux-image-cloud-amd64";

/// The unpacked package, fetched if it is not there yet.
pub fn kernel() -> Result<PathBuf> {
    let place = cargo::target()?.join("guest-kernel");
    if place.join("boot").is_dir() && place.join("lib/modules").is_dir() {
        return Ok(place);
    }
    for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
        if program(tool).is_none() {
            bail!("{tool} is missing: this is not a Debian");
        }
    }
    let depends = || step::ask(Command::new("apt-cache").args(["depends", META]));
    let mut package = depends().and_then(|text| current(&text));
    if package.is_none() && setup::is_root() {
        setup::refresh_lists();
        package = depends().and_then(|text| current(&text));
    }
    let package = package.with_context(|| format!("apt knows no {META}"))?;
    let fresh = place.with_extension("next");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let mut download = Command::new("apt-get");
    download.args(["download", "-q", &package]).current_dir(&fresh);
    step::run(&mut download, &format!("fetching {package}"), minutes(10))?;
    let archives = fs::read_dir(&fresh)?.flatten().map(|entry| entry.path());
    let archive = archives.into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"));
    let archive = archive.context("apt-get downloaded nothing")?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&archive).arg(&fresh);
    step::run(&mut unpack, &format!("unpacking {package}"), minutes(5))?;
    fs::remove_file(archive)?;
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::rename(&fresh, &place)?;
    say(&format!("the guest's kernel is in {}", place.display()));
    Ok(place)
}

/// The package that the meta-package depends on, in what `apt-cache depends` says.
fn current(text: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_package_is_found_in_what_apt_says() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(super::current(text).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(super::current("N: Unable to locate package\n"), None);
    }
}
