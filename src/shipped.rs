//! The components that ship inside the binary.
//!
//! `build.rs` writes the table: `SHIPPED` holds a provider's name and its component, packed, for each one
//! that was built when the binary was, in alphabetical order; it may be empty. `ON_DEMAND` holds those
//! that are mounted only where the configuration names an instance. `DECLARED` is the one that a file which declares
//! a service is written into ([`crate::declaration`]), and `SPECS` holds such files.

use crate::declaration::Shipped;
use flate2::read::ZlibDecoder;
use std::io::Read;

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The bytes of a component of the table.
pub fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // INVARIANT: build.rs packed it, and it is a part of this binary.
    ZlibDecoder::new(packed).read_to_end(&mut bytes).expect("a component packed by build.rs");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_component_is_a_component() {
        // Layer 1, version 13 of the binary format: what tells a component from a core module.
        for (name, packed) in SHIPPED {
            let bytes = unpack(packed);
            assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"), "{name}");
            assert!(packed.len() * 2 < bytes.len(), "{name}: {} of {}", packed.len(), bytes.len());
        }
    }
}
