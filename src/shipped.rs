//! The components that ship inside the binary.
//!
//! `build.rs` writes the table: `SHIPPED` holds a provider's name and its component for each one
//! that was built when the binary was, in alphabetical order; it may be empty. `ON_DEMAND` holds those
//! that are mounted only where the configuration names an instance.

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The component that ships under this name.
pub fn component(name: &str) -> Option<&'static [u8]> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_component_is_a_component() {
        // Layer 1, version 13 of the binary format: what tells a component from a core module.
        for (name, bytes) in SHIPPED {
            assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"), "{name}");
            assert_eq!(component(name), Some(*bytes));
        }
        assert_eq!(component("hostile"), None);
    }
}
