//! What a git server answers: packs, refs, commits, trees.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| omnifs_gitpack::fuzzing::read(input));
