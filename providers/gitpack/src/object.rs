//! What objects hold. Text is bytes here: git asks for no encoding.

use crate::{Error, Format, Oid, Result};

/// An entry of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    pub mode: Mode,
    /// Whatever the tree says: it may hold a slash.
    pub name: &'a [u8],
    pub id: Oid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Tree,
    File,
    Executable,
    Symlink,
    /// A commit of another repository.
    Submodule,
}

impl Mode {
    /// As git reads modes: by the type, and of a file by the owner's execute bit.
    fn of(octal: u32) -> Option<Self> {
        Some(match octal & 0o170_000 {
            0o040_000 => Mode::Tree,
            0o100_000 if octal & 0o100 != 0 => Mode::Executable,
            0o100_000 => Mode::File,
            0o120_000 => Mode::Symlink,
            0o160_000 => Mode::Submodule,
            _ => return None,
        })
    }
}

/// The entries of a tree, in its order. Ends with the first error.
pub fn tree(format: Format, content: &[u8]) -> impl Iterator<Item = Result<TreeEntry<'_>>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = tree_entry(format, &mut rest);
        if entry.is_none() {
            rest = &[];
        }
        Some(entry.ok_or(Error::Damaged("a tree that cannot be read")))
    })
}

fn tree_entry<'a>(format: Format, rest: &mut &'a [u8]) -> Option<TreeEntry<'a>> {
    let (mode, after) = until(rest, b' ')?;
    let (name, after) = until(after, 0)?;
    let (id, after) = after.split_at_checked(format.length())?;
    let digit = |mode: u32, byte: &u8| Some(mode << 3 | char::from(*byte).to_digit(8)?);
    let octal = (1..=6).contains(&mode.len()).then(|| mode.iter().try_fold(0, digit))??;
    *rest = after;
    Some(TreeEntry { mode: Mode::of(octal)?, name, id: Oid::from_bytes(format, id)? })
}

/// What stands before the first `end`, and what after it.
fn until(bytes: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == end)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub tree: Oid,
    pub parents: Vec<Oid>,
    pub author: Person,
    pub committer: Person,
    pub message: Vec<u8>,
}

impl Commit {
    pub fn read(content: &[u8]) -> Result<Self> {
        let unreadable = || Error::Damaged("a commit that cannot be read");
        let (headers, message) = split(content);
        let tree = headers.first().filter(|(key, _)| key == b"tree").and_then(|(_, id)| oid(id));
        let parents = headers.iter().filter(|(key, _)| key == b"parent");
        let person = |who: &[u8]| {
            let found = headers.iter().find(|(key, _)| *key == who);
            found.map(|(_, line)| Person::read(line)).unwrap_or_default()
        };
        Ok(Commit {
            tree: tree.ok_or_else(unreadable)?,
            parents: parents
                .map(|(_, id)| oid(id))
                .collect::<Option<_>>()
                .ok_or_else(unreadable)?,
            author: person(b"author"),
            committer: person(b"committer"),
            message: message.to_vec(),
        })
    }
}

/// An annotated tag: what it is of, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub object: Oid,
    pub message: Vec<u8>,
}

impl Tag {
    pub fn read(content: &[u8]) -> Result<Self> {
        let (headers, message) = split(content);
        let object =
            headers.first().filter(|(key, _)| key == b"object").and_then(|(_, id)| oid(id));
        let object = object.ok_or(Error::Damaged("a tag that cannot be read"))?;
        Ok(Tag { object, message: message.to_vec() })
    }
}

/// Who did something, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// `NAME <ADDRESS>`.
    pub name: Vec<u8>,
    /// Seconds since the Unix epoch.
    pub time: i64,
    /// East of Greenwich.
    pub zone_minutes: i32,
}

impl Person {
    /// What cannot be read of the time is zero.
    fn read(line: &[u8]) -> Self {
        let end = line.iter().rposition(|byte| *byte == b'>').map_or(line.len(), |at| at + 1);
        let (name, when) = line.split_at(end);
        let when = String::from_utf8_lossy(when);
        let mut words = when.split_ascii_whitespace();
        let time = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let zone: i32 = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let zone_minutes =
            if zone.unsigned_abs() < 10_000 { zone / 100 * 60 + zone % 100 } else { 0 };
        Person { name: name.to_vec(), time, zone_minutes }
    }
}

fn oid(text: &[u8]) -> Option<Oid> {
    str::from_utf8(text).ok()?.parse().ok()
}

type Headers<'a> = Vec<(&'a [u8], &'a [u8])>;

/// The headers and the text of a commit or tag. Lines that go on with a header begin with a space, and are
/// left out.
fn split(content: &[u8]) -> (Headers<'_>, &[u8]) {
    let (mut headers, mut rest) = (Vec::new(), content);
    while !rest.is_empty() {
        let (line, after) = until(rest, b'\n').unwrap_or((rest, &[]));
        rest = after;
        if line.is_empty() {
            break;
        }
        if let Some(header) = until(line, b' ').filter(|(key, _)| !key.is_empty()) {
            headers.push(header);
        }
    }
    (headers, rest)
}
