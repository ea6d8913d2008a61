//! The example of README.md.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "a component alone exports it"))]

include!(concat!(env!("OUT_DIR"), "/example.rs"));
