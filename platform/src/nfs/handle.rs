//! The handle that a client holds: which object, where it was found, and a proof that it came from
//! here.
//!
//! ```text
//! 0      1         4        12         28        44
//! version  zeroes   inode    position   proof
//! ```
//!
//! The proof is HMAC-SHA256 over what precedes it, cut to 128 bits. So a handle can neither be
//! guessed nor made from another one, and it is still good after a restart with the same key.

use crate::Inode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Bytes of a handle; the protocol allows 64 (RFC 1813 section 2.4).
pub(super) const LENGTH: usize = 44;
const VERSION: u8 = 1;
const PROVED: usize = 28;

/// A directory and a name in it, and so on up to the root, in one number. It survives a restart: the
/// same names give the same number under the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Position(pub [u8; 16]);

impl Position {
    pub const ROOT: Position = Position([0; 16]);
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({:032x})", u128::from_be_bytes(self.0))
    }
}

/// What a client's handle stands for: an object, as it was found at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub inode: Inode,
    pub position: Position,
}

/// Why the bytes of a handle are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not of the form of any handle given out here.
    Malformed,
    /// The proof is wrong: forged, or made under a key that is gone.
    Unproved,
}

/// The key under which handles and positions are made.
#[derive(Clone)]
pub(super) struct Sealer(Hmac<Sha256>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    pub fn new(key: &[u8; 16]) -> Sealer {
        // INVARIANT: HMAC takes a key of any length.
        #[expect(clippy::expect_used)]
        Sealer(Hmac::new_from_slice(key).expect("a key of any length"))
    }

    fn mac(&self, purpose: &[u8], parts: [&[u8]; 2]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(purpose);
        parts.into_iter().for_each(|part| mac.update(part));
        mac
    }

    pub fn seal(&self, place: Place) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[4..12].copy_from_slice(&place.inode.0.to_be_bytes());
        bytes[12..PROVED].copy_from_slice(&place.position.0);
        let proof = self.mac(b"handle", [&bytes[..PROVED], b""]).finalize().into_bytes();
        bytes[PROVED..].copy_from_slice(&proof[..16]);
        bytes
    }

    pub fn open(&self, bytes: &[u8]) -> Result<Place, Refused> {
        let bytes: &[u8; LENGTH] = bytes.try_into().map_err(|_| Refused::Malformed)?;
        if bytes[..4] != [VERSION, 0, 0, 0] {
            return Err(Refused::Malformed);
        }
        let mac = self.mac(b"handle", [&bytes[..PROVED], b""]);
        mac.verify_truncated_left(&bytes[PROVED..]).map_err(|_| Refused::Unproved)?;
        let (mut inode, mut position) = ([0; 8], [0; 16]);
        inode.copy_from_slice(&bytes[4..12]);
        position.copy_from_slice(&bytes[12..PROVED]);
        Ok(Place { inode: Inode(u64::from_be_bytes(inode)), position: Position(position) })
    }

    /// Where `name` in the directory at `parent` is.
    pub fn position(&self, parent: Position, name: &str) -> Position {
        let digest = self.mac(b"position", [&parent.0, name.as_bytes()]).finalize().into_bytes();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Position(first)
    }

    /// A number for the export as a whole, the same after a restart.
    pub fn number(&self) -> u64 {
        let digest = self.mac(b"export", [b"", b""]).finalize().into_bytes();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { inode: Inode(0x1122_3344), position: Position([9; 16]) };

    #[test]
    fn a_handle_opens_under_its_own_key_only() {
        let sealer = Sealer::new(&[1; 16]);
        let bytes = sealer.seal(PLACE);
        assert_eq!(sealer.open(&bytes), Ok(PLACE));
        assert_eq!(Sealer::new(&[1; 16]).open(&bytes), Ok(PLACE));
        assert_eq!(Sealer::new(&[2; 16]).open(&bytes), Err(Refused::Unproved));
    }

    #[test]
    fn no_flipped_bit_and_no_other_length_is_taken() {
        let sealer = Sealer::new(&[1; 16]);
        let bytes = sealer.seal(PLACE);
        for bit in 0..LENGTH * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(&other).is_err(), "bit {bit}");
        }
        for length in (0..LENGTH).chain([LENGTH + 1, 64]) {
            let mut other = bytes.to_vec();
            other.resize(length, 0);
            assert_eq!(sealer.open(&other), Err(Refused::Malformed), "length {length}");
        }
    }

    #[test]
    fn a_position_depends_on_all_names_above_it_and_not_on_how_they_are_cut() {
        let sealer = Sealer::new(&[1; 16]);
        let at = |names: &[&str]| {
            names.iter().fold(Position::ROOT, |above, name| sealer.position(above, name))
        };
        assert_eq!(at(&["a", "b"]), at(&["a", "b"]));
        assert_ne!(at(&["a", "b"]), at(&["c", "b"]));
        assert_ne!(at(&["ab"]), at(&["a", "b"]));
        assert_ne!(at(&["a"]), Sealer::new(&[2; 16]).position(Position::ROOT, "a"));
    }
}
