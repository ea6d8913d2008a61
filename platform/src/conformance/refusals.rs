//! Every write is refused with EROFS, and nothing moves.

use super::{Check, Root, fails, files};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};

fn open(path: &std::path::Path, flags: OFlags) -> rustix::io::Result<std::os::fd::OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
}

pub(super) fn opening_for_writing_is_refused(root: &Root) -> Check {
    for below in ["files/line", "bin/tool", "lazy/0", "links/file"] {
        let path = root.path(below);
        for flags in [
            OFlags::WRONLY,
            OFlags::RDWR,
            OFlags::WRONLY | OFlags::APPEND,
            OFlags::WRONLY | OFlags::TRUNC,
            OFlags::RDWR | OFlags::CREATE,
            OFlags::RDONLY | OFlags::TRUNC,
        ] {
            fails("open for writing", &path, open(&path, flags), libc::EROFS)?;
        }
    }
    Ok(())
}

pub(super) fn making_anything_is_refused(root: &Root) -> Check {
    for parent in ["", "files/", "hollow/"] {
        let path = root.path(&format!("{parent}new"));
        fails("creat", &path, open(&path, OFlags::WRONLY | OFlags::CREATE), libc::EROFS)?;
        let exclusive = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        fails("creat", &path, open(&path, exclusive), libc::EROFS)?;
        fails("mkdir", &path, fs::create_dir(&path), libc::EROFS)?;
        fails("symlink", &path, symlink("target", &path), libc::EROFS)?;
        fails("link", &path, fs::hard_link(root.path("files/line"), &path), libc::EROFS)?;
        fails("mkfifo", &path, mkfifo(&path), libc::EROFS)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn mkfifo(path: &std::path::Path) -> rustix::io::Result<()> {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0)
}

#[cfg(not(target_os = "linux"))]
fn mkfifo(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let _ = (CWD, FileType::Fifo);
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that lives through the call.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o644) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn removing_and_renaming_is_refused(root: &Root) -> Check {
    let file = root.path("files/line");
    let other = root.path("files/size-1");
    let moved = root.path("hollow/moved");
    let hollow = root.path("hollow");
    fails("unlink", &file, fs::remove_file(&file), libc::EROFS)?;
    fails("rmdir", &hollow, fs::remove_dir(&hollow), libc::EROFS)?;
    fails("rename", &file, fs::rename(&file, &moved), libc::EROFS)?;
    fails("rename over", &file, fs::rename(&file, &other), libc::EROFS)?;
    fails("rename", &hollow, fs::rename(&hollow, root.path("solid")), libc::EROFS)
}

pub(super) fn changing_attributes_is_refused(root: &Root) -> Check {
    for below in ["files/line", "bin/tool", "files"] {
        let path = root.path(below);
        let mode = fs::Permissions::from_mode(0o600);
        fails("chmod", &path, fs::set_permissions(&path, mode), libc::EROFS)?;

        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        fails("chown", &path, rustix::fs::chown(&path, Some(uid), Some(gid)), libc::EROFS)?;
        let time = Timespec { tv_sec: 1, tv_nsec: 2 };
        let times = Timestamps { last_access: time, last_modification: time };
        let set = rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty());
        fails("utimensat", &path, set, libc::EROFS)?;
        let set = rustix::fs::setxattr(&path, "user.mine", b"1", XattrFlags::empty());
        fails("setxattr", &path, set, libc::EROFS)?;
        fails("removexattr", &path, rustix::fs::removexattr(&path, "user.mine"), libc::EROFS)?;
    }
    let path = root.path("files/line");
    fails("truncate", &path, truncate(&path, 1), libc::EROFS)?;
    // A descriptor for reading stays one.
    let file = File::open(&path).map_err(|error| error.to_string())?;
    fails("ftruncate", &path, file.set_len(0), libc::EINVAL)
}

fn truncate(path: &std::path::Path, length: i64) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that lives through the call.
    match unsafe { libc::truncate(path.as_ptr(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn nothing_has_changed_after_all_that(root: &Root) -> Check {
    files::every_content_and_kind_is_as_built(root)?;
    files::modes_owners_links_and_times_are_sane(root)?;
    super::directories::every_directory_lists_exactly_its_names(root)
}
