//! omnifs mounts remote services as ordinary files.
//!
//! ARCHITECTURE.md is the map. The platform-neutral core is here: [`provider`] says what a provider
//! is, `wasm` runs one in a sandbox, `capability` carries its requests out, `events` tells the
//! core what changed.

pub mod cache;
pub mod events;
pub mod inodes;
pub mod names;
pub mod nodes;
pub mod probes;
pub mod provider;
pub mod router;
pub mod runtime;
pub mod scopes;
pub mod wasm;
