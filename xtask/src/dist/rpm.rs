//! The package for Fedora, RHEL and openSUSE, by rpmbuild.

use super::{Profile, Release, tree::Tree, write};
use crate::step::loud;
use anyhow::Result;
use omnifs_support::program;
use std::fs;
use std::process::Command;

pub fn make(release: &Release, tree: &Tree) -> Result<()> {
    if program("rpmbuild").is_none() {
        loud("the rpm was NOT made: apt-get install rpm");
        return Ok(());
    }
    let top = release.folder("rpm")?;
    let names = tree.names()?;
    let doc = "/usr/share/doc/";
    let line = |name: &String| match name.starts_with(doc) {
        true => format!("%doc {name}"),
        false => name.clone(),
    };
    let mut files: Vec<_> = names.iter().map(line).collect();
    files.push("%dir /usr/share/doc/omnifs".to_owned());
    let payload = if release.profile == Profile::Release { "w6.xzdio" } else { "w1.gzdio" };
    let values =
        [("GLIBC", release.glibc.as_str()), ("PAYLOAD", payload), ("FILES", &files.join("\n"))];
    let spec = top.join("omnifs.spec");
    write(&spec, release.fill("linux/omnifs.spec", &values)?)?;
    let mut build = Command::new("rpmbuild");
    // The machine is named here alone: one that a specification names is refused where it is not the builder's.
    build
        .arg("-bb")
        .arg("--quiet")
        .args(["--target", &format!("{}-linux", release.machine.name())]);
    for (name, value) in [("_topdir", &top), ("tree", &tree.root), ("_rpmdir", &release.out)] {
        build.arg("--define").arg(format!("{name} {}", value.display()));
    }
    build.args(["--define", "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm"]);
    build.arg(&spec);
    release.run(&mut build, "packing the rpm")?;
    fs::metadata(release.file(&name(release)))?;
    Ok(())
}

pub fn name(release: &Release) -> String {
    format!("omnifs-{}-1.{}.rpm", release.version, release.machine.name())
}
