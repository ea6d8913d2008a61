//! Windows: the program of mingw-w64 as a zip and, by Debian's wixl, as an msi.

use super::{Profile, Release};
use crate::step::{loud, minutes};
use crate::{cargo, check, components, setup, step};
use anyhow::{Context, Result};
use omnifs_support::program;
use std::fs;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "x86_64-pc-windows-gnu";

pub fn make(release: &Release) -> Result<()> {
    let left_out = |why: &str| loud(&format!("nothing for Windows was made: {why}"));
    if let Some(line) = setup::need(setup::Goal::Windows)?.first() {
        left_out(line);
        return Ok(());
    }
    if let Err(why) = check::target_added(TARGET) {
        left_out(&why);
        return Ok(());
    }
    let (flag, folder) = match release.profile {
        Profile::Release => (Some("--release"), "release"),
        Profile::Dev => (None, "debug"),
    };
    let mut build = cargo::cargo();
    build.args(["build", "--package", "omnifs", "--bin", "omnifs", "--target", TARGET]);
    build.args(flag).env("OMNIFS_EMBED", components::output_directory()?);
    step::run(&mut build, "building omnifs for Windows", minutes(60))?;
    let built = cargo::target()?.join(TARGET).join(folder).join("omnifs.exe");
    let folder = release.folder("windows")?;
    let mut strip = Command::new("x86_64-w64-mingw32-strip");
    release.run(strip.arg("-o").arg(folder.join("omnifs.exe")).arg(&built), "stripping it")?;
    zip(release, &folder)?;
    msi(release, &folder)
}

fn zip(release: &Release, folder: &Path) -> Result<()> {
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "README.md"] {
        fs::copy(cargo::root().join(name), folder.join(name))?;
    }
    if program("zip").is_none() {
        loud("the zip for Windows was NOT made: apt-get install zip");
        return Ok(());
    }
    // zip takes the files' own times, and without -X their owners.
    let mut touch = Command::new("touch");
    touch.arg("-d").arg(format!("@{}", release.epoch)).current_dir(folder);
    let files = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "omnifs.exe"];
    release.run(touch.args(files), "setting times")?;
    let mut zip = Command::new("zip");
    zip.args(["-X", "-q", "-9"])
        .arg(release.file(&format!("omnifs-{}-x86_64-windows.zip", release.version)));
    release.run(zip.args(files).current_dir(folder), "packing the zip")
}

/// `folder` holds the program and its licences.
pub fn msi(release: &Release, folder: &Path) -> Result<()> {
    if program("wixl").is_none() {
        loud("the msi was NOT made: apt-get install wixl");
        return Ok(());
    }
    fs::copy(cargo::root().join("installers/windows/omnifs.wxs"), folder.join("omnifs.wxs"))
        .context("installers/windows/omnifs.wxs")?;
    let mut wixl = Command::new("wixl");
    wixl.args(["-a", "x64", "-D", "Programs=ProgramFiles64Folder", "-D"]);
    wixl.arg(format!("Version={}", release.version)).arg("-o");
    wixl.arg(release.file(&format!("omnifs-{}-x86_64-windows.msi", release.version)))
        .arg("omnifs.wxs");
    release.run(wixl.current_dir(folder), "packing the msi")
}
