//! What a mount says of itself, read as those read it who know nothing else: the demo's twins behind the real binary.

#![cfg(target_os = "linux")]

mod allow;
mod files;
mod mcp;
mod questions;
mod skill;

use omnifs::host;
use omnifs_support::{Mounted, Omnifs, skip};

/// The demo's services, and a home whose mounts reach them.
struct World {
    demo: host::Demo,
    omnifs: Omnifs,
}

impl World {
    /// `sections`: of the configuration file, after the places of the services. Nothing where no mount can be
    /// made here, which is said.
    fn new(test: &str, sections: &str) -> Option<World> {
        if let Some(reason) = Omnifs::unavailable() {
            skip(test, &reason);
            return None;
        }
        let demo = host::demo().expect("the demo's services");
        let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", "3600000");
        let mut config = String::from("[instances.docker]\nenabled = false\n");
        for (name, instance) in &demo.config.written {
            for (endpoint, place) in &instance.endpoints {
                let url = place.url.as_deref().expect("a place");
                let hosts = &place.redirect_hosts;
                config += &format!(
                    "[instances.{name}.endpoints.{endpoint}]\nurl = {url:?}\nredirect-hosts = {hosts:?}\n"
                );
            }
        }
        omnifs.config(&(config + sections)).expect("a configuration");
        Some(World { demo, omnifs })
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// How many requests the services have had, those of polls among them.
    fn requests(&self) -> usize {
        self.demo.requests().len()
    }
}
