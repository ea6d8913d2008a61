//! Packs: many objects in one stream, some as deltas against others.

use crate::{Error, Format, Kind, Oid, Result, delta};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use std::collections::HashMap;

/// What reading a pack may take. The pack itself is the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Objects in the pack. Each takes some 100 bytes.
    pub objects: usize,
    /// Bytes of one object, or of one delta. Twice as much and `bases` is the most that is held.
    pub object: usize,
    /// Bytes of objects that are held because others are made of them. What exceeds it is made again.
    pub bases: usize,
    /// Bytes that are made in all: inflated, or by deltas.
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { objects: 300_000, object: 48 << 20, bases: 32 << 20, work: 2 << 30 }
    }
}

enum Base {
    None(Kind),
    Entry(usize),
    Named(Oid),
}

struct Entry {
    /// Where the entry begins, and where what is compressed of it.
    start: usize,
    content: usize,
    size: usize,
    base: Base,
    /// `NONE`, or the last of those that are deltas against this one by its place, and the one before it.
    child: u32,
    sibling: u32,
    id: Option<Oid>,
}

const NONE: u32 = u32::MAX;

/// Hands `each` every object of `pack`, in an order of its own: those that are whole first. Ends with the first
/// error, also one of `each`. A delta against an object that is not in the pack is an error.
pub fn read<E: From<Error>>(
    pack: &[u8],
    format: Format,
    limits: &Limits,
    mut each: impl FnMut(Oid, Kind, &[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut reader = Reader::of(pack, format, limits)?;
    reader.whole(&mut each)?;
    reader.deltas(&mut each)
}

struct Reader<'a> {
    /// Without the checksum at its end.
    pack: &'a [u8],
    format: Format,
    limits: &'a Limits,
    count: usize,
    entries: Vec<Entry>,
    /// Deltas by the ids of their bases.
    named: HashMap<Oid, Vec<usize>>,
    inflate: Box<DecompressorOxide>,
    /// What was inflated last. Never shrinks, so that nothing is zeroed twice.
    scratch: Vec<u8>,
    work: u64,
}

/// An object of which others are still to be made.
struct Held {
    entry: usize,
    /// `None` where there was no room for it.
    content: Option<Vec<u8>>,
    left: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn of(pack: &'a [u8], format: Format, limits: &'a Limits) -> Result<Self> {
        const SHORT: Error = Error::Damaged("the pack is too short");
        let (body, sum) =
            pack.split_at_checked(pack.len().wrapping_sub(format.length())).ok_or(SHORT)?;
        let header = body.get(..12).ok_or(SHORT)?;
        let number = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_be_bytes(bytes)
        };
        if &header[..4] != b"PACK" || !(2..=3).contains(&number(4)) {
            return Err(Error::Damaged("no pack of a known version"));
        }
        if format.hash(&[body]).is_none_or(|hash| hash.as_bytes() != sum) {
            return Err(Error::Damaged("the pack's checksum is another"));
        }
        let count = number(8) as usize;
        if count > limits.objects {
            return Err(Error::TooLarge("the number of objects in a pack"));
        }
        let (entries, named) = (Vec::new(), HashMap::new());
        let (inflate, scratch) = (Box::default(), Vec::new());
        Ok(Reader { pack: body, format, limits, count, entries, named, inflate, scratch, work: 0 })
    }

    /// Finds all entries, and hands over those that are no deltas.
    fn whole<E: From<Error>>(
        &mut self,
        each: &mut impl FnMut(Oid, Kind, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut at = 12;
        for index in 0..self.count {
            let mut entry = self.header(at)?;
            at = entry.content + self.inflate(entry.content, entry.size)?;
            match entry.base {
                Base::None(kind) => {
                    let content = &self.scratch[..entry.size];
                    let id = self.format.id(kind, content).ok_or(COLLISION)?;
                    entry.id = Some(id);
                    each(id, kind, content)?;
                }
                Base::Entry(base) => {
                    // There are fewer than `Limits::objects`, which is far below.
                    entry.sibling = std::mem::replace(&mut self.entries[base].child, index as u32);
                }
                Base::Named(id) => self.named.entry(id).or_default().push(index),
            }
            self.entries.push(entry);
        }
        if at == self.pack.len() {
            Ok(())
        } else {
            Err(Error::Damaged("bytes after the last object").into())
        }
    }

    fn header(&self, start: usize) -> Result<Entry> {
        const SHORT: Error = Error::Damaged("the pack ends within an object");
        let mut at = start;
        let mut byte = || {
            at += 1;
            self.pack.get(at - 1).copied().ok_or(SHORT)
        };
        let mut now = byte()?;
        let kind = now >> 4 & 7;
        let (mut size, mut shift) = (u64::from(now & 0xf), 4);
        while now & 0x80 != 0 {
            now = byte()?;
            if shift > 53 {
                return Err(Error::TooLarge("an object"));
            }
            size |= u64::from(now & 0x7f) << shift;
            shift += 7;
        }
        let base = match kind {
            1 => Base::None(Kind::Commit),
            2 => Base::None(Kind::Tree),
            3 => Base::None(Kind::Blob),
            4 => Base::None(Kind::Tag),
            6 => {
                now = byte()?;
                let mut back = usize::from(now & 0x7f);
                while now & 0x80 != 0 {
                    now = byte()?;
                    if back > usize::MAX >> 8 {
                        return Err(Error::Damaged("a delta's base lies before the pack"));
                    }
                    back = (back + 1) << 7 | usize::from(now & 0x7f);
                }
                let place = start.checked_sub(back);
                let found = place
                    .and_then(|place| self.entries.binary_search_by_key(&place, |e| e.start).ok());
                Base::Entry(found.ok_or(Error::Damaged("a delta's base is no object"))?)
            }
            7 => {
                let length = self.format.length();
                let id = self.pack.get(at..at + length).ok_or(SHORT)?;
                at += length;
                Base::Named(Oid::from_bytes(self.format, id).ok_or(SHORT)?)
            }
            _ => return Err(Error::Damaged("an object of no known kind")),
        };
        let size = usize::try_from(size).ok().filter(|size| *size <= self.limits.object);
        let size = size.ok_or(Error::TooLarge("an object"))?;
        Ok(Entry { start, content: at, size, base, child: NONE, sibling: NONE, id: None })
    }

    /// Inflates to `scratch` what begins at `at`, and answers how many bytes of the pack that were.
    fn inflate(&mut self, at: usize, size: usize) -> Result<usize> {
        self.spend(size)?;
        // One more shows a stream that is longer than it should be.
        if self.scratch.len() <= size {
            self.scratch.resize(size + 1, 0);
        }
        self.inflate.init();
        let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | inflate_flags::TINFL_FLAG_COMPUTE_ADLER32;
        let out = &mut self.scratch[..=size];
        let (status, taken, made) = decompress(&mut self.inflate, &self.pack[at..], out, 0, flags);
        match status {
            TINFLStatus::Done if made == size => Ok(taken),
            _ => Err(Error::Damaged("an object that does not inflate to its size")),
        }
    }

    /// Empty objects are work too.
    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.work += 64 + bytes as u64;
        if self.work > self.limits.work {
            Err(Error::TooLarge("all objects of a pack"))
        } else {
            Ok(())
        }
    }

    /// Hands over the deltas, each as the object that it makes: from each base on to those that are made of it.
    fn deltas<E: From<Error>>(
        &mut self,
        each: &mut impl FnMut(Oid, Kind, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut left =
            self.entries.iter().filter(|entry| !matches!(entry.base, Base::None(_))).count();
        for root in 0..self.entries.len() {
            let Base::None(kind) = self.entries[root].base else { continue };
            let mut path = Vec::new();
            self.descend(&mut path, root, None)?;
            while let Some(held) = path.last_mut() {
                let base = held.entry;
                let Some(entry) = held.left.pop() else {
                    path.pop();
                    continue;
                };
                let last = held.left.is_empty();
                let content = match held.content.take() {
                    Some(content) => content,
                    None => self.make(base)?,
                };
                let made = self.made_of(&content, entry)?;
                if last {
                    // Nothing else is made of it.
                    drop(content);
                    path.pop();
                } else if let Some(held) = path.last_mut() {
                    held.content = Some(content);
                }
                let id = self.format.id(kind, &made).ok_or(COLLISION)?;
                self.entries[entry].id = Some(id);
                self.entries[entry].base = Base::Entry(base);
                each(id, kind, &made)?;
                left -= 1;
                self.descend(&mut path, entry, Some(made))?;
            }
        }
        if left == 0 {
            Ok(())
        } else {
            Err(Error::Damaged("a delta's base is not in the pack").into())
        }
    }

    /// Holds `entry` while others are made of it, where there are any.
    fn descend(
        &mut self,
        path: &mut Vec<Held>,
        entry: usize,
        content: Option<Vec<u8>>,
    ) -> Result<()> {
        let id = self.entries[entry].id;
        let mut left = id.and_then(|id| self.named.remove(&id)).unwrap_or_default();
        let mut child = self.entries[entry].child;
        while child != NONE {
            left.push(child as usize);
            child = self.entries[child as usize].sibling;
        }
        if left.is_empty() {
            return Ok(());
        }
        path.push(Held { entry, content, left });
        self.spend(path.len())?;
        let bytes = |held: &Held| held.content.as_ref().map_or(0, Vec::len);
        let mut all: usize = path.iter().map(bytes).sum();
        for held in path.iter_mut() {
            if all <= self.limits.bases {
                break;
            }
            all -= bytes(held);
            held.content = None;
        }
        Ok(())
    }

    /// The object of an entry whose bases are known, from its root on.
    fn make(&mut self, entry: usize) -> Result<Vec<u8>> {
        let mut chain = vec![entry];
        while let Base::Entry(base) = self.entries[chain[chain.len() - 1]].base {
            chain.push(base);
        }
        // A chain has a root, which is no delta.
        let root = &self.entries[chain.pop().unwrap_or(entry)];
        let (at, size) = (root.content, root.size);
        self.inflate(at, size)?;
        let mut content = self.scratch[..size].to_vec();
        while let Some(next) = chain.pop() {
            content = self.made_of(&content, next)?;
        }
        Ok(content)
    }

    fn made_of(&mut self, base: &[u8], entry: usize) -> Result<Vec<u8>> {
        let Entry { content, size, .. } = self.entries[entry];
        self.inflate(content, size)?;
        let made = delta::apply(base, &self.scratch[..size], self.limits.object)?;
        self.spend(made.len())?;
        Ok(made)
    }
}

const COLLISION: Error = Error::Damaged("an object that was made to collide with another");
