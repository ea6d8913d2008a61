//! The values that cross the [`Vfs`](crate::Vfs) boundary.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// The identity of an upstream object: what `stat` shows as `st_ino`. Derived from the object, the
/// same in every directory that shows it, after a rename and after a restart. 1 is the root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inode(pub u64);

/// One position of an object in the tree: what a back end asks by. A file has one handle wherever
/// it shows; a directory has one for each place, because the Linux kernel allows a directory inode
/// one dentry. The first position of a directory uses the inode's own number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// An open file or directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpenId(pub u64);

macro_rules! number {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}
number!(Inode);
number!(Handle);
number!(OpenId);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Directory,
    File,
    /// A regular file with the execute bits.
    Executable,
    Symlink,
}

impl Kind {
    /// Permission bits: nothing is writable by anyone.
    pub fn permissions(self) -> u16 {
        match self {
            Kind::Directory | Kind::Executable => 0o555,
            Kind::File => 0o444,
            Kind::Symlink => 0o777,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    pub inode: Inode,
    pub kind: Kind,
    /// Bytes, exact. 0 for directories.
    pub size: u64,
    /// Last change of the content or, for a directory, of its entry set. Never the time of the
    /// call.
    pub modified: SystemTime,
    /// May be kept until a change names the handle.
    pub cacheable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub handle: Handle,
    /// `None` when the size is not known yet: the caller asks [`getattr`](crate::Vfs::getattr)
    /// before it shows one. [`Entry::kind`] and [`Entry::inode`] hold in any case.
    pub attr: Option<Attr>,
    pub inode: Inode,
    pub kind: Kind,
    /// The binding of name to handle may be kept until a change names it.
    pub cacheable: bool,
}

#[derive(Clone, Debug)]
pub struct Opened {
    pub id: OpenId,
    /// What a cache holds of this handle's entries or content from an earlier open is still right.
    pub keep_cache: bool,
}

#[derive(Clone, Debug)]
pub struct OpenFile {
    pub id: OpenId,
    /// Bytes, exact, at the time of the open.
    pub size: u64,
    /// Bytes of memory that it takes while it is open: less than `size` for what is read in pieces.
    pub held: u64,
    /// What a page cache holds of this handle is this content.
    pub keep_cache: bool,
    /// The content may grow while it is open (a live log): reads must not be answered from a page
    /// cache.
    pub direct: bool,
}

#[derive(Clone, Debug)]
pub struct DirEntry {
    pub name: String,
    pub cookie: u64,
    pub inode: Inode,
    pub kind: Kind,
    /// Present where [`readdir`](crate::Vfs::readdir) was asked for `plus` and could tell for free.
    pub entry: Option<Entry>,
}

#[derive(Clone, Debug, Default)]
pub struct DirPage {
    pub entries: Vec<DirEntry>,
    /// The directory's modified time at the open, for back ends that verify cookies.
    pub modified: Option<SystemTime>,
}

/// What a back end must tell its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Attributes and content of this handle, or the entry set of a directory, are no longer what
    /// they were.
    Content {
        handle: Handle,
        /// The file is open: its pages belong to the open snapshot and stay.
        open: bool,
    },
    /// The binding of `name` in `parent` is no longer what it was (added, removed, renamed,
    /// replaced).
    Entry { parent: Handle, name: String, fate: Fate },
    /// Nothing has changed, but the file system holds more handles than it has room for: this one is to
    /// be given back, unless somebody uses it. A back end that cannot tell whether a directory is in use
    /// keeps it.
    Unneeded {
        handle: Handle,
        /// Each (directory, name) at which a file is known; none for a directory.
        places: Vec<(Handle, String)>,
    },
    /// Something has happened upstream. Nothing has to be dropped for it: that is said by the
    /// others, in the same batch or before. It is for those who watch.
    Event(Event),
    /// Nothing has happened: somebody waits until what was said before this has been told.
    Barrier(Barrier),
}

/// Holds back whoever waits for it until its last copy is dropped.
#[derive(Clone, Debug)]
pub struct Barrier(Arc<oneshot::Sender<()>>);

impl Barrier {
    /// One, and what ends when its last copy is dropped.
    pub fn new() -> (Barrier, impl Future<Output = ()>) {
        let (sender, receiver) = oneshot::channel();
        let passed = async {
            // Nothing is ever sent.
            let _ = receiver.await;
        };
        (Barrier(Arc::new(sender)), passed)
    }
}

impl PartialEq for Barrier {
    fn eq(&self, other: &Barrier) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Barrier {}

/// What has become of what a name was bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// To be found out by a lookup.
    Doubtful,
    /// The file's next content has another handle; this one is left to those who have it open.
    Replaced,
    /// Gone for good.
    Removed(Handle),
}

/// What has happened to something that back ends know, as file watchers are told of it.
///
/// An event is a hint to look again, and may be one too many. A doubt (a feed that was lost) is no
/// event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A file or a link has other content, or an object has other attributes. Of a directory also:
    /// its entries are not what they were, and which is not known before it is listed again.
    Modified {
        handle: Handle,
        /// Each (directory, name) at which a file showed; the handle may be given back before the
        /// event is raised.
        places: Vec<(Handle, String)>,
    },
    Created {
        parent: Handle,
        name: String,
    },
    Deleted {
        parent: Handle,
        name: String,
        directory: bool,
    },
    /// One object has got another name or has moved to another directory.
    Moved {
        from: (Handle, String),
        to: (Handle, String),
        directory: bool,
    },
}

impl Event {
    /// A change of what is held for as long as its event waits.
    pub fn modified(handle: Handle) -> Event {
        Event::Modified { handle, places: Vec::new() }
    }
}

/// Answers `statfs`. The file system is virtual and full: no free space, so that tools do not plan
/// to write here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statfs {
    /// Bytes held in the cache.
    pub used: u64,
    /// Nodes known at this moment.
    pub nodes: u64,
}
