//! Whether a directory can be mounted on.

use super::{Error, UnmountMode, mounted_at, unmount};
use rustix::fs::{Access, access};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The path, absolute and without symbolic links; its last component is not entered.
///
/// # Errors
/// A directory above it does not exist or cannot be entered.
pub fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let path = std::path::absolute(path).map_err(unusable)?;
    if mounted_at(&path).is_some() {
        return Ok(path);
    }
    match fs::canonicalize(&path) {
        Ok(path) => Ok(path),
        Err(error) => {
            // A dead mount cannot be entered, but what is above it can.
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(Error::Unusable { path, source: error });
            };
            match fs::canonicalize(parent) {
                Ok(parent) => Ok(parent.join(name)),
                Err(error) => Err(wrong(path, error)),
            }
        }
    }
}

fn wrong(path: PathBuf, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(path),
        io::ErrorKind::NotADirectory => Error::NotDirectory(path),
        io::ErrorKind::PermissionDenied => Error::NotPermitted(path),
        _ => Error::Unusable { path, source },
    }
}

/// Checks that the resolved path can be mounted over, and detaches what an omnifs that was killed
/// left there. True: something was detached.
///
/// # Errors
/// What stands in the way.
pub fn prepare(path: &Path) -> Result<bool, Error> {
    let mut repaired = false;
    while let Some(mount) = mounted_at(path) {
        match (mount.ours(), mount.dead()) {
            (true, true) => unmount(&mount, UnmountMode::Force)?,
            (true, false) => return Err(Error::Mounted(path.to_owned())),
            (false, true) => return Err(Error::Dead { path: path.to_owned(), kind: mount.kind }),
            // An empty volume of a container is a mount of its own, and as good as a directory.
            (false, false) => break,
        }
        repaired = true;
    }
    let wrong = |source| wrong(path.to_owned(), source);
    if !fs::metadata(path).map_err(wrong)?.is_dir() {
        return Err(Error::NotDirectory(path.to_owned()));
    }
    if fs::read_dir(path).map_err(wrong)?.next().is_some() {
        return Err(Error::NotEmpty(path.to_owned()));
    }
    // What fusermount3 asks of a user who is not root.
    let root = rustix::process::geteuid().is_root();
    if !root && access(path, Access::WRITE_OK).is_err() {
        return Err(Error::NotPermitted(path.to_owned()));
    }
    Ok(repaired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unusable_mountpoint_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let fails = |path: &str| prepare(&resolve(&root.join(path)).unwrap()).unwrap_err();
        fs::write(root.join("file"), "").unwrap();
        assert!(matches!(fails("absent"), Error::Missing(_)));
        assert!(fails("absent").hint().unwrap().starts_with("create it: mkdir -p /"));
        assert!(matches!(fails("file"), Error::NotDirectory(_)));
        assert!(matches!(fails(""), Error::NotEmpty(_)));
        assert!(matches!(resolve(&root.join("no/where")), Err(Error::Missing(_))));
        assert!(matches!(resolve(&root.join("file/below")), Err(Error::NotDirectory(_)) | Ok(_)));
        fs::create_dir(root.join("good")).unwrap();
        std::os::unix::fs::symlink(root.join("good"), root.join("link")).unwrap();
        assert_eq!(resolve(&root.join("link/")).unwrap(), root.join("good"));
        assert!(!prepare(&root.join("good")).unwrap());
    }
}
