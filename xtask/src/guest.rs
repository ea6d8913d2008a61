//! The virtual machine that mounts the NFS back end in tests, and its kernel.
//!
//! Both are unpacked below the target directory and not installed: this machine's own kernels and boot
//! loader are none of its business, and a QEMU may not be installed where parts of another one are.

use crate::step::{minutes, say};
use crate::{cargo, setup, step};
use anyhow::{Context, Result, bail};
use omnifs_support::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's smallest kernel package with what such a machine needs. It depends on the current one.
const META: &str = "linux-image-cloud-amd64";
const QEMU: &str = "qemu-system-x86";

/// The unpacked kernel, fetched if it is not there yet.
pub fn kernel() -> Result<PathBuf> {
    let place = cargo::target()?.join("guest-kernel");
    if place.join("boot").is_dir() && place.join("lib/modules").is_dir() {
        return Ok(place);
    }
    let depends = || step::ask(Command::new("apt-cache").args(["depends", META]));
    let package = known_to_apt(|| depends().and_then(|text| current(&text)))
        .with_context(|| format!("apt knows no {META}"))?;
    unpack(&place, &[package])?;
    say(&format!("the guest's kernel is in {}", place.display()));
    Ok(place)
}

/// QEMU with what it depends on and this machine lacks, unpacked and fetched if it is not there yet;
/// `None` where it is installed.
pub fn machine() -> Result<Option<PathBuf>> {
    const PROGRAM: &str = "qemu-system-x86_64";
    let place = cargo::target()?.join("guest-machine");
    if program(PROGRAM).is_some() {
        return Ok(None);
    }
    if place.join("usr/bin").join(PROGRAM).is_file() {
        return Ok(Some(place));
    }
    let simulate = ["-s", "-q", "install", "--no-install-recommends", QEMU];
    let installs = || step::ask(Command::new("apt-get").args(simulate));
    let packages = known_to_apt(|| installs().map(|text| installed(&text)))
        .filter(|packages| packages.iter().any(|package| package == QEMU))
        .with_context(|| format!("apt knows no {QEMU}"))?;
    unpack(&place, &packages)?;
    say(&format!("the guest's machine is in {}", place.display()));
    Ok(Some(place))
}

/// What apt says, with its lists refreshed if it knows nothing.
fn known_to_apt<T>(ask: impl Fn() -> Option<T>) -> Option<T> {
    let told = ask();
    if told.is_some() || !setup::is_root() {
        return told;
    }
    setup::refresh_lists();
    ask()
}

/// Fetches packages and unpacks them all into `place`.
fn unpack(place: &Path, packages: &[String]) -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
        if program(tool).is_none() {
            bail!("{tool} is missing: this is not a Debian");
        }
    }
    let fresh = place.with_extension("next");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let what = packages.last().map_or("nothing", String::as_str);
    let mut download = Command::new("apt-get");
    download.args(["download", "-q"]).args(packages).current_dir(&fresh);
    step::run(&mut download, &format!("fetching {what}"), minutes(10))?;
    let archives = fs::read_dir(&fresh)?.flatten().map(|entry| entry.path());
    let archives: Vec<_> =
        archives.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect();
    if archives.len() < packages.len() {
        bail!("apt-get downloaded {} of {} packages", archives.len(), packages.len());
    }
    for archive in archives {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(&archive).arg(&fresh);
        let name = archive.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        step::run(&mut unpack, &format!("unpacking {name}"), minutes(5))?;
        fs::remove_file(archive)?;
    }
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::rename(&fresh, place)?;
    Ok(())
}

/// The packages that apt would install, in what `apt-get -s install` says.
fn installed(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("Inst "));
    lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The package that the meta-package depends on, in what `apt-cache depends` says.
fn current(text: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_apt_would_install_is_found_in_what_it_says() {
        let text = "Remv qemu-utils [1:10.0]\nInst libfdt1 (1.6.1 Debian:12 [amd64])\n\
                    Inst qemu-system-x86 (1:7.2 Debian:12 [amd64])\nConf libfdt1 (1.6.1)\n";
        assert_eq!(super::installed(text), ["libfdt1", "qemu-system-x86"]);
    }

    #[test]
    fn the_kernel_package_is_found_in_what_apt_says() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(super::current(text).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(super::current("N: Unable to locate package\n"), None);
    }
}
