//! Notifications as the kernel reads them from the FUSE device (include/uapi/linux/fuse.h).
//!
//! Written here and not through `fuser`, whose notifier hides that the kernel does not know an
//! inode (yet), which the notifier must see.

use rustix::io::Errno;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

const FUSE_NOTIFY_INVAL_INODE: i32 = 2;
const FUSE_NOTIFY_INVAL_ENTRY: i32 = 3;
const FUSE_NOTIFY_STORE: i32 = 4;
const FUSE_NOTIFY_DELETE: i32 = 6;
/// Since Linux 6.9.
const FUSE_NOTIFY_RESEND: i32 = 7;
/// Since protocol 7.45 (Linux 6.18). An older kernel answers EINVAL.
const FUSE_NOTIFY_PRUNE: i32 = 9;
/// Flag of an entry notification, since protocol 7.38 (Linux 6.2): the name is looked up again at
/// its next use, and what is below it stays as it is until that lookup says otherwise.
const FUSE_EXPIRE_ONLY: u32 = 1;

/// The size of `struct fuse_out_header`.
const HEADER: usize = 16;

/// How the kernel took a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    /// The kernel does not hold what was named.
    Unknown,
    /// The connection is gone.
    Closed,
    Failed(Errno),
}

/// The kernel's side of the connection. Each call may wait for a lock in the kernel, as said there.
#[derive(Debug)]
pub(super) struct Wire(pub OwnedFd);

impl Wire {
    /// Drops the cached attributes of an inode, and with `pages` its cached content or, for a
    /// directory, listing. With `pages` it waits for reads of them that are under way; without, it
    /// waits for nothing.
    pub fn inval_inode(&self, node: u64, pages: bool) -> Told {
        self.inval(node, if pages { 0 } else { -1 })
    }

    /// Drops the cached attributes of a file and its content from the page on that holds byte `offset`. Waits
    /// for reads of it that are under way.
    pub fn inval_tail(&self, node: u64, offset: u64) -> Told {
        self.inval(node, i64::try_from(offset).unwrap_or(i64::MAX))
    }

    fn inval(&self, node: u64, offset: i64) -> Told {
        let mut body = Vec::with_capacity(24);
        body.extend(node.to_ne_bytes());
        body.extend(offset.to_ne_bytes());
        body.extend(0_i64.to_ne_bytes());
        self.send(FUSE_NOTIFY_INVAL_INODE, &body)
    }

    /// Gives the kernel some bytes of a file, which is at least that long from now on, whatever answers
    /// about its attributes are on their way (fuse_notify_store in fs/fuse/dev.c). Those are asked for
    /// again. Waits for reads of the page that are under way.
    pub fn store(&self, node: u64, offset: u64, bytes: &[u8]) -> Told {
        let mut body = Vec::with_capacity(24 + bytes.len());
        body.extend(node.to_ne_bytes());
        body.extend(offset.to_ne_bytes());
        body.extend((bytes.len() as u32).to_ne_bytes());
        body.extend(0_u32.to_ne_bytes());
        body.extend(bytes);
        self.send(FUSE_NOTIFY_STORE, &body)
    }

    /// Has a name looked up again at its next use, also an absent one. A shell inside a directory of
    /// that name keeps its path. Takes the directory's inode lock: it waits for first lookups and listings
    /// of that directory which are under way; not for one that asks whether the name still stands.
    ///
    /// A kernel that does not know the flag drops the name instead, which is as right and less kind.
    pub fn expire_entry(&self, parent: u64, name: &str) -> Told {
        self.entry(parent, name, FUSE_EXPIRE_ONLY)
    }

    /// Drops a name, so that what it led to is given back once nobody has it open. Takes the
    /// directory's inode lock.
    pub fn drop_entry(&self, parent: u64, name: &str) -> Told {
        self.entry(parent, name, 0)
    }

    fn entry(&self, parent: u64, name: &str, flags: u32) -> Told {
        let mut body = Vec::with_capacity(16 + name.len() + 1);
        body.extend(parent.to_ne_bytes());
        body.extend((name.len() as u32).to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend(name.as_bytes());
        body.push(0);
        self.send(FUSE_NOTIFY_INVAL_ENTRY, &body)
    }

    /// Drops a name as [`Wire::expire_entry`] does, and tells watchers of `child` that it is deleted. Takes the
    /// child's inode lock too.
    pub fn delete(&self, parent: u64, child: u64, name: &str) -> Told {
        let mut body = Vec::with_capacity(24 + name.len() + 1);
        body.extend(parent.to_ne_bytes());
        body.extend(child.to_ne_bytes());
        body.extend((name.len() as u32).to_ne_bytes());
        body.extend(0_u32.to_ne_bytes());
        body.extend(name.as_bytes());
        body.push(0);
        self.send(FUSE_NOTIFY_DELETE, &body)
    }

    /// Drops the names of these inodes that nobody uses, and with them what is in use no longer. A shell
    /// inside a directory keeps it. May wait for reads of their pages that are under way.
    pub fn prune(&self, nodes: &[u64]) -> Told {
        let mut body = Vec::with_capacity(16 + 8 * nodes.len());
        body.extend((nodes.len() as u32).to_ne_bytes());
        body.extend([0; 12]);
        nodes.iter().for_each(|node| body.extend(node.to_ne_bytes()));
        self.send(FUSE_NOTIFY_PRUNE, &body)
    }

    /// Has the kernel ask once more what somebody has taken from the device and not answered.
    pub fn resend(&self) -> Told {
        self.send(FUSE_NOTIFY_RESEND, &[])
    }

    fn send(&self, code: i32, body: &[u8]) -> Told {
        let mut header = [0_u8; HEADER];
        // A body is a few numbers and a name of at most 255 bytes.
        header[0..4].copy_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        header[4..8].copy_from_slice(&code.to_ne_bytes());
        match rustix::io::writev(&self.0, &[IoSlice::new(&header), IoSlice::new(body)]) {
            Ok(_) => Told::Done,
            Err(Errno::NOENT) => Told::Unknown,
            // What a directory with entries in use, or a mount point, answers to a deletion; its
            // name is dropped all the same.
            Err(Errno::NOTEMPTY | Errno::BUSY) => Told::Done,
            Err(Errno::NODEV | Errno::NOTCONN | Errno::PERM | Errno::CONNABORTED) => Told::Closed,
            Err(error) => Told::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// What is written when `tell` notifies, captured by a pipe.
    fn written(tell: impl FnOnce(&Wire) -> Told) -> Vec<u8> {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let wire = Wire(writer.into());
        assert_eq!(tell(&wire), Told::Done);
        drop(wire);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn notifications_have_the_layout_of_the_protocol_header() {
        let entry = written(|wire| wire.expire_entry(0x0102, "ab"));
        assert_eq!(entry.len(), 16 + 16 + 3);
        assert_eq!(entry[0..4], 35_u32.to_ne_bytes());
        assert_eq!(entry[4..8], 3_i32.to_ne_bytes());
        assert_eq!(entry[8..16], [0; 8]);
        assert_eq!(entry[16..24], 0x0102_u64.to_ne_bytes());
        assert_eq!(entry[24..28], 2_u32.to_ne_bytes());
        assert_eq!(entry[28..32], 1_u32.to_ne_bytes());
        assert_eq!(entry[32..35], *b"ab\0");
        let inode = written(|wire| wire.inval_inode(9, false));
        assert_eq!((inode.len(), &inode[24..32]), (40, &(-1_i64).to_ne_bytes()[..]));
        let tail = written(|wire| wire.inval_tail(9, 0x1234));
        assert_eq!((tail.len(), &tail[24..32]), (40, &0x1234_i64.to_ne_bytes()[..]));
        let stored = written(|wire| wire.store(9, 0x0304, b"z"));
        assert_eq!((stored.len(), &stored[24..32]), (41, &0x0304_u64.to_ne_bytes()[..]));
        assert_eq!(stored[32..], *b"\x01\0\0\0\0\0\0\0z");
        let prune = written(|wire| wire.prune(&[0x0506, 7]));
        assert_eq!((prune.len(), &prune[16..20]), (48, &2_u32.to_ne_bytes()[..]));
        assert_eq!(prune[32..40], 0x0506_u64.to_ne_bytes());
        let delete = written(|wire| wire.delete(1, 5, "x"));
        assert_eq!((delete.len(), &delete[24..32]), (42, &5_u64.to_ne_bytes()[..]));
    }
}
