//! Tells the kernel what to drop, from threads of its own that hold no lock while they do.
//!
//! One thread takes the changes of the file system off their channel and puts them on a board,
//! merged by the object they are about. Workers take one object at a time from the board. Dropping
//! a name takes the directory's inode lock in the kernel and so waits for every first lookup and listing
//! under way in that directory (asking whether a known name still stands takes no lock); with work
//! split by object a slow lookup holds up the notifications of its own directory only. Workers are added while all others wait, up to [`MOST_WORKERS`].
//!
//! No answer of a request waits for this board, so whatever a worker waits for ends. An answer may send a
//! notification of its own about the inode that it is about ([`super::server::Server::settle_size`]): that
//! waits for reads of a page, and no read waits for such an answer.

use super::held::References;
use super::stamps::Stamps;
use super::watch::{Queue, Task};
use super::wire::{Told, Wire};
use crate::{Barrier, Change, Event, Fate, Handle};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

/// Directories that may be held up by a slow lookup at the same time before others are.
const MOST_WORKERS: usize = 32;
/// Workers that stay when there is nothing to do.
const FEWEST_WORKERS: usize = 2;
/// How long a worker beyond the fewest waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);
/// How often an inode that the kernel should know is tried, the wait doubling from 1 ms.
const TRIES: u32 = 12;

/// The job that asks for what is to be given back. No inode has this number.
const UNNEEDED: u64 = 0;
/// Inodes that are asked for at a time.
const ASKED_AT_ONCE: usize = 256;

/// All that is to be told about one object.
#[derive(Debug, Default)]
struct Job {
    inode: Option<Extent>,
    /// Names in it, each with what has become of what it was bound to.
    names: HashMap<String, Fate>,
    /// Inodes to be given back, each with the places of a file.
    unneeded: Vec<(u64, Vec<(u64, String)>)>,
    /// Those who wait until this is told.
    barriers: Vec<Barrier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    Attributes,
    Everything,
}

impl Job {
    fn is_empty(&self) -> bool {
        let Job { inode, names, unneeded, barriers } = self;
        inode.is_none() && names.is_empty() && unneeded.is_empty() && barriers.is_empty()
    }

    /// Adds what has become of a name. What is said twice is said as strongly as it was once.
    fn add(&mut self, name: String, fate: Fate) {
        let strength = |fate| match fate {
            Fate::Doubtful => 0,
            Fate::Replaced => 1,
            Fate::Removed(_) => 2,
        };
        let known = self.names.entry(name).or_insert(fate);
        if strength(fate) >= strength(*known) {
            *known = fate;
        }
    }
}

#[derive(Debug, Default)]
struct Board {
    jobs: HashMap<u64, Job>,
    ready: VecDeque<u64>,
    /// Objects that a worker is telling of. A second worker would only wait beside it.
    busy: HashSet<u64>,
    workers: usize,
    idle: usize,
    closed: bool,
}

/// What is to be told, apart from the means to tell it.
#[derive(Debug)]
pub(super) struct Bulletin {
    root: Handle,
    board: Mutex<Board>,
    work: Condvar,
}

impl Bulletin {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock()
    }

    /// The number by which the kernel knows a handle.
    pub fn node(&self, handle: Handle) -> u64 {
        if handle == self.root { 1 } else { handle.0 }
    }

    /// Whether nothing is left to be told about an object.
    pub fn is_told(&self, node: u64) -> bool {
        let board = self.lock();
        !board.jobs.contains_key(&node) && !board.busy.contains(&node)
    }

    /// Has the kernel look a name up again.
    pub fn expire(&self, parent: u64, name: &str) {
        self.lock().job(parent).add(name.to_owned(), Fate::Doubtful);
        self.work.notify_one();
    }
}

#[derive(Debug)]
pub(super) struct Notifier {
    pub wire: Wire,
    references: Arc<References>,
    pub bulletin: Arc<Bulletin>,
    pub stamps: Stamps,
    /// Where events go for those who watch; `None` where nobody is to be told.
    events: Option<Arc<Queue>>,
    /// The kernel is too old to be asked for inodes.
    asks_by_name: AtomicBool,
}

impl Notifier {
    /// Starts the threads. They end when `changes` ends or after [`Notifier::close`].
    pub fn start(
        wire: Wire,
        root: Handle,
        references: Arc<References>,
        changes: Receiver<Vec<Change>>,
        events: Option<Arc<Queue>>,
    ) -> std::io::Result<Arc<Notifier>> {
        let notifier = Arc::new(Notifier {
            wire,
            references,
            bulletin: Arc::new(Bulletin { root, board: Mutex::default(), work: Condvar::new() }),
            stamps: Stamps::new(),
            events,
            asks_by_name: AtomicBool::new(false),
        });
        notifier.lock().workers = FEWEST_WORKERS;
        for _ in 0..FEWEST_WORKERS {
            notifier.spawn_worker()?;
        }
        let poster = notifier.clone();
        thread::Builder::new().name("omnifs-notify".into()).spawn(move || {
            while let Ok(first) = changes.recv() {
                let batches = std::iter::once(first).chain(changes.try_iter());
                let stamped = batches.inspect(|batch| poster.stamps.note(batch));
                if !poster.post(stamped.flatten()) {
                    break;
                }
            }
        })?;
        Ok(notifier)
    }

    /// The number by which the kernel knows a handle.
    pub fn node(&self, handle: Handle) -> u64 {
        self.bulletin.node(handle)
    }

    /// Has the kernel read a file, or list a directory, again.
    pub fn drop_pages(self: &Arc<Self>, node: u64) {
        let mut board = self.lock();
        board.job(node).inode = Some(Extent::Everything);
        self.reinforce(&mut board);
    }

    /// Ends the threads; what is still on the board is dropped.
    pub fn close(&self) {
        self.lock().closed = true;
        self.bulletin.work.notify_all();
        if let Some(events) = &self.events {
            events.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.bulletin.lock()
    }

    /// Merges changes into the board. False once it is closed.
    fn post(self: &Arc<Self>, changes: impl Iterator<Item = Change>) -> bool {
        let mut events = Vec::new();
        let mut board = self.lock();
        for change in changes {
            let board = &mut *board;
            match change {
                Change::Content { handle, open } => {
                    let extent = if open { Extent::Attributes } else { Extent::Everything };
                    let job = board.job(self.node(handle));
                    job.inode = job.inode.max(Some(extent));
                }
                Change::Entry { parent, name, fate } => {
                    board.job(self.node(parent)).add(name, fate);
                }
                Change::Unneeded { handle, places } => {
                    let places = places.into_iter().map(|(parent, name)| (self.node(parent), name));
                    let unneeded = (self.node(handle), places.collect());
                    board.job(UNNEEDED).unneeded.push(unneeded);
                }
                // Nobody watches a directory that the kernel does not hold.
                Change::Event(event) if self.is_held_at(&event) => events.push(Task::Raise(event)),
                Change::Event(_) => {}
                Change::Barrier(barrier) => board.hold(&barrier),
            }
        }
        self.reinforce(&mut board);
        let open = !board.closed;
        drop(board);
        if let Some(queue) = &self.events {
            // After the jobs: the event of a change finds what it has to wait for.
            queue.push(events);
        }
        open
    }

    fn is_held_at(&self, event: &Event) -> bool {
        let held =
            |handle: Handle| handle == self.bulletin.root || self.references.contains(handle);
        match event {
            // By name also where it is not held itself.
            Event::Modified { .. } => true,
            Event::Created { parent, .. } | Event::Deleted { parent, .. } => held(*parent),
            Event::Moved { from, to, .. } => held(from.0) || held(to.0),
        }
    }

    /// Wakes a worker for what is ready, or adds one where nobody is free.
    fn reinforce(self: &Arc<Self>, board: &mut Board) {
        if board.ready.is_empty() {
            return;
        }
        if board.idle > 0 {
            self.bulletin.work.notify_one();
        } else if board.workers < MOST_WORKERS {
            match self.spawn_worker() {
                Ok(()) => board.workers += 1,
                Err(error) => tracing::warn!(%error, "no thread for notifications"),
            }
        }
    }

    fn spawn_worker(self: &Arc<Self>) -> std::io::Result<()> {
        let worker = self.clone();
        let run = move || {
            while let Some((node, job)) = worker.take() {
                worker.tell(node, job);
                worker.done(node);
            }
        };
        thread::Builder::new().name("omnifs-inval".into()).spawn(run).map(drop)
    }

    fn take(self: &Arc<Self>) -> Option<(u64, Job)> {
        let mut board = self.lock();
        loop {
            if board.closed {
                board.workers -= 1;
                return None;
            }
            if let Some(node) = board.ready.pop_front() {
                let job = board.jobs.remove(&node).unwrap_or_default();
                board.busy.insert(node);
                self.reinforce(&mut board);
                return Some((node, job));
            }
            board.idle += 1;
            let waited = self.bulletin.work.wait_for(&mut board, IDLE);
            board.idle -= 1;
            let spare = board.workers > FEWEST_WORKERS && board.ready.is_empty();
            if waited.timed_out() && spare {
                board.workers -= 1;
                return None;
            }
        }
    }

    fn done(&self, node: u64) {
        let mut board = self.lock();
        board.busy.remove(&node);
        if board.jobs.contains_key(&node) {
            board.ready.push_back(node);
        }
        drop(board);
        if let Some(events) = &self.events {
            events.stir();
        }
    }

    /// Asks the kernel for inodes that nobody uses. One that cannot be asked so drops the names of files,
    /// in which nobody stands; of a directory it does not say.
    fn ask_back(&self, unneeded: &[(u64, Vec<(u64, String)>)]) {
        for asked in unneeded.chunks(ASKED_AT_ONCE) {
            if !self.asks_by_name.load(Ordering::Relaxed) {
                let nodes: Vec<u64> = asked.iter().map(|(node, _)| *node).collect();
                match self.wire.prune(&nodes) {
                    Told::Failed(Errno::INVAL) => self.asks_by_name.store(true, Ordering::Relaxed),
                    told => {
                        self.log(told);
                        continue;
                    }
                }
            }
            for (parent, name) in asked.iter().flat_map(|(_, places)| places) {
                self.log(self.wire.drop_entry(*parent, name));
            }
        }
    }

    /// Tells the kernel. Runs with no lock held.
    fn tell(&self, node: u64, job: Job) {
        self.ask_back(&job.unneeded);
        if let Some(extent) = job.inode {
            self.tell_inode(node, extent == Extent::Everything);
        }
        for (name, fate) in job.names {
            let told = match fate {
                // A deletion takes the lock of what is deleted while it holds the parent's. A slow
                // lookup in a deleted directory would so hold up its siblings; its name is just
                // dropped.
                Fate::Removed(child) if !self.references.is_directory(child) => {
                    self.wire.delete(node, self.node(child), &name)
                }
                Fate::Removed(_) | Fate::Doubtful => self.wire.expire_entry(node, &name),
                // Nobody stands in a file, and what is not open is given back at once.
                Fate::Replaced => self.wire.drop_entry(node, &name),
            };
            self.log(told);
        }
    }

    /// The kernel makes its inode some time after it was answered. Until then it does not know the
    /// inode and would miss the notification, so one that was delivered is tried again.
    fn tell_inode(&self, node: u64, pages: bool) {
        for round in 0..TRIES {
            let told = self.wire.inval_inode(node, pages);
            self.log(told);
            if told != Told::Unknown || !self.references.may_be_on_its_way(Handle(node)) {
                return;
            }
            thread::sleep(Duration::from_millis(1 << round));
        }
    }

    fn log(&self, told: Told) {
        match told {
            Told::Done | Told::Unknown => {}
            Told::Closed => self.close(),
            Told::Failed(error) => tracing::warn!(%error, "the kernel refused a notification"),
        }
    }
}

impl Board {
    fn job(&mut self, node: u64) -> &mut Job {
        let job = self.jobs.entry(node).or_default();
        if job.is_empty() && !self.busy.contains(&node) {
            self.ready.push_back(node);
        }
        job
    }

    /// Holds a barrier until all that is to be told by now has been told, and all that is being told.
    fn hold(&mut self, barrier: &Barrier) {
        let nodes: HashSet<u64> = self.jobs.keys().chain(&self.busy).copied().collect();
        nodes.into_iter().for_each(|node| self.job(node).barriers.push(barrier.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_is_passed_once_what_was_to_be_told_before_it_has_been() {
        let mut board = Board::default();
        board.job(5).inode = Some(Extent::Attributes);
        // Being told, and so not on the board any more.
        board.busy.insert(6);
        let (barrier, passed) = Barrier::new();
        let mut passed = std::pin::pin!(passed);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        board.hold(&barrier);
        drop(barrier);
        board.job(7).inode = Some(Extent::Attributes);
        assert_eq!(board.ready, [5, 7]);
        board.jobs.remove(&5);
        assert!(passed.as_mut().poll(&mut context).is_pending());
        board.jobs.remove(&6);
        assert!(passed.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn changes_of_one_object_become_one_job_and_a_busy_object_waits_its_turn() {
        let mut board = Board::default();
        board.job(5).inode = Some(Extent::Attributes);
        let job = board.job(5);
        job.inode = job.inode.max(Some(Extent::Everything));
        board.job(5).add("a".into(), Fate::Doubtful);
        board.job(5).add("a".into(), Fate::Replaced);
        board.job(5).add("a".into(), Fate::Doubtful);
        assert_eq!(board.ready, [5]);
        assert_eq!(board.jobs[&5].inode, Some(Extent::Everything));
        assert_eq!(board.jobs[&5].names["a"], Fate::Replaced);
        board.ready.clear();
        board.jobs.clear();
        board.busy.insert(5);
        board.job(5).inode = Some(Extent::Attributes);
        assert!(board.ready.is_empty());
        assert!(Some(Extent::Attributes).max(None) == Some(Extent::Attributes));
    }
}
