//! The npm packages, installed from their files.

use super::super::{Release, npm};
use crate::step::say;
use anyhow::{Result, bail};
use omnifs_support::program;
use std::process::Command;

pub fn check(release: &Release) -> Result<Option<String>> {
    if program("npm").is_none() {
        return Ok(Some("the npm packages: apt-get install npm".to_owned()));
    }
    let folder = release.folder("npm-root")?;
    let mut install = Command::new("npm");
    install
        .args(["install", "--offline", "--no-audit", "--no-fund", "--no-save", "--prefix"])
        .arg(&folder);
    install.args(
        [npm::platform_name(release), npm::thin_name(release)].map(|name| release.file(&name)),
    );
    install.env("npm_config_cache", folder.join("cache"));
    release.run(&mut install, "installing the npm packages")?;
    let program = folder.join("node_modules/.bin/omnifs");
    let version = release.output(Command::new(&program).arg("--version"), "omnifs of npm")?;
    // The exit code comes through as well.
    let status =
        Command::new(&program).arg("nonsense").stderr(std::process::Stdio::null()).status()?;
    if version.trim() != format!("omnifs {}", release.version) || status.code() != Some(2) {
        bail!("omnifs of npm says {version:?} and ends a wrong call with {status}");
    }
    std::fs::remove_dir_all(folder.join("node_modules/@omnifs"))?;
    let output = Command::new(&program).arg("--version").output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(1) || !said.contains("hint: install without --omit=optional") {
        bail!("without the platform's package it says {said:?}");
    }
    say("the npm packages run");
    Ok(None)
}
