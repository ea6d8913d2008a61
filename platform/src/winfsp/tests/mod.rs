//! The volume over the in-memory reference, driven as WinFsp drives it.
//!
//! The suite of [`crate::conformance`] makes system calls on a mounted path. There is no such path
//! here; so its promises are asked for through a stand-in for WinFsp's dispatcher, one test for each
//! check of the suite that has a meaning on Windows, with the same sentence for a name
//! (`conformance.rs`). The standard tree is the same.

mod changes;
mod conformance;
mod dispatcher;
mod names;
