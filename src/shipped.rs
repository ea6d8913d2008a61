//! The components that ship inside the binary.
//!
//! `build.rs` writes the table: `SHIPPED` holds a provider's name and its component, packed, for each one
//! that was built when the binary was, in alphabetical order; it may be empty. `ON_DEMAND` holds those
//! that are mounted only where the configuration names an instance. `REFERENCE` is a component, packed by itself, that all
//! the others refer to where they have the same code. `DECLARED` is the one that a file which declares
//! a service is written into ([`crate::declaration`]), and `SPECS` holds such files.

use crate::declaration::Shipped;
use std::io::{self, Read};
use zstd::stream::read::Decoder;

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The bytes of a component of the table.
pub fn unpack(packed: &[u8]) -> Vec<u8> {
    let read = |packed, reference: &[u8]| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Decoder::with_ref_prefix(packed, reference)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let unpacked = read(REFERENCE, &[]).and_then(|reference| read(packed, &reference));
    // INVARIANT: build.rs packed both, and they are a part of this binary.
    unpacked.expect("a component packed by build.rs")
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
