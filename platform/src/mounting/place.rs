//! A directory to mount on, held open.

use super::{Error, prepare, resolve};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Whoever may write above a directory can have its path lead elsewhere at any time, and what is judged
/// must be what is mounted on.
#[derive(Debug)]
pub(crate) struct Place {
    pub directory: OwnedFd,
    /// Where it was when it was opened, without symbolic links.
    pub path: PathBuf,
}

impl Place {
    /// Holds the directory at a path once nothing stands in the way: what a killed process left there is
    /// detached.
    pub fn take(path: &Path) -> Result<Place, Error> {
        let path = resolve(path)?;
        prepare(&path)?;
        Place::hold(&path)
    }

    /// Opens an empty directory by its resolved path.
    fn hold(path: &Path) -> Result<Place, Error> {
        let unusable = |source| Error::Unusable { path: path.to_owned(), source };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unusable(error.into()))?;
        let real = fs::read_link(descriptor_path(&directory)).map_err(unusable)?;
        if real != path {
            let text = format!("it has become {} meanwhile", real.display());
            return Err(unusable(io::Error::other(text)));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(&directory, c".", flags, Mode::empty())
            .and_then(rustix::fs::Dir::new)
            .map_err(|error| unusable(error.into()))?;
        for entry in listed {
            let entry = entry.map_err(|error| unusable(error.into()))?;
            if ![c".", c".."].contains(&entry.file_name()) {
                return Err(Error::NotEmpty(path.to_owned()));
            }
        }
        Ok(Place { directory, path: path.to_owned() })
    }
}

/// A path that leads to what the descriptor stands for, and to nothing else.
pub(crate) fn descriptor_path(descriptor: impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()).into()
}

/// The number of the mount that a descriptor is of. `None`: kernels before 5.8 do not say.
pub(crate) fn mount_number(made: impl AsFd) -> rustix::io::Result<Option<u64>> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(made, c"", flags, StatxFlags::MNT_ID)?;
    Ok((found.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(found.stx_mnt_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_whose_path_leads_elsewhere_by_now_is_not_held() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("own/m")).unwrap();
        fs::create_dir_all(base.join("other/m")).unwrap();
        let path = base.join("own/m");
        let held = Place::hold(&path).unwrap();
        fs::rename(base.join("own"), base.join("moved")).unwrap();
        std::os::unix::fs::symlink(base.join("other"), base.join("own")).unwrap();
        let error = Place::hold(&path).unwrap_err().to_string();
        assert!(error.contains("it has become") && error.contains("other/m"), "{error}");
        // What was held is what it was.
        let now = fs::read_link(descriptor_path(&held.directory)).unwrap();
        assert_eq!(now, base.join("moved/m"));
    }
}
