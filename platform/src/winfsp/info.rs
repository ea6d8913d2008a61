//! Attributes, sizes and times of an object, as `FSP_FSCTL_FILE_INFO` holds them.

use crate::{Attr, Inode, Kind};
use std::time::{Duration, SystemTime};

/// `FILE_ATTRIBUTE_*` ([MS-FSCC] section 2.6).
pub mod attribute {
    pub const READONLY: u32 = 0x1;
    pub const DIRECTORY: u32 = 0x10;
    pub const REPARSE_POINT: u32 = 0x400;
    pub const OFFLINE: u32 = 0x1000;
    pub const NOT_CONTENT_INDEXED: u32 = 0x2000;
}

/// `IO_REPARSE_TAG_SYMLINK`.
pub const SYMLINK_TAG: u32 = 0xA000_000C;

/// Bytes of an allocation unit, as the volume's parameters say.
pub const UNIT: u64 = 4096;

/// Seconds from 1601 to 1970.
const EPOCH: u64 = 11_644_473_600;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    pub attributes: u32,
    pub reparse_tag: u32,
    /// Bytes, exact.
    pub size: u64,
    pub allocation: u64,
    /// Creation, last write, last access and change: the upstream object has one time. 100 ns since
    /// 1601 in UTC.
    pub time: u64,
    /// The identity inode. All names of an object show it.
    pub index: u64,
}

impl FileInfo {
    /// Of an object; `to_directory` says of a symbolic link whether it leads to one.
    pub fn new(attr: &Attr, to_directory: bool) -> FileInfo {
        let directory = attr.kind == Kind::Directory;
        let size = if directory { 0 } else { attr.size };
        FileInfo {
            attributes: attributes(attr.kind, to_directory),
            reparse_tag: if attr.kind == Kind::Symlink { SYMLINK_TAG } else { 0 },
            size,
            allocation: size.div_ceil(UNIT).saturating_mul(UNIT),
            time: filetime(attr.modified),
            index: attr.inode.0,
        }
    }

    /// Of an entry whose size cannot be told at this moment.
    pub fn offline(inode: Inode, kind: Kind, time: SystemTime) -> FileInfo {
        FileInfo {
            attributes: attributes(kind, false) | attribute::OFFLINE,
            reparse_tag: if kind == Kind::Symlink { SYMLINK_TAG } else { 0 },
            time: filetime(time),
            index: inode.0,
            ..FileInfo::default()
        }
    }

    pub fn is_directory(&self) -> bool {
        self.attributes & attribute::DIRECTORY != 0
    }
}

/// Read-only, but for directories: there the shell takes the bit for "has a desktop.ini". Nothing
/// is to be read by the indexing service, which reads all of a volume.
fn attributes(kind: Kind, to_directory: bool) -> u32 {
    use attribute::{DIRECTORY, NOT_CONTENT_INDEXED, READONLY, REPARSE_POINT};
    NOT_CONTENT_INDEXED
        | match kind {
            Kind::Directory => DIRECTORY,
            Kind::File | Kind::Executable => READONLY,
            Kind::Symlink if to_directory => REPARSE_POINT | DIRECTORY,
            Kind::Symlink => REPARSE_POINT | READONLY,
        }
}

/// A FILETIME: 100 ns since 1601. What is before that is 0.
pub fn filetime(time: SystemTime) -> u64 {
    let ticks = |d: Duration| d.as_nanos() / 100;
    let epoch = u128::from(EPOCH) * 10_000_000;
    let ticks = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => epoch + ticks(since),
        Err(before) => epoch.saturating_sub(ticks(before.duration())),
    };
    // A FILETIME is a signed number to many programs.
    u64::try_from(ticks).unwrap_or(u64::MAX).min(i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(kind: Kind, size: u64) -> Attr {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Attr { inode: Inode(42), kind, size, modified, cacheable: true }
    }

    #[test]
    fn each_kind_has_its_attributes_and_tag() {
        let rows = [
            (Kind::Directory, false, 0x2010, 0),
            (Kind::File, false, 0x2001, 0),
            (Kind::Executable, false, 0x2001, 0),
            (Kind::Symlink, false, 0x2401, SYMLINK_TAG),
            (Kind::Symlink, true, 0x2410, SYMLINK_TAG),
        ];
        for (kind, to_directory, attributes, tag) in rows {
            let info = FileInfo::new(&attr(kind, 10), to_directory);
            assert_eq!((info.attributes, info.reparse_tag), (attributes, tag), "{kind:?}");
            assert_eq!(info.index, 42);
        }
    }

    #[test]
    fn sizes_are_exact_and_allocations_whole_units() {
        for (size, allocation) in [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)] {
            let info = FileInfo::new(&attr(Kind::File, size), false);
            assert_eq!((info.size, info.allocation), (size, allocation));
        }
        assert_eq!(FileInfo::new(&attr(Kind::Directory, 7), false).size, 0);
    }

    #[test]
    fn times_count_from_1601() {
        let at = |seconds: i64, nanos: u32| {
            let base = SystemTime::UNIX_EPOCH;
            let shift = Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 { base.checked_sub(shift) } else { Some(base + shift) };
            time.map(|time| filetime(time + Duration::from_nanos(nanos.into())))
        };
        let rows = [
            (0, 0, 116_444_736_000_000_000),
            (1_700_000_000, 0, 133_444_736_000_000_000),
            (0, 199, 116_444_736_000_000_001),
            (-11_644_473_600, 0, 0),
            (-11_644_473_601, 0, 0),
            (-11_644_473_599, 100, 10_000_001),
        ];
        for (seconds, nanos, expected) in rows {
            // On Windows itself there is no time before the first.
            let Some(told) = at(seconds, nanos) else {
                assert!(cfg!(windows) && seconds < -11_644_473_600);
                continue;
            };
            assert_eq!(told, expected, "{seconds} s {nanos} ns");
        }
    }

    #[test]
    fn what_has_no_size_at_the_moment_says_so() {
        let info = FileInfo::offline(Inode(9), Kind::File, SystemTime::UNIX_EPOCH);
        assert_eq!((info.size, info.index), (0, 9));
        assert_eq!(info.attributes & attribute::OFFLINE, attribute::OFFLINE);
    }
}
