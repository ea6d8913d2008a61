//! Which number the kernel knows a node by, and by which handle the file system does.
//!
//! They are the same until a process goes on with another's session. What the kernel holds from before is known by
//! its place then, and gets a handle at its first use.

use super::journal::{Place, Record};
use crate::{Entry, Handle, Inode, Kind};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// What the kernel holds.
#[derive(Debug)]
struct Node {
    /// Where it was shown last, hashed.
    shown: u32,
    references: u64,
    /// What was read of a file.
    edition: Option<u64>,
    /// Of those whose number is not their handle.
    foreign: Option<Box<Foreign>>,
}

/// A node whose number is not, or may not be, its handle.
#[derive(Debug)]
struct Foreign {
    place: Place,
    handle: Found,
    /// References to the handle.
    taken: u64,
}

/// By which handle the file system knows what the kernel knows by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    At(Handle),
    /// To be looked up by its place.
    Unknown,
    /// It is not what it was.
    Over,
}

/// What a number from before stands for.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub place: Place,
    pub edition: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: HashMap<u64, Node>,
    /// Nodes whose number is not their handle.
    foreign: usize,
    /// The numbers of a handle, where that is not the only one.
    numbers: HashMap<u64, Vec<Handle>>,
    /// What was shown there by the process before.
    places: HashMap<(Handle, Arc<str>), Handle>,
    hashes: RandomState,
    root: Option<Handle>,
}

impl Table {
    /// With what another process has left.
    pub fn new(root: Handle, left: HashMap<u64, (Place, Option<u64>)>) -> Table {
        let mut table = Table { root: Some(root), ..Table::default() };
        for (number, (place, edition)) in left {
            table.places.insert((place.parent, place.name.clone()), Handle(number));
            let shown = table.place(place.parent, &place.name);
            let foreign = Some(Box::new(Foreign { place, handle: Found::Unknown, taken: 0 }));
            table.foreign += 1;
            // How often the kernel was given it nobody knows; it gives all back at once.
            table.nodes.insert(number, Node { shown, references: 1, edition, foreign });
        }
        table
    }

    fn place(&self, parent: Handle, name: &str) -> u32 {
        self.hashes.hash_one((parent, name)) as u32
    }

    pub fn is_held(&self, number: Handle) -> bool {
        Some(number) == self.root || self.nodes.contains_key(&number.0)
    }

    /// What the kernel holds from before, with the inode and the kind of each.
    pub fn left(&self) -> Vec<(Handle, Place)> {
        let foreign = |(number, node): (&u64, &Node)| {
            node.foreign.as_ref().map(|foreign| (Handle(*number), foreign.place.clone()))
        };
        self.nodes.iter().filter_map(foreign).collect()
    }

    /// The handle for a number that the kernel has asked by.
    pub fn handle(&self, number: Handle) -> Found {
        if Some(number) == self.root {
            return Found::At(number);
        }
        match self.nodes.get(&number.0) {
            None => Found::Over,
            Some(Node { foreign: None, .. }) => Found::At(number),
            Some(Node { foreign: Some(foreign), .. }) => foreign.handle,
        }
    }

    pub fn lost(&self, number: Handle) -> Option<Lost> {
        let node = self.nodes.get(&number.0)?;
        let foreign = node.foreign.as_ref()?;
        Some(Lost { place: foreign.place.clone(), edition: node.edition })
    }

    /// Where a number is and what it stands for, as far as it is from before.
    pub fn parent(&self, number: Handle) -> Option<(Handle, Option<Inode>)> {
        let foreign = self.nodes.get(&number.0)?.foreign.as_ref()?;
        let parent = foreign.place.parent;
        let above = self.nodes.get(&parent.0).and_then(|node| node.foreign.as_ref());
        Some((parent, above.map(|above| above.place.inode)))
    }

    /// Notes what a number from before has turned out to be, with a reference to the handle. False: that is known
    /// already, and the reference is the caller's to give back.
    pub fn settle(&mut self, number: Handle, found: Found) -> bool {
        let Some(node) = self.nodes.get_mut(&number.0) else { return false };
        let Some(foreign) = node.foreign.as_mut().filter(|f| f.handle == Found::Unknown) else {
            return false;
        };
        foreign.handle = found;
        if let Found::At(handle) = found {
            foreign.taken += 1;
            self.numbers.entry(handle.0).or_default().push(number);
        }
        true
    }

    /// The numbers by which the kernel knows a handle.
    pub fn numbers(&self, handle: Handle) -> Vec<Handle> {
        let mut numbers = self.numbers.get(&handle.0).cloned().unwrap_or_default();
        match self.nodes.get(&handle.0) {
            // The number of another thing, from before, or in the list already.
            Some(Node { foreign: Some(_), .. }) => {}
            Some(Node { foreign: None, .. }) => numbers.push(handle),
            None if numbers.is_empty() => numbers.push(handle),
            None => {}
        }
        numbers
    }

    /// The number by which to show an entry, with one reference more, and what to write down of it first.
    /// `edition`: of what is shown now, as far as it is known.
    pub fn show(
        &mut self,
        parent: Handle,
        name: &str,
        entry: &Entry,
        edition: impl FnOnce() -> Option<u64>,
    ) -> (Handle, Option<Record>) {
        let number = self.number(parent, name, entry, edition);
        let shown = self.place(parent, name);
        let place = || Place { parent, name: name.into(), inode: entry.inode, kind: entry.kind };
        let node = self.nodes.entry(number.0).or_insert_with(|| {
            let foreign = (number != entry.handle).then(|| {
                self.foreign += 1;
                let handle = Found::At(entry.handle);
                Box::new(Foreign { place: place(), handle, taken: 0 })
            });
            Node { shown: !shown, references: 0, edition: None, foreign }
        });
        node.references += 1;
        if let Some(foreign) = &mut node.foreign {
            foreign.taken += 1;
        }
        if std::mem::replace(&mut node.shown, shown) == shown {
            return (number, None);
        }
        if let Some(foreign) = &mut node.foreign {
            let before = std::mem::replace(&mut foreign.place, place());
            // It is found by its present place from here on.
            if self.places.remove(&(before.parent, before.name)).is_some() {
                self.places.insert((parent, name.into()), number);
            }
        }
        (number, Some(Record::Node(number, place())))
    }

    fn number(
        &mut self,
        parent: Handle,
        name: &str,
        entry: &Entry,
        edition: impl FnOnce() -> Option<u64>,
    ) -> Handle {
        if self.foreign == 0 {
            return entry.handle;
        }
        let known = self.numbers.get(&entry.handle.0).cloned().unwrap_or_default();
        if let Some(&before) = self.places.get(&(parent, name.into())) {
            if known.contains(&before) {
                return before;
            }
            if self.is_same(before, entry, edition) {
                // The reference of this entry is counted by who shows it.
                self.numbers.entry(entry.handle.0).or_default().push(before);
                if let Some(foreign) =
                    self.nodes.get_mut(&before.0).and_then(|n| n.foreign.as_mut())
                {
                    foreign.handle = Found::At(entry.handle);
                }
                return before;
            }
        }
        if let Some(last) = known.last() {
            return *last;
        }
        // A number of before belongs to what it was given to.
        let taken =
            |number: u64| self.nodes.get(&number).is_some_and(|node| node.foreign.is_some());
        if !taken(entry.handle.0) {
            return entry.handle;
        }
        let mut round = 0_u64;
        let number = loop {
            let candidate = self.hashes.hash_one((entry.handle, round)) | 1 << 63;
            if !self.nodes.contains_key(&candidate) {
                break Handle(candidate);
            }
            round += 1;
        };
        self.numbers.entry(entry.handle.0).or_default().push(number);
        number
    }

    /// Whether what is shown in the place of something from before is that. Of a file that was read this has
    /// to be proven, which takes longer where its content is not at hand.
    fn is_same(
        &self,
        before: Handle,
        entry: &Entry,
        edition: impl FnOnce() -> Option<u64>,
    ) -> bool {
        let Some(node) = self.nodes.get(&before.0) else { return false };
        let Some(foreign) = &node.foreign else { return false };
        foreign.handle == Found::Unknown
            && foreign.place.inode == entry.inode
            && is_one_kind(foreign.place.kind, entry.kind)
            && node.edition.is_none_or(|before| edition() == Some(before))
    }

    /// Notes one reference more. False: the number is not held.
    pub fn hold(&mut self, number: Handle) -> bool {
        let Some(node) = self.nodes.get_mut(&number.0) else { return false };
        node.references += 1;
        if let Some(foreign) = &mut node.foreign {
            foreign.taken += 1;
        }
        true
    }

    /// Notes what was read of a file, and what to write down of that.
    pub fn read(&mut self, number: Handle, edition: u64) -> Option<Record> {
        let node = self.nodes.get_mut(&number.0)?;
        let news = node.edition.replace(edition) != Some(edition);
        news.then_some(Record::Edition(number, edition))
    }

    /// Takes references off: how many to give back, of which handle, and what to write down where it was the last.
    pub fn forget(
        &mut self,
        number: Handle,
        count: u64,
    ) -> (Option<(Handle, u64)>, Option<Record>) {
        let Some(node) = self.nodes.get_mut(&number.0) else { return (None, None) };
        node.references = node.references.saturating_sub(count);
        let last = node.references == 0;
        let given = match &node.foreign {
            None => Some((number, count)),
            Some(foreign) => match foreign.handle {
                Found::At(handle) if last => Some((handle, foreign.taken)),
                _ => None,
            },
        };
        if !last {
            return (given, None);
        }
        let gone = self.nodes.remove(&number.0);
        if let Some(foreign) = gone.and_then(|node| node.foreign) {
            self.foreign -= 1;
            let at = (foreign.place.parent, foreign.place.name);
            if self.places.get(&at) == Some(&number) {
                self.places.remove(&at);
            }
            if let Found::At(handle) = foreign.handle
                && let Some(numbers) = self.numbers.get_mut(&handle.0)
            {
                numbers.retain(|known| *known != number);
                if numbers.is_empty() {
                    self.numbers.remove(&handle.0);
                }
            }
        }
        (given, Some(Record::Forgotten(number)))
    }
}

/// Whether the kernel takes two kinds for one type of file.
pub(super) fn is_one_kind(a: Kind, b: Kind) -> bool {
    let is = |kind| matches!(kind, Kind::File | Kind::Executable);
    a == b || is(a) && is(b)
}
