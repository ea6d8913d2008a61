use super::super::failure::Failure;
use super::super::{Context, shown, terminal};
use clap::Args;
use omnifs::component;
use omnifs::config::{Editor, Source};
use omnifs::host;
use serde_json::json;
use std::process::ExitCode;

/// Have mounts show a provider that was switched off
///
/// A shipped provider needs nothing else. An added one must have been approved: see `omnifs providers add`.
#[derive(Debug, Args)]
pub struct Enable {
    /// The instance
    name: String,
}

/// Keep a provider out of the mounts, with its settings, its approval and its credentials left as they are
#[derive(Debug, Args)]
pub struct Disable {
    /// The instance
    name: String,
}

pub fn enable(context: &Context, args: &Enable) -> Result<ExitCode, Failure> {
    switch(context, &args.name, true)
}

pub fn disable(context: &Context, args: &Disable) -> Result<ExitCode, Failure> {
    switch(context, &args.name, false)
}

fn switch(context: &Context, name: &str, on: bool) -> Result<ExitCode, Failure> {
    let config = context.config()?;
    let instance = context.instance(&config, name)?;
    let (word, file) = (if on { "on" } else { "off" }, shown(&context.paths.config));
    if instance.enabled == on {
        let result = json!({ "name": name, "enabled": on, "changed": false });
        terminal::done(&format!("'{name}' is switched {word} already\n"), result)?;
        return Ok(ExitCode::SUCCESS);
    }
    // One that cannot run is not switched on: its directory would show an error.
    if on && !matches!(instance.source, Source::Shipped(_)) {
        let approved = component::approved(&instance, host::shipped());
        approved.map_err(|error| Failure::component(&error, name))?;
    }
    let mut editor = Editor::open(&context.paths.config)?;
    editor.enable(name, on);
    editor.save()?;
    let when = match (context.registry().list().is_empty(), on) {
        (true, _) => "",
        (false, true) => "; mounts that are running show it from their next start",
        (false, false) => "; mounts that are running show it until their next start",
    };
    let result = json!({ "name": name, "enabled": on, "changed": true });
    terminal::done(&format!("switched '{name}' {word} in {file}{when}\n"), result)?;
    Ok(ExitCode::SUCCESS)
}
