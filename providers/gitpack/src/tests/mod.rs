mod damaged;
mod made;
mod oracle;
mod spoken;

use crate::pack::{self, Limits};
use crate::{Error, Format, Kind, Oid};
use std::collections::BTreeMap;

pub type Objects = BTreeMap<String, (Kind, Vec<u8>)>;

/// All objects of a pack, by their ids.
pub fn read(pack: &[u8], format: Format, limits: &Limits) -> Result<Objects, Error> {
    let mut objects = Objects::new();
    pack::read::<Error>(pack, format, limits, |id, kind, content| {
        objects.insert(id.to_string(), (kind, content.to_vec()));
        Ok(())
    })?;
    Ok(objects)
}

/// A pack in the making.
#[derive(Default)]
pub struct Maker {
    bytes: Vec<u8>,
    count: u32,
}

impl Maker {
    /// Adds an entry of this type, and answers where.
    pub fn entry(&mut self, kind: u8, base: &[u8], size: usize, content: &[u8]) -> usize {
        let start = 12 + self.bytes.len();
        let (mut byte, mut rest) = (kind << 4 | (size & 0xf) as u8, size >> 4);
        while rest > 0 {
            self.bytes.push(byte | 0x80);
            (byte, rest) = ((rest & 0x7f) as u8, rest >> 7);
        }
        self.bytes.push(byte);
        self.bytes.extend_from_slice(base);
        self.bytes.extend(miniz_oxide::deflate::compress_to_vec_zlib(content, 6));
        self.count += 1;
        start
    }

    pub fn blob(&mut self, content: &[u8]) -> usize {
        self.entry(3, &[], content.len(), content)
    }

    /// A delta against the entry that begins at `base`.
    pub fn against(&mut self, base: usize, delta: &[u8]) -> usize {
        let mut back = 12 + self.bytes.len() - base;
        let mut place = vec![(back & 0x7f) as u8];
        while back > 0x7f {
            back = (back >> 7) - 1;
            place.insert(0, 0x80 | (back & 0x7f) as u8);
        }
        self.entry(6, &place, delta.len(), delta)
    }

    pub fn against_named(&mut self, base: &Oid, delta: &[u8]) -> usize {
        self.entry(7, base.as_bytes(), delta.len(), delta)
    }

    pub fn pack(&self) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend_from_slice(&self.count.to_be_bytes());
        pack.extend_from_slice(&self.bytes);
        sum(pack)
    }
}

/// The bytes with the checksum that they should have.
pub fn sum(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = Format::Sha1.hash(&[&bytes]).unwrap();
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

fn number(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// The delta that makes `base` and then `more` of `base`, which has fewer than 64 KiB.
pub fn append(base: usize, more: &[u8]) -> Vec<u8> {
    let mut delta = [number(base), number(base + more.len())].concat();
    if base > 0 {
        delta.extend_from_slice(&[0x80 | 0x10 | 0x20, base as u8, (base >> 8) as u8]);
    }
    for part in more.chunks(127) {
        delta.push(part.len() as u8);
        delta.extend_from_slice(part);
    }
    delta
}
