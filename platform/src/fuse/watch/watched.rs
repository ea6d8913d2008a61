//! Which inodes of a mount are watched, as far as this process may see it.
//!
//! The kernel tells nobody. Each inotify and fanotify descriptor lists its watches in
//! `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)), to its owner and to root. A process of another user
//! or outside this process namespace is not seen.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The inode numbers watched on the file system with this device number (major 0).
pub(super) fn scan(minor: u32) -> HashSet<u64> {
    let mut found = HashSet::new();
    for process in directory(Path::new("/proc")) {
        let is_process = process.file_name().to_str().is_some_and(|n| n.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        for descriptor in directory(&process.path().join("fd")) {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let watches = target.to_str().is_some_and(|target| {
                target == "anon_inode:inotify" || target == "anon_inode:[fanotify]"
            });
            if watches {
                let info = process.path().join("fdinfo").join(descriptor.file_name());
                // Gone in between.
                let text = fs::read_to_string(info).unwrap_or_default();
                found.extend(text.lines().filter_map(|line| watched(line, minor)));
            }
        }
    }
    found
}

fn directory(path: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(path).into_iter().flatten().flatten()
}

/// The inode of `inotify wd:1 ino:2a sdev:34 mask:...`, all in hexadecimal.
fn watched(line: &str, minor: u32) -> Option<u64> {
    if !line.starts_with("inotify wd:") && !line.starts_with("fanotify ino:") {
        return None;
    }
    let field = |name: &str| {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name))?;
        u64::from_str_radix(value, 16).ok()
    };
    if field("sdev:")? == u64::from(minor) { field("ino:") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_read_from_its_line_and_found_in_this_process() {
        let line =
            "inotify wd:1 ino:2a sdev:34 mask:fce ignored_mask:0 fhandle-bytes:8 f_handle:00";
        assert_eq!(watched(line, 0x34), Some(0x2a));
        assert_eq!(watched(line, 0x35), None);
        assert_eq!(watched("fanotify ino:7 sdev:34 mflags:0 mask:1", 0x34), Some(7));
        assert_eq!(watched("pos:\t0", 0x34), None);

        let queue = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).unwrap();
        let all = rustix::fs::inotify::WatchFlags::ATTRIB;
        rustix::fs::inotify::add_watch(&queue, "/proc/self/fdinfo", all).unwrap();
        let place = fs::metadata("/proc/self/fdinfo").unwrap();
        use std::os::unix::fs::MetadataExt;
        let minor = rustix::fs::minor(place.dev());
        assert!(scan(minor).contains(&place.ino()));
        drop(queue);
        assert!(!scan(minor).contains(&place.ino()));
    }
}
