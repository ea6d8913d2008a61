//! Object ids: hashes of what they name.

use sha1_checked::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A repository's hash function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    #[default]
    Sha1,
    Sha256,
}

impl Format {
    /// Bytes of a hash.
    pub const fn length(self) -> usize {
        match self {
            Format::Sha1 => 20,
            Format::Sha256 => 32,
        }
    }

    /// As `object-format` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Sha1 => "sha1",
            Format::Sha256 => "sha256",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Format::Sha1, Format::Sha256].into_iter().find(|format| format.name() == name)
    }

    /// The id of an object. `None` for content that was made to collide with another's SHA-1.
    pub fn id(self, kind: Kind, content: &[u8]) -> Option<Oid> {
        let header = format!("{} {}\0", kind.name(), content.len());
        self.hash(&[header.as_bytes(), content])
    }

    pub(crate) fn hash(self, parts: &[&[u8]]) -> Option<Oid> {
        match self {
            Format::Sha1 => {
                let mut hash = Sha1::new();
                parts.iter().for_each(|part| hash.update(part));
                let found = hash.try_finalize();
                (!found.has_collision()).then(|| Oid::of(self, found.hash()))
            }
            Format::Sha256 => {
                let mut hash = Sha256::new();
                parts.iter().for_each(|part| hash.update(part));
                Some(Oid::of(self, &hash.finalize()))
            }
        }
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob => "blob",
            Kind::Tag => "tag",
        }
    }
}

/// The hash that names an object. Shown and read as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid {
    format: Format,
    /// The rest is zero.
    bytes: [u8; 32],
}

impl Oid {
    /// `hash` has the format's length.
    fn of(format: Format, hash: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes[..hash.len()].copy_from_slice(hash);
        Oid { format, bytes }
    }

    /// `None` where `hash` has another length than the format's hashes.
    pub fn from_bytes(format: Format, hash: &[u8]) -> Option<Self> {
        (hash.len() == format.length()).then(|| Oid::of(format, hash))
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.format.length()]
    }
}

impl FromStr for Oid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(()),
        };
        let format = match text.len() {
            40 => Format::Sha1,
            64 => Format::Sha256,
            _ => return Err(()),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Oid { format, bytes })
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
