//! How this crate's values look in `fuser`'s types, and how long the kernel may keep them.

use crate::owner::Owner;
use crate::{Attr, Entry, Error, HandleError, Inode, Kind};
use fuser::{Errno, FileAttr, FileType, INodeNo};
use std::time::{Duration, SystemTime};

/// Until a notification says otherwise. The kernel cuts it to the longest time it can hold.
pub(super) const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);
/// Asked again at the next use.
pub(super) const NEVER: Duration = Duration::ZERO;

pub(super) fn keep(cacheable: bool) -> Duration {
    if cacheable { FOREVER } else { NEVER }
}

pub(super) fn errno(error: Error) -> Errno {
    Errno::from_i32(error.codes().errno)
}

/// For whatever the kernel asks by node: "no such file" is for names.
pub(super) fn errno_by_handle(error: impl Into<HandleError>) -> Errno {
    errno(Error::from(error.into()))
}

pub(super) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File | Kind::Executable => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
    }
}

impl Owner {
    /// `number` is what the kernel shows as st_ino. In an answer that carries an entry it is also
    /// the kernel's node number: `fuser` has one field for both.
    pub(super) fn attr(self, number: u64, kind: Kind, size: u64, modified: SystemTime) -> FileAttr {
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: modified,
            mtime: modified,
            ctime: modified,
            crtime: modified,
            kind: file_type(kind),
            perm: kind.permissions(),
            // Also for directories, which says that subdirectories are not counted in it.
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    pub(super) fn of(self, attr: &Attr) -> FileAttr {
        self.attr(attr.inode.0, attr.kind, attr.size, attr.modified)
    }

    /// The attributes of an entry in the answer that carries it, and whether they may be kept.
    /// They may not where the size is not known yet, nor where the handle is not the inode's own
    /// number: then the answer to the getattr that follows shows the inode.
    pub(super) fn of_entry(self, node: u64, entry: &Entry) -> (FileAttr, bool) {
        match &entry.attr {
            Some(attr) => {
                let shown = self.attr(node, attr.kind, attr.size, attr.modified);
                (shown, attr.cacheable && Inode(node) == entry.inode)
            }
            None => (self.attr(node, entry.kind, 0, SystemTime::UNIX_EPOCH), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Handle;

    #[test]
    fn attributes_are_kept_only_where_the_handle_is_the_inode_and_the_size_is_known() {
        let owner = Owner { uid: 1, gid: 2 };
        let attr = Attr {
            inode: Inode(7),
            kind: Kind::File,
            size: 513,
            modified: SystemTime::UNIX_EPOCH,
            cacheable: true,
        };
        let entry = |handle, attr| Entry {
            handle: Handle(handle),
            attr,
            inode: Inode(7),
            kind: Kind::File,
            cacheable: true,
        };
        let (shown, kept) = owner.of_entry(7, &entry(7, Some(attr.clone())));
        assert_eq!((shown.ino, shown.size, shown.blocks, kept), (INodeNo(7), 513, 2, true));
        let (shown, kept) = owner.of_entry(99, &entry(99, Some(attr.clone())));
        assert_eq!((shown.ino, kept), (INodeNo(99), false));
        assert!(!owner.of_entry(7, &entry(7, None)).1);
        let volatile = Attr { cacheable: false, ..attr };
        assert!(!owner.of_entry(7, &entry(7, Some(volatile))).1);
    }
}
