//! What a kernel keeps of the answers it was given: names, attributes, pages and listings, as long
//! as it was told it may, and until a change names them.

use crate::upstream::Id;
use bytes::Bytes;
use omnifs_platform::{Attr, Change, Handle};
use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::time::SystemTime;

/// A directory's modified time as the kernel knows it, and how often it was told of a name in it.
type Version = (Option<SystemTime>, u64);

#[derive(Debug)]
pub struct Kernel {
    changes: Receiver<Vec<Change>>,
    /// Names, with what each is bound to; `None`: known to be absent.
    pub names: HashMap<(Handle, String), Option<(Handle, Id)>>,
    /// What each name led to when it was last looked up, kept or not: the kernel asks whether it still
    /// does.
    pub led_to: HashMap<(Handle, String), Handle>,
    pub attributes: HashMap<Handle, Attr>,
    pub pages: HashMap<Handle, Bytes>,
    /// Each with the directory's version when it was read, which a kernel that opens directories by
    /// itself compares.
    pub listings: HashMap<Handle, (Version, Vec<(String, Id)>)>,
    /// Notifications of a name in each directory.
    told: HashMap<Handle, u64>,
    pub modified: HashMap<Handle, SystemTime>,
    /// The size by which the kernel knows each file, in bytes.
    pub sizes: HashMap<Handle, u64>,
    /// References it was given, with the object behind each handle.
    pub references: HashMap<Handle, (u64, Id)>,
    /// Operations that are using a handle.
    pub pins: HashMap<Handle, u32>,
    /// Files and directories open by handle.
    pub opens: HashMap<Handle, u32>,
}

impl Kernel {
    pub fn new(changes: Receiver<Vec<Change>>) -> Self {
        Kernel {
            changes,
            names: HashMap::new(),
            led_to: HashMap::new(),
            attributes: HashMap::new(),
            pages: HashMap::new(),
            listings: HashMap::new(),
            told: HashMap::new(),
            modified: HashMap::new(),
            sizes: HashMap::new(),
            references: HashMap::new(),
            pins: HashMap::new(),
            opens: HashMap::new(),
        }
    }

    /// Drops the names, attributes and listings that it keeps, as if it had been told to.
    pub fn drop_all(&mut self) {
        self.names.clear();
        self.attributes.clear();
        self.listings.clear();
    }

    /// Does not hear what has been sent.
    pub fn ignore(&mut self) {
        self.changes.try_iter().for_each(drop);
    }

    /// Takes the notifications that have been sent. Called before anything is looked up or kept.
    pub fn listen(&mut self) -> Vec<Change> {
        let changes: Vec<Change> = self.changes.try_iter().flatten().collect();
        for change in &changes {
            match change {
                Change::Content { handle, open } => {
                    self.attributes.remove(handle);
                    if !open {
                        self.pages.remove(handle);
                        self.listings.remove(handle);
                    }
                }
                Change::Entry { parent, name, .. } => {
                    self.names.remove(&(*parent, name.clone()));
                    *self.told.entry(*parent).or_default() += 1;
                }
                // For those who watch: nothing that is kept depends on it.
                Change::Event(_) => {}
                // A kernel may keep what it is asked to give back.
                Change::Unneeded { .. } => {}
                Change::Barrier(_) => {}
            }
        }
        changes
    }

    pub fn version(&self, directory: Handle) -> Version {
        let told = self.told.get(&directory).copied().unwrap_or_default();
        (self.modified.get(&directory).copied(), told)
    }

    pub fn pin(&mut self, handle: Handle) {
        *self.pins.entry(handle).or_default() += 1;
    }

    pub fn unpin(&mut self, handle: Handle) {
        if let Some(pins) = self.pins.get_mut(&handle) {
            *pins -= 1;
            if *pins == 0 {
                self.pins.remove(&handle);
            }
        }
    }

    /// Takes a reference.
    pub fn refer(&mut self, handle: Handle, id: &Id) {
        self.references.entry(handle).or_insert_with(|| (0, id.clone())).0 += 1;
    }

    /// Drops all that is kept of a handle that nothing uses, and gives its references back. A
    /// directory stays while names in it are kept.
    pub fn forget(&mut self, handle: Handle) -> Option<u64> {
        let used = self.pins.contains_key(&handle)
            || self.opens.get(&handle).is_some_and(|opens| *opens > 0)
            || self.names.keys().any(|(parent, _)| *parent == handle);
        if used {
            return None;
        }
        let (count, _) = self.references.remove(&handle)?;
        self.names.retain(|_, bound| bound.as_ref().is_none_or(|(to, _)| *to != handle));
        self.led_to.retain(|_, to| *to != handle);
        self.attributes.remove(&handle);
        self.pages.remove(&handle);
        self.listings.remove(&handle);
        self.modified.remove(&handle);
        self.sizes.remove(&handle);
        Some(count)
    }
}
