//! What is open, by its number and by its handle.

use super::Open;
use omnifs_platform::{Handle, OpenId};
use std::collections::{BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(super) struct Opens {
    by_id: HashMap<OpenId, Open>,
    by_handle: BTreeSet<(Handle, OpenId)>,
}

impl Opens {
    pub fn insert(&mut self, id: OpenId, open: Open) {
        self.by_handle.insert((open.handle(), id));
        self.by_id.insert(id, open);
    }

    pub fn remove(&mut self, id: &OpenId) -> Option<Open> {
        let open = self.by_id.remove(id)?;
        self.by_handle.remove(&(open.handle(), *id));
        Some(open)
    }

    pub fn get(&self, id: &OpenId) -> Option<&Open> {
        self.by_id.get(id)
    }

    /// It stays with its handle.
    pub fn get_mut(&mut self, id: &OpenId) -> Option<&mut Open> {
        self.by_id.get_mut(id)
    }

    pub fn values(&self) -> impl Iterator<Item = &Open> {
        self.by_id.values()
    }

    fn ids_of(&self, handle: Handle) -> impl Iterator<Item = OpenId> {
        let all = (handle, OpenId(0))..=(handle, OpenId(u64::MAX));
        self.by_handle.range(all).map(|(_, id)| *id)
    }

    /// What is open by this handle, the oldest first.
    pub fn of(&self, handle: Handle) -> impl Iterator<Item = &Open> {
        self.ids_of(handle).filter_map(|id| self.by_id.get(&id))
    }

    pub fn for_each_of(&mut self, handle: Handle, mut act: impl FnMut(&mut Open)) {
        for id in self.ids_of(handle).collect::<Vec<_>>() {
            if let Some(open) = self.by_id.get_mut(&id) {
                act(open);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }
}
