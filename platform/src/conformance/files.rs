//! Checks of files: sizes, bytes, attributes.

use super::tree::{self, Expected, TWICE};
use super::{Check, Explain, Root, ensure, fails, map_shared, same};
use rustix::fs::Access;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Each regular file of the standard tree and its bytes.
fn files() -> impl Iterator<Item = (String, bytes::Bytes)> {
    tree::standard().into_iter().filter_map(|(path, what)| match what {
        Expected::File(content) | Expected::Executable(content) => Some((path, content)),
        Expected::Directory | Expected::Symlink(_) => None,
    })
}

/// Before anything is read, so that no earlier read has told the size.
pub(super) fn every_size_is_exact(root: &Root) -> Check {
    for (below, content) in files() {
        let path = root.path(&below);
        let stated = fs::metadata(&path).explain("stat", &path)?;
        same("st_size", &path, stated.len(), content.len() as u64)?;
        same("st_blocks", &path, stated.blocks(), (content.len() as u64).div_ceil(512))?;
        let read = fs::read(&path).explain("read", &path)?;
        same("bytes read", &path, read.len(), content.len())?;
        let file = File::open(&path).explain("open", &path)?;
        let held = file.metadata().explain("fstat", &path)?;
        same("fstat size", &path, held.len(), content.len() as u64)?;
    }
    Ok(())
}

pub(super) fn every_content_and_kind_is_as_built(root: &Root) -> Check {
    for (below, expected) in tree::standard() {
        let path = root.path(&below);
        let found = fs::symlink_metadata(&path).explain("lstat", &path)?;
        let kind = found.file_type();
        match expected {
            Expected::Directory => {
                ensure(kind.is_dir(), || format!("{} is no directory", path.display()))?;
            }
            Expected::Symlink(target) => {
                ensure(kind.is_symlink(), || format!("{} is no link", path.display()))?;
                same("st_size", &path, found.len(), target.len() as u64)?;
            }
            Expected::File(content) | Expected::Executable(content) => {
                ensure(kind.is_file(), || format!("{} is no file", path.display()))?;
                let read = fs::read(&path).explain("read", &path)?;
                ensure(read == content, || format!("{} holds other bytes", path.display()))?;
            }
        }
    }
    Ok(())
}

pub(super) fn a_file_is_read_the_same_in_any_pieces(root: &Root) -> Check {
    let path = root.path("files/big");
    let Some((_, content)) = files().find(|(below, _)| below == "files/big") else {
        return Err("the standard tree has no big file".into());
    };
    let mut random = tree::Random(7);
    let file = File::open(&path).explain("open", &path)?;
    for _ in 0..200 {
        let at = random.below(content.len() + 100);
        let mut piece = vec![0; random.below(300_000)];
        let count = file.read_at(&mut piece, at as u64).explain("pread", &path)?;
        let end = (at + piece.len()).min(content.len());
        let expected = content.get(at..end).unwrap_or_default();
        ensure(count == expected.len() && piece[..count] == *expected, || {
            format!("pread of {} bytes at {at} gave {count} or other bytes", piece.len())
        })?;
    }
    let mut file = file;
    let mut at_end = [0; 16];
    let end = file.seek(SeekFrom::End(0)).explain("lseek", &path)?;
    same("the end", &path, end, content.len() as u64)?;
    same("a read at the end", &path, file.read(&mut at_end).explain("read", &path)?, 0)?;
    file.seek(SeekFrom::End(1 << 40)).explain("lseek", &path)?;
    same("a read beyond the end", &path, file.read(&mut at_end).explain("read", &path)?, 0)
}

pub(super) fn a_mapping_holds_the_bytes_and_nothing_after_them(root: &Root) -> Check {
    for (below, content) in files().filter(|(_, content)| !content.is_empty()) {
        let path = root.path(&below);
        let file = File::open(&path).explain("open", &path)?;
        let length = file.metadata().explain("fstat", &path)?.len() as usize;
        same("fstat size", &path, length, content.len())?;
        let (mapped, after) = map_shared(file.as_raw_fd(), length).explain("mmap", &path)?;
        ensure(mapped == content, || format!("the mapping of {below} holds other bytes"))?;
        ensure(after.iter().all(|&byte| byte == 0), || {
            format!("the page after the end of {below} is not empty")
        })?;
    }
    Ok(())
}

pub(super) fn modes_owners_links_and_times_are_sane(root: &Root) -> Check {
    let owner = fs::metadata(&root.0).explain("stat", &root.0)?;
    for (below, expected) in tree::standard() {
        let path = root.path(&below);
        let found = fs::symlink_metadata(&path).explain("lstat", &path)?;
        let mode = match &expected {
            Expected::Directory | Expected::Executable(_) => 0o555,
            Expected::File(_) => 0o444,
            Expected::Symlink(_) => 0o777,
        };
        same("the mode", &path, found.permissions().mode() & 0o7777, mode)?;
        same("the owner", &path, (found.uid(), found.gid()), (owner.uid(), owner.gid()))?;
        same("the device", &path, found.dev(), owner.dev())?;
        ensure(found.nlink() >= 1, || format!("{below} has no link"))?;
        ensure(found.ino() != 0, || format!("{below} has inode 0"))?;
        if below != "churn" {
            let again = fs::symlink_metadata(&path).explain("lstat", &path)?;
            let time = |of: &fs::Metadata| (of.mtime(), of.mtime_nsec());
            same("mtime, asked twice,", &path, time(&again), time(&found))?;
        }
        if expected != Expected::Directory {
            let modified = found.modified().explain("mtime", &path)?;
            same("mtime", &path, modified, SystemTime::UNIX_EPOCH + tree::BUILT)?;
        }
    }
    Ok(())
}

pub(super) fn an_executable_runs(root: &Root) -> Check {
    let path = root.path("bin/tool");
    let output = Command::new(&path).arg("works").output().explain("run", &path)?;
    same("the output", &path, String::from_utf8_lossy(&output.stdout).as_ref(), "omnifs works\n")?;
    let plain = root.path("files/line");
    fails("run", &plain, Command::new(&plain).output(), libc::EACCES)
}

pub(super) fn seeks_find_data_up_to_the_end(root: &Root) -> Check {
    let path = root.path("files/size-131073");
    let file = File::open(&path).explain("open", &path)?;
    let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(10)).explain("lseek", &path)?;
    same("the first data", &path, data, 10)?;
    let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(10)).explain("lseek", &path)?;
    same("the first hole", &path, hole, 131_073)
}

pub(super) fn a_file_seen_at_two_places_is_one_inode(root: &Root) -> Check {
    for below in ["title", "comments/1"] {
        let [a, b] = TWICE.map(|(place, name)| root.path(&format!("{place}/{name}/{below}")));
        let first = fs::metadata(&a).explain("stat", &a)?;
        let second = fs::metadata(&b).explain("stat", &b)?;
        same("st_ino", &b, second.ino(), first.ino())?;
        let held = File::open(&b).and_then(|file| file.metadata()).explain("fstat", &b)?;
        same("st_ino of the open file", &b, held.ino(), first.ino())?;
    }
    Ok(())
}

pub(super) fn access_agrees_with_what_can_be_done(root: &Root) -> Check {
    let can = |below: &str, access| rustix::fs::access(root.path(below), access);
    for below in ["files", "bin/tool", "files/line"] {
        let path = root.path(below);
        can(below, Access::EXISTS | Access::READ_OK).explain("access R_OK", &path)?;
        fails("access W_OK", &path, can(below, Access::WRITE_OK), libc::EROFS)?;
    }
    can("bin/tool", Access::EXEC_OK).explain("access X_OK", &root.path("bin/tool"))?;
    can("files", Access::EXEC_OK).explain("access X_OK", &root.path("files"))?;
    fails("access X_OK", &root.path("files/line"), can("files/line", Access::EXEC_OK), libc::EACCES)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(super) fn extended_attributes_are_answered_at_once(root: &Root) -> Check {
    use rustix::io::Errno;
    let started = Instant::now();
    for below in ["", "files", "files/line", "bin/tool"] {
        let path = root.path(below);
        let mut value = [0_u8; 64];
        match rustix::fs::getxattr(&path, "user.none", &mut value[..]) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            other => return Err(format!("getxattr {}: {other:?}", path.display())),
        }
        let mut list = [0_u8; 64];
        match rustix::fs::listxattr(&path, &mut list[..]) {
            Ok(0) | Err(Errno::OPNOTSUPP) => {}
            other => return Err(format!("listxattr {}: {other:?}", path.display())),
        }
    }
    ensure(started.elapsed() < Duration::from_secs(10), || "they took over ten seconds".into())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn extended_attributes_are_answered_at_once(_: &Root) -> Check {
    Ok(())
}

pub(super) fn statfs_tells_a_full_file_system(root: &Root) -> Check {
    let told = rustix::fs::statvfs(&root.0).explain("statvfs", &root.0)?;
    same("the free blocks", &root.0, (told.f_bfree, told.f_bavail), (0, 0))?;
    same("the longest name", &root.0, told.f_namemax, 255)?;
    ensure(told.f_bsize >= 512, || format!("a block of {} bytes", told.f_bsize))?;
    ensure(told.f_blocks > 0 && told.f_files > 0, || "no blocks or no files".into())
}
