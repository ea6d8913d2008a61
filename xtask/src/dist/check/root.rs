//! A bare Debian in a folder: what debootstrap makes, kept in the target directory, and a copy of it for each use.

use crate::step::{self, minutes};
use crate::{cargo, setup};
use anyhow::{Context, Result, bail};
use omnifs_support::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy; dropped, it is gone.
pub struct Root {
    pub path: PathBuf,
}

/// Why there can be none, in a line that says what to do.
fn unavailable() -> Option<String> {
    let missing = |name: &str, package: &str| {
        program(name).is_none().then(|| format!("apt-get install {package}"))
    };
    if !setup::is_root() {
        return Some("a bare system is made by root: run the tests with sudo".to_owned());
    }
    if !Path::new("/dev/fuse").exists() {
        return Some("/dev/fuse is missing: modprobe fuse".to_owned());
    }
    missing("debootstrap", "debootstrap").or_else(|| missing("unshare", "util-linux"))
}

/// The release that this system is: its glibc is that which the build needs.
fn suite() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Path::new("/usr/share/debootstrap/scripts").join(name).exists().then(|| name.to_owned())
}

impl Root {
    /// A copy of the bare system. `Err` in the inner result: there can be none here.
    pub fn bare() -> Result<Result<Root, String>> {
        if let Some(why) = unavailable() {
            return Ok(Err(why));
        }
        let Some(suite) = suite() else {
            return Ok(Err("debootstrap does not know this system's release".to_owned()));
        };
        let kept = cargo::target()?.join(format!("bare-{suite}"));
        if !kept.join("whole").exists() {
            let _ = fs::remove_dir_all(&kept);
            if let Err(error) = make(&kept, &suite) {
                return Ok(Err(format!("{error:#}; can Debian's mirror be reached?")));
            }
        }
        let path = cargo::target()?.join(format!("bare-copy-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let root = Root { path };
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(kept.join("root")).arg(&root.path);
        step::run(&mut copy, "copying the bare system", minutes(3))?;
        Ok(Ok(root))
    }

    /// Runs a script there as root, in namespaces of its own: all that it starts and mounts ends with it. What it
    /// writes to standard output.
    pub fn run(&self, script: &str, what: &str) -> Result<String> {
        super::super::write(&self.path.join("script"), script)?;
        let enter = "mount --rbind /dev \"$0/dev\" && mount -t proc proc \"$0/proc\" && mount -t tmpfs run \"$0/run\" \
                     && exec chroot \"$0\" /bin/sh -eu /script";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
        command.args(["sh", "-c", enter]).arg(&self.path).env_clear();
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        let said = step::output(&mut command, what, minutes(3));
        let _ = fs::remove_file(self.path.join("script"));
        said
    }

    /// Puts a file there.
    pub fn put(&self, from: &Path, to: &str) -> Result<()> {
        let copied = fs::copy(from, self.path.join(to));
        copied.with_context(|| format!("copying {}", from.display())).map(drop)
    }

    /// Every path whose name has `part`, but what the package system notes of what was there.
    pub fn named(&self, part: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut open = vec![self.path.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    open.push(path.clone());
                }
                let below =
                    path.strip_prefix(&self.path).unwrap_or(&path).to_string_lossy().into_owned();
                if below.contains(part) {
                    found.push(below);
                }
            }
        }
        Ok(found)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // What is left is removed before the next copy of this process, or by `cargo clean`.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Packages that ours needs or recommends are fetched, and not installed: trying ours needs no network.
fn make(kept: &Path, suite: &str) -> Result<()> {
    let root = kept.join("root");
    fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", suite]).arg(&root);
    debootstrap.stdout(std::io::stderr());
    step::run(&mut debootstrap, &format!("making a bare Debian ({suite})"), minutes(10))?;
    let kept_root = Root { path: root.clone() };
    let fetched = kept_root.run(
        "apt-get update -q && apt-get install -y -q --download-only ca-certificates fuse3",
        "fetching what the package needs",
    );
    // It is no copy.
    std::mem::forget(kept_root);
    if !fs::exists(root.join("var/cache/apt/archives"))? {
        bail!("the bare system has no apt");
    }
    fetched?;
    fs::write(kept.join("whole"), suite)?;
    Ok(())
}
