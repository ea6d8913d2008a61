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
//!
//! That thread has a table of descriptors of its own, without the FUSE device. When the process is
//! killed, a call that has been read and not answered waits until the device is closed; with a
//! shared table that would be never, and the process could not end. So this thread must not drop,
//! log or wake anything that has a descriptor.

mod answers;
mod desk;
mod lister;
mod queue;
mod watched;

use super::device;
use super::held::References;
use super::notify::Bulletin;
use crate::{Event, Handle, Kind, Vfs};
use desk::{Answer, Made, Outcome, Write};
use lister::{Changed, Lister};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RawDir, StatxFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::io::Errno;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime;

pub(super) use desk::Desk;
pub(super) use queue::{Queue, Task};

/// How often a call is made again when the kernel holds something else under the name.
const TRIES: usize = 16;
/// A directory that only this thread's lookups find, below the root. What has no name any more but
/// is held open has one there, by its number.
const NAMELESS: &str = ".omnifs-nameless";
/// Nodes that are nobody's count up from somewhere behind this. Their numbers are not used again, by the next
/// process of a mount neither, so the kernel never takes one for what it knew.
const NOBODYS: u64 = 0xfff0_0000_0000_0000;
/// How long a notification is waited for.
const TOLD_AFTER: Duration = Duration::from_millis(20);
/// Bytes of a listing read by one system call.
const LISTED_AT_ONCE: usize = 32 << 10;
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
    pub bulletin: Arc<Bulletin>,
    pub desk: Arc<Desk>,
    pub queue: Arc<Queue>,
    pub point: PathBuf,
    /// Writing through the mount itself is refused by the kernel.
    pub read_only: bool,
    /// The mount's device number.
    pub minor: u32,
    pub runtime: runtime::Handle,
}

impl<V: Vfs> Raiser<V> {
    /// Starts the threads. They end when the queue is closed.
    pub fn start(self) -> std::io::Result<()> {
        thread::Builder::new().name("omnifs-list".into()).spawn(move || self.run()).map(drop)
    }

    fn run(&self) {
        let (lister, changes) = channel();
        thread::scope(|scope| {
            let raise = move || {
                if !leave_descriptors() {
                    return;
                }
                let mut raising = Raising {
                    raiser: self,
                    lister,
                    next: NOBODYS | RandomState::new().hash_one(0) >> 16,
                };
                let _seat = self.desk.sit();
                while let Some(task) = self.queue.next(|task| self.is_told(task)) {
                    match task {
                        Task::Raise(event) => raising.raise(&event),
                        Task::List(directory) => raising.list(directory),
                    }
                }
            };
            let watch = thread::Builder::new().name("omnifs-watch".into());
            match watch.spawn_scoped(scope, raise) {
                Ok(_) => {
                    let (vfs, runtime) = (&*self.vfs, &self.runtime);
                    Lister { vfs, runtime, minor: self.minor, queue: &self.queue }.run(&changes);
                }
                Err(error) => tracing::warn!(%error, "watchers are not told of changes"),
            }
        });
        if !self.queue.is_closed() {
            tracing::warn!("watchers are not told of changes: this kernel has no close_range");
            self.queue.close();
        }
    }

    fn node(&self, handle: Handle) -> u64 {
        self.bulletin.node(handle)
    }

    fn is_held(&self, handle: Handle) -> bool {
        self.node(handle) == ROOT_NODE || self.references.contains(handle)
    }

    /// Whether the kernel knows what to drop for this event: who reacts to it by reading must not
    /// find the old.
    fn is_told(&self, task: &Task) -> bool {
        let told = |handle: Handle| self.bulletin.is_told(self.node(handle));
        let event = match task {
            Task::Raise(event) => event,
            Task::List(directory) => return told(*directory),
        };
        match event {
            Event::Modified { handle, places } => {
                let now = self.vfs.places(*handle);
                told(*handle) && now.iter().chain(places).all(|(parent, _)| told(*parent))
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
        let root = if self.read_only {
            device::writable(&self.point)?
        } else {
            rustix::fs::openat(CWD, &self.point, flags, Mode::empty())?
        };
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

/// Gives this thread a table of descriptors of its own that has only the standard streams. The
/// flag makes the kernel copy nothing that is closed at once.
fn leave_descriptors() -> bool {
    const FIRST: libc::c_uint = 3;
    // SAFETY: a system call on numbers. It closes nothing that other threads use, whose table is
    // another from here on, and this thread owns no descriptor.
    let done = unsafe {
        let flags = libc::CLOSE_RANGE_UNSHARE as libc::c_long;
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, flags)
    };
    done == 0
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
            Event::Modified { handle, places } => self.modified(*handle, places),
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

    fn modified(&mut self, handle: Handle, before: &[(Handle, String)]) {
        let raiser = self.raiser;
        let mut places = raiser.vfs.places(handle);
        if places.is_empty() {
            // Given back already; what comes after it shows there.
            places = before.to_vec();
        }
        let Some(kind) = self.kind(handle, &places) else { return };
        let directory = kind == Kind::Directory;
        let ends: Vec<Names> = if directory {
            raiser.way(handle).into_iter().collect()
        } else {
            let answer = match raiser.is_held(handle) {
                true => Answer::Bound(handle),
                false => Answer::Current(self.nobody(), kind),
            };
            let end = |(parent, name): (Handle, String)| {
                let mut names = raiser.way(parent)?;
                names.push((raiser.node(parent), name, answer));
                Some(names)
            };
            places.into_iter().filter_map(end).collect()
        };
        if directory && !ends.is_empty() {
            let inode = raiser.references.shown(handle).map_or(ROOT_NODE, |shown| shown.inode.0);
            let inodes = [inode, raiser.node(handle)];
            // It lives as long as this thread does.
            let _ = self.lister.send(Changed { handle, inodes });
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
    fn kind(&self, handle: Handle, places: &[(Handle, String)]) -> Option<Kind> {
        let raiser = self.raiser;
        if raiser.node(handle) == ROOT_NODE {
            return Some(Kind::Directory);
        }
        if let Some(shown) = raiser.references.shown(handle) {
            return Some(shown.kind);
        }
        let (parent, name) = places.last()?;
        let entry = raiser.vfs.recall(*parent, name);
        entry.iter().for_each(|entry| raiser.vfs.forget(entry.handle, 1));
        // Only files are given back by themselves.
        Some(entry.map_or(Kind::File, |entry| entry.kind)).filter(|_| raiser.is_held(*parent))
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
                // There is no call that sets an attribute by such a descriptor itself. The table is this
                // thread's own.
                let end = reach(root, names)?;
                let link = format!("/proc/thread-self/fd/{}", end.as_raw_fd());
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
            self.expire(&[(parent, name)]);
        }
    }

    /// Has the kernel ask for these names again, and waits a little until it is told so.
    fn expire(&self, names: &[(Handle, &str)]) {
        let raiser = self.raiser;
        let nodes = names.iter().map(|(parent, name)| {
            let node = raiser.node(*parent);
            raiser.bulletin.expire(node, name);
            node
        });
        for node in nodes.collect::<Vec<_>>() {
            // Sleeping would be longer than it takes, and than others take to look the name up.
            let deadline = Instant::now() + TOLD_AFTER;
            while !raiser.bulletin.is_told(node) && Instant::now() < deadline {
                thread::yield_now();
            }
        }
    }

    /// Lists a directory as anybody would, so that the kernel holds all of its entries.
    fn list(&self, directory: Handle) {
        let Some(names) = self.raiser.way(directory) else { return };
        self.call(names, Write::Unmake, |root, names| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(root, path(names), flags, Mode::empty())?;
            let mut buffer = Vec::with_capacity(LISTED_AT_ONCE);
            let mut entries = RawDir::new(opened, buffer.spare_capacity_mut());
            while let Some(entry) = entries.next() {
                entry?;
            }
            Ok(())
        });
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
            self.expire(&[(from.0, &from.1), (to.0, &to.1)]);
        }
        // Others look the old name up faster than it can be moved.
        self.deleted(from.0, &from.1, directory);
        self.created(to.0, &to.1);
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
        // What it comes to is seen from the kernel's requests; it may fail for many good reasons,
        // such as a name that came back.
        let (_, outcome) = self.raiser.desk.during(laid, write, || {
            let root = self.raiser.root()?;
            make(&root, &names)
        });
        outcome
    }
}
