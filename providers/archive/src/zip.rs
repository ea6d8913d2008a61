//! Zip archives (APPNOTE.TXT 6.3.10), by the directory at their end. What that says of an entry counts; nothing of
//! zip64, which no archive within these bounds needs, and no encryption.

use crate::members::{below, clean, unnamed};
use crate::{Archive, Kind, MOST, Member};
use flate2::read::DeflateDecoder;
use omnifs_sdk::{Error, Result};
use std::io::{self, Read};

/// Bytes of the end of the directory, and of the comment that may follow it.
const END: usize = 22;
const COMMENT: usize = 0xffff;
const ENTRY: usize = 46;
const LOCAL: usize = 30;

pub fn is_one(packed: &[u8]) -> bool {
    packed.starts_with(b"PK\x03\x04") || packed.starts_with(b"PK\x05\x06")
}

/// Calls `each` with all that the archive holds and a reader of the content. What that unpacks is taken from `left`.
pub fn each(
    archive: Archive<'_>,
    left: &mut u64,
    mut each: impl FnMut(&str, Member, &mut dyn Read) -> io::Result<()>,
) -> Result<()> {
    let cut = || Error::Invalid("an archive cannot be read: it is cut or no zip".to_owned());
    let packed = archive.packed;
    let (count, mut at) = directory(packed).ok_or_else(cut)?;
    if count > MOST {
        return Err(Error::TooLarge);
    }
    for _ in 0..count {
        let entry = Entry::at(packed, at).ok_or_else(cut)?;
        at = entry.next;
        let Some(path) = clean(entry.name).and_then(|path| below(path, archive.below)) else {
            unnamed(entry.name);
            continue;
        };
        let stored = entry.stored(packed).ok_or_else(cut)?;
        let unpacked: Box<dyn Read + '_> = match entry.method {
            0 => Box::new(stored),
            8 => Box::new(DeflateDecoder::new(stored)),
            other => {
                let why = format!("an archive cannot be read: it is packed by method {other}");
                return Err(Error::Invalid(why));
            }
        };
        let mut reader = unpacked.take(*left);
        let read = each(path, entry.member(), &mut reader);
        *left = reader.limit();
        match read {
            _ if *left == 0 => return Err(Error::TooLarge),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(Error::TooLarge);
            }
            Err(error) => {
                return Err(Error::Invalid(format!("an archive cannot be read: {error}")));
            }
        }
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// How many entries there are, and where the first is.
fn directory(packed: &[u8]) -> Option<(usize, usize)> {
    let from = packed.len().saturating_sub(END + COMMENT);
    let place = packed[from..].windows(4).rposition(|bytes| bytes == b"PK\x05\x06")?;
    let end = packed.get(from + place..)?;
    Some((u16_at(end, 10)?, u32_at(end, 16)?))
}

/// What the directory says of an entry.
struct Entry<'a> {
    name: &'a [u8],
    method: usize,
    /// In bytes, as it is stored and unpacked.
    stored: usize,
    size: usize,
    /// Of Unix; nothing where another system made it.
    mode: Option<usize>,
    date: usize,
    time: usize,
    local: usize,
    next: usize,
}

impl<'a> Entry<'a> {
    fn at(packed: &'a [u8], at: usize) -> Option<Self> {
        let entry = packed.get(at..)?.strip_prefix(b"PK\x01\x02").map(|_| &packed[at..])?;
        let length = u16_at(entry, 28)?;
        let unix = *entry.get(5)? == 3;
        Some(Entry {
            name: entry.get(ENTRY..ENTRY + length)?,
            method: u16_at(entry, 10)?,
            stored: u32_at(entry, 20)?,
            size: u32_at(entry, 24)?,
            mode: unix.then_some(u32_at(entry, 38)? >> 16),
            date: u16_at(entry, 14)?,
            time: u16_at(entry, 12)?,
            local: u32_at(entry, 42)?,
            next: at + ENTRY + length + u16_at(entry, 30)? + u16_at(entry, 32)?,
        })
    }

    fn stored(&self, packed: &'a [u8]) -> Option<&'a [u8]> {
        let local = packed.get(self.local..)?.strip_prefix(b"PK\x03\x04")?;
        // Both lengths without the four bytes before.
        let begin = LOCAL - 4 + u16_at(local, 22)? + u16_at(local, 24)?;
        local.get(begin..begin.checked_add(self.stored)?)
    }

    fn member(&self) -> Member {
        let kind = match self.mode {
            _ if self.name.ends_with(b"/") => Kind::Directory,
            Some(mode) if mode & 0o111 != 0 => Kind::Program,
            _ => Kind::File,
        };
        let size = if kind == Kind::Directory { 0 } else { self.size as u64 };
        Member { kind, size, modified: self.modified(), content: None }
    }

    /// As UTC, since it says no zone.
    fn modified(&self) -> u64 {
        let (year, month, day) = (1980 + (self.date >> 9), (self.date >> 5) & 15, self.date & 31);
        let (hour, minute, second) = (self.time >> 11, (self.time >> 5) & 63, (self.time & 31) * 2);
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        omnifs_sdk::time::rfc3339_ms(&text).unwrap_or(0) / 1000
    }
}
