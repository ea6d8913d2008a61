//! The handlers' side of a call that the daemon makes on its own mount.

use super::desk::{Answer, Made};
use crate::fuse::attr::{NEVER, keep};
use crate::fuse::held::Shown;
use crate::fuse::server::{GENERATION, Server, UNKNOWN};
use crate::{Handle, Kind, Vfs};
use fuser::{Errno, FileAttr, FopenFlags, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyOpen};
use std::time::SystemTime;

impl<V: Vfs> Server<V> {
    pub fn own_lookup(&self, parent: INodeNo, name: &str, reply: ReplyEntry) {
        match self.desk.lookup(parent.0, name) {
            Some(Answer::Known(handle)) => match self.hold(handle) {
                Some(shown) => self.once(&self.attr_again(handle.0, shown), reply),
                None => reply.error(Errno::ESTALE),
            },
            Some(Answer::Bound(handle)) => match self.bound(parent, name, handle) {
                Some((attr, kept)) => {
                    reply.entry_with_ttls(&NEVER, &keep(kept), &attr, GENERATION);
                }
                None => reply.error(Errno::ESTALE),
            },
            Some(Answer::Current(node, kind)) => match self.now(parent, name) {
                Some((attr, kept)) => {
                    reply.entry_with_ttls(&NEVER, &keep(kept), &attr, GENERATION);
                }
                None => {
                    let stand_in = self.owner.attr(node, kind, 0, SystemTime::UNIX_EPOCH);
                    self.once(&stand_in, reply);
                }
            },
            Some(Answer::StandIn(node, kind)) => {
                self.once(&self.owner.attr(node, kind, 0, SystemTime::UNIX_EPOCH), reply);
            }
            Some(Answer::Absent) => reply.error(Errno::ENOENT),
            None => reply.error(Errno::EROFS),
        }
    }

    /// What a name is now, so that the kernel may keep it as after any lookup: it holds no name
    /// that it would have to ask for, and of what it does not hold no later change could be told.
    /// As the kernel knows `handle` where it would take a request.
    fn bound(&self, parent: INodeNo, name: &str, handle: Handle) -> Option<(FileAttr, bool)> {
        if let Some(now) = self.now(parent, name) {
            return Some(now);
        }
        self.hold(handle).map(|shown| (self.attr_again(handle.0, shown), false))
    }

    fn now(&self, parent: INodeNo, name: &str) -> Option<(FileAttr, bool)> {
        let stamp = self.notifier.stamps.now();
        let entry = self.vfs.recall(self.handle(parent), name)?;
        self.deliver(&entry, stamp).then(|| (self.entry_attr(&entry).0, entry.cacheable))
    }

    /// One more reference to what the kernel holds.
    fn hold(&self, handle: Handle) -> Option<Shown> {
        let shown = self.references.shown(handle)?;
        if !self.vfs.hold(handle) {
            return None;
        }
        if !self.references.add(handle, shown.inode, shown.kind) {
            self.vfs.forget(handle, 1);
            return None;
        }
        self.references.again(handle)
    }

    fn attr_again(&self, number: u64, shown: Shown) -> FileAttr {
        self.owner.attr(number, shown.kind, shown.size, shown.modified)
    }

    /// An entry for this call only: whoever uses the name next asks.
    fn once(&self, attr: &FileAttr, reply: ReplyEntry) {
        reply.entry_with_ttls(&NEVER, &NEVER, attr, GENERATION);
    }

    /// Answers what the kernel knows already. Only links come here: the kernel takes a size in such
    /// an answer for the newest, and cuts the pages of a file at it.
    pub fn own_times(&self, node: INodeNo, reply: ReplyAttr) {
        match self.references.shown(Handle(node.0)) {
            Some(shown) if shown.kind == Kind::Symlink && self.desk.touches(node.0) => {
                reply.attr(&NEVER, &self.attr_again(shown.inode.0, shown));
            }
            Some(_) | None => reply.error(Errno::EROFS),
        }
    }

    /// An open for writing in which nothing is written. What is cached stays.
    pub fn own_open(&self, node: INodeNo, reply: ReplyOpen) {
        if !self.desk.touches(node.0) {
            return reply.error(Errno::EROFS);
        }
        let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        reply.opened(UNKNOWN, flags);
    }

    /// A touch whose answer says nothing.
    pub fn own_touch(&self, node: INodeNo, reply: ReplyEmpty) {
        if self.desk.touches(node.0) { reply.ok() } else { reply.error(Errno::EROFS) }
    }

    /// Answers a call that makes a node of one of these kinds.
    pub fn own_make(&self, parent: INodeNo, name: &str, kinds: &[Kind], reply: ReplyEntry) {
        // The kernel refuses a node of another kind than it asked for.
        match self.desk.make(parent.0, name) {
            Some(Made::Directory(entry)) if kinds.contains(&entry.kind) => {
                if !self.deliver(&entry, self.notifier.stamps.now()) {
                    return reply.error(Errno::ENODEV);
                }
                self.once(&self.entry_attr(&entry).0, reply);
            }
            Some(Made::Directory(entry)) => {
                self.vfs.forget(entry.handle, 1);
                reply.error(Errno::EIO);
            }
            Some(Made::StandIn(node, kind)) if kinds.contains(&kind) => {
                self.once(&self.owner.attr(node, kind, 0, SystemTime::UNIX_EPOCH), reply);
            }
            Some(Made::StandIn(..)) => reply.error(Errno::EIO),
            None => reply.error(Errno::EROFS),
        }
    }
}
