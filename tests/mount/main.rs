//! The core and the binary behind a real mount, without a service: capacity, hostile providers,
//! approval, and the life of a mount.

#![cfg(target_os = "linux")]

mod capacity;
mod example;
mod hostile;
mod life;
mod metrics;

use omnifs_support::{Omnifs, skip};
use std::path::PathBuf;

/// A home to mount from, unless nothing can be mounted here.
fn home(test: &str) -> Option<Omnifs> {
    match Omnifs::unavailable() {
        Some(reason) => {
            skip(test, &reason);
            None
        }
        None => Some(Omnifs::new().expect("a home")),
    }
}

/// A component that `cargo xtask test` has built.
fn component(name: &str) -> PathBuf {
    let directory = omnifs_support::components().expect("components are built: cargo xtask test");
    directory.join(format!("{name}.wasm"))
}
