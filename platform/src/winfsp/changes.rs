//! From changes of the file system to what Windows is told.
//!
//! Changes wait in their channel until the next tick, or until a look-up needs to know that what it
//! remembers of a directory is still true. Each then becomes notices for the paths that are known:
//! a notice drops what the system's caches hold of the path, and that of an event also tells those
//! who watch it.
//!
//! What may not be kept is taken back at the next tick after it was told: WinFsp has one timeout
//! for the volume, and it is infinite.

use super::cases::Cases;
use super::names;
use super::position::Table;
use crate::{Change, Event, Handle, Kind, Vfs};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

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
    /// Directly before [`RENAMED_TO`].
    pub const RENAMED_FROM: u32 = 4;
    pub const RENAMED_TO: u32 = 5;
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
    /// In the order they came: what a name went through counts.
    notices: Vec<Notice>,
    /// Where the notice of a change of a path is: one is enough.
    modified: HashMap<Vec<u16>, usize>,
    overflow: bool,
}

impl Waiting {
    /// The path's caches are to be dropped; those who watch for `filter` are told of a change.
    fn modified(&mut self, path: &[u16], filter: u32) {
        if let Some(at) = self.modified.get(path) {
            self.notices[*at].filter |= filter;
        } else if self.room() {
            self.modified.insert(path.to_vec(), self.notices.len());
            self.notices.push(Notice { path: path.to_vec(), filter, action: action::MODIFIED });
        }
    }

    fn named(&mut self, path: &[u16], filter: u32, action: u32) {
        if self.room() {
            self.notices.push(Notice { path: path.to_vec(), filter, action });
        }
    }

    fn room(&mut self) -> bool {
        if self.notices.len() >= MOST {
            *self = Waiting { overflow: true, ..Waiting::default() };
        }
        !self.overflow
    }
}

/// A notice of an event: the path, what watchers must have asked for, the action.
type Told = (Vec<u16>, u32, u32);

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
        self.waiting.lock()
    }

    /// Takes in what has happened, so that nothing remembered is older than this call. The stamp
    /// moves with each change.
    pub fn take_in(&self, cases: &Cases<V>) -> u64 {
        let incoming = self.incoming.lock();
        for batch in incoming.try_iter() {
            self.stamp.fetch_add(1, Ordering::SeqCst);
            // How names are shown is known as long as their directory is remembered; and watchers
            // look again at once, so they are told when the caches are dropped.
            let events = batch.iter().filter_map(|change| match change {
                Change::Event(event) => Some(self.event(event, cases)),
                _ => None,
            });
            let events: Vec<Told> = events.flatten().collect();
            for change in batch {
                self.drop_caches(change, cases);
            }
            let mut waiting = self.waiting();
            for (path, filter, action) in events {
                match action {
                    action::MODIFIED => waiting.modified(&path, filter),
                    action => waiting.named(&path, filter, action),
                }
            }
        }
        self.stamp.load(Ordering::SeqCst)
    }

    fn drop_caches(&self, change: Change, cases: &Cases<V>) {
        let paths = match change {
            Change::Content { handle, .. } => {
                cases.forget(handle);
                self.table.paths(handle)
            }
            Change::Entry { parent, name, .. } => {
                cases.forget(parent);
                let mut paths = self.table.moved(parent, &name);
                paths.extend(self.table.paths(parent));
                paths
            }
            Change::Event(_) | Change::Unneeded { .. } | Change::Barrier(_) => return,
        };
        let mut waiting = self.waiting();
        paths.iter().for_each(|(path, _)| waiting.modified(path, 0));
    }

    /// What watchers are told of an event.
    fn event(&self, event: &Event, cases: &Cases<V>) -> Vec<Told> {
        use action::{ADDED, MODIFIED, REMOVED, RENAMED_FROM, RENAMED_TO};
        use filter::{ATTRIBUTES, DIR_NAME, FILE_NAME, LAST_WRITE, SIZE};
        let below = |parent: Handle, name: &str| -> Vec<Vec<u16>> {
            let shown = cases.shown(parent, name).unwrap_or_else(|| names::encode(name));
            let parents = self.table.paths(parent);
            parents.iter().map(|(path, _)| names::join(path, &shown)).collect()
        };
        let kind = |directory: bool| if directory { DIR_NAME } else { FILE_NAME };
        match event {
            Event::Modified { handle, .. } => {
                let paths = self.table.paths(*handle).into_iter();
                paths
                    .map(|(path, kind)| {
                        let content = if kind == Kind::Directory { 0 } else { SIZE };
                        (path.into(), content | LAST_WRITE | ATTRIBUTES, MODIFIED)
                    })
                    .collect()
            }
            Event::Created { parent, name } => {
                let paths = below(*parent, name).into_iter();
                paths.map(|path| (path, FILE_NAME | DIR_NAME, ADDED)).collect()
            }
            Event::Deleted { parent, name, directory } => {
                let paths = below(*parent, name).into_iter();
                paths.map(|path| (path, kind(*directory), REMOVED)).collect()
            }
            Event::Moved { from, to, directory } => {
                let filter = kind(*directory);
                // The two notices of a rename are for one directory; a move is what Windows itself
                // tells of one.
                let renamed = from.0 == to.0;
                let (away, here) =
                    if renamed { (RENAMED_FROM, RENAMED_TO) } else { (REMOVED, ADDED) };
                let from = below(from.0, &from.1).into_iter().map(|path| (path, filter, away));
                let to = below(to.0, &to.1).into_iter().map(|path| (path, filter, here));
                if renamed {
                    // Where a directory has two paths, each pair by itself.
                    from.zip(to).flat_map(|(from, to)| [from, to]).collect()
                } else {
                    from.chain(to).collect()
                }
            }
        }
    }

    /// What was told of this path may not be kept.
    pub fn take_back(&self, path: &[u16]) {
        self.waiting().modified(path, 0);
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
        waiting.notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_one_path_are_merged_and_their_number_is_bounded() {
        let mut waiting = Waiting::default();
        waiting.modified(&[1], 0);
        waiting.named(&[1], filter::FILE_NAME, action::REMOVED);
        waiting.modified(&[1], filter::SIZE);
        waiting.named(&[1], filter::FILE_NAME, action::ADDED);
        let told: Vec<_> = waiting.notices.iter().map(|n| (n.filter, n.action)).collect();
        assert_eq!(
            told,
            [
                (filter::SIZE, action::MODIFIED),
                (filter::FILE_NAME, action::REMOVED),
                (filter::FILE_NAME, action::ADDED)
            ]
        );
        for index in 0..MOST + 10 {
            waiting.modified(&[2, index as u16, (index >> 16) as u16], 1);
        }
        assert!(waiting.overflow && waiting.notices.is_empty() && waiting.modified.is_empty());
    }
}
