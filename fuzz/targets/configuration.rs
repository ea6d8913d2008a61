//! A configuration file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| omnifs::fuzzing::config::file(text));
