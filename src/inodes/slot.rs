//! A handle: what it shows, where, and to whom.

use crate::mutants::{Mutant, planted};
use crate::nodes::Node;
use bytes::Bytes;
use omnifs_platform::Handle;
use std::sync::Arc;
use std::time::SystemTime;

/// Where a handle shows: the directory position and the name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub parent: Handle,
    pub name: Arc<str>,
}

#[derive(Debug)]
pub struct Slot {
    pub node: Arc<Node>,
    /// Every place a back end has seen it at; the newest last. Directories have one.
    pub links: Vec<Link>,
    pub depth: u16,
    /// References of the back ends.
    pub(super) references: u64,
    /// Open files and directories.
    pub opens: u32,
    /// The file changed while it was open; only its holders still use this handle.
    pub superseded: bool,
    /// The object was deleted upstream.
    pub gone: bool,
    /// A digest of the content that the back end's page cache may hold for this handle.
    pub paged: Option<u64>,
    /// The size of a volatile file's content that an open has just read: good for one `stat`, the
    /// one that every reader makes after its open.
    pub latest: Option<u64>,
    /// The size that a back end was told of this file, in bytes; `None` also where it may be another one
    /// at each use.
    pub told_size: Option<u64>,
    /// The modified time that was told with it.
    pub told_modified: Option<SystemTime>,
    /// When it is looked at for whether it is needed.
    pub(super) turn: u64,
    /// It was entered again since it was last looked at for what is unneeded.
    pub(super) entered: bool,
    /// The back end was asked to give it back.
    pub(super) asked_back: bool,
    /// The rest is for silent opens: a back end that does not say what is open.
    pub silent: Silent,
}

/// What is known of a file whose opens nobody announces.
#[derive(Debug, Default)]
pub struct Silent {
    /// Something was read by this handle: pages may be kept of it, and somebody may be half way.
    pub read: bool,
    /// What a handle shows to those who may have it open: one that was left to them, or one that no
    /// lookup has confirmed since its feed was lost.
    pub snapshot: Option<Bytes>,
    /// What the last lookup was answered, where that was overtaken: for the `stat` that follows it.
    pub newer: Option<Arc<Node>>,
    /// What was shown last is out of date, or is not what is known better: no snapshot is made of that.
    pub doubtful: bool,
    /// The ledger's sequence number when it was last looked whether what was left has grown.
    pub followed: u64,
}

impl Slot {
    /// Whether somebody may be reading this file's content of now.
    pub fn may_be_open(&self) -> bool {
        self.opens > 0 || self.silent.read || self.silent.snapshot.is_some()
    }

    /// Whether a back end was told a size of this file, or read of it.
    pub fn was_told(&self) -> bool {
        self.may_be_open() || self.told_size.is_some() || self.paged.is_some()
    }

    /// Whether this is the content that the handle's holders have begun to read.
    pub fn is_read_as(&self, node: &Node) -> bool {
        !self.silent.read || self.paged.is_some() && self.paged == node.digest.get().copied()
    }

    /// Whether what was read is over, and may not be opened by this handle: somebody may have been led to it by
    /// what is known since. Kernels that open by themselves do not say whether anybody was.
    pub fn is_past(&self, read: &Node, silent: bool) -> bool {
        !read.is_valid() && !read.is_volatile() && (silent || self.node.stamp() > read.stamp())
    }

    /// Whether a lookup of `node` may show this handle: its pages are proven to be that content.
    pub fn may_show(&self, node: &Node) -> bool {
        let volatile = self.silent.read && node.is_volatile();
        // A kernel that has begun to read may not see the size of its file change.
        !volatile && self.is_read_as(node) && self.has_size_of(node)
    }

    /// Puts a content aside for who may have the file open, unless it is not what they were told of.
    pub fn put_aside(&mut self, content: Option<Bytes>) {
        let is_told = |bytes: &Bytes| self.told_size.is_none_or(|told| told == bytes.len() as u64);
        self.silent.snapshot = content.filter(is_told);
    }

    /// Whether the size that was told of this handle is that of `node`, as far as both are known.
    pub fn has_size_of(&self, node: &Node) -> bool {
        let told = self.told_size.zip(node.size.get());
        told.is_none_or(|(told, now)| told == *now) || planted(Mutant::ChangesSizes)
    }
}
