//! The standard tree: every kind of object at every awkward size and name, the same in every
//! process.

pub use crate::memory::BUILT;
use crate::memory::{Memory, New, ROOT};
use crate::{Error, Inode, Result};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

const SEED: u64 = 0x6f6d_6e69_6673;
/// Entries of `wide`.
pub const WIDE: usize = 20_000;
/// Entries of `churn` that stay.
pub const STAYING: usize = 400;
/// Bytes of `files/big`, not a multiple of any page size.
pub const BIG: usize = 5 * 1024 * 1024 + 123;

/// What one path of the standard tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Directory,
    File(Bytes),
    Executable(Bytes),
    Symlink(String),
}

/// The standard tree, by path below the mount point. Left out: the entries of `wide`, `churn` and
/// `failing`, see [`wide_name`], [`staying_name`] and [`failing`].
pub fn standard() -> BTreeMap<String, Expected> {
    let mut random = Random(SEED);
    let mut tree = BTreeMap::new();
    let mut put = |path: String, what| {
        let mut above = path.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            tree.entry(parent.to_owned()).or_insert(Expected::Directory);
            above = parent;
        }
        tree.insert(path, what);
    };
    put("wide".into(), Expected::Directory);
    put("churn".into(), Expected::Directory);
    put("hollow".into(), Expected::Directory);
    put("failing".into(), Expected::Directory);
    let sizes = [0, 1, 511, 512, 4095, 4096, 4097, 65_536, 131_071, 131_073, 1_048_577];
    for size in sizes {
        put(format!("files/size-{size}"), Expected::File(random.bytes(size)));
    }
    put("files/big".into(), Expected::File(random.bytes(BIG)));
    put("files/line".into(), Expected::File("one line\n".into()));
    for index in 0..40 {
        let size = random.below(20_000);
        put(format!("random/{}/{index}", index % 4), Expected::File(random.bytes(size)));
        // Their sizes are told only when asked for.
        let size = random.below(20_000);
        put(format!("lazy/{index}"), Expected::File(random.bytes(size)));
    }
    let script = "#!/bin/sh\necho omnifs \"$1\"\n";
    put("bin/tool".into(), Expected::Executable(script.into()));
    put("links/file".into(), Expected::Symlink("../files/line".into()));
    put("links/directory".into(), Expected::Symlink("../files".into()));
    put("links/dangling".into(), Expected::Symlink("nowhere".into()));
    put("links/long".into(), Expected::Symlink(format!("{}x", "y/".repeat(1500))));
    for name in odd_names() {
        let content = format!("I am {name}\n");
        put(format!("names/{name}"), Expected::File(content.into()));
        put(format!("names of directories/{name}/inside"), Expected::File("in\n".into()));
    }
    put(format!("{}/bottom", deep_path()), Expected::File("deep\n".into()));
    for (place, name) in TWICE {
        put(format!("{place}/{name}/title"), Expected::File("seen twice\n".into()));
        put(format!("{place}/{name}/comments/1"), Expected::File("first\n".into()));
    }
    tree
}

/// One directory object at two places, with files and a directory in it.
pub(crate) const TWICE: [(&str, &str); 2] = [("twice/open", "2853"), ("twice/all", "number 2853")];

pub(crate) fn deep_path() -> String {
    let names: Vec<String> = (0..40).map(|level| format!("level-{level}")).collect();
    format!("deep/{}", names.join("/"))
}

/// Names that some layer is known to mishandle. All are UTF-8 and at most 255 bytes long.
pub(crate) fn odd_names() -> Vec<String> {
    let plain = [
        " ",
        "  two leading spaces",
        "trailing space ",
        "-rf",
        "--",
        "*",
        "?",
        "$HOME",
        "`id`",
        "a\\b",
        "quote'quote\"",
        "semi;colon",
        "a:b",
        "CON",
        "nul.txt",
        ".hidden",
        "...",
        "..a",
        "~",
        "#",
        "%2e%2e",
        "\u{1f980}",
        "na\u{ef}ve",
        "nai\u{308}ve",
        "\u{202e}txt.exe",
        "\u{200b}",
        "\u{5d0}\u{5d1}",
        "\u{4f60}\u{597d}",
        "\u{feff}bom",
        "upper",
        "UPPER",
        "Upper",
    ];
    let long = [
        "n".repeat(255),
        // Four bytes each, then three to make 255.
        format!("{}abc", "\u{1f980}".repeat(63)),
    ];
    plain.into_iter().map(str::to_owned).chain(long).collect()
}

pub fn wide_name(index: usize) -> String {
    format!("entry-{index:05}")
}

pub(crate) fn wide_content(index: usize) -> String {
    format!("{index}\n")
}

/// The entries of `failing`: directories whose listings fail.
pub fn failing() -> impl Iterator<Item = (String, Error)> {
    // An NFS client does not report the one left out: it tries again for as long as that lasts.
    let told = Error::ALL.into_iter().filter(|error| *error != Error::RateLimited);
    told.map(|error| (format!("{error:?}"), error))
}

pub fn staying_name(index: usize) -> String {
    format!("stays-{index:03}")
}

fn passing_name(index: usize) -> String {
    format!("passes-{index:03}")
}

/// Puts the standard tree into an empty [`Memory`].
pub fn plant(memory: &Memory) -> Result<()> {
    let mut made: BTreeMap<String, Inode> = BTreeMap::new();
    let [(open, number), (all, other)] = TWICE;
    for (path, what) in standard() {
        let (parent, name) = match path.rsplit_once('/') {
            Some((parent, name)) => (made.get(parent).copied(), name),
            None => (Some(ROOT), path.as_str()),
        };
        // Below the second place of a directory that is already there.
        let Some(parent) = parent else { continue };
        if path.starts_with(open) && name == number {
            // Sorted, `all` comes first.
            if let Some(&object) = made.get(&format!("{all}/{other}")) {
                memory.link(parent, name, object)?;
            }
            continue;
        }
        let lazy = path.starts_with("lazy/");
        let new = match what {
            Expected::Directory => New::Directory,
            Expected::File(content) => New::File(content),
            Expected::Executable(content) => New::Executable(content),
            Expected::Symlink(target) => New::Symlink(target),
        };
        let inode = memory.add(parent, name, new)?;
        if lazy {
            memory.hide_size(inode)?;
        }
        made.insert(path, inode);
    }
    let parent = memory.find("failing")?;
    for (name, error) in failing() {
        let directory = memory.add(parent, &name, New::Directory)?;
        memory.set_listing_error(directory, Some(error))?;
    }
    let wide = memory.find("wide")?;
    for index in 0..WIDE {
        memory.add(wide, &wide_name(index), New::file(wide_content(index)))?;
    }
    let churn = memory.find("churn")?;
    for index in 0..STAYING {
        memory.add(churn, &passing_name(index), New::file("passes\n"))?;
        memory.add(churn, &staying_name(index), New::file("stays\n"))?;
    }
    Ok(())
}

/// Adds and removes entries of `churn` beside those that stay, until it is dropped.
#[derive(Debug)]
pub struct Churn {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Churn {
    /// Starts on a [`Memory`] that holds the standard tree.
    pub fn start(memory: Arc<Memory>) -> Result<Churn> {
        let churn = memory.find("churn")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let turn = move || {
            let mut random = Random(SEED);
            while !stopped.load(Ordering::Relaxed) {
                let name = passing_name(random.below(STAYING));
                // Whichever of the two is possible; the other is refused.
                if memory.remove(churn, &name).is_err() {
                    let _ = memory.add(churn, &name, New::file("passes\n"));
                }
                thread::yield_now();
            }
        };
        Ok(Churn { stop, thread: Some(thread::spawn(turn)) })
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported on standard error already.
            let _ = thread.join();
        }
    }
}

/// splitmix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Bytes {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.flatten().take(length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_tree_is_the_same_each_time_and_can_be_planted() {
        assert_eq!(standard(), standard());
        let memory = Memory::new();
        plant(&memory).unwrap();
        for path in standard().keys() {
            memory.find(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let twice = TWICE.map(|(place, name)| memory.find(&format!("{place}/{name}")).unwrap());
        assert_eq!(twice[0], twice[1]);
        assert!(odd_names().iter().all(|name| name.len() <= 255));
    }
}
