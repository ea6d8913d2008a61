//! The bus of a fleet: one relay asks a service what changed, and every mount knows.
//!
//! A relay (`relay`) is fed as a mount is, and appends what it hears to the chain of each scope (`chain`), whose
//! last message the bus keeps. A mount (`follow`) listens, and reads that one message where it may have missed
//! something. What is said of a scope is hints, never content; who may listen to which one is the operator's to say.
//! Where mounts share answers (`answers`), the bus keeps these sealed.
//!
//! **Invariant:** what a mount hears is never more than a reason to ask: a relay that lies costs requests, and
//! one that is silent is lost.

pub mod answers;
pub mod chain;
mod follow;
pub mod keys;
pub mod message;
#[cfg(test)]
mod model;
pub mod names;
pub mod positions;
mod relay;
pub mod server;

pub use follow::Fleet;
pub(super) use follow::{Split, run as follow};
pub use positions::Positions;
pub use relay::{Post, Relay, Station};

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often is said what, and how long is waited for it.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// A relay says that it stands.
    pub beat: Duration,
    /// How long a relay leads that says nothing any more.
    pub lease: Duration,
    /// A mount says which scopes it depends on.
    pub want: Duration,
    /// A mount that hears nothing of a scope polls it by itself.
    pub away: Duration,
    /// How long a read waits for the bus to say what it keeps, where answers are shared.
    pub answer: Duration,
    /// How long a read waits for the answer that another mount has asked for.
    pub fetch: Duration,
}

/// Beyond this a read that waits for another mount would not be answered in time by the service.
const FETCH: Duration = Duration::from_secs(10);

impl Rhythm {
    /// All of it at another pace, by its beat.
    pub fn at(beat: Duration) -> Rhythm {
        Rhythm {
            beat,
            lease: beat * 2,
            want: beat * 6,
            away: beat * 3,
            answer: beat / 10,
            fetch: (beat / 2).min(FETCH),
        }
    }
}

impl Default for Rhythm {
    fn default() -> Rhythm {
        Rhythm::at(Duration::from_secs(5))
    }
}

/// A mount depends on a scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Want {
    scope: String,
    /// It does not hear of it yet.
    new: bool,
}
