//! omnifs mounts remote services as ordinary files.
//!
//! ARCHITECTURE.md is the map. The platform-neutral core is here: [`provider`] says what a provider
//! is, `wasm` runs one in a sandbox, `capability` carries its requests out, `events` tells the
//! core what changed.

pub mod capability;
pub mod credentials;
pub mod events;
pub mod provider;
