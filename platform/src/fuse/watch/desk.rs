//! What the daemon's own calls on its mount are answered.
//!
//! The watching thread lays out one call at a time, makes it, and takes it back. The handlers
//! compare each request's thread with it: what the kernel asks on behalf of this thread is answered
//! from the layout alone, and a write of anybody else is EROFS as ever.
//!
//! A request carries the id of the *thread* that caused it, as the process namespace of the mount
//! numbers it: 0 for a process outside that namespace, and never the number of another living
//! thread. Nobody chooses that number for himself.

use crate::{Entry, Handle, Kind};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a name is for the length of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuse) enum Answer {
    /// What the kernel may know already.
    Known(Handle),
    /// What the name is now, and the kernel may keep it; else this.
    Bound(Handle),
    /// What the name is now, and the kernel may keep it; else a node that is nobody's.
    Current(u64, Kind),
    /// A node that is nobody's, in the place of what is gone. The kernel forgets it with the call.
    StandIn(u64, Kind),
    /// There is no such name.
    Absent,
}

/// The one write that a call may end in.
#[derive(Debug)]
pub(in crate::fuse) enum Write {
    /// Something about the object at the end of the path set, which changes nothing.
    Touch,
    Make(Made),
    Unmake,
    /// Renamed to this name in this directory.
    Rename(u64, String),
}

/// What a name that is made becomes.
#[derive(Debug)]
pub(in crate::fuse) enum Made {
    /// Itself, so that a shell in it keeps its path.
    Directory(Entry),
    /// A node that is nobody's. The kernel takes the attributes of what is made for the newest there
    /// are, whatever it was told meanwhile; a file that is being read could be cut by them.
    StandIn(u64, Kind),
}

#[derive(Debug)]
pub(super) struct Layout {
    /// Each name on the way, as (the node of its directory, name, what it is), the end last.
    pub names: Vec<(u64, String, Answer)>,
    pub write: Option<Write>,
    /// The kernel has asked what the last name is. Where it has not, it holds something else under
    /// that name, and that must not be touched.
    asked: bool,
    /// The nodes that were touched.
    touched: Vec<u64>,
}

/// What the kernel has asked for in a call.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The write that it did not come to.
    pub left: Option<Write>,
    /// The nodes that it touched.
    pub touched: Vec<u64>,
}

#[derive(Debug, Default)]
pub(in crate::fuse) struct Desk {
    /// 0: nobody.
    thread: AtomicU32,
    layout: Mutex<Option<Layout>>,
}

/// The calling thread's calls are the desk's while this lives.
pub(super) struct Seat<'a>(&'a Desk);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.thread.store(0, Ordering::SeqCst);
    }
}

impl Desk {
    pub(super) fn sit(&self) -> Seat<'_> {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.thread.store(thread.unsigned_abs(), Ordering::SeqCst);
        Seat(self)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Layout>> {
        self.layout.lock()
    }

    /// Makes `call` with its requests answered as laid out, and says what came of it.
    pub(super) fn during<T>(
        &self,
        names: Vec<(u64, String, Answer)>,
        write: Write,
        call: impl FnOnce() -> T,
    ) -> (T, Outcome) {
        let layout = Layout { names, write: Some(write), asked: false, touched: Vec::new() };
        *self.lock() = Some(layout);
        let made = call();
        let layout = self.lock().take();
        let outcome = layout.map(|Layout { write, touched, .. }| Outcome { left: write, touched });
        (made, outcome.unwrap_or_default())
    }

    /// Whether this request is made by the watching thread.
    pub fn is_own(&self, request: &fuser::Request) -> bool {
        let thread = self.thread.load(Ordering::Relaxed);
        thread != 0 && request.pid() == thread
    }

    /// What a name is. `None` for one that the call has no business with.
    pub fn lookup(&self, parent: u64, name: &str) -> Option<Answer> {
        let mut guard = self.lock();
        let layout = guard.as_mut()?;
        if let Some(Write::Rename(to, new)) = &layout.write
            && (*to, new.as_str()) == (parent, name)
        {
            return Some(Answer::Absent);
        }
        let found =
            |(of, known, _): &(u64, String, Answer)| (*of, known.as_str()) == (parent, name);
        let at = layout.names.iter().position(found)?;
        layout.asked |= at + 1 == layout.names.len();
        Some(layout.names[at].2)
    }

    /// Whether something may be touched now. It changes nothing, so it does not matter what.
    pub fn touches(&self, node: u64) -> bool {
        let mut guard = self.lock();
        match guard.as_mut().filter(|layout| matches!(layout.write, Some(Write::Touch))) {
            Some(layout) => {
                layout.touched.push(node);
                true
            }
            None => false,
        }
    }

    /// What to answer with where `name` in `parent` is being made.
    pub fn make(&self, parent: u64, name: &str) -> Option<Made> {
        self.write(parent, name, |write| match write {
            Write::Make(made) => Ok(made),
            other => Err(other),
        })
    }

    pub fn unmakes(&self, parent: u64, name: &str) -> bool {
        self.write(parent, name, |write| match write {
            Write::Unmake => Ok(()),
            other => Err(other),
        })
        .is_some()
    }

    pub fn renames(&self, parent: u64, name: &str, to: u64, new: &str) -> bool {
        self.write(parent, name, |write| match write {
            Write::Rename(dir, known) if (dir, known.as_str()) == (to, new) => Ok(()),
            other => Err(other),
        })
        .is_some()
    }

    /// Takes the layout's write where it is this one.
    fn write<T>(
        &self,
        parent: u64,
        name: &str,
        is: impl FnOnce(Write) -> Result<T, Write>,
    ) -> Option<T> {
        let mut guard = self.lock();
        let layout = guard.as_mut().filter(|layout| layout.asked)?;
        let (of, known, _) = layout.names.last()?;
        if (*of, known.as_str()) != (parent, name) {
            return None;
        }
        match is(layout.write.take()?) {
            Ok(taken) => Some(taken),
            Err(other) => {
                layout.write = Some(other);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_taken_once_and_only_after_the_kernel_has_asked_for_its_name() {
        let desk = Desk::default();
        let stand_in = Answer::StandIn(99, Kind::Directory);
        let names = vec![(1, "d".into(), Answer::Known(Handle(5))), (5, "gone".into(), stand_in)];
        let (_, outcome) = desk.during(names.clone(), Write::Unmake, || {
            assert_eq!(desk.lookup(1, "d"), Some(Answer::Known(Handle(5))));
            assert!(!desk.unmakes(5, "gone"), "the kernel holds something under that name");
        });
        assert!(outcome.left.is_some());
        let (_, outcome) = desk.during(names, Write::Unmake, || {
            assert_eq!(desk.lookup(5, "other"), None);
            assert_eq!(desk.lookup(5, "gone"), Some(stand_in));
            assert!(!desk.touches(5) && !desk.unmakes(5, "d") && !desk.unmakes(1, "gone"));
            assert!(!desk.renames(5, "gone", 5, "new") && desk.make(5, "gone").is_none());
            assert!(desk.unmakes(5, "gone"));
            assert!(!desk.unmakes(5, "gone"));
        });
        assert!(outcome.left.is_none());
        assert_eq!(desk.lookup(5, "gone"), None);
    }

    #[test]
    fn a_rename_finds_its_old_name_and_no_new_one() {
        let desk = Desk::default();
        let names = vec![(1, "a".into(), Answer::StandIn(99, Kind::File))];
        desk.during(names, Write::Rename(1, "b".into()), || {
            assert_eq!(desk.lookup(1, "a"), Some(Answer::StandIn(99, Kind::File)));
            assert_eq!(desk.lookup(1, "b"), Some(Answer::Absent));
            assert!(!desk.renames(1, "a", 1, "c"));
            assert!(desk.renames(1, "a", 1, "b"));
        });
    }
}
