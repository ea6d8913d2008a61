//! What a component says of itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| omnifs::fuzzing::manifest::manifest(text));
