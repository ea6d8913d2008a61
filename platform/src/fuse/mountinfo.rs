//! The kernel's mount table, `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Unique among the present mounts.
    pub id: u64,
    pub major: u32,
    pub minor: u32,
    pub point: PathBuf,
    pub kind: String,
}

impl Mount {
    /// Mounted by this program.
    pub fn is_ours(&self) -> bool {
        self.kind == "fuse.omnifs"
    }
}

/// What is mounted exactly on `path`, the topmost if several. `path` is absolute and resolved.
pub(super) fn at(path: &Path) -> io::Result<Option<Mount>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(parse(&table).filter(|mount| mount.point == path).last())
}

/// The mount with this number, by its present path: a directory above it may have been renamed.
pub(super) fn numbered(id: u64) -> io::Result<Option<Mount>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(parse(&table).find(|mount| mount.id == id))
}

/// The same mount by its present path. `None`: it is gone.
pub(super) fn again(mount: &Mount) -> io::Result<Option<Mount>> {
    Ok(numbered(mount.id)?.filter(|other| other.minor == mount.minor && other.is_ours()))
}

fn parse(table: &[u8]) -> impl Iterator<Item = Mount> + '_ {
    table.split(|&byte| byte == b'\n').filter_map(parse_line)
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let device = text(fields.nth(1)?)?;
    let (major, minor) = device.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    // The optional fields end with a lone "-".
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        id,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        point: PathBuf::from(OsString::from_vec(point)),
        kind: text(kind)?.to_owned(),
    })
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
        40 22 0:35 / /mnt/a\\040b\\134c rw,nosuid - fuse.omnifs omnifs rw,user_id=0\n\
        41 40 0:36 / /mnt/a\\040b\\134c rw shared:3 master:4 - tmpfs tmpfs rw\n\
        torn line\n";

    #[test]
    fn the_topmost_mount_of_a_path_with_odd_characters_is_found() {
        let mounts: Vec<Mount> = parse(TABLE).collect();
        assert_eq!(mounts.len(), 3);
        assert_eq!(mounts[1].point, Path::new("/mnt/a b\\c"));
        assert!(mounts[1].is_ours());
        assert_eq!((mounts[1].id, mounts[1].major, mounts[1].minor), (40, 0, 35));
        assert_eq!(mounts[2].kind, "tmpfs");
        assert_eq!(mounts[2].point, mounts[1].point);
    }

    #[test]
    fn the_mount_table_of_this_machine_has_a_root() {
        assert!(at(Path::new("/")).unwrap().is_some());
        assert_eq!(at(Path::new("/no/such/mount")).unwrap(), None);
    }
}
