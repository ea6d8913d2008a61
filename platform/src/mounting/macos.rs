//! What macOS is asked by its own programs. Compiled everywhere, so that it is tested everywhere.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The programs that take a mount away, in the order they are tried: the second one also where files are
/// in use.
pub(super) fn unmount_commands(point: &Path, force: bool) -> Vec<(PathBuf, Vec<OsString>)> {
    let plain: (PathBuf, Vec<OsString>) = ("/sbin/umount".into(), vec![point.into()]);
    let forced = ["unmount".into(), "force".into(), point.into()];
    let forced: (PathBuf, Vec<OsString>) = ("/usr/sbin/diskutil".into(), forced.into());
    if force { vec![plain, forced] } else { vec![plain] }
}

/// A line of `mount`, such as `127.0.0.1:/omnifs-1f on /Users/me/x (nfs, nodev, nosuid)`: the source, the
/// mount point and the kind of file system.
pub(super) fn mount_line(line: &str) -> Option<(&str, &str, &str)> {
    let (source, rest) = line.split_once(" on ")?;
    // The last one: a mount point may hold a parenthesis too.
    let (point, options) = rest.rsplit_once(" (")?;
    let kind = options.trim_end_matches(')').split(',').next()?;
    Some((source, point, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_unmounted_gently_first_and_by_force_only_where_asked() {
        let words = |force| -> Vec<String> {
            let commands = unmount_commands(Path::new("/m"), force).into_iter();
            let word = |w: OsString| w.to_string_lossy().into_owned();
            commands
                .map(|(program, arguments)| {
                    let arguments: Vec<_> = arguments.into_iter().map(word).collect();
                    format!("{} {}", program.display(), arguments.join(" "))
                })
                .collect()
        };
        assert_eq!(words(false), ["/sbin/umount /m"]);
        assert_eq!(words(true), ["/sbin/umount /m", "/usr/sbin/diskutil unmount force /m"]);
    }

    #[test]
    fn a_line_of_the_mount_table_is_read() {
        let line = "127.0.0.1:/omnifs-1f on /Users/me/a (b) (nfs, nodev, nosuid, mounted by me)";
        let expected = ("127.0.0.1:/omnifs-1f", "/Users/me/a (b)", "nfs");
        assert_eq!(mount_line(line), Some(expected));
        assert_eq!(mount_line("map auto_home on /System/Volumes/Data/home"), None);
    }
}
