//! What a client of NFS sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omnifs_platform::fuzzing::Wire;
use std::cell::LazyCell;

thread_local! {
    static WIRE: LazyCell<Wire> = LazyCell::new(Wire::new);
}

fuzz_target!(|stream: &[u8]| WIRE.with(|wire| wire.take(stream)));
