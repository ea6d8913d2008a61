//! `cargo xtask bench`: the benchmarks below benches/, in the one host profile. `cargo xtask bench agents`: what
//! an agent reads through a mount and through calls, which `tests/agents` counts.

use crate::step::minutes;
use crate::{cargo, components, setup, step};
use anyhow::{Context, Result, bail};
use std::fs;

/// Measures the mount against tmpfs
#[derive(clap::Args)]
pub struct Bench {
    /// `agents` for what an agent reads, in place of times; others are passed on to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        if !cargo::root().join("benches").is_dir() {
            bail!("there is no benchmark: benches/ is missing");
        }
        for line in setup::need(setup::Goal::Test)? {
            step::loud(&line);
        }
        // One that misbehaves on purpose has ten thousand scopes.
        let components = components::build_all(components::Which::All)?;
        if self.arguments == ["agents"] {
            return agents(&components);
        }
        let report = cargo::target()?.join("bench.json");
        let mut command = cargo::cargo();
        // The dev profile: dependencies are optimised in it, and nothing is built twice.
        command.args(["bench", "--profile", "dev", "--package", "omnifs", "--bench", "*", "--"]);
        command.args(&self.arguments);
        command.env("OMNIFS_COMPONENTS", components).env("OMNIFS_BENCH_JSON", &report);
        step::run(&mut command, "building and running the benchmarks", minutes(60))?;
        let others = ["docker.json", "webhook.json", "listing.json", "start.json", "restart.json"]
            .map(|name| report.with_extension(name));
        for report in others.into_iter().chain([report]) {
            if report.is_file() {
                step::say(&format!("the same as JSON: {}", report.display()));
            }
        }
        Ok(())
    }
}

/// Fails where a task takes more than it may, and where one could not be counted.
fn agents(components: &std::path::Path) -> Result<()> {
    let skipped = cargo::target()?.join("skipped-tasks.txt");
    fs::write(&skipped, "").with_context(|| format!("writing {}", skipped.display()))?;
    let mut command = cargo::cargo();
    command.args(["test", "--package", "omnifs", "--test", "agents", "--", "--nocapture"]);
    command.env("OMNIFS_COMPONENTS", components).env("OMNIFS_SKIPPED", &skipped);
    step::run(&mut command, "counting what an agent reads", minutes(60))?;
    match fs::read_to_string(&skipped)?.trim() {
        "" => Ok(()),
        left_out => bail!("not everything was counted:\n{left_out}"),
    }
}
