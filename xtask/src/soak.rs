//! `cargo xtask soak`: mixed load for a long time, over services that come and go.

use crate::step::minutes;
use crate::{cargo, components, setup, step};
use anyhow::{Result, bail};
use std::time::Duration;

/// Runs mixed load over a mount whose services come and go, and checks that nothing is left behind
#[derive(clap::Args)]
pub struct Soak {
    /// How long
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: u64,
    /// Which plan; the run prints it
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Soak {
    pub fn run(self) -> Result<()> {
        if !cfg!(target_os = "linux") {
            bail!("the soak mounts through FUSE: run it on Linux");
        }
        for line in setup::need(setup::Goal::Test)? {
            step::loud(&line);
        }
        let components = components::build_all(components::Which::Shipped)?;
        let mut command = cargo::cargo();
        command.args(["test", "--package", "omnifs", "--test", "soak"]);
        command.args(["--", "--ignored", "--nocapture"]);
        command.env("OMNIFS_COMPONENTS", components);
        command.env("OMNIFS_SOAK_SECONDS", (self.minutes * 60).to_string());
        command.env("OMNIFS_SOAK_SEED", self.seed.to_string());
        // Building it, and waiting for the feeds to be back.
        let limit = minutes(45) + Duration::from_secs(60 * self.minutes);
        step::run(&mut command, &format!("soaking for {} minutes", self.minutes), limit)
    }
}
