//! Loopback twins of GitHub and Linear: servers that answer as the services do, over data that is
//! generated from a seed, with a handle that changes the data and counts requests, and with the feature
//! `faults` makes requests fail.
//!
//! A twin runs on threads of its own, so it serves synchronous tests, asynchronous ones and the
//! demo alike, and `stop` cuts its connections as a crash would.
//!
//! Invariant: what a twin serves is what the service's own description allows. The tests in
//! `tests/descriptions` hold it against GitHub's OpenAPI description and Linear's schema, and what
//! the providers ask as well.

mod clock;
pub mod demo;
#[cfg_attr(not(feature = "faults"), allow(dead_code))]
mod fault;
pub mod github;
mod history;
pub mod linear;
mod requests;
mod rng;
mod server;
mod text;
mod webhook;

pub use clock::Clock;
#[cfg(feature = "faults")]
pub use fault::{Fault, Times};
pub use github::{GithubSetup, GithubTwin};
pub use history::Version;
pub use linear::{LinearSetup, LinearTwin};
pub use requests::{Counts, Request, credential_hash};
pub use text::awkward_titles;
pub use webhook::{Delivery, Outcome, github_signature, linear_signature};

/// Why a change to a twin's data was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwinError {
    #[error("the twin holds no {0}")]
    Missing(String),
    #[error("the twin already holds {0}")]
    Exists(String),
}

pub type Result<T> = std::result::Result<T, TwinError>;
