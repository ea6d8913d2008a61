//! Packages used as a user does: installed on systems that hold nothing else, tried, and taken off again.

mod deb;
mod image;
mod npm;
mod root;
mod rpm;
mod units;

use super::{Profile, Release, sums};
use crate::step::{minutes, say};
use crate::{cargo, step};
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// Packs the build that the tests use, twice, and tries the packages. Lines that say what did not run.
pub fn installed() -> Result<Vec<String>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Ok(vec!["the packages: they are made on Linux (x86_64, glibc)".to_owned()]);
    }
    let built = cargo::build_binary(false)?;
    let folder = cargo::target()?.join("dist-check");
    let places = ("https://example.invalid/omnifs/releases", "https://example.invalid/omnifs");
    let release = Release::new(Profile::Dev, &built, folder.join("one"), places)?;
    release.pack(None, false)?;
    let left_out = packages(&release, false)?;
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(left_out)
}

/// Packs the same build once more, and tries what was made. Lines that say what did not run.
pub fn packages(release: &Release, others: bool) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    left_out.extend(deb::check(release)?);
    left_out.extend(rpm::check(release)?);
    left_out.extend(npm::check(release)?);
    left_out.extend(image::check(release)?);
    left_out.extend(units::check()?);
    sums_hold(release)?;
    let out = release.out.with_extension("again");
    let places = (release.url.as_str(), release.home.as_str());
    let again = Release::new(release.profile, &release.built, out, places)?;
    again.pack(None, others)?;
    same(release, &again)?;
    left_out.extend(stand_ins(&again)?);
    fs::remove_dir_all(&again.out).with_context(|| again.out.display().to_string())?;
    fs::remove_dir_all(&release.work)?;
    Ok(left_out)
}

/// Two packings of one build have the same bytes, wherever they were made.
fn same(one: &Release, two: &Release) -> Result<()> {
    let read = |release: &Release| fs::read_to_string(release.file("SHA256SUMS"));
    let (one, two) = (read(one)?, read(two)?);
    // wixl's file alone holds what was drawn at random.
    let differs =
        |(a, b): &(&str, &str)| a != b && !a.ends_with(".msi") && !a.ends_with("winget.yaml");
    let differ: Vec<&str> = one.lines().zip(two.lines()).filter(differs).map(|(a, _)| a).collect();
    if one.lines().count() < 10 || one.lines().count() != two.lines().count() || !differ.is_empty()
    {
        bail!("two packings of one build differ: {differ:?}\n{one}\n{two}");
    }
    say(&format!("{} files of two packings are the same, byte by byte", one.lines().count()));
    Ok(())
}

fn sums_hold(release: &Release) -> Result<()> {
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&release.out);
    step::run(&mut check, "checking SHA256SUMS", minutes(1))
}

/// What a dev build does not make: the msi of a program that stands in for the real one, and a signature.
fn stand_ins(release: &Release) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    let program = omnifs_support::program;
    if program("wixl").is_some() && program("msiinfo").is_some() {
        let folder = release.folder("windows")?;
        for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
            fs::copy(cargo::root().join(name), folder.join(name))?;
        }
        super::write(&folder.join("omnifs.exe"), b"MZ")?;
        super::windows::msi(release, &folder)?;
        let msi = release.file(&format!("omnifs-{}-x86_64-windows.msi", release.version));
        let mut info = Command::new("msiinfo");
        let rows = release.output(info.arg("export").arg(&msi).arg("File"), "msiinfo")?;
        if !["omnifs.exe", "LICENSE-MIT", "LICENSE-APACHE"].iter().all(|name| rows.contains(name)) {
            bail!("the msi does not hold what it should: {rows}");
        }
        fs::remove_file(msi)?;
    } else {
        left_out.push("the msi: apt-get install wixl msitools".to_owned());
    }
    if program("minisign").is_some() {
        let (key, public) = (release.work.join("key"), release.work.join("key.pub"));
        fs::create_dir_all(&release.work)?;
        let mut generate = Command::new("minisign");
        generate.args(["-G", "-W", "-f", "-s"]).arg(&key).arg("-p").arg(&public);
        release.run(&mut generate, "making a key for a test")?;
        sums::make(release, Some(&key))?;
        let mut verify = Command::new("minisign");
        verify.args(["-V", "-p"]).arg(&public).arg("-m").arg(release.file("SHA256SUMS"));
        release.run(&mut verify, "verifying the signature")?;
    } else {
        left_out.push("the signature: apt-get install minisign".to_owned());
    }
    Ok(left_out)
}
