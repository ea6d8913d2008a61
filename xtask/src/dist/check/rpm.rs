//! The rpm: what rpmlint says of it, and installed by rpm into a folder.

use super::super::{Release, rpm};
use crate::setup;
use crate::step::{self, minutes, say};
use anyhow::{Result, bail};
use omnifs_support::program;
use std::fs;
use std::process::Command;

pub fn check(release: &Release) -> Result<Vec<String>> {
    let package = release.file(&rpm::name(release));
    if !package.is_file() || program("rpm").is_none() {
        return Ok(vec!["the rpm: apt-get install rpm".to_owned()]);
    }
    let mut left_out = Vec::new();
    say(
        "no system of the rpm's own family can be had from Debian's packages: it is installed into a folder",
    );
    let list = release.output(Command::new("rpm").args(["-qlp"]).arg(&package), "rpm")?;
    for file in ["/usr/bin/omnifs", "/usr/sbin/mount.omnifs", "/usr/share/man/man1/omnifs.1.gz"] {
        if !list.lines().any(|line| line == file) {
            bail!("the rpm has no {file}: {list}");
        }
    }
    if setup::is_root() {
        let root = release.folder("rpm-root")?;
        let mut install = Command::new("rpm");
        install
            .arg("--root")
            .arg(&root)
            .args(["--install", "--nodeps", "--noscripts"])
            .arg(&package);
        release.run(&mut install, "installing the rpm into a folder")?;
        let version =
            release.output(Command::new(root.join("usr/bin/omnifs")).arg("--version"), "omnifs")?;
        if version.trim() != format!("omnifs {}", release.version) {
            bail!("the rpm's omnifs says {version:?}");
        }
        let mut erase = Command::new("rpm");
        erase.arg("--root").arg(&root).args(["--erase", "--noscripts", "omnifs"]);
        release.run(&mut erase, "erasing it")?;
        if fs::exists(root.join("usr/bin/omnifs"))?
            || fs::exists(root.join("usr/share/doc/omnifs"))?
        {
            bail!("rpm --erase leaves files");
        }
        say("the rpm installs and leaves nothing");
    } else {
        left_out.push("the rpm in a folder: rpm --root needs root".to_owned());
    }
    match program("rpmlint") {
        Some(_) => {
            let mut lint = Command::new("rpmlint");
            lint.arg("--config").arg(crate::cargo::root().join("installers/linux/rpmlint.toml"));
            step::run(lint.arg(&package).stdout(std::io::stderr()), "reading the rpm", minutes(2))?;
        }
        None => left_out.push("rpmlint: apt-get install rpmlint".to_owned()),
    }
    Ok(left_out)
}
