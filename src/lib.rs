//! omnifs mounts remote services as ordinary files.
//!
//! ARCHITECTURE.md is the map. The platform-neutral core is here: [`provider`] says what a provider
//! is, `wasm` runs one in a sandbox, `capability` carries its requests out, `events` tells the
//! core what changed. [`config`], [`control`] and [`daemon`] are what the command line stands on;
//! none of them touches a terminal.

pub mod allow;
pub mod approval;
mod backoff;
pub mod cache;
pub mod capability;
pub mod component;
pub mod config;
pub mod control;
pub mod credentials;
pub mod daemon;
pub mod declaration;
pub mod disk;
pub mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod growing;
pub mod guide;
pub mod host;
pub mod inodes;
mod listener;
pub mod logs;
pub mod mcp;
#[doc(hidden)]
pub mod mutants;
pub mod names;
pub mod nearby;
pub mod nodes;
pub mod paths;
pub mod provider;
pub mod remote;
pub mod replaceable;
pub mod router;
pub mod runtime;
pub mod scopes;
mod sharded;
pub mod sharing;
pub mod shipped;
pub mod stops;
#[cfg(target_os = "linux")]
pub mod supervisor;
pub mod trust;
#[cfg(target_os = "linux")]
pub mod volumes;
pub mod wasm;
