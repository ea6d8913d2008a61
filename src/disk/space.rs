//! Whose answers they are.

use crate::nodes::InstanceId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;

/// An instance with its component, its settings, its endpoints and its credentials: where one of them is another,
/// nothing of what was kept is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceId(pub [u8; 16]);

impl SpaceId {
    /// By all that makes the answers, and a key that is on no other disk.
    pub fn of(key: &[u8; 32], parts: &[&[u8]]) -> SpaceId {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length does");
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        let digest = mac.finalize().into_bytes();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        SpaceId(first)
    }
}

/// What is known of an instance's credentials at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// They are those with which it began.
    pub is_same: bool,
    /// The service has answered a request with them in this process.
    pub is_admitted: bool,
    /// Answers of which the service has said that they are not to be stored.
    pub forbidden: u64,
}

/// Where the answers of an instance are.
pub struct Space {
    pub id: SpaceId,
    pub name: Arc<str>,
    pub instance: InstanceId,
    /// Its feeds' cursors are kept.
    pub vouched: bool,
    /// What was kept of the instance as another one is forgotten at once, and not when its room is needed.
    pub replaces: bool,
    pub owner: Box<dyn Fn() -> Owner + Send + Sync>,
}

impl Space {
    pub(super) fn is_same(&self) -> bool {
        (self.owner)().is_same
    }

    /// A credential that was taken back opens nothing, also of what never changes: the service says first that it
    /// still holds.
    pub(super) fn is_believed(&self) -> bool {
        let owner = (self.owner)();
        owner.is_same && owner.is_admitted
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("name", &self.name).finish_non_exhaustive()
    }
}
