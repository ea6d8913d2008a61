//! The Windows back end: a [`Vfs`](crate::Vfs) shown as a drive or directory through WinFsp.
//!
//! Two halves. The *pure* one is everything that can be right or wrong: names, attributes, times,
//! security descriptors, NTSTATUS, paging, case, notices, mountpoints and the volume itself
//! ([`Filesystem`]). It has no Windows type in it and is built and tested on every system. The
//! *adapter* implements the `winfsp` crate's FileSystemContext and only calls the pure half. It is
//! built where that crate can be linked: with Microsoft's tools.
//!
//! docs/windows.md says what a user sees of this, and lists what WinFsp's own test programs check.

#[cfg(all(windows, target_env = "msvc"))]
mod adapter;
mod cases;
pub mod changes;
pub mod filesystem;
pub mod info;
mod listing;
pub mod mountpoint;
pub mod names;
mod position;
mod reparse;
pub mod security;
pub mod status;
pub mod volume;

#[cfg(all(windows, target_env = "msvc"))]
pub use adapter::{MountOptions, Mounted, check, mount};
pub use changes::Notice;
pub use filesystem::{Context, Filesystem, Looked, Opened};
pub use info::FileInfo;
pub use mountpoint::{Mountpoint, Refusal};
pub use status::Status;
pub use volume::Volume;

#[cfg(test)]
mod tests;
