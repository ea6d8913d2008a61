mod add;
mod info;
mod list;
mod remove;

use super::Context;
use super::failure::Failure;
use clap::Subcommand;
use std::process::ExitCode;

/// List, inspect, add and remove providers
#[derive(Debug, Subcommand)]
pub enum Providers {
    List(list::List),
    Info(info::Info),
    Add(add::Add),
    Remove(remove::Remove),
}

pub fn run(context: &Context, args: &Providers) -> Result<ExitCode, Failure> {
    match args {
        Providers::List(args) => list::run(context, args),
        Providers::Info(args) => info::run(context, args),
        Providers::Add(args) => add::run(context, args),
        Providers::Remove(args) => remove::run(context, args),
    }
}
