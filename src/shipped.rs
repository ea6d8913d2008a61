//! The components that ship inside the binary.
//!
//! `build.rs` writes the table: `SHIPPED` holds the component of each provider, packed, that was
//! built when the binary was, in alphabetical order; it may be empty. `ON_DEMAND` holds the names and summaries of those
//! that are mounted only where the configuration names an instance. `REFERENCE` is a component, packed by itself, that all
//! the others refer to where they have the same code. `DECLARED` is the one that a file which declares
//! a service is written into ([`crate::declaration`]), and `SPECS` holds such files.

use crate::declaration::Shipped;
use std::io::{self, Read};
use zstd::stream::read::Decoder;

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// A component of this binary.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    pub name: &'static str,
    /// SHA-256 of its bytes, by which a compiled one is found without them.
    pub digest: [u8; 32],
    frame: &'static [u8],
}

impl Packed {
    /// The component's bytes.
    pub fn unpack(&self) -> Vec<u8> {
        let read = |frame, reference: &[u8]| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            Decoder::with_ref_prefix(frame, reference)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let unpacked = read(REFERENCE, &[]).and_then(|reference| read(self.frame, &reference));
        // INVARIANT: build.rs packed both, and they are a part of this binary.
        unpacked.expect("a component packed by build.rs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn every_shipped_component_is_unpacked_to_the_bytes_that_were_built() {
        for packed in SHIPPED.iter().chain(&DECLARED) {
            let (name, bytes) = (packed.name, packed.unpack());
            // Layer 1, version 13 of the binary format: what tells a component from a core module.
            assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"), "{name}");
            assert_eq!(packed.digest, *Sha256::digest(&bytes), "{name}");
            let (found, of) = (packed.frame.len(), bytes.len());
            assert!(found * 3 < of, "{name}: {found} of {of}");
        }
    }
}
