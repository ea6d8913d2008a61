//! The FUSE back end over the in-memory file system, through real mounts. Tests that cannot run
//! here say so on standard error.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod aliases;
mod changes;
mod conformance;
mod fixture;
mod lifecycle;
mod others;
mod signals;
mod stress;
mod tools;
mod watch;
