//! A fleet on a real NATS server: relays that hear of what changes, mounts that are told, and what neither a
//! crash nor a forger makes of it.

#![cfg(target_os = "linux")]
// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used)]

mod cores;
mod fifty;
mod forged;
mod listeners;
mod mounts;
mod sharing;
mod world;
