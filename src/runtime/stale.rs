//! `--stale-if-error`: what may be served although nothing vouches for it, where the service cannot
//! be reached.
//!
//! Invariant: only what is suspect for want of a feed is served so. An event is believed: what it
//! named is never shown again, reachable or not. A service that answers is believed too, so "denied",
//! "not found" and "too many requests" are passed on.

use super::memory::Found;
use super::resolve::Miss;
use super::{Runtime, State};
use crate::cache::{Listing, Memo, Operation, Query};
use crate::nodes::Node;
use omnifs_platform::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Runtime {
    /// Serves suspect content where a service cannot be reached. Off at first.
    pub fn set_stale_if_error(&self, on: bool) {
        self.stale_if_error.store(on, Ordering::Relaxed);
    }

    fn may_be_stale(&self, error: Error) -> bool {
        let unreachable = matches!(error, Error::Unavailable | Error::TimedOut);
        unreachable && self.stale_if_error.load(Ordering::Relaxed)
    }

    fn served_stale<T>(&self, served: T) -> T {
        self.stale_served.fetch_add(1, Ordering::Relaxed);
        served
    }

    /// What was last known of a name, in place of the error.
    pub(super) fn stale_child(
        &self,
        directory: &Node,
        name: &str,
        error: Error,
    ) -> std::result::Result<Found, Miss> {
        if !self.may_be_stale(error) {
            return Err(Miss::Failed(error));
        }
        match self.state().last_known(directory, name) {
            Some(known) => self.served_stale(known),
            None => Err(Miss::Failed(error)),
        }
    }

    /// The last listing of a directory, in place of the error.
    pub(super) fn stale_listing(
        &self,
        directory: &Node,
        error: Error,
    ) -> Result<Arc<Listing>, Error> {
        if !self.may_be_stale(error) || !directory.is_valid() {
            return Err(error);
        }
        let mut state = self.state();
        let removal = state.removal;
        let last = state.cache.listing(directory).filter(|listing| listing.is_whole(removal));
        drop(state);
        last.map(|listing| self.served_stale(listing)).ok_or(error)
    }

    /// The node that a handle shows, in place of the error.
    pub(super) fn stale_node(&self, node: &Arc<Node>, error: Error) -> Result<Arc<Node>, Error> {
        if self.may_be_stale(error) && node.is_valid() {
            return Ok(self.served_stale(node.clone()));
        }
        Err(error)
    }
}

impl State {
    /// What memory holds of a name that no event has named since, however old.
    fn last_known(
        &mut self,
        directory: &Node,
        name: &str,
    ) -> Option<std::result::Result<Found, Miss>> {
        if !directory.is_valid() {
            return None;
        }
        // Events on the entries of a directory drop these, so what is here was not named.
        let lookup = Query::new(directory, Operation::Lookup(name.into()));
        let known = match self.cache.get(&lookup) {
            Some(Memo::Child { node, binding }) => Some((node.clone(), binding.stamp)),
            Some(Memo::Absent(_)) => return Some(Err(Miss::Absent { stamp: None })),
            _ => {
                let listing = self.cache.listing(directory)?;
                match listing.get(name) {
                    Some(entry) => Some((entry.node.clone(), listing.stamp)),
                    None if listing.complete => return Some(Err(Miss::Absent { stamp: None })),
                    None => None,
                }
            }
        };
        let (node, stamp) = known.filter(|(node, _)| node.is_valid())?;
        // It stands for an answer: what is asked of it next is not asked once more.
        Some(Ok(Found { node, stamp, asked: true }))
    }
}
