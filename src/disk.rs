//! What a mount keeps of its answers for the next start, in one file of the user's cache directory.
//!
//! - `answer`: an answer as bytes
//! - `file`: the store itself, and what one write of it is
//! - `space`: whose answers they are
//!
//! **Invariants:** what happened is written in the order in which it happened, so that whenever the process dies, the
//! cursor of a feed on disk is never newer than what its events have put out of date there. What cannot be read is as
//! if it were not there. No secret is written: whose an answer is says a keyed digest. A reader waits for no write.
//!
//! One thread writes, in batches. It alone changes the file; reads see the last batch that was written.

mod answer;
mod file;
mod space;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use space::{Owner, Space, SpaceId};

use crate::cache::{Memo, Operation, Query};
use crate::guide::OWN;
use crate::nodes::{InstanceId, Key};
use crate::paths;
use crate::scopes::Settled;
use file::{File, Place};
use parking_lot::{Condvar, Mutex, RwLock};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the writer gathers what one batch holds.
const GATHER: Duration = Duration::from_millis(200);
/// Bytes of answers that wait to be written, most of which the cache holds too: as many as a walk over 50,000 nodes
/// brings within a second, and as many again. What comes beyond is not kept.
const WAITING: usize = 128 << 20;
/// Bytes of answers in one batch: a larger one makes the file larger than its answers need.
const BATCH: usize = 4 << 20;
/// How long a start waits for the process before it to let go of the file.
const RELEASED: Duration = Duration::from_secs(5);
/// The least size of a store, in bytes.
pub const LEAST: u64 = 4 << 20;

/// What is to be written, in the order in which it happened.
#[derive(Debug)]
enum Work {
    Answer {
        space: SpaceId,
        query: Query,
        memo: Memo,
        stamp: u64,
    },
    /// There is a newer answer, which is not kept.
    Outdated {
        space: SpaceId,
        query: Query,
    },
    /// An answer of the service with its validator.
    Validated {
        space: SpaceId,
        request: [u8; 16],
        bytes: Vec<u8>,
    },
    /// An event on an object.
    Touched {
        object: Key,
        sequence: u64,
        removed: bool,
    },
    /// Events of this scope were missed.
    Gap {
        space: SpaceId,
        scope: Arc<str>,
    },
    Settled {
        space: SpaceId,
        scope: Arc<str>,
        settled: Settled,
    },
    /// Nothing that was asked for before is believed.
    Doubted(u64),
    /// All that is kept in it.
    Forgotten(SpaceId),
}

impl Work {
    /// Bytes that it holds, roughly.
    fn weight(&self) -> usize {
        match self {
            Work::Answer { memo, .. } => memo.bytes(),
            Work::Validated { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    work: Vec<Work>,
    weight: usize,
    /// Taken by the writer and not written yet.
    writing: bool,
    ended: bool,
}

/// What a start takes over of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// No event and no answer in the store has a higher sequence number.
    pub sequence: u64,
    /// What was asked for at or before this is not believed.
    pub floor: u64,
    /// Objects with the sequence numbers of the last event and of the last removal, in the order of the former.
    pub touched: Vec<(Key, u64, u64)>,
}

/// What `omnifs status` shows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskStatus {
    /// Of the file.
    pub bytes: u64,
    pub capacity: u64,
    /// Answers that are kept.
    pub answers: u64,
    /// Scopes whose feeds may prove at the next start that nothing was missed.
    pub scopes: u64,
    /// Answers that were shown without asking the provider.
    pub recalled: u64,
    /// What is still to be written.
    pub waiting: u64,
    /// Why nothing is kept any more.
    pub off: Option<String>,
}

/// The store of one mount.
pub struct Disk {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    place: PathBuf,
    capacity: u64,
    /// Absent once it has failed.
    file: RwLock<Option<Arc<File>>>,
    off: Mutex<Option<String>>,
    spaces: RwLock<Vec<Arc<Space>>>,
    queue: Mutex<Queue>,
    changed: Condvar,
    recalled: std::sync::atomic::AtomicU64,
}

impl Disk {
    /// Opens the store of the mount at `mountpoint`, of `capacity` bytes, or begins it anew. Where it cannot be used
    /// it is off, and says why. With `released`, waits a moment for the process before to let go of it.
    pub fn open(cache: &Path, mountpoint: &Path, capacity: u64, released: bool) -> (Disk, Start) {
        let (shared, start) = Shared::open(cache, mountpoint, capacity, released);
        let shared = Arc::new(shared);
        let written = shared.clone();
        let writer = std::thread::Builder::new().name("omnifs-disk".into());
        let writer = writer.spawn(move || while written.step(GATHER) {});
        let writer = writer.map_err(|error| shared.fail(&error)).ok();
        (Disk { shared, writer: Mutex::new(writer) }, start)
    }

    /// The key by which it tells whose answers are whose.
    pub fn key(&self) -> [u8; 32] {
        self.shared.file.read().as_ref().map_or([0; 32], |file| file.key)
    }

    /// Takes over what is kept of an instance, if it is the same one's. Gives where its feeds stood.
    pub fn admit(&self, space: Space) -> Vec<(Arc<str>, Settled)> {
        let shared = &self.shared;
        let Some(file) = shared.file.read().clone() else { return Vec::new() };
        let admitted = file.admit(&space.name, space.id);
        let (rows, before) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                shared.fail(&error);
                return Vec::new();
            }
        };
        if let Some(before) = before.filter(|_| space.replaces) {
            shared.push(Work::Forgotten(before));
        }
        let rows = if space.vouched { rows } else { Vec::new() };
        shared.spaces.write().push(Arc::new(space));
        rows
    }

    /// Keeps nothing more of an instance, and believes nothing of it.
    pub fn leave(&self, instance: InstanceId) {
        self.shared.spaces.write().retain(|space| space.instance != instance);
    }

    /// Answers so far of which the instance's service has said that they are not to be stored.
    pub fn forbidden(&self, instance: InstanceId) -> u64 {
        self.shared.space(instance).map_or(0, |space| (space.owner)().forbidden)
    }

    /// Keeps an answer that a call at `stamp` has brought, where no more answers are [`Disk::forbidden`] than were as
    /// it began: one of those may have been the call's. What is not kept takes away what was there.
    pub fn keep(&self, query: &Query, memo: &Memo, stamp: u64, forbidden: u64) {
        let Some(space) = self.shared.space(query.instance) else { return };
        if query.id.starts_with(OWN) {
            return;
        }
        let is_kept = (space.owner)().forbidden == forbidden && Answer::is_kept(memo);
        let (query, space) = (query.clone(), space.id);
        let answer = Work::Answer { space, query: query.clone(), memo: memo.clone(), stamp };
        if !is_kept || !self.shared.push(answer) {
            self.shared.push(Work::Outdated { space, query });
        }
    }

    /// There is a newer answer than the one that may be kept, and it is not to be kept.
    pub fn outdate(&self, query: &Query) {
        let Some(space) = self.shared.space(query.instance) else { return };
        if !query.id.starts_with(OWN) && is_read(&query.operation) {
            self.shared.push(Work::Outdated { space: space.id, query: query.clone() });
        }
    }

    /// What was answered, and when. Reads the file.
    pub fn find(&self, query: &Query) -> Option<(u64, Answer)> {
        let space = self.shared.space(query.instance)?;
        let place = Place::answer(space.id, &query.id, &query.operation)?;
        let read = self.shared.read(&place)?;
        let answer = Answer::decode(&read.bytes)?;
        Some((read.stamp, answer))
    }

    /// When the answer was asked for that is kept. Reads the file.
    pub fn stamp(&self, query: &Query) -> Option<u64> {
        let space = self.shared.space(query.instance)?;
        let place = Place::answer(space.id, &query.id, &query.operation)?;
        self.shared.on_file(|file| file.stamp(&place))
    }

    /// Whether what is found of an instance may be shown: the service has answered who asks now.
    pub fn is_believed(&self, instance: InstanceId) -> bool {
        self.shared.space(instance).is_some_and(|space| space.is_believed())
    }

    /// Whether anything of this instance may be found.
    pub fn holds(&self, instance: InstanceId) -> bool {
        self.shared.space(instance).is_some()
    }

    /// Counts an answer that was shown.
    pub fn note_recalled(&self) {
        self.shared.recalled.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn keep_validated(&self, instance: &str, request: [u8; 16], bytes: Vec<u8>) {
        if let Some(space) = self.shared.named(instance) {
            self.shared.push(Work::Validated { space: space.id, request, bytes });
        }
    }

    pub(crate) fn forget_validated(&self, instance: &str, request: [u8; 16]) {
        // One that holds nothing takes away what was there.
        self.keep_validated(instance, request, Vec::new());
    }

    /// Reads the file.
    pub(crate) fn find_validated(&self, instance: &str, request: [u8; 16]) -> Option<Vec<u8>> {
        let space = self.shared.named(instance)?;
        Some(self.shared.read(&Place::validated(space.id, request))?.bytes)
    }

    pub fn touched(&self, object: Key, sequence: u64, removed: bool) {
        self.shared.push(Work::Touched { object, sequence, removed });
    }

    pub fn gap(&self, instance: InstanceId, scope: &Arc<str>) {
        if let Some(space) = self.shared.space(instance) {
            self.shared.push(Work::Gap { space: space.id, scope: scope.clone() });
        }
    }

    /// Whether cursors of this instance's feeds are kept.
    pub fn is_vouched(&self, instance: InstanceId) -> bool {
        self.shared.space(instance).is_some_and(|space| space.vouched)
    }

    /// All that came before this cursor has been told.
    pub fn settled(&self, instance: InstanceId, scope: &Arc<str>, settled: Settled) {
        if let Some(space) = self.shared.space(instance).filter(|space| space.vouched) {
            let scope = scope.clone();
            self.shared.push(Work::Settled { space: space.id, scope, settled });
        }
    }

    /// Nothing that was asked for before is believed.
    pub fn doubt(&self, sequence: u64) {
        self.shared.push(Work::Doubted(sequence));
    }

    pub fn status(&self) -> DiskStatus {
        let shared = &self.shared;
        let waiting = {
            let queue = shared.queue.lock();
            queue.work.len() as u64 + u64::from(queue.writing)
        };
        let file = shared.file.read().clone();
        let (answers, scopes) = file.map_or((0, 0), |file| file.counts());
        DiskStatus {
            bytes: shared.bytes(),
            capacity: shared.capacity,
            answers,
            scopes,
            recalled: shared.recalled.load(std::sync::atomic::Ordering::Relaxed),
            waiting,
            off: shared.off.lock().clone(),
        }
    }
}

impl Drop for Disk {
    /// Writes what waits.
    fn drop(&mut self) {
        self.shared.queue.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.lock().take() {
            // It catches what panics.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// The file of a mountpoint's store.
fn place(cache: &Path, mountpoint: &Path) -> PathBuf {
    let digest = Sha256::digest(mountpoint.as_os_str().as_encoded_bytes());
    let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    cache.join("answers").join(format!("{name}.redb"))
}

impl Shared {
    fn open(cache: &Path, mountpoint: &Path, capacity: u64, released: bool) -> (Shared, Start) {
        let place = place(cache, mountpoint);
        let shared = Shared {
            place: place.clone(),
            capacity,
            file: RwLock::new(None),
            off: Mutex::new(None),
            spaces: RwLock::new(Vec::new()),
            queue: Mutex::default(),
            changed: Condvar::new(),
            recalled: 0.into(),
        };
        let until = Instant::now() + if released { RELEASED } else { Duration::ZERO };
        let opened = paths::private_dir(place.parent().unwrap_or(cache))
            .map_err(file::Error::from)
            .and_then(|()| {
                loop {
                    match File::open(&place, capacity) {
                        Err(file::Error::InUse) if Instant::now() < until => {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        Err(file::Error::Broken(why)) => {
                            tracing::warn!("what was kept of answers is begun anew: {why}");
                            std::fs::remove_file(&place)?;
                            return File::open(&place, capacity);
                        }
                        opened => return opened,
                    }
                }
            });
        match opened {
            Ok((file, start)) => {
                *shared.file.write() = Some(Arc::new(file));
                (shared, start)
            }
            Err(error) => {
                shared.stop(&error);
                (shared, Start::default())
            }
        }
    }

    /// Of the file.
    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.place).map_or(0, |found| found.len())
    }

    fn space(&self, instance: InstanceId) -> Option<Arc<Space>> {
        self.own(|space| space.instance == instance)
    }

    fn named(&self, name: &str) -> Option<Arc<Space>> {
        self.own(|space| *space.name == *name)
    }

    /// The space, while its answers are those of the same owner.
    fn own(&self, is: impl Fn(&Space) -> bool) -> Option<Arc<Space>> {
        let found = self.spaces.read().iter().find(|space| is(space)).cloned()?;
        if found.is_same() {
            return Some(found);
        }
        tracing::info!(provider = %found.name, "its credentials are others now; nothing more is kept of it");
        self.spaces.write().retain(|space| !Arc::ptr_eq(space, &found));
        None
    }

    /// False where it is not taken.
    fn push(&self, work: Work) -> bool {
        let weight = work.weight();
        let mut queue = self.queue.lock();
        // What is not kept is asked for again. An event is always kept.
        if queue.ended || weight > 0 && queue.weight + weight > WAITING {
            return false;
        }
        if self.file.read().is_none() {
            return false;
        }
        queue.weight += weight;
        queue.work.push(work);
        if queue.work.len() == 1 {
            self.changed.notify_one();
        }
        true
    }

    /// Waits for something to write, and writes it with what comes within `gather`. False once it has ended.
    fn step(&self, gather: Duration) -> bool {
        let mut queue = self.queue.lock();
        while queue.work.is_empty() {
            if queue.ended {
                return false;
            }
            self.changed.wait(&mut queue);
        }
        let until = Instant::now() + gather;
        while !queue.ended
            && queue.weight < BATCH
            && !self.changed.wait_until(&mut queue, until).timed_out()
        {}
        let mut weight = 0;
        let fits = |work: &&Work| {
            weight += work.weight();
            weight <= BATCH
        };
        let some = queue.work.iter().take_while(fits).count().max(1);
        let batch: Vec<_> = queue.work.drain(..some).collect();
        queue.weight = queue.weight.saturating_sub(batch.iter().map(Work::weight).sum());
        queue.writing = true;
        drop(queue);
        let file = self.file.read().clone();
        if let Some(file) = file {
            match file.write(batch) {
                Err(error) => self.fail(&error),
                Ok(()) if self.bytes() > self.capacity => {
                    self.fail(&"it has become larger than it may be");
                }
                Ok(()) => {}
            }
        }
        self.queue.lock().writing = false;
        true
    }

    fn read(&self, place: &Place) -> Option<file::Read> {
        self.on_file(|file| file.read(place))
    }

    fn on_file<T>(&self, read: impl FnOnce(&File) -> Result<Option<T>, file::Error>) -> Option<T> {
        let file = self.file.read().clone()?;
        match read(&file) {
            Ok(read) => read,
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Keeps nothing from now on, and gives the room back.
    fn fail(&self, error: &dyn fmt::Display) {
        if self.file.write().take().is_some() {
            let _ = std::fs::remove_file(&self.place);
            self.stop(error);
        }
    }

    fn stop(&self, error: &dyn fmt::Display) {
        tracing::warn!("answers are not kept on disk: {error}");
        *self.off.lock() = Some(error.to_string());
    }
}

/// Creates the file, or opens it, for the user alone.
fn private(place: &Path) -> io::Result<std::fs::File> {
    paths::private_file().read(true).write(true).create(true).truncate(false).open(place)
}

/// Whether an operation is one whose answers are kept.
fn is_read(operation: &Operation) -> bool {
    !matches!(operation, Operation::Piece { .. })
}
