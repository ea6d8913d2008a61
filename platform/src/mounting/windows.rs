//! Drive letters, and directories that do not exist yet. A volume is there as long as its process,
//! so nothing is ever left behind.

use super::{Error, Mount, UnmountMode};
use crate::winfsp::mountpoint::{Mountpoint, System};
use std::path::{Path, PathBuf};
use windows_sys::Win32::Storage::FileSystem::GetLogicalDrives;

/// The machine that this runs on.
#[derive(Debug)]
pub(crate) struct Machine;

impl System for Machine {
    fn drives(&self) -> u32 {
        // SAFETY: it takes nothing and gives a number.
        unsafe { GetLogicalDrives() }
    }

    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }
}

/// What a user named, as an absolute path: `O:\\` for a letter. `*` becomes the next free one.
///
/// # Errors
/// It can be no mountpoint.
pub fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let text = path.to_str().ok_or_else(|| Error::Unusable {
        path: path.to_owned(),
        source: std::io::Error::other("it is not Unicode"),
    })?;
    match Mountpoint::parse(text)? {
        Mountpoint::Next => Ok(Mountpoint::Next.settle(&Machine)?.path()),
        Mountpoint::Directory(path) => {
            std::path::absolute(&path).map_err(|source| Error::Unusable { path, source })
        }
        drive => Ok(drive.path()),
    }
}

/// Checks that the resolved path can be mounted at. Nothing has to be repaired.
pub fn prepare(path: &Path) -> Result<bool, Error> {
    point(path)?.settle(&Machine)?;
    Ok(false)
}

/// What the back end mounts at for a resolved path.
pub fn point(path: &Path) -> Result<Mountpoint, Error> {
    Ok(Mountpoint::parse(&path.to_string_lossy())?)
}

/// A volume goes with its process.
pub fn detach(_: &Path, _: UnmountMode) -> Result<(), Error> {
    Ok(())
}

/// A volume goes with its process.
pub fn unmount(_: &Mount, _: UnmountMode) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_becomes_the_root_of_its_drive_and_a_star_a_free_one() {
        assert_eq!(resolve(Path::new("o:")).unwrap(), Path::new("O:\\"));
        let free = resolve(Path::new("*")).unwrap();
        assert!(!free.exists());
        prepare(&free).unwrap();
        assert!(resolve(Path::new("o")).unwrap_err().to_string().contains("write O:"));
        let system = std::env::var_os("SystemDrive").unwrap();
        let taken = prepare(&resolve(Path::new(&system)).unwrap()).unwrap_err().to_string();
        assert!(taken.contains("is in use: name another letter"), "{taken}");
    }

    #[test]
    fn a_directory_must_not_exist_yet() {
        let dir = tempfile::tempdir().unwrap();
        let there = prepare(&resolve(dir.path()).unwrap()).unwrap_err().to_string();
        assert!(there.contains("name one that does not exist yet"), "{there}");
        prepare(&resolve(&dir.path().join("new")).unwrap()).unwrap();
        let nowhere = prepare(&resolve(&dir.path().join("no/where")).unwrap()).unwrap_err();
        assert!(nowhere.to_string().contains("make it first"), "{nowhere}");
    }
}
