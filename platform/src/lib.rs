//! The file system that omnifs presents, as one trait, and the back ends that show it to an
//! operating system.
//!
//! The core implements [`Vfs`]; a back end (FUSE, NFSv3, WinFsp) translates kernel or client
//! requests into its calls and its [`Change`]s into notifications. Neither side sees the other's
//! types: this crate knows no provider, no wasm, no HTTP and no JSON.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(unix)]
pub mod conformance;
/// The suite makes Unix's system calls; its tree serves other systems too.
#[cfg(not(unix))]
pub mod conformance {
    pub mod tree;
}
pub mod child;
mod error;
#[cfg(target_os = "linux")]
pub mod fuse;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::nfs::fuzzing::*;
}
pub mod memory;
pub mod mounting;
pub mod native;
pub mod nfs;
pub mod owner;
pub mod shell;
mod types;
pub mod winfsp;

pub use error::{Error, HandleError, Result};
pub use types::{
    Attr, Barrier, Change, DirEntry, DirPage, Entry, Event, Fate, Handle, Inode, Kind, OpenFile,
    OpenId, Opened, Statfs,
};

use bytes::Bytes;
use std::collections::HashSet;
use std::future::Future;
use std::sync::mpsc::Receiver;

/// A read-only file system whose content changes underneath its users.
///
/// **References.** Every [`Entry`] that a call returns carries one reference to its handle. The
/// caller gives references back with [`Vfs::forget`], also for entries it could not deliver. A
/// handle with a reference stays valid: calls on it answer [`Error::Stale`] once its object is
/// gone, never another object.
///
/// **Futures.** A future that can answer from memory is ready at its first poll; a back end may
/// poll it once on its own event-loop thread and move it to a runtime only when it is pending.
/// Every future ends within the deadlines of the implementation.
///
/// **Freshness.** [`Attr::cacheable`] and [`Entry::cacheable`] say whether the answer may be kept
/// until a [`Change`] names it. What is not cacheable is asked again at its next use.
pub trait Vfs: Send + Sync + 'static {
    /// The root directory's handle. It needs no reference.
    fn root(&self) -> Handle;

    /// The entry `name` of the directory `parent`. `Ok(None)`: there is no such name, and that may
    /// be kept until a [`Change::Entry`] names it. [`Error::NotFound`]: there is none now, and the
    /// next use asks again.
    fn lookup(
        &self,
        parent: Handle,
        name: &str,
    ) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Attributes with an exact size.
    fn getattr(&self, handle: Handle) -> impl Future<Output = Result<Attr>> + Send;

    /// The target of a symbolic link, not NUL-terminated.
    fn readlink(&self, handle: Handle) -> impl Future<Output = Result<Bytes>> + Send;

    /// Opens a regular file: its content as of now stays readable until [`Vfs::release`].
    fn open(&self, handle: Handle) -> impl Future<Output = Result<OpenFile>> + Send;

    /// Up to `size` bytes at `offset`; fewer only at the end of the file.
    fn read(
        &self,
        open: OpenId,
        offset: u64,
        size: u32,
    ) -> impl Future<Output = Result<Bytes>> + Send;

    /// Opens a directory: its entry set as of now is what [`Vfs::readdir`] walks.
    fn opendir(&self, handle: Handle) -> impl Future<Output = Result<Opened, HandleError>> + Send;

    /// The entries after `cookie` (0: from the start), in the order of their cookies, at most
    /// `limit` of them; an empty page is the end. A name's cookie is the same in every listing of
    /// its directory, so an entry present throughout a walk is seen exactly once, whatever comes
    /// and goes beside it. Cookies stay below 2^62: kernels hold them as signed offsets, and back
    /// ends number `.` and `..`, which are theirs, before them.
    ///
    /// With `plus`, each entry that can be described without a request to a provider carries its
    /// [`Entry`], and with it a reference.
    fn readdir(
        &self,
        open: OpenId,
        cookie: u64,
        limit: usize,
        plus: bool,
    ) -> impl Future<Output = Result<DirPage, HandleError>> + Send;

    /// Ends an open file or directory.
    fn release(&self, open: OpenId);

    /// The directory that holds `handle`; the root's is the root itself.
    fn parent(&self, handle: Handle) -> Result<(Handle, Inode)>;

    /// Gives back `count` references.
    fn forget(&self, handle: Handle, count: u64);

    fn statfs(&self) -> Statfs;

    /// The stream of changes, in batches, from now on. Each call starts a new stream. A change is
    /// sent after the core would answer with the new state, and no lock is held while it waits.
    fn changes(&self) -> Receiver<Vec<Change>>;

    // The rest is for back ends that raise events on their own mount. It answers from memory, at
    // once, and never asks a provider.

    /// Each (directory, name) at which `handle` shows: for a directory one; for a file those of its
    /// object, also where a newer handle shows it now.
    fn places(&self, _handle: Handle) -> Vec<(Handle, String)> {
        Vec::new()
    }

    /// What stands for the content that is opened by this handle, the same in every process that is given the
    /// same secret. `None` where nothing is open and the content is not at hand; a content that may not be gone on with in
    /// another process has one that no other has.
    fn edition(&self, _handle: Handle) -> Option<u64> {
        None
    }

    /// Adds a reference to a handle. False where there is no such handle.
    fn hold(&self, _handle: Handle) -> bool {
        false
    }

    /// What [`Vfs::lookup`] would answer, with a reference, as far as it is known without asking.
    fn recall(&self, _parent: Handle, _name: &str) -> Option<Entry> {
        None
    }

    /// Says that somebody watches these files and directories, by their inode numbers or by those of
    /// their handles. Who watches reads nothing, and wants to hear of changes all the same.
    fn note_watched(&self, numbers: &HashSet<u64>) {
        let _ = numbers;
    }

    /// For a back end whose kernel keeps the size and the pages of a file by its handle, and opens it without
    /// [`Vfs::open`], or opens it only once it is read. From now on a handle has one content: a file
    /// whose content changes leaves its handle to those who may have it open, and one from which something was
    /// read is shown again only where its content is proven.
    fn silence_opens(&self);
}
