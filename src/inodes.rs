//! Upstream identity to inode, and the handles by which back ends ask.
//!
//! The inode of an object is a hash of (instance name, node-id): no table has to be kept or written
//! for it to be the same after a rename, a remount, a restart and on another machine. Handles exist
//! only while a back end refers to them. A file has one handle wherever it shows; a directory has
//! one for each position. A file that changes while it is open leaves its handle to those who hold
//! it open (*superseded*) and gets another one at the next lookup.

mod slot;

pub use slot::{Link, Silent, Slot};

use crate::mutants::{Mutant, planted};
use crate::nodes::{InstanceId, Key, Node, Use};
use crate::sharded::Sharded;
use omnifs_platform::{Handle, Inode};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Root, and the numbers that tools treat specially, stay clear of hashed inodes.
const FIRST_HASHED: u64 = 1 << 16;
pub const ROOT: Handle = Handle(1);
pub const ROOT_INODE: Inode = Inode(1);

/// Names per directory that are remembered as "told the kernel: absent"; beyond it a negative
/// answer is not marked cacheable.
const NEGATIVES: usize = 1024;

/// Handles that are looked at in one step for whether they are needed.
const STEPS: usize = 32;

/// A node may be at most this deep below the mount point, so that no provider can build a tree
/// without end: PATH_MAX would let a walker go some 2,000 levels down.
pub const DEPTH: u16 = 64;

/// The hash of an object's identity.
pub fn key(instance: &str, id: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update((instance.len() as u64).to_le_bytes());
    hash.update(instance.as_bytes());
    hash.update(id.as_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Key(u64::from_le_bytes(first))
}

/// What a directory position has told a back end about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Present(Handle),
    Absent,
}

/// What a directory position has told about its names.
#[derive(Debug, Default)]
struct Names {
    /// There may be many thousand, and no table of them is made anew when one more comes.
    present: BTreeMap<Arc<str>, Handle>,
    absent: HashSet<Arc<str>>,
}

impl Names {
    fn get(&self, name: &str) -> Option<Told> {
        match self.present.get(name) {
            Some(handle) => Some(Told::Present(*handle)),
            None => self.absent.contains(name).then_some(Told::Absent),
        }
    }

    fn is_empty(&self) -> bool {
        self.present.is_empty() && self.absent.is_empty()
    }
}

#[derive(Debug)]
pub struct Inodes {
    /// Boxed: a part that grows moves all that is in it.
    slots: Sharded<Handle, Box<Slot>>,
    /// The current handles of an object: one for a file, one for each position of a directory.
    by_object: Sharded<Key, Vec<Handle>>,
    /// The mirror of the kernel's directory entry cache, by directory position.
    told: Sharded<Handle, Names>,
    /// Inodes given to objects whose hash was taken by another object.
    collisions: HashMap<(InstanceId, Arc<str>), Inode>,
    /// Hashed inodes in use, with the object each belongs to, as far as a handle refers to it.
    owners: Sharded<Inode, (InstanceId, Arc<str>, usize)>,
    next_handle: u64,
    mask: u64,
    /// Handles by their turn to be looked at for whether they are needed.
    oldest: BTreeMap<u64, Handle>,
    next_turn: u64,
    /// Of how many the back end was asked to give them back and has not yet.
    asked_back: usize,
    /// Names of directories that have got another one since [`Inodes::left`] was asked.
    left: Vec<Link>,
    /// Files are opened without a word, and a handle has one content.
    pub silent: bool,
}

impl Inodes {
    pub fn new(root: Arc<Node>) -> Self {
        let mut inodes = Inodes {
            slots: Sharded::default(),
            by_object: Sharded::default(),
            told: Sharded::default(),
            collisions: HashMap::new(),
            owners: Sharded::default(),
            next_handle: FIRST_HASHED,
            mask: u64::MAX,
            oldest: BTreeMap::new(),
            next_turn: 0,
            asked_back: 0,
            left: Vec::new(),
            silent: false,
        };
        inodes.by_object.insert(root.key, vec![ROOT]);
        inodes.slots.insert(
            ROOT,
            Box::new(Slot {
                node: root,
                links: Vec::new(),
                depth: 0,
                references: 1,
                opens: 0,
                superseded: false,
                gone: false,
                paged: None,
                latest: None,
                told_size: None,
                told_modified: None,
                turn: 0,
                entered: false,
                asked_back: false,
                silent: Silent::default(),
            }),
        );
        inodes
    }

    /// Narrows the hash so that tests meet collisions.
    #[cfg(test)]
    fn with_mask(root: Arc<Node>, mask: u64) -> Self {
        Inodes { mask, ..Inodes::new(root) }
    }

    /// The inode of an object. Two objects with one hash are told apart as long as anything refers
    /// to the first: the second is rehashed, and stays so for the life of the mount.
    pub fn inode(&self, instance: InstanceId, id: &Arc<str>, key: Key) -> Inode {
        if let Some(inode) = self.collisions.get(&(instance, id.clone())) {
            return *inode;
        }
        Inode((key.0 & self.mask).max(FIRST_HASHED))
    }

    /// Resolves a collision for a node that is about to be shown. Returns its true inode.
    pub fn settle(&mut self, instance: InstanceId, id: &Arc<str>, key: Key) -> Inode {
        let mut inode = self.inode(instance, id, key);
        let mut round = 0u64;
        while self.owners.get(&inode).is_some_and(|(i, owner, _)| (*i, owner) != (instance, id)) {
            round += 1;
            let rehashed = crate::inodes::key(&format!("{}/{round}", instance.0), id);
            inode = Inode((rehashed.0 & self.mask).max(FIRST_HASHED));
            self.collisions.insert((instance, id.clone()), inode);
        }
        inode
    }

    /// The names that directories have left by getting another one. Who was told of them may have to
    /// ask for them before it hears of the new one.
    pub fn left(&mut self) -> Vec<Link> {
        std::mem::take(&mut self.left)
    }

    pub fn slot(&self, handle: Handle) -> Option<&Slot> {
        self.slots.get(&handle).map(|slot| &**slot)
    }

    pub fn slot_mut(&mut self, handle: Handle) -> Option<&mut Slot> {
        self.slots.get_mut(&handle).map(|slot| &mut **slot)
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn handles(&self) -> impl Iterator<Item = (Handle, &Slot)> {
        self.slots.iter().map(|(handle, slot)| (*handle, &**slot))
    }

    /// The handles in one of [`crate::sharded::PARTS`] parts.
    pub fn handles_in(&self, part: usize) -> impl Iterator<Item = Handle> {
        self.slots.keys_in(part).copied()
    }

    /// The handles of whatever has this key.
    pub fn handles_by(&self, key: Key) -> &[Handle] {
        self.by_object.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The handles of an object, superseded ones included.
    pub fn handles_of(&self, node: &Node) -> Vec<Handle> {
        self.handles_by(node.key)
            .iter()
            .copied()
            .filter(|handle| self.slots.get(handle).is_some_and(|s| same_object(&s.node, node)))
            .collect()
    }

    /// The handle that shows `node` as `name` in `parent`, with one reference more.
    pub fn enter(&mut self, parent: Handle, name: &Arc<str>, node: &Arc<Node>) -> Handle {
        let depth = self.slots.get(&parent).map_or(0, |slot| slot.depth) + 1;
        let current = self.handles_of(node).into_iter().find(|handle| {
            let Some(slot) = self.slots.get(handle) else { return false };
            !slot.superseded
                && !slot.gone
                && if node.is_directory() {
                    slot.links.iter().any(|link| link.parent == parent)
                } else {
                    slot.may_show(node)
                }
        });
        let before = self.told_of(parent, name);
        let reused = match before {
            Some(Told::Present(old)) if planted(Mutant::ReusesHandles) => Some(old),
            _ => None,
        };
        let handle = reused.or(current).unwrap_or_else(|| self.allocate(node, depth));
        if self.silent && matches!(before, Some(Told::Present(old)) if old != handle) {
            // A kernel that asks whether a name still leads to what it knows asks once more when it
            // does not.
            node.grant(Use::Lookup);
        }
        let slot = self.slots.get_mut(&handle).expect("found or allocated above");
        slot.references += 1;
        slot.entered = slot.references > 1;
        if std::mem::take(&mut slot.asked_back) {
            self.asked_back -= 1;
        }
        // Who comes by the name is to be shown what is confirmed by now.
        slot.silent.snapshot = None;
        // An answer that was overtaken never takes the place of what is known better; who has that
        // open is shown nothing else.
        let older = node.stamp() < slot.node.stamp();
        if node.is_valid() || !slot.node.is_valid() && !older {
            slot.node = node.clone();
        }
        // Where it was read silently, both are proven to be one content, and this one's attributes are
        // the newer ones.
        let newer = slot.silent.read && !Arc::ptr_eq(&slot.node, node) && !older;
        slot.silent.newer = newer.then(|| node.clone());
        slot.silent.doubtful = !node.is_valid() || !Arc::ptr_eq(&slot.node, node);
        let link = Link { parent, name: name.clone() };
        if slot.links.last() != Some(&link) {
            if node.is_directory() {
                // Renamed within its directory: one position, one name.
                let before = std::mem::replace(&mut slot.links, vec![link]);
                for old in before {
                    self.untell(&old, handle);
                    self.left.push(old);
                }
            } else {
                slot.links.retain(|known| *known != link);
                slot.links.push(link);
            }
        }
        let names = self.told.get_or_insert_with(parent, Names::default);
        names.absent.remove(name);
        names.present.insert(name.clone(), handle);
        handle
    }

    fn allocate(&mut self, node: &Arc<Node>, depth: u16) -> Handle {
        let identity = Handle(node.inode.0);
        let handle = if self.slots.contains_key(&identity) {
            loop {
                self.next_handle = self.next_handle.wrapping_add(1).max(FIRST_HASHED);
                let candidate = Handle(self.next_handle);
                // A later object whose inode is this number must find it free, or pays as a
                // further position does; hashed inodes make that rare.
                if !self.slots.contains_key(&candidate) {
                    break candidate;
                }
            }
        } else {
            identity
        };
        let owner =
            self.owners.get_or_insert_with(node.inode, || (node.instance, node.id.clone(), 0));
        owner.2 += 1;
        self.by_object.get_or_insert_with(node.key, Vec::new).push(handle);
        let turn = self.turn(handle);
        self.slots.insert(
            handle,
            Box::new(Slot {
                node: node.clone(),
                links: Vec::new(),
                depth,
                references: 0,
                opens: 0,
                superseded: false,
                gone: false,
                paged: None,
                latest: None,
                told_size: None,
                told_modified: None,
                turn,
                entered: false,
                asked_back: false,
                silent: Silent::default(),
            }),
        );
        handle
    }

    /// Notes that a back end was told that `name` does not exist. Returns whether it may keep that:
    /// only what is noted here can be taken back.
    pub fn tell_absent(&mut self, parent: Handle, name: &str) -> bool {
        let names = self.told.get_or_insert_with(parent, Names::default);
        if names.absent.len() >= NEGATIVES {
            return false;
        }
        names.present.remove(name);
        names.absent.insert(Arc::from(name));
        true
    }

    /// What a back end was told about one name in this position.
    pub fn told_of(&self, parent: Handle, name: &str) -> Option<Told> {
        self.told.get(&parent)?.get(name)
    }

    /// The names in this position of which a back end was told that they do not exist.
    pub fn absent(&self, parent: Handle) -> impl Iterator<Item = &Arc<str>> {
        self.told.get(&parent).into_iter().flat_map(|names| &names.absent)
    }

    /// What a back end was told about the names in this position.
    pub fn told(&self, parent: Handle) -> impl Iterator<Item = (&Arc<str>, Told)> {
        let names = self.told.get(&parent).into_iter();
        names.flat_map(|names| {
            let present = names.present.iter().map(|(name, handle)| (name, Told::Present(*handle)));
            present.chain(names.absent.iter().map(|name| (name, Told::Absent)))
        })
    }

    /// Forgets negative answers of this position, which the caller has just taken back.
    pub fn clear_absent(&mut self, parent: Handle) {
        if let Some(names) = self.told.get_mut(&parent) {
            names.absent.clear();
            if names.is_empty() {
                self.told.remove(&parent);
            }
        }
    }

    fn untell(&mut self, link: &Link, handle: Handle) {
        if let Some(names) = self.told.get_mut(&link.parent) {
            if names.present.get(&link.name) == Some(&handle) {
                names.present.remove(&link.name);
            }
            if names.is_empty() {
                self.told.remove(&link.parent);
            }
        }
    }

    /// Puts a handle last.
    fn turn(&mut self, handle: Handle) -> u64 {
        self.next_turn += 1;
        self.oldest.insert(self.next_turn, handle);
        self.next_turn
    }

    /// Handles that back ends are to give back, since they hold more than `most`: those that were
    /// entered longest ago. None that is known to be open, no directory with names below it, and not what
    /// was entered again since it was last looked at.
    pub fn unneeded(&mut self, most: usize) -> Vec<Handle> {
        let (mut unneeded, mut again) = (Vec::new(), false);
        for _ in 0..STEPS {
            if self.slots.len() - self.asked_back <= most {
                break;
            }
            let Some((_, handle)) = self.oldest.pop_first() else { break };
            let turn = self.turn(handle);
            let Some(slot) = self.slots.get_mut(&handle) else { break };
            slot.turn = turn;
            // Somebody used it when it was asked for. All others have been since.
            if slot.asked_back {
                if !std::mem::replace(&mut again, true) {
                    unneeded.push(handle);
                }
                continue;
            }
            let has_names = self.told.get(&handle).is_some_and(|names| !names.present.is_empty());
            let kept = std::mem::take(&mut slot.entered) || slot.opens > 0 || has_names;
            if !kept {
                slot.asked_back = true;
                self.asked_back += 1;
                unneeded.push(handle);
            }
        }
        unneeded
    }

    pub fn reference(&mut self, handle: Handle) {
        if let Some(slot) = self.slots.get_mut(&handle) {
            slot.references += 1;
        }
    }

    pub fn forget(&mut self, handle: Handle, count: u64) {
        if handle == ROOT {
            return;
        }
        if let Some(slot) = self.slots.get_mut(&handle) {
            slot.references = slot.references.saturating_sub(count);
            self.reap(handle);
        }
    }

    /// Ends one open of this handle.
    pub fn close(&mut self, handle: Handle) {
        if let Some(slot) = self.slots.get_mut(&handle) {
            slot.opens = slot.opens.saturating_sub(1);
            self.reap(handle);
        }
    }

    fn reap(&mut self, handle: Handle) {
        let unused = self
            .slots
            .get(&handle)
            .is_some_and(|slot| slot.references == 0 && slot.opens == 0 && handle != ROOT);
        if !unused {
            return;
        }
        let Some(slot) = self.slots.remove(&handle) else { return };
        self.asked_back -= usize::from(slot.asked_back);
        self.oldest.remove(&slot.turn);
        if let Some(handles) = self.by_object.get_mut(&slot.node.key) {
            handles.retain(|known| *known != handle);
            if handles.is_empty() {
                self.by_object.remove(&slot.node.key);
            }
        }
        if let Some(owner) = self.owners.get_mut(&slot.node.inode) {
            owner.2 -= 1;
            if owner.2 == 0 {
                self.owners.remove(&slot.node.inode);
            }
        }
        for link in &slot.links {
            self.untell(link, handle);
        }
        self.told.remove(&handle);
    }
}

pub fn same_object(a: &Node, b: &Node) -> bool {
    a.instance == b.instance && a.id == b.id
}

#[cfg(test)]
mod tests;
