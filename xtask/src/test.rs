//! `cargo xtask test`: every test, with the set-up it needs.

use crate::step::{loud, minutes, say};
use crate::{cargo, components, guest, setup, step, windows};
use anyhow::{Context, Result, bail};
use std::fs;

/// Runs every test
#[derive(clap::Args, Default)]
pub struct Test {
    /// Passed on to `cargo test`: a filter, `--package`, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Test {
    pub fn run(self) -> Result<()> {
        let mut left_out = setup::need(setup::Goal::Test)?;
        let components = components::build_all(components::Which::All)?;
        let fallback = components::build_fallback_sample()?;
        let s3_server = components::build_s3_server();
        let kernel = guest::kernel();
        let machine = guest::machine();
        let target = cargo::target()?;
        let skipped = target.join("skipped-tests.txt");
        fs::write(&skipped, "").with_context(|| format!("writing {}", skipped.display()))?;

        let mut command = cargo::cargo();
        command.arg("test");
        if !self.arguments.iter().any(|argument| argument == "-p" || argument == "--package") {
            command.arg("--workspace");
        }
        command.arg("--no-fail-fast").args(&self.arguments);
        command.env("OMNIFS_COMPONENTS", &components).env("OMNIFS_SKIPPED", &skipped);
        match &fallback {
            Some(directory) => command.env("OMNIFS_COMPONENTS_FALLBACK", directory),
            None => {
                left_out.push("the component built by the fallback route".to_owned());
                command.env_remove("OMNIFS_COMPONENTS_FALLBACK")
            }
        };
        match &s3_server {
            Ok(program) => {
                command.env("OMNIFS_S3_SERVER", program);
            }
            Err(error) => left_out.push(format!("the S3 server: {error:#}")),
        }
        match &kernel {
            Ok(directory) => command.env("OMNIFS_GUEST_KERNEL", directory),
            Err(error) => {
                left_out.push(format!("the Linux kernel as a client of NFS: {error:#}"));
                command.env_remove("OMNIFS_GUEST_KERNEL")
            }
        };
        match &machine {
            Ok(Some(directory)) => {
                command.env("OMNIFS_GUEST_MACHINE", directory);
            }
            Ok(None) => {}
            Err(error) => left_out.push(format!("the machine of that kernel: {error:#}")),
        }
        let host = step::run(&mut command, "building and testing the workspace", minutes(60));
        // A failure there must not hide one here. Arguments choose among the workspace's own tests.
        let (native, described) = match self.arguments.is_empty() {
            true => (components::test_natively(&skipped), components::test_descriptions(&skipped)),
            false => (Ok(()), Ok(())),
        };
        let windows = match self.arguments.is_empty() {
            true => windows::test_platform().map(|why| left_out.extend(why)),
            false => Ok(()),
        };

        #[cfg(unix)]
        let packages = match self.arguments.is_empty() {
            true => crate::dist::installed().map(|lines| left_out.extend(lines)),
            false => Ok(()),
        };
        #[cfg(not(unix))]
        let packages = Ok(());

        let skipped = fs::read_to_string(&skipped).unwrap_or_default();
        for line in left_out.iter().map(String::as_str).chain(skipped.lines()) {
            loud(line);
        }
        let failures: Vec<_> = [host, native, described, windows, packages]
            .into_iter()
            .filter_map(|result| result.err().map(|error| format!("{error:#}")))
            .collect();
        if !failures.is_empty() {
            bail!("{}", failures.join("; "));
        }
        match left_out.is_empty() && skipped.is_empty() {
            true => say("all tests ran and passed"),
            false => {
                say("all tests that could run here passed; those that did not run are listed above")
            }
        }
        Ok(())
    }
}
