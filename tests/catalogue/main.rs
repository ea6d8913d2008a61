//! Providers of further services through a real mount, each against a real server of its service.

#![cfg(target_os = "linux")]

mod dns;

use omnifs_support::{Mounted, Omnifs, skip};
use std::process::{Command, Stdio};
use std::time::Duration;

/// For a server to start, and for a change to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(60);

/// A home that mounts one instance.
struct World {
    omnifs: Omnifs,
}

impl World {
    /// Nothing where no mount can be made here, or one of `programs` is missing, which is said.
    fn new(test: &str, programs: &[&str]) -> Option<World> {
        let is_missing = |program: &&&str| {
            let pipes = (Stdio::null(), Stdio::null());
            Command::new(program).arg("-v").stdout(pipes.0).stderr(pipes.1).status().is_err()
        };
        let missing = programs.iter().find(is_missing);
        let missing = missing.map(|program| format!("there is no {program}: cargo xtask setup"));
        if let Some(reason) = Omnifs::unavailable().or(missing) {
            skip(test, &reason);
            return None;
        }
        Some(World { omnifs: Omnifs::new().expect("a home") })
    }

    /// `instance` is the configuration of the only one.
    fn mount(&self, instance: &str) -> Mounted<'_> {
        let off = |name: &str| format!("[instances.{name}]\nenabled = false\n");
        let off = ["docker", "github", "linear"].map(off).concat();
        self.omnifs.config(&(off + instance)).expect("a configuration");
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }
}
