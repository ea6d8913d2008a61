//! The files in archives (tar, plain or with gzip, and zip), read within bounds.
//!
//! An archive is of a stranger. What it unpacks to is counted and never more than [`UNPACKED`] bytes; a path that is
//! absolute, leads out of the archive or is no text names nothing, and neither does a device. A link is what it says,
//! and is not followed here.

mod files;
mod members;
mod zip;

pub use files::{contents, list, read};
pub use members::{
    Kind, Member, Members, Unpacked, above, clean, each, each_member, insert, members, split,
};

/// Bytes of an archive as it is stored.
pub const PACKED: u64 = 32 << 20;
/// The same unpacked.
pub const UNPACKED: u64 = 96 << 20;
/// Files and directories of an archive.
pub const MOST: usize = 50_000;
/// Bytes of a path, which is a part of an id, and of an id.
const LONGEST: usize = 1024;

/// An archive, and how many directories at its top are not shown.
#[derive(Clone, Copy, Debug)]
pub struct Archive<'a> {
    pub packed: &'a [u8],
    pub below: usize,
}

#[cfg(test)]
mod tests;
