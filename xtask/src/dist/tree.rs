//! The files of a package where a system has them, from which every format for Linux is made.

use super::{Release, crates, write};
use crate::cargo;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Tree {
    pub root: PathBuf,
}

/// Shells, and where their completions lie below /usr/share.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/omnifs"),
    ("zsh", "zsh/site-functions/_omnifs"),
    ("fish", "fish/vendor_completions.d/omnifs.fish"),
];

impl Tree {
    pub fn stage(release: &Release, linked: &[crates::Crate]) -> Result<Tree> {
        let root = release.folder("tree")?;
        let tree = Tree { root };
        let program = tree.file("usr/bin/omnifs")?;
        fs::copy(&release.binary, &program).context("copying the binary")?;
        // mount(8) calls it for the type `omnifs`; the program knows itself by that name.
        symlink("../bin/omnifs", tree.file("usr/sbin/mount.omnifs")?)?;
        let pages = release.folder("man")?;
        let mut man = Command::new(&program);
        release.run(man.args(["reference", "--man"]).arg(&pages), "writing the man pages")?;
        for page in fs::read_dir(&pages)?.flatten() {
            let name = page.file_name().to_string_lossy().into_owned();
            let to = tree.file(&format!("usr/share/man/man1/{name}"))?;
            fs::copy(page.path(), &to)?;
            compress(release, &to)?;
        }
        let to = tree.file("usr/share/man/man8/mount.omnifs.8")?;
        fs::copy(cargo::root().join("installers/linux/mount.omnifs.8"), &to)?;
        compress(release, &to)?;
        for (shell, place) in SHELLS {
            let mut command = Command::new(&program);
            let script =
                release.output(command.args(["completions", shell]), "writing completions")?;
            write(&tree.file(&format!("usr/share/{place}"))?, script)?;
        }
        for (unit, place) in [
            ("omnifs.service", "user"),
            ("omnifs@.service", "system"),
            ("omnifs-relay.service", "system"),
            ("omnifs-docker-volumes.service", "system"),
        ] {
            tree.copy(
                &format!("installers/linux/{unit}"),
                &format!("usr/lib/systemd/{place}/{unit}"),
            )?;
        }
        for name in ["README.md", "SECURITY.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            tree.copy(name, &format!("usr/share/doc/omnifs/{name}"))?;
        }
        let licences = tree.file("usr/share/doc/omnifs/THIRD-PARTY.txt")?;
        write(&licences, crates::licences(linked)?)?;
        compress(release, &licences)?;
        tree.settle(&program)?;
        Ok(tree)
    }

    /// The same files with the program for another machine.
    pub fn of(&self, other: &Release) -> Result<Tree> {
        let root = other.folder("tree")?;
        let mut copy = Command::new("cp");
        other.run(copy.arg("-a").arg(self.root.join("usr")).arg(&root), "copying the tree")?;
        let program = root.join("usr/bin/omnifs");
        fs::copy(&other.binary, &program).context("copying the binary")?;
        Ok(Tree { root })
    }

    /// A place in the tree, with the folders above it.
    pub fn file(&self, place: &str) -> Result<PathBuf> {
        let file = self.root.join(place);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(file)
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let from = cargo::root().join(from);
        let copied = fs::copy(&from, self.file(to)?);
        copied.with_context(|| from.display().to_string()).map(drop)
    }

    /// One mode for each kind of file, whatever this machine's umask is.
    fn settle(&self, program: &Path) -> Result<()> {
        for path in self.all()? {
            let found = fs::symlink_metadata(&path)?;
            if found.is_symlink() {
                continue;
            }
            let mode = if found.is_dir() || path == *program { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// The root, and every file and folder below it, sorted.
    pub fn all(&self) -> Result<Vec<PathBuf>> {
        let mut all = vec![self.root.clone()];
        let mut next = 0;
        while let Some(path) = all.get(next).cloned() {
            next += 1;
            if path.is_symlink() || !path.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&path)? {
                all.push(entry?.path());
            }
        }
        all.sort();
        Ok(all)
    }

    /// Files and links, as the system that has the package names them.
    pub fn names(&self) -> Result<Vec<String>> {
        let files = self.all()?.into_iter().filter(|path| path.is_symlink() || !path.is_dir());
        let name =
            |path: PathBuf| Some(format!("/{}", path.strip_prefix(&self.root).ok()?.display()));
        Ok(files.filter_map(name).collect())
    }
}

/// Neither the name nor the time is kept inside.
fn compress(release: &Release, file: &Path) -> Result<()> {
    release.output(Command::new("gzip").args(["-9", "-n", "-f"]).arg(file), "gzip").map(drop)
}
