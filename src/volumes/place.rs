//! Where a volume's directory is on this machine.

use super::Error;
use super::kept::shown;
use omnifs_platform::mounting::{self, Mount};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For the mount to say what a path is. It has bounds of its own, which are for each name on the way.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a path, as the kernel takes them.
const LONGEST: usize = 4_000;

/// A path below the mountpoint, of plain names; empty for all that is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Below(String);

impl Below {
    /// # Errors
    /// [`Error::Path`]: it is absolute, has `.`, `..` or an empty name, or a character that nobody can see.
    pub fn new(path: &str) -> Result<Below, Error> {
        let plain = |name: &str| !matches!(name, "" | "." | "..");
        let good = path.is_empty() || path.strip_suffix('/').unwrap_or(path).split('/').all(plain);
        let hides = path.contains('\0') || omnifs_text::hidden(path).next().is_some();
        match good && !hides && path.len() <= LONGEST {
            true => Ok(Below(path.trim_end_matches('/').to_owned())),
            false => Err(Error::Path(shown(path))),
        }
    }
}

impl TryFrom<String> for Below {
    type Error = Error;

    fn try_from(path: String) -> Result<Below, Error> {
        Below::new(&path)
    }
}

impl From<Below> for String {
    fn from(below: Below) -> String {
        below.0
    }
}

impl fmt::Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is mounted at a place, or will be.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Absolute and without symbolic links.
    mountpoint: PathBuf,
}

impl Tree {
    pub fn new(mountpoint: PathBuf) -> Tree {
        Tree { mountpoint }
    }

    /// Where the path would be. The mount is not asked.
    pub fn name(&self, path: &Below) -> PathBuf {
        match path.0.is_empty() {
            true => self.mountpoint.clone(),
            false => self.mountpoint.join(&path.0),
        }
    }

    /// Where the path is, through links of the mount: a directory that is there now.
    ///
    /// # Errors
    /// Nothing is mounted, others may not enter it, or the path is no directory of it.
    pub async fn find(&self, path: &Below) -> Result<PathBuf, Error> {
        let (tree, below) = (self.clone(), path.clone());
        let found = tokio::task::spawn_blocking(move || {
            let mount = tree.mount()?;
            tree.enter(&mount, &below)
        });
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Ok(found)) => found,
            // It has panicked, or the runtime ends.
            Ok(Err(_)) | Err(_) => {
                Err(Error::Silent { mountpoint: self.mountpoint.clone(), path: path.to_string() })
            }
        }
    }

    /// Whether a directory of the mount is mounted in another mount namespace, as it is in a container. One that was
    /// removed meanwhile is told by a mark behind its name.
    pub fn is_bound(&self, at: &Path) -> bool {
        let Some(own) = mounting::mounted_at(&self.mountpoint).filter(Mount::ours) else {
            return false;
        };
        let Ok(below) = at.strip_prefix(&self.mountpoint) else { return false };
        let root = Path::new("/").join(below);
        let is = |mount: &Mount| {
            let at = mount.root.to_string_lossy();
            let same = Path::new(at.strip_suffix("//deleted").unwrap_or(&at)) == root;
            // A service that has a mount namespace of its own has a copy of the whole mount in it.
            same && !(&*at == "/" && mount.path == self.mountpoint)
        };
        mounting::elsewhere()
            .iter()
            .any(|mount| mount.minor == own.minor && mount.ours() && is(mount))
    }

    /// What is mounted there, if it lives and the engine may enter it.
    fn mount(&self) -> Result<Mount, Error> {
        let at = || self.mountpoint.clone();
        let mount = mounting::mounted_at(&self.mountpoint).filter(Mount::ours);
        let mount = mount.ok_or_else(|| Error::NotMounted(at()))?;
        match () {
            () if is_closed(&mount.options, rustix::process::geteuid().as_raw()) => {
                Err(Error::Private(at()))
            }
            () if mount.dead() => Err(Error::Dead(at())),
            () => Ok(mount),
        }
    }

    /// Blocks until the mount has answered.
    fn enter(&self, mount: &Mount, path: &Below) -> Result<PathBuf, Error> {
        let fail = |errno: Errno| match errno {
            Errno::NOENT => {
                Error::Absent { mountpoint: self.mountpoint.clone(), path: path.to_string() }
            }
            Errno::NOTDIR => Error::NotDirectory(path.to_string()),
            Errno::XDEV | Errno::LOOP => Error::Outside(path.to_string()),
            Errno::NOTCONN | Errno::CONNABORTED => Error::Dead(self.mountpoint.clone()),
            errno => Error::Unreadable { path: path.to_string(), source: errno.into() },
        };
        let found = directory(&self.mountpoint, path).map_err(fail)?;
        let real = std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()));
        let real = real.map_err(|source| Error::Unreadable { path: path.to_string(), source })?;
        // Between two looks another may have been mounted in its place, or nothing.
        if mounting::mounted_at(&self.mountpoint).as_ref() != Some(mount) {
            return Err(Error::NotMounted(self.mountpoint.clone()));
        }
        match real.starts_with(&self.mountpoint) {
            true => Ok(real),
            false => Err(Error::Outside(path.to_string())),
        }
    }
}

/// The directory at `path` below `root`, through links that stay below it.
fn directory(root: &Path, path: &Below) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    if path.0.is_empty() {
        return Ok(root);
    }
    let stays = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, &path.0, flags, Mode::empty(), stays)
}

/// Whether the kernel lets nobody in but the mount's user, who is not this process's. The engine is root, and root is not
/// let in either.
fn is_closed(options: &str, own: u32) -> bool {
    let mut options = options.split(',');
    let user = options.clone().find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
    user.is_some_and(|user: u32| user != own) && !options.any(|option| option == "allow_other")
}

/// Whether containers' users other than root are let in.
pub(super) fn is_for_all(mountpoint: &Path) -> bool {
    let mount = mounting::mounted_at(mountpoint);
    mount.is_none_or(|mount| {
        !mount.kind.starts_with("fuse") || mount.options.split(',').any(|one| one == "allow_other")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_plain_names_and_stays_below() {
        for (path, kept) in [("", ""), ("a", "a"), ("a/b c/", "a/b c"), ("a/..b/.c", "a/..b/.c")] {
            assert_eq!(Below::new(path).unwrap().to_string(), kept);
        }
        let long = "a/".repeat(LONGEST);
        for path in [
            "/",
            "/a",
            "..",
            "a/..",
            "../a",
            "a/../b",
            "a//b",
            ".",
            "./a",
            "a\0b",
            "a\u{202e}",
            &long,
        ] {
            assert!(matches!(Below::new(path), Err(Error::Path(_))), "{path:?}");
        }
    }

    #[test]
    fn a_mount_of_another_user_is_closed_unless_it_lets_others_in() {
        let options = "ro,user_id=1000,group_id=1000,default_permissions";
        assert!(is_closed(options, 0));
        assert!(!is_closed(options, 1000));
        assert!(!is_closed(&format!("{options},allow_other"), 0));
        // By NFS the server says who gets in.
        assert!(!is_closed("ro,vers=3,port=2049", 0));
    }

    #[tokio::test]
    async fn a_directory_that_nothing_is_mounted_on_is_no_tree() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("a")).unwrap();
        let tree = Tree::new(place.clone());
        let error = tree.find(&Below::new("a").unwrap()).await.unwrap_err();
        assert!(matches!(&error, Error::NotMounted(at) if *at == place), "{error}");
        assert!(error.hint().unwrap().contains("omnifs mount --allow-other "));
    }

    #[test]
    fn a_link_is_followed_below_the_mount_and_not_out_of_it() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("m");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/file"), "").unwrap();
        symlink("a/b", root.join("in")).unwrap();
        symlink("../..", root.join("a/out")).unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let opened = |path: &str| directory(&root, &Below::new(path).unwrap()).map(drop);
        assert_eq!(opened(""), Ok(()));
        assert_eq!(opened("in"), Ok(()));
        assert_eq!(opened("a/out"), Err(Errno::XDEV));
        assert_eq!(opened("absolute"), Err(Errno::XDEV));
        assert_eq!(opened("loop"), Err(Errno::LOOP));
        assert_eq!(opened("a/file"), Err(Errno::NOTDIR));
        assert_eq!(opened("a/none"), Err(Errno::NOENT));
    }
}
