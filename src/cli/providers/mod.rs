mod add;
mod check;
mod info;
mod list;
mod remove;
mod switch;

pub use info::describe;

use super::Context;
use super::failure::Failure;
use clap::Subcommand;
use std::process::ExitCode;

/// List, inspect, check, add, remove, enable and disable providers
#[derive(Debug, Subcommand)]
pub enum Providers {
    List(list::List),
    Info(info::Info),
    Check(check::Check),
    Add(add::Add),
    Remove(remove::Remove),
    Enable(switch::Enable),
    Disable(switch::Disable),
}

pub fn run(context: &Context, args: &Providers) -> Result<ExitCode, Failure> {
    match args {
        Providers::List(args) => list::run(context, args),
        Providers::Info(args) => info::run(context, args),
        Providers::Check(args) => check::run(context, args),
        Providers::Add(args) => add::run(context, args),
        Providers::Remove(args) => remove::run(context, args),
        Providers::Enable(args) => switch::enable(context, args),
        Providers::Disable(args) => switch::disable(context, args),
    }
}
