//! inotify events for what changes upstream.
//!
//! FUSE has no message that raises one. But a system call that changes a file raises them, so the
//! daemon makes the matching call on its own mount, after the core has changed and the kernel has
//! been told what to drop:
//!
//! | change | call | events |
//! |---|---|---|
//! | content | open for writing, fallocate that keeps the size | `IN_OPEN`, `IN_MODIFY`, `IN_CLOSE_WRITE` |
//! | content, or a directory's entries | setxattr | `IN_ATTRIB` |
//! | a link's target | utimensat | `IN_MODIFY`, `IN_ATTRIB` |
//! | a new name | mkdir, mknod, symlink | `IN_CREATE` |
//! | a name gone | unlink, rmdir | `IN_DELETE` |
//! | a name moved | rename | `IN_MOVED_FROM`, `IN_MOVED_TO`, and `IN_MOVE_SELF` |
//!
//! truncate and utimensat would do for files too, but their answer carries a size, and the kernel
//! cuts the file's pages at it, under those who read the file.
//!
//! Nothing changes by these calls: what the kernel asks on the way is answered as laid out on the
//! [`Desk`], with what it was told before or with a node that is nobody's, and for the length of
//! the call only. A system call of somebody else who is there at the same moment asks by itself.
//!
//! One thread makes the calls, holding no lock. It waits for locks of the kernel that others hold
//! while their request is answered; no answer, and no notification, waits for it.

mod answers;
mod desk;
mod lister;
mod queue;
mod watched;

use super::held::References;
use super::notify::Notifier;
use crate::{Event, Handle, Kind, Vfs};
use desk::{Answer, Made, Outcome, Write};
use lister::{Changed, Lister};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, StatxFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use tokio::runtime;

pub(super) use desk::Desk;
pub(super) use queue::Queue;

/// How often a call is made again when the kernel holds something else under the name.
const TRIES: usize = 16;
/// A directory that only this thread's lookups find, below the root. What has no name any more but
/// is held open has one there, by its number.
const NAMELESS: &str = ".omnifs-nameless";
/// Nodes that are nobody's count up from here. Their numbers are not used again, so the kernel
/// never takes one for what it knew.
const NOBODYS: u64 = 0xfff0_0000_0000_0000;
/// Set to nothing, and kept nowhere.
const ATTRIBUTE: &str = "user.omnifs";
/// PATH_MAX, with room for the mount point.
const LONGEST_PATH: usize = 3500;
/// Deeper than any tree; a circle in what the core answers ends here.
const DEEPEST: usize = 256;

const ROOT_NODE: u64 = 1;

/// What one system call is to go to.
type Names = Vec<(u64, String, Answer)>;

#[derive(Debug)]
pub(super) struct Raiser<V: Vfs> {
    pub vfs: Arc<V>,
    pub references: Arc<References>,
    pub notifier: Arc<Notifier>,
    pub desk: Arc<Desk>,
    pub queue: Arc<Queue>,
    pub point: PathBuf,
    /// The mount's device number.
    pub minor: u32,
    pub runtime: runtime::Handle,
}

impl<V: Vfs> Raiser<V> {
    /// Starts the thread. It ends when the queue is closed.
    pub fn start(self) -> std::io::Result<()> {
        let lister = Lister {
            vfs: self.vfs.clone(),
            runtime: self.runtime.clone(),
            minor: self.minor,
            queue: self.queue.clone(),
        };
        let lister = lister.start()?;
        let run = move || {
            let mut raising = Raising { raiser: &self, lister, next: NOBODYS };
            let seat = self.desk.sit();
            while let Some(event) = self.queue.next(|event| self.is_told(event)) {
                raising.raise(&event);
            }
            drop(seat);
        };
        thread::Builder::new().name("omnifs-watch".into()).spawn(run).map(drop)
    }

    fn node(&self, handle: Handle) -> u64 {
        self.notifier.node(handle)
    }

    fn is_held(&self, handle: Handle) -> bool {
        self.node(handle) == ROOT_NODE || self.references.contains(handle)
    }

    /// Whether the kernel knows what to drop for this event: who reacts to it by reading must not
    /// find the old.
    fn is_told(&self, event: &Event) -> bool {
        let told = |handle: Handle| self.notifier.is_told(self.node(handle));
        match event {
            Event::Modified(handle) => {
                told(*handle) && self.vfs.places(*handle).iter().all(|(parent, _)| told(*parent))
            }
            Event::Created { parent, .. } | Event::Deleted { parent, .. } => told(*parent),
            Event::Moved { from, to, .. } => told(from.0) && told(to.0),
        }
    }

    /// The names from the root to a directory. `None` where the kernel does not hold all of them:
    /// then nobody watches it by that path.
    fn way(&self, directory: Handle) -> Option<Names> {
        let mut names = Vec::new();
        let mut at = directory;
        while self.node(at) != ROOT_NODE {
            if !self.references.is_directory(at) || names.len() > DEEPEST {
                return None;
            }
            let (parent, name) = self.vfs.places(at).pop()?;
            names.push((self.node(parent), name, Answer::Known(at)));
            at = parent;
        }
        names.reverse();
        Some(names)
    }

    /// The mount's root, as a descriptor that keeps the mount busy while it lives.
    fn root(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, &self.point, flags, Mode::empty())?;
        // Something else may have been mounted over it. The attributes are those that the kernel
        // has; it asks nobody.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let found = rustix::fs::statx(&root, c"", flags, StatxFlags::TYPE)?;
        if (found.stx_dev_major, found.stx_dev_minor) != (0, self.minor) {
            return Err(Errno::XDEV);
        }
        Ok(root)
    }
}

/// The end of `names`, opened without asking anything of it.
fn reach(root: &OwnedFd, names: &[(u64, String, Answer)]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(root, path(names), flags, Mode::empty())
}

fn path(names: &[(u64, String, Answer)]) -> String {
    let names: Vec<&str> = names.iter().map(|(_, name, _)| name.as_str()).collect();
    if names.is_empty() { ".".into() } else { names.join("/") }
}

fn is_short(names: &[(u64, String, Answer)]) -> bool {
    names.iter().map(|(_, name, _)| name.len() + 1).sum::<usize>() < LONGEST_PATH
}

struct Raising<'a, V: Vfs> {
    raiser: &'a Raiser<V>,
    lister: Sender<Changed>,
    next: u64,
}

impl<V: Vfs> Raising<'_, V> {
    fn raise(&mut self, event: &Event) {
        match event {
            Event::Modified(handle) => self.modified(*handle),
            Event::Created { parent, name } => self.created(*parent, name),
            Event::Deleted { parent, name, directory } => self.deleted(*parent, name, *directory),
            Event::Moved { from, to, directory } => self.moved(from, to, *directory),
        }
    }

    fn nobody(&mut self) -> u64 {
        self.next += 1;
        while self.raiser.references.contains(Handle(self.next)) {
            self.next += 1;
        }
        self.next
    }

    fn modified(&mut self, handle: Handle) {
        let raiser = self.raiser;
        let Some(kind) = self.kind(handle) else { return };
        let directory = kind == Kind::Directory;
        let ends: Vec<Names> = if directory {
            raiser.way(handle).into_iter().collect()
        } else {
            let end = |(parent, name): (Handle, String)| {
                let mut names = raiser.way(parent)?;
                names.push((raiser.node(parent), name, Answer::Bound(handle)));
                Some(names)
            };
            raiser.vfs.places(handle).into_iter().filter_map(end).collect()
        };
        if directory && let Some(names) = ends.first() {
            let inode = raiser.references.shown(handle).map_or(ROOT_NODE, |shown| shown.inode.0);
            let inodes = [inode, raiser.node(handle)];
            let path = raiser.point.join(path(names));
            // It lives as long as this thread does.
            let _ = self.lister.send(Changed { handle, inodes, path });
        }
        let mut touched = Vec::new();
        for names in ends {
            touched.extend(self.touch(names, kind));
        }
        let done = directory || touched.contains(&raiser.node(handle));
        if done || !raiser.is_held(handle) {
            return;
        }
        // Held open, and no path leads to it any more: those who watch it by itself.
        let nameless = self.nobody();
        let way = Answer::StandIn(nameless, Kind::Directory);
        let end = (nameless, format!("{:x}", handle.0), Answer::Known(handle));
        self.touch(vec![(ROOT_NODE, NAMELESS.to_owned(), way), end], kind);
    }

    /// What the kernel holds under this number; or what it held until a moment ago under a name, in
    /// a directory that it still holds.
    fn kind(&self, handle: Handle) -> Option<Kind> {
        let raiser = self.raiser;
        if raiser.node(handle) == ROOT_NODE {
            return Some(Kind::Directory);
        }
        if let Some(shown) = raiser.references.shown(handle) {
            return Some(shown.kind);
        }
        let (parent, name) = raiser.vfs.places(handle).pop()?;
        let entry = raiser.vfs.recall(parent, &name)?;
        raiser.vfs.forget(entry.handle, 1);
        Some(entry.kind).filter(|_| raiser.is_held(parent))
    }

    /// Gives the nodes that it came to.
    fn touch(&self, names: Names, kind: Kind) -> Vec<u64> {
        self.call(names, Write::Touch, |root, names| match kind {
            Kind::File => {
                // A program is left out: while it is open for writing nobody can run it.
                let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(root, path(names), flags, Mode::empty())?;
                rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 1)?;
                rustix::fs::fsetxattr(&file, ATTRIBUTE, &[], XattrFlags::empty())
            }
            Kind::Executable | Kind::Directory => {
                // There is no call that sets an attribute by such a descriptor itself.
                let link = format!("/proc/self/fd/{}", reach(root, names)?.as_raw_fd());
                rustix::fs::setxattr(link, ATTRIBUTE, &[], XattrFlags::empty())
            }
            Kind::Symlink => {
                let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
                let some = Timespec { tv_sec: 0, tv_nsec: 0 };
                // The modified time alone is IN_MODIFY, both are IN_ATTRIB (fsnotify_change in the
                // kernel). The times themselves go nowhere.
                let one = Timestamps { last_access: omit, last_modification: some };
                let both = Timestamps { last_access: some, last_modification: some };
                let end = reach(root, names)?;
                let mut times = [one, both].into_iter();
                times.try_for_each(|times| {
                    rustix::fs::utimensat(&end, c"", &times, AtFlags::EMPTY_PATH)
                })
            }
        })
        .touched
    }

    fn created(&mut self, parent: Handle, name: &str) {
        let raiser = self.raiser;
        if !raiser.is_held(parent) {
            return;
        }
        let Some(way) = raiser.way(parent) else { return };
        // Gone again, or not known without asking.
        let Some(entry) = raiser.vfs.recall(parent, name) else { return };
        let (handle, kind) = (entry.handle, entry.kind);
        let made = if kind == Kind::Directory {
            Made::Directory(entry)
        } else {
            Made::StandIn(self.nobody(), kind)
        };
        let mut names = way;
        names.push((raiser.node(parent), name.to_owned(), Answer::Absent));
        let outcome = self.call(names.clone(), Write::Make(made), |root, names| {
            let (name, way) = names.split_last().ok_or(Errno::INVAL)?;
            let directory = reach(root, way)?;
            let mode = Mode::from_raw_mode(kind.permissions().into());
            match kind {
                Kind::Directory => rustix::fs::mkdirat(&directory, &name.1, mode),
                Kind::Symlink => rustix::fs::symlinkat("-", &directory, &name.1),
                Kind::File | Kind::Executable => {
                    let file = FileType::RegularFile;
                    rustix::fs::mknodat(&directory, &name.1, file, mode, 0)
                }
            }
        });
        match outcome.left {
            Some(_) => {}
            None if kind == Kind::Directory => return,
            None => {
                // What comes next happens to the file itself.
                if let Some(end) = names.last_mut() {
                    end.2 = Answer::Bound(handle);
                }
                self.call(names, Write::Touch, |root, names| reach(root, names).map(drop));
            }
        }
        raiser.vfs.forget(handle, 1);
    }

    fn deleted(&mut self, parent: Handle, name: &str, directory: bool) {
        let raiser = self.raiser;
        if !raiser.is_held(parent) {
            return;
        }
        let again = Event::Created { parent, name: name.to_owned() };
        if self.is_there(parent, name) && !raiser.queue.holds(&again) {
            return;
        }
        let kind = if directory { Kind::Directory } else { Kind::File };
        for _ in 0..TRIES {
            let Some(mut names) = raiser.way(parent) else { return };
            let stand_in = Answer::StandIn(self.nobody(), kind);
            names.push((raiser.node(parent), name.to_owned(), stand_in));
            let outcome = self.call(names, Write::Unmake, |root, names| {
                let (name, way) = names.split_last().ok_or(Errno::INVAL)?;
                let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                rustix::fs::unlinkat(reach(root, way)?, &name.1, flags)
            });
            if outcome.left.is_none() {
                return;
            }
            // The kernel was sure of what that name is. It asks again after this.
            raiser.notifier.wire.expire_entry(raiser.node(parent), name);
        }
    }

    fn is_there(&self, parent: Handle, name: &str) -> bool {
        let found = self.raiser.vfs.recall(parent, name);
        found.inspect(|entry| self.raiser.vfs.forget(entry.handle, 1)).is_some()
    }

    fn moved(&mut self, from: &(Handle, String), to: &(Handle, String), directory: bool) {
        let raiser = self.raiser;
        match (raiser.is_held(from.0), raiser.is_held(to.0)) {
            (true, true) => {}
            (true, false) => return self.deleted(from.0, &from.1, directory),
            (false, true) => return self.created(to.0, &to.1),
            (false, false) => return,
        }
        let kind = if directory { Kind::Directory } else { Kind::File };
        for _ in 0..TRIES {
            let (Some(mut names), Some(mut there)) = (raiser.way(from.0), raiser.way(to.0)) else {
                return;
            };
            let own = self.renamed(from, to);
            let what = own.map_or_else(|| Answer::StandIn(self.nobody(), kind), Answer::Known);
            let old_way = names.len();
            let write = Write::Rename(raiser.node(to.0), to.1.clone());
            let directories = there.len();
            there.append(&mut names);
            let mut names = there;
            names.push((raiser.node(from.0), from.1.clone(), what));
            let outcome = self.call(names, write, |root, names| {
                let new = reach(root, &names[..directories])?;
                let old = reach(root, &names[directories..directories + old_way])?;
                rustix::fs::renameat(old, &from.1, new, &to.1)
            });
            if outcome.left.is_none() {
                return;
            }
            raiser.notifier.wire.expire_entry(raiser.node(from.0), &from.1);
            raiser.notifier.wire.expire_entry(raiser.node(to.0), &to.1);
        }
    }

    /// The handle that has got another name in its directory, where the kernel holds it: then who
    /// watches it is told too, and a shell in it sees its new path. Between two directories the
    /// kernel would lock what moves, and wait for a slow lookup in it with both directories locked.
    fn renamed(&self, from: &(Handle, String), to: &(Handle, String)) -> Option<Handle> {
        if from.0 != to.0 {
            return None;
        }
        let entry = self.raiser.vfs.recall(to.0, &to.1)?;
        self.raiser.vfs.forget(entry.handle, 1);
        Some(entry.handle).filter(|handle| self.raiser.references.contains(*handle))
    }

    /// Makes one call.
    fn call(
        &self,
        names: Names,
        write: Write,
        make: impl FnOnce(&OwnedFd, &Names) -> rustix::io::Result<()>,
    ) -> Outcome {
        if !is_short(&names) {
            return Outcome { left: Some(write), touched: Vec::new() };
        }
        let laid = names.clone();
        let (made, outcome) = self.raiser.desk.during(laid, write, || {
            let root = self.raiser.root()?;
            make(&root, &names)
        });
        if let Err(error) = made {
            tracing::debug!(%error, path = path(&names), "watchers were not told");
        }
        outcome
    }
}
