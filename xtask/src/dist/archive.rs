//! Archives: the files below /usr for any Linux, and the source.

use super::{Profile, Release, tree::Tree};
use crate::{cargo, step};
use anyhow::Result;
use std::fs;
use std::path::Path;
use std::process::Command;

/// `omnifs-VERSION-MACHINE-linux.tar.gz`: `tar -xzf FILE --strip-components=1 -C /usr`.
pub fn make(release: &Release, tree: &Tree) -> Result<()> {
    let name = format!("omnifs-{}-{}-linux", release.version, release.machine.name());
    let folder = release.folder("archive")?;
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(tree.root.join("usr")).arg(folder.join(&name));
    release.run(&mut copy, "copying the tree")?;
    tar_gz(release, &folder, &name, &format!("{name}.tar.gz"))
}

/// What git knows of the commit.
pub fn source(release: &Release) -> Result<()> {
    let name = format!("omnifs-{}-source", release.version);
    let tar = release.work.join("source.tar");
    let mut git = Command::new("git");
    git.args(["archive", "--format=tar", "--prefix"]).arg(format!("{name}/"));
    git.arg("-o").arg(&tar).arg("HEAD").current_dir(cargo::root());
    if step::ask(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(cargo::root()))
        .is_none()
    {
        step::loud("the source archive was NOT made: this is no git repository");
        return Ok(());
    }
    release.run(&mut git, "the source archive")?;
    gzip(release, &tar, &format!("{name}.tar.gz"))
}

/// `folder/inside` as `file` of the output, whoever made it whenever.
pub fn tar_gz(release: &Release, folder: &Path, inside: &str, file: &str) -> Result<()> {
    let tar = release.work.join("archive.tar");
    tar_file(release, folder, inside, &tar)?;
    gzip(release, &tar, file)
}

pub fn tar_file(release: &Release, folder: &Path, inside: &str, tar: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    command.arg(format!("--mtime=@{}", release.epoch));
    command.arg("-cf").arg(tar).arg("-C").arg(folder).arg(inside);
    release.run(&mut command, &format!("packing {inside}"))
}

fn gzip(release: &Release, tar: &Path, file: &str) -> Result<()> {
    let level = if release.profile == Profile::Release { "-9" } else { "-1" };
    release.run(
        Command::new("gzip").args(["-n", "-f", level]).arg(tar),
        &format!("compressing {file}"),
    )?;
    let mut packed = tar.as_os_str().to_owned();
    packed.push(".gz");
    Ok(fs::rename(packed, release.file(file))?)
}
