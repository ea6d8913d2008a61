//! The package for Debian and Ubuntu, by dpkg-deb.

use super::{Profile, Release, tree::Tree, write};
use crate::step::loud;
use anyhow::Result;
use omnifs_support::program;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

pub fn make(release: &Release, tree: &Tree) -> Result<()> {
    if program("dpkg-deb").is_none() {
        loud("the deb was NOT made: there is no dpkg-deb (Debian's dpkg)");
        return Ok(());
    }
    let root = release.folder("deb")?;
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(tree.root.join("usr")).arg(&root);
    release.run(&mut copy, "copying the tree")?;
    let doc = root.join("usr/share/doc/omnifs");
    write(&doc.join("copyright"), copyright())?;
    // Where zsh of Debian looks.
    let zsh = root.join("usr/share/zsh");
    fs::rename(zsh.join("site-functions"), zsh.join("vendor-completions"))?;
    let control = root.join("DEBIAN");
    fs::create_dir_all(&control)?;
    let bytes: u64 = tree
        .all()?
        .iter()
        .filter_map(|path| fs::symlink_metadata(path).ok())
        .map(|m| m.len())
        .sum();
    let size = bytes.div_ceil(1024).to_string();
    let values =
        [("DEBARCH", release.machine.debian()), ("SIZE", &size), ("GLIBC", &release.glibc)];
    write(&control.join("control"), release.fill("linux/control", &values)?)?;
    for script in ["prerm", "postrm"] {
        let file = control.join(script);
        write(&file, release.fill(&format!("linux/{script}"), &[])?)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    fs::set_permissions(&control, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(doc.join("copyright"), fs::Permissions::from_mode(0o644))?;
    let mut pack = Command::new("dpkg-deb");
    // Debian 11 does not know zstd.
    match release.profile {
        Profile::Release => pack.args(["-Zxz", "-z6"]),
        Profile::Dev => pack.args(["-Zgzip", "-z1"]),
    };
    pack.args(["--root-owner-group", "--build"]).arg(&root).arg(release.file(&name(release)));
    release.run(&mut pack, "packing the deb")
}

pub fn name(release: &Release) -> String {
    format!("omnifs_{}_{}.deb", release.version, release.machine.debian())
}

fn copyright() -> String {
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
     Upstream-Name: omnifs\n\nFiles: *\nCopyright: The omnifs authors\nLicense: MIT or Apache-2.0\n \
     The texts are in LICENSE-MIT and LICENSE-APACHE beside this file; those of the libraries\n \
     that are linked are in THIRD-PARTY.txt.gz.\n"
        .to_owned()
}
