//! A file system whose kernel outlives this process: what the kernel holds is noted where the next process finds
//! it (journal.rs), and that process gives the numbers which the kernel asks by a meaning again (table.rs).
//!
//! A directory is found again by its place and has to be the same object. So does a file; and one that was read has to
//! have the content that was read, since the kernel may be half way through it. What is not the same any more
//! is over, which the kernel hears as ESTALE: it never gets another object, or another content, by a number that
//! it holds.
//!
//! The kernel is told to drop all that it was told to keep, since changes may have been missed.

mod journal;
mod table;

pub use journal::{Head, Journal, Left};

use super::keeper::Keeper;
use crate::{
    Attr, Change, DirPage, Entry, Error, Event, Fate, Handle, HandleError, Inode, Kind, OpenFile,
    OpenId, Opened, Result, Statfs, Vfs,
};
use bytes::Bytes;
use journal::Record;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use table::{Found, Lost, Table, is_one_kind};

/// A [`Vfs`], and what the kernel holds of it if that is to outlive this process.
#[derive(Debug)]
pub(super) struct Kept<V: Vfs> {
    vfs: Arc<V>,
    memory: Option<Arc<Mutex<Memory>>>,
    /// Something of another process may be asked for.
    resumed: bool,
}

#[derive(Debug)]
struct Memory {
    table: Table,
    /// `None` once something could not be noted.
    journal: Option<Journal>,
    keeper: Arc<Keeper>,
    directories: HashMap<OpenId, Handle>,
    /// Names that the process before has told to be kept.
    names: HashSet<(Handle, Arc<str>)>,
}

impl Memory {
    fn write(&mut self, records: &[Record]) {
        let Some(journal) = self.journal.as_mut().filter(|_| !records.is_empty()) else { return };
        if let Err(error) = journal.write(records, |number| self.table.is_held(number)) {
            tracing::warn!(%error, "the mount ends with this process: what the kernel holds cannot be noted");
            // A number that nobody knows of could get another meaning.
            self.keeper.drop_session();
            self.journal = None;
        }
    }

    /// All that the kernel was told to keep, since nobody has watched it for a while.
    fn doubts(&mut self, root: Handle) -> Vec<Change> {
        let mut doubts = vec![Change::Content { handle: root, open: false }];
        let contents = self.table.left().into_iter();
        doubts.extend(contents.map(|(handle, _)| Change::Content { handle, open: false }));
        let names = std::mem::take(&mut self.names).into_iter();
        doubts.extend(names.map(|(parent, name)| Change::Entry {
            parent,
            name: name.to_string(),
            fate: Fate::Doubtful,
        }));
        doubts
    }
}

impl<V: Vfs> Kept<V> {
    /// Of which nothing outlives this process.
    pub fn plain(vfs: Arc<V>) -> Kept<V> {
        Kept { vfs, memory: None, resumed: false }
    }

    /// `left`: what the process before has left, of a session that goes on.
    pub fn new(vfs: Arc<V>, keeper: Arc<Keeper>, journal: Journal, left: Option<Left>) -> Kept<V> {
        let (root, resumed) = (vfs.root(), left.is_some());
        let Left { nodes, names, .. } = left.unwrap_or_default();
        let table = Table::new(root, nodes);
        let (journal, directories) = (Some(journal), HashMap::new());
        let memory = Memory { table, journal, keeper, directories, names };
        Kept { vfs, memory: Some(Arc::new(Mutex::new(memory))), resumed }
    }

    /// Notes what was agreed on with the kernel, and gives away the files that say what it holds.
    pub fn hand_over(
        &self,
        head: Head,
        give: impl FnOnce(&[OwnedFd; 2]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let mut memory = memory.lock();
        memory.write(&[Record::Head(head)]);
        memory.journal.as_ref().map_or(Ok(()), |journal| give(journal.files()))
    }

    /// What the kernel holds from before.
    pub fn left(&self) -> Vec<(Handle, Inode, Kind)> {
        let left = self.memory.as_ref().map(|memory| memory.lock().table.left());
        let all = left.into_iter().flatten();
        all.map(|(number, place)| (number, place.inode, place.kind)).collect()
    }

    fn found(&self, number: Handle) -> Found {
        match &self.memory {
            Some(memory) => memory.lock().table.handle(number),
            None => Found::At(number),
        }
    }

    /// The handle for a number that the kernel asks by.
    async fn handle(&self, number: Handle) -> Result<Handle> {
        match self.found(number) {
            Found::At(handle) => Ok(handle),
            Found::Over => Err(Error::Stale),
            Found::Unknown => Box::pin(self.find(number)).await,
        }
    }

    /// The handle, as far as it is known.
    fn handle_now(&self, number: Handle) -> Option<Handle> {
        match self.found(number) {
            Found::At(handle) => Some(handle),
            Found::Over | Found::Unknown => None,
        }
    }

    /// Looks up what another process has shown.
    fn find(&self, number: Handle) -> Pin<Box<dyn Future<Output = Result<Handle>> + Send + '_>> {
        Box::pin(async move {
            let lost = self.memory.as_ref().and_then(|memory| memory.lock().table.lost(number));
            let Lost { place, edition } = lost.ok_or(Error::Stale)?;
            let parent = self.handle(place.parent).await?;
            let found = match self.vfs.lookup(parent, &place.name).await {
                Ok(found) => found,
                Err(Error::NotFound) => None,
                Err(error) => return Err(error),
            };
            let same =
                |entry: &Entry| entry.inode == place.inode && is_one_kind(entry.kind, place.kind);
            let Some(entry) = found else { return self.settle(number, Found::Over) };
            let proven = match edition {
                _ if !same(&entry) => Ok(false),
                Some(edition) => self.has_edition(entry.handle, edition).await,
                None => Ok(true),
            };
            match proven {
                Ok(true) => self.settle(number, Found::At(entry.handle)),
                Ok(false) | Err(Error::Stale | Error::NotFound) => {
                    self.vfs.forget(entry.handle, 1);
                    self.settle(number, Found::Over)
                }
                Err(error) => {
                    self.vfs.forget(entry.handle, 1);
                    Err(error)
                }
            }
        })
    }

    async fn has_edition(&self, handle: Handle, edition: u64) -> Result<bool> {
        let opened = self.vfs.open(handle).await?;
        let same = self.vfs.edition(handle) == Some(edition);
        self.vfs.release(opened.id);
        Ok(same)
    }

    /// Notes what a number turned out to be. Takes over a reference to the handle.
    fn settle(&self, number: Handle, found: Found) -> Result<Handle> {
        let memory = self.memory.as_ref().ok_or(Error::Stale)?;
        let (settled, now) = {
            let table = &mut memory.lock().table;
            (table.settle(number, found), table.handle(number))
        };
        if !settled && let Found::At(handle) = found {
            self.vfs.forget(handle, 1);
        }
        match now {
            Found::At(handle) => Ok(handle),
            Found::Over | Found::Unknown => Err(Error::Stale),
        }
    }

    /// Shows entries of a directory, and writes down what the kernel learns by it.
    fn show<'a>(&self, parent: Handle, entries: impl Iterator<Item = (&'a str, &'a mut Entry)>) {
        let Some(memory) = &self.memory else { return };
        let mut memory = memory.lock();
        let mut records = Vec::new();
        for (name, entry) in entries {
            let edition = || self.vfs.edition(entry.handle);
            let (number, record) = memory.table.show(parent, name, entry, edition);
            entry.handle = number;
            records.extend(record);
        }
        memory.write(&records);
    }
}

impl<V: Vfs> Vfs for Kept<V> {
    fn root(&self) -> Handle {
        self.vfs.root()
    }

    async fn lookup(&self, parent: Handle, name: &str) -> Result<Option<Entry>> {
        let handle = self.handle(parent).await?;
        let mut found = self.vfs.lookup(handle, name).await?;
        match (&mut found, &self.memory) {
            (Some(entry), _) => self.show(parent, std::iter::once((name, entry))),
            // That may be kept too.
            (None, Some(memory)) => memory.lock().write(&[Record::Absent(parent, name.into())]),
            (None, None) => {}
        }
        Ok(found)
    }

    async fn getattr(&self, number: Handle) -> Result<Attr> {
        let handle = self.handle(number).await?;
        self.vfs.getattr(handle).await
    }

    async fn readlink(&self, number: Handle) -> Result<Bytes> {
        let handle = self.handle(number).await?;
        self.vfs.readlink(handle).await
    }

    async fn open(&self, number: Handle) -> Result<OpenFile> {
        let handle = self.handle(number).await?;
        let opened = self.vfs.open(handle).await?;
        if let Some(memory) = &self.memory
            && let Some(edition) = self.vfs.edition(handle)
        {
            // Before anybody reads any of it.
            let mut memory = memory.lock();
            let record = memory.table.read(number, edition);
            memory.write(record.as_slice());
        }
        Ok(opened)
    }

    async fn read(&self, open: OpenId, offset: u64, size: u32) -> Result<Bytes> {
        self.vfs.read(open, offset, size).await
    }

    async fn opendir(&self, number: Handle) -> Result<Opened, HandleError> {
        let handle = self.handle(number).await?;
        let opened = self.vfs.opendir(handle).await?;
        if let Some(memory) = &self.memory {
            memory.lock().directories.insert(opened.id, number);
        }
        Ok(opened)
    }

    async fn readdir(
        &self,
        open: OpenId,
        cookie: u64,
        limit: usize,
        plus: bool,
    ) -> Result<DirPage, HandleError> {
        let mut page = self.vfs.readdir(open, cookie, limit, plus).await?;
        let number = self.memory.as_ref().and_then(|m| m.lock().directories.get(&open).copied());
        if let Some(number) = number {
            let entries = page.entries.iter_mut();
            self.show(number, entries.filter_map(|e| Some((&*e.name, e.entry.as_mut()?))));
        }
        Ok(page)
    }

    fn release(&self, open: OpenId) {
        if let Some(memory) = &self.memory {
            memory.lock().directories.remove(&open);
        }
        self.vfs.release(open);
    }

    fn parent(&self, number: Handle) -> Result<(Handle, Inode)> {
        let before = self.memory.as_ref().and_then(|memory| memory.lock().table.parent(number));
        if let Some((parent, inode)) = before
            && self.handle_now(number).is_none()
        {
            let root = || Inode(self.vfs.root().0);
            return Ok((parent, inode.unwrap_or_else(root)));
        }
        let (parent, inode) = self.vfs.parent(self.handle_now(number).ok_or(Error::Stale)?)?;
        let number = self.memory.as_ref().and_then(|m| m.lock().table.numbers(parent).pop());
        Ok((number.unwrap_or(parent), inode))
    }

    fn forget(&self, number: Handle, count: u64) {
        let Some(memory) = &self.memory else { return self.vfs.forget(number, count) };
        let given = {
            let mut memory = memory.lock();
            let (given, record) = memory.table.forget(number, count);
            memory.write(record.as_slice());
            given
        };
        if let Some((handle, count)) = given {
            self.vfs.forget(handle, count);
        }
    }

    fn statfs(&self) -> Statfs {
        self.vfs.statfs()
    }

    fn changes(&self) -> Receiver<Vec<Change>> {
        let changes = self.vfs.changes();
        let Some(memory) = self.memory.clone().filter(|_| self.resumed) else { return changes };
        let (told, receiver) = channel();
        // The receiver is here still.
        let _ = told.send(memory.lock().doubts(self.vfs.root()));
        let renumber = move || {
            while let Ok(batch) = changes.recv() {
                let mut out = Vec::with_capacity(batch.len());
                let table = &memory.lock().table;
                batch.into_iter().for_each(|change| renumbered(table, change, &mut out));
                if told.send(out).is_err() {
                    break;
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("omnifs-numbers".into()).spawn(renumber) {
            // The sender is gone with it, so the notifier ends and the session with that.
            tracing::error!(%error, "changes cannot be told");
        }
        receiver
    }

    fn places(&self, number: Handle) -> Vec<(Handle, String)> {
        let Some(handle) = self.handle_now(number) else { return Vec::new() };
        let places = self.vfs.places(handle);
        match &self.memory {
            Some(memory) => renumbered_places(&memory.lock().table, places),
            None => places,
        }
    }

    fn hold(&self, number: Handle) -> bool {
        let Some(memory) = &self.memory else { return self.vfs.hold(number) };
        let Some(handle) = self.handle_now(number) else { return false };
        self.vfs.hold(handle) && {
            let held = memory.lock().table.hold(number);
            if !held {
                self.vfs.forget(handle, 1);
            }
            held
        }
    }

    fn edition(&self, number: Handle) -> Option<u64> {
        self.vfs.edition(self.handle_now(number)?)
    }

    fn recall(&self, parent: Handle, name: &str) -> Option<Entry> {
        let mut entry = self.vfs.recall(self.handle_now(parent)?, name)?;
        self.show(parent, std::iter::once((name, &mut entry)));
        Some(entry)
    }

    fn note_watched(&self, numbers: &HashSet<u64>) {
        match self.memory.as_ref().filter(|_| self.resumed) {
            None => self.vfs.note_watched(numbers),
            Some(_) => {
                // Inodes stay what they are.
                let handles = numbers.iter().filter_map(|number| self.handle_now(Handle(*number)));
                self.vfs
                    .note_watched(&numbers.iter().copied().chain(handles.map(|h| h.0)).collect());
            }
        }
    }

    fn silence_opens(&self) {
        self.vfs.silence_opens();
    }
}

/// What is told of a handle, for each number of it.
fn renumbered(table: &Table, change: Change, out: &mut Vec<Change>) {
    match change {
        Change::Content { handle, open } => {
            out.extend(
                table.numbers(handle).into_iter().map(|handle| Change::Content { handle, open }),
            );
        }
        Change::Entry { parent, name, fate } => {
            let fates = match fate {
                Fate::Removed(child) => match table.numbers(child) {
                    children if children.is_empty() => vec![Fate::Doubtful],
                    children => children.into_iter().map(Fate::Removed).collect(),
                },
                fate => vec![fate],
            };
            for parent in table.numbers(parent) {
                let entry = |fate| Change::Entry { parent, name: name.clone(), fate };
                out.extend(fates.iter().copied().map(entry));
            }
        }
        Change::Unneeded { handle, places } => {
            let places = renumbered_places(table, places);
            let unneeded = |handle| Change::Unneeded { handle, places: places.clone() };
            out.extend(table.numbers(handle).into_iter().map(unneeded));
        }
        Change::Event(event) => out.extend(renumbered_event(table, event).map(Change::Event)),
        Change::Barrier(barrier) => out.push(Change::Barrier(barrier)),
    }
}

fn renumbered_places(table: &Table, places: Vec<(Handle, String)>) -> Vec<(Handle, String)> {
    let each = |(parent, name): (Handle, String)| {
        table.numbers(parent).into_iter().map(move |parent| (parent, name.clone()))
    };
    places.into_iter().flat_map(each).collect()
}

/// An event is raised by one path, so one number is enough.
fn renumbered_event(table: &Table, event: Event) -> Option<Event> {
    let one = |handle| table.numbers(handle).pop();
    Some(match event {
        Event::Modified { handle, places } => {
            Event::Modified { handle: one(handle)?, places: renumbered_places(table, places) }
        }
        Event::Created { parent, name } => Event::Created { parent: one(parent)?, name },
        Event::Deleted { parent, name, directory } => {
            Event::Deleted { parent: one(parent)?, name, directory }
        }
        Event::Moved { from, to, directory } => {
            Event::Moved { from: (one(from.0)?, from.1), to: (one(to.0)?, to.1), directory }
        }
    })
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
