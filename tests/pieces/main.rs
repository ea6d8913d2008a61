//! Contents that a node says where they are: read in pieces, through the Vfs trait and through mounts.

mod core;
#[cfg(target_os = "linux")]
mod mount;
mod store;
