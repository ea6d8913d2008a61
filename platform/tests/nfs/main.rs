//! The NFS back end over the in-memory file system: by a client that says exactly what a test wants
//! said, by libnfs, and by a Linux kernel in a virtual machine. Tests that cannot run here say so on
//! standard error.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
mod capture;
mod client;
mod fixture;
mod fuzz;
#[cfg(target_os = "linux")]
mod guest;
#[cfg(target_os = "linux")]
mod libnfs;
mod procedures;
mod robustness;
