//! What a user of a mounted file system may rely on, as one suite for every back end.
//!
//! The suite is generic over *something mounted at a path*: it knows the path and the standard
//! tree ([`tree`]), which is built from a fixed seed. So it also runs in another process than the
//! one that serves the mount, which only has to put [`tree::plant`] into its
//! [`Memory`](crate::memory::Memory). Each check is a function with a sentence for a name and makes
//! ordinary file system calls only.
//!
//! ```no_run
//! for outcome in omnifs_platform::conformance::run("/mnt/standard-tree".as_ref()) {
//!     println!("{outcome}");
//! }
//! ```

mod directories;
mod files;
mod names;
mod refusals;
pub mod tree;

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

/// What one check found.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub name: &'static str,
    /// The reason of a failure, in one or a few lines.
    pub result: Result<(), String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(()) => write!(f, "ok      {}", self.name),
            Err(reason) => write!(f, "FAILED  {}: {reason}", self.name),
        }
    }
}

/// Where the standard tree is mounted.
#[derive(Debug)]
struct Root(PathBuf);

impl Root {
    fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }
}

type Check = Result<(), String>;

macro_rules! checks {
    ($($room:ident::$name:ident),* $(,)?) => {
        const CHECKS: &[(&str, fn(&Root) -> Check)] = &[$((stringify!($name), $room::$name)),*];
    };
}

checks! {
    files::every_size_is_exact,
    files::every_content_and_kind_is_as_built,
    files::a_file_is_read_the_same_in_any_pieces,
    files::a_mapping_holds_the_bytes_and_nothing_after_them,
    files::modes_owners_links_and_times_are_sane,
    files::an_executable_runs,
    files::seeks_find_data_up_to_the_end,
    files::a_file_seen_at_two_places_is_one_inode,
    files::access_agrees_with_what_can_be_done,
    files::extended_attributes_are_answered_at_once,
    files::statfs_tells_a_full_file_system,
    directories::every_directory_lists_exactly_its_names,
    directories::dots_have_the_right_inodes,
    directories::listed_inodes_and_types_agree_with_stat,
    directories::a_wide_directory_lists_each_name_once,
    directories::a_told_position_is_found_again,
    directories::rewinding_lists_all_again,
    directories::a_listing_that_fails_is_never_an_empty_one,
    directories::a_listing_under_change_shows_what_stays_exactly_once,
    directories::a_directory_seen_at_two_places_is_one_inode_with_two_parents,
    directories::sixteen_readers_agree,
    names::odd_names_are_found_listed_and_read,
    names::an_absent_name_is_not_found,
    names::a_file_is_not_a_directory,
    names::a_name_beyond_255_bytes_is_too_long,
    names::symbolic_links_say_and_lead_where_they_point,
    refusals::opening_for_writing_is_refused,
    refusals::making_anything_is_refused,
    refusals::removing_and_renaming_is_refused,
    refusals::changing_attributes_is_refused,
    refusals::nothing_has_changed_after_all_that,
}

/// Runs every check on the standard tree mounted at `root`.
pub fn run(root: &Path) -> Vec<Outcome> {
    let root = Root(root.to_owned());
    let outcome =
        |(name, check): &(&'static str, fn(&Root) -> Check)| Outcome { name, result: check(&root) };
    CHECKS.iter().map(outcome).collect()
}

/// The names of all checks, in the order they run.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// Says which call on which path failed.
trait Explain<T> {
    fn explain(self, call: &str, path: &Path) -> Result<T, String>;
}

impl<T, E: fmt::Display> Explain<T> for Result<T, E> {
    fn explain(self, call: &str, path: &Path) -> Result<T, String> {
        self.map_err(|error| format!("{call} {}: {error}", shorten(path)))
    }
}

/// Long names make unreadable reports.
fn shorten(path: &Path) -> String {
    let whole = path.display().to_string();
    match whole.char_indices().nth(120) {
        Some((at, _)) => format!("{}...", &whole[..at]),
        None => whole,
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn same<T: PartialEq + fmt::Debug>(what: &str, path: &Path, found: T, expected: T) -> Check {
    ensure(found == expected, || {
        format!("{what} of {}: found {found:?}, expected {expected:?}", shorten(path))
    })
}

/// The call must fail with exactly this error number.
fn fails<T, E: Into<io::Error>>(
    call: &str,
    path: &Path,
    result: Result<T, E>,
    errno: i32,
) -> Check {
    let expected = io::Error::from_raw_os_error(errno);
    match result.map_err(Into::into) {
        Ok(_) => Err(format!("{call} {} succeeded, expected: {expected}", shorten(path))),
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        Err(error) => Err(format!("{call} {}: {error}, expected: {expected}", shorten(path))),
    }
}

/// The whole of an open file as a shared read-only mapping, copied out. Also says what stands
/// between its end and the end of its last page.
fn map_shared(fd: RawFd, length: usize) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let page = rustix::param::page_size();
    let tail = length.next_multiple_of(page) - length;
    // SAFETY: a new mapping at an address of the kernel's choice; its result is checked.
    let at = unsafe {
        libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, 0)
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `length` bytes are mapped, and a mapping reaches to the end of its last page. Nothing
    // in this process writes them.
    let all = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), length + tail) };
    let parts = (all[..length].to_vec(), all[length..].to_vec());
    // SAFETY: it was mapped above with this length, and `all` is not used any more.
    unsafe { libc::munmap(at, length) };
    Ok(parts)
}
