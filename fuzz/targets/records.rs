//! The stream of a log.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| omnifs::fuzzing::growing::records(input));
