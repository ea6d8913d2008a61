//! Git's protocol version 2 over smart HTTP, and the packs that it brings, for whoever makes the requests.
//!
//! A request is bytes ([`protocol`]), an answer is bytes that are read here. A pack is read in place: its
//! objects are inflated one at a time and handed to a callback, so beside the pack there are one object
//! and the bases of a delta chain in memory, within [`pack::Limits`].
//!
//! **Invariants:** whatever the bytes are, reading them ends in an error at worst: no panic, no more memory
//! than the limits say, no more work than they say. An object is handed over under the id that its content
//! hashes to, and under no other.
//!
//! Formats: git's Documentation/gitprotocol-v2, gitformat-pack, gitprotocol-common.

mod delta;
mod id;
pub mod object;
pub mod pack;
mod pkt;
pub mod protocol;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

#[cfg(test)]
mod tests;

pub use id::{Format, Kind, Oid};

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The server says no, in its own words.
    Refused(String),
    /// Not of the form that it should be.
    Damaged(&'static str),
    /// More than the limits allow.
    TooLarge(&'static str),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Refused(why) => write!(f, "refused: {why}"),
            Error::Damaged(what) => write!(f, "damaged: {what}"),
            Error::TooLarge(what) => write!(f, "too large: {what}"),
        }
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;
