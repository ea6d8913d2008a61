//! Providers of which there is no instance by default, each through a real mount and with a real server.

#![cfg(target_os = "linux")]

mod crates;
#[cfg(feature = "sql")]
mod db;
mod declared;
mod dns;
mod k8s;
mod mcp;
mod npm;
mod oci;
#[cfg(feature = "sql")]
mod pg;
mod prometheus;
mod pypi;
mod rest;
mod s3;
mod specs;
mod tokens;
mod twin;
mod unused;

use omnifs_support::{Omnifs, program, skip};

/// A home to mount from. Nothing where no mount can be made, or one of the programs is missing, which is said.
fn home(test: &str, programs: &[&str]) -> Option<Omnifs> {
    let missing = programs.iter().find(|name| program(name).is_none());
    let missing = missing.map(|name| format!("{name} is not installed"));
    if let Some(reason) = Omnifs::unavailable().or(missing) {
        skip(test, &reason);
        return None;
    }
    Some(Omnifs::new().expect("a home"))
}

/// Nothing but the instances of `own` will be mounted.
fn configure(omnifs: &Omnifs, own: &str) {
    let off = |name: &str| format!("[instances.{name}]\nenabled = false\n");
    let off = ["docker", "github", "linear"].map(off).concat();
    omnifs.config(&(off + own)).expect("a configuration");
}
