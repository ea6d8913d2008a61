//! From changes of the file system to what Windows is told.
//!
//! Changes wait in their channel until the next tick, or until a look-up needs to know that what it
//! remembers of a directory is still true. Each then becomes notices for the paths that are known:
//! a notice drops what the system's caches hold of the path, and tells those who watch it.
//!
//! What may not be kept is taken back at the next tick after it was told: WinFsp has one timeout
//! for the volume, and it is infinite.

use super::cases::Cases;
use super::names;
use super::position::Table;
use crate::{Change, Handle, Kind, Vfs};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `FILE_NOTIFY_CHANGE_*`: what watchers can ask for.
pub mod filter {
    pub const FILE_NAME: u32 = 0x1;
    pub const DIR_NAME: u32 = 0x2;
    pub const ATTRIBUTES: u32 = 0x4;
    pub const SIZE: u32 = 0x8;
    pub const LAST_WRITE: u32 = 0x10;
}

/// `FILE_ACTION_*`: what watchers are told.
pub mod action {
    pub const ADDED: u32 = 1;
    pub const REMOVED: u32 = 2;
    pub const MODIFIED: u32 = 3;
}

/// One call of `FspFileSystemNotify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// From the root of the volume, normalized.
    pub path: Vec<u16>,
    /// 0: caches are dropped and no watcher is told.
    pub filter: u32,
    pub action: u32,
}

/// Paths that wait for the next tick. Beyond this, everything that is known is told of instead.
const MOST: usize = 1 << 16;

pub(super) struct Changes<V: Vfs> {
    table: Arc<Table<V>>,
    incoming: Mutex<Receiver<Vec<Change>>>,
    waiting: Mutex<Waiting>,
    stamp: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By path and action.
    notices: HashMap<(Vec<u16>, u32), u32>,
    /// Keys of `notices` in the order they came.
    order: Vec<(Vec<u16>, u32)>,
    overflow: bool,
}

impl Waiting {
    fn add(&mut self, path: &[u16], filter: u32, action: u32) {
        if self.order.len() >= MOST {
            self.notices.clear();
            self.order.clear();
            self.overflow = true;
        }
        if self.overflow {
            return;
        }
        let key = (path.to_vec(), action);
        match self.notices.get_mut(&key) {
            Some(known) => *known |= filter,
            None => {
                self.order.push(key.clone());
                self.notices.insert(key, filter);
            }
        }
    }
}

impl<V: Vfs> Changes<V> {
    pub fn new(table: Arc<Table<V>>, incoming: Receiver<Vec<Change>>) -> Changes<V> {
        Changes {
            table,
            incoming: Mutex::new(incoming),
            waiting: Mutex::default(),
            stamp: AtomicU64::new(0),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what has happened, so that nothing remembered is older than this call. The stamp
    /// moves with each change.
    pub fn take_in(&self, cases: &Cases<V>) -> u64 {
        let incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in incoming.try_iter() {
            self.stamp.fetch_add(1, Ordering::SeqCst);
            for change in batch {
                self.one(change, cases);
            }
        }
        self.stamp.load(Ordering::SeqCst)
    }

    fn one(&self, change: Change, cases: &Cases<V>) {
        use action::{ADDED, MODIFIED, REMOVED};
        use filter::{ATTRIBUTES, DIR_NAME, FILE_NAME, LAST_WRITE, SIZE};
        match change {
            Change::Content { handle, .. } => {
                cases.forget(handle);
                let paths = self.table.paths(handle);
                let mut waiting = self.waiting();
                for (path, kind) in paths {
                    let content = if kind == Kind::Directory { 0 } else { SIZE };
                    waiting.add(&path, content | LAST_WRITE, MODIFIED);
                }
            }
            // What is dropped is told to watchers already; an event adds nothing to it here.
            Change::Event(_) => {}
            Change::Entry { parent, name, removed } => {
                let shown = cases.shown(parent, &name).unwrap_or_else(|| names::encode(&name));
                cases.forget(parent);
                let known = self.table.moved(parent, &name);
                let places = match known.is_empty() {
                    // Nobody has it open. Those who watch its directory are told all the same.
                    true => self.unopened(parent, &shown),
                    false => known.iter().map(|(path, kind)| (path.clone(), Some(*kind))).collect(),
                };
                let mut waiting = self.waiting();
                for (path, kind) in places {
                    let names = match kind {
                        Some(Kind::Directory) => DIR_NAME,
                        Some(_) => FILE_NAME,
                        None => FILE_NAME | DIR_NAME,
                    };
                    match (removed, kind) {
                        (Some(_), _) => waiting.add(&path, names, REMOVED),
                        // Replaced, or renamed away: who looks will see.
                        (None, Some(_)) => {
                            waiting.add(&path, names | ATTRIBUTES | SIZE | LAST_WRITE, MODIFIED);
                        }
                        (None, None) => waiting.add(&path, names, ADDED),
                    }
                }
            }
        }
    }

    fn unopened(&self, parent: Handle, shown: &[u16]) -> Vec<(Box<[u16]>, Option<Kind>)> {
        let above = self.table.paths(parent);
        above.iter().map(|(path, _)| (names::join(path, shown).into(), None)).collect()
    }

    /// What was told of this path may not be kept.
    pub fn take_back(&self, path: &[u16]) {
        self.waiting().add(path, 0, action::MODIFIED);
    }

    /// What is to be told now.
    pub fn take(&self, cases: &Cases<V>) -> Vec<Notice> {
        self.take_in(cases);
        let waiting = std::mem::take(&mut *self.waiting());
        if waiting.overflow {
            use filter::{ATTRIBUTES, LAST_WRITE, SIZE};
            let all = self.table.all().into_iter();
            let filter = ATTRIBUTES | LAST_WRITE | SIZE;
            return all
                .map(|(path, _)| Notice { path: path.into(), filter, action: action::MODIFIED })
                .collect();
        }
        let mut notices = waiting.notices;
        let notice = |key: (Vec<u16>, u32)| {
            let filter = notices.remove(&key)?;
            Some(Notice { path: key.0, filter, action: key.1 })
        };
        waiting.order.into_iter().filter_map(notice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_one_path_are_merged_and_their_number_is_bounded() {
        let mut waiting = Waiting::default();
        waiting.add(&[1], 0, action::MODIFIED);
        waiting.add(&[1], filter::SIZE, action::MODIFIED);
        waiting.add(&[1], filter::FILE_NAME, action::REMOVED);
        assert_eq!(waiting.order.len(), 2);
        assert_eq!(waiting.notices[&(vec![1], action::MODIFIED)], filter::SIZE);
        for index in 0..MOST + 10 {
            waiting.add(&[2, index as u16, (index >> 16) as u16], 1, action::MODIFIED);
        }
        assert!(waiting.overflow && waiting.order.is_empty() && waiting.notices.is_empty());
    }
}
