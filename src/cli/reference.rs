use super::failure::Failure;
use super::{shown, terminal};
use clap::{Args, Command};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print this whole help as Markdown (docs/cli.md)
#[derive(Debug, Args)]
pub struct Reference {
    /// Write it as man pages into DIR instead, a page for each command
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
}

pub fn run(args: &Reference, command: Command) -> Result<ExitCode, Failure> {
    if let Some(directory) = &args.man {
        return man(directory, command);
    }
    let mut text = String::from(
        "# The omnifs command\n\nMade from the program's own help: \
         `UPDATE=1 cargo test --test cli_reference`.\n",
    );
    // Builds the usage lines and the global options of every subcommand.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    section(&mut text, &mut command, 2);
    terminal::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn man(directory: &Path, command: Command) -> Result<ExitCode, Failure> {
    let failed = |e| Failure::new(format!("cannot write man pages to {}: {e}", shown(directory)));
    std::fs::create_dir_all(directory).map_err(failed)?;
    // No date: the pages are those of a version, and the same whenever they are made.
    clap_mangen::generate_to(command.disable_help_subcommand(true), directory).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn section(text: &mut String, command: &mut Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n{} {name}\n\n```text\n{}\n```\n", "#".repeat(level), lines.join("\n"));
    for subcommand in command.get_subcommands_mut().filter(|c| !c.is_hide_set()) {
        section(text, subcommand, level.min(2) + 1);
    }
}
