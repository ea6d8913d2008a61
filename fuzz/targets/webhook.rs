//! A delivery by anybody who reaches the port.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| omnifs::fuzzing::webhook::delivery(input));
