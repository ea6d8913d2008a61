//! `cargo xtask`: set-up, component build, demo, tests, benchmarks, packages.
//!
//! Invariant: every step says what it does, has a deadline, and does its own set-up. What could not
//! be done is said in one line that names the command that mends it.

mod bench;
mod cargo;
mod check;
mod components;
mod demo;
#[cfg(unix)]
mod dist;
mod fuzz;
mod guest;
mod setup;
mod site;
mod soak;
mod step;
mod test;
mod windows;
mod zig;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, tests and shows omnifs. Each command installs what it needs first.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Mounts a demonstration on ./omnifs-demo and says what to try; Ctrl-C ends it
    Demo(demo::Demo),
    /// Runs every test
    Test(test::Test),
    /// Builds the components and the binary
    Build(Build),
    /// Makes the packages of one build
    #[cfg(unix)]
    Dist(dist::Dist),
    /// Builds the components of providers/
    Components(components::Components),
    /// Measures the mount against tmpfs
    Bench(bench::Bench),
    /// Fuzzes what reads bytes of strangers
    Fuzz(fuzz::Fuzz),
    /// Runs mixed load for a long time, over services that come and go
    Soak(soak::Soak),
    /// Builds the documentation as HTML
    Site(site::Site),
    /// Draws a terminal with the demonstration, for README.md
    #[cfg(unix)]
    Picture(site::picture::Picture),
    /// Checks formatting, lints, lock files, licences and advisories
    Check,
    /// Builds omnifs for Windows with mingw-w64 and runs what of it Wine can run
    Windows(windows::Windows),
    /// What CI runs: check, then test
    Ci,
    /// Installs what the other commands need; they do so themselves
    Setup,
}

/// Builds the components and the binary.
#[derive(clap::Args)]
struct Build {
    /// With the release profile
    #[arg(long)]
    release: bool,
}

fn main() -> ExitCode {
    if let Some(code) = fuzz::wrapped_rustc() {
        return code;
    }
    let outcome = step::install_signal_handler().and_then(|()| run(Xtask::parse().command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(demo) => demo.run(),
        Command::Test(test) => test.run(),
        Command::Build(build) => build.run(),
        #[cfg(unix)]
        Command::Dist(dist) => dist.run(),
        Command::Components(components) => components.run(),
        Command::Bench(bench) => bench.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Soak(soak) => soak.run(),
        Command::Site(site) => site.run(),
        #[cfg(unix)]
        Command::Picture(picture) => picture.run(),
        Command::Check => check::run(),
        Command::Windows(windows) => windows.run(),
        Command::Ci => {
            // A wrongly formatted line must not hide what the tests say.
            let checked = check::run();
            test::Test::default().run()?;
            checked
        }
        Command::Setup => {
            let missing = setup::need(setup::Goal::Test)?;
            missing.iter().for_each(|line| step::loud(line));
            if missing.is_empty() {
                step::say("everything is there");
            }
            Ok(())
        }
    }
}

impl Build {
    fn run(self) -> Result<()> {
        setup::need(setup::Goal::Build)?;
        components::build_all(components::Which::Shipped)?;
        let binary = cargo::build_binary(self.release)?;
        step::say(&format!("built {}", binary.display()));
        if cfg!(windows) {
            step::loud(
                "this binary holds the WinFsp back end, whose library is GPL-3.0: whoever passes it on \
                 does so under GPL-3.0, with the source. docs/windows.md says more",
            );
        }
        Ok(())
    }
}
