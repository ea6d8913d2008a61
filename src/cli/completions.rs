use super::failure::Failure;
use super::terminal;
use clap::{Args, Command};
use clap_complete::Shell;
use std::process::ExitCode;

/// Print a completion script for a shell
///
/// For bash: omnifs completions bash > ~/.local/share/bash-completion/completions/omnifs
#[derive(Debug, Args)]
pub struct Completions {
    shell: Shell,
}

pub fn run(args: &Completions, command: &mut Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "omnifs", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
