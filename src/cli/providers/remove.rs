use super::super::failure::Failure;
use super::super::{Context, shown, terminal};
use clap::Args;
use omnifs::approval;
use omnifs::config::{Editor, Source};
use serde_json::json;
use std::process::ExitCode;

/// Take a provider out of the mounts
///
/// An added provider loses its approval, its section of the configuration, and its component in
/// the provider directory where no other instance uses it. A shipped provider is switched off.
#[derive(Debug, Args)]
pub struct Remove {
    /// The instance
    name: String,
}

pub fn run(context: &Context, args: &Remove) -> Result<ExitCode, Failure> {
    let config = context.config()?;
    let instance = context.instance(&config, &args.name)?;
    let name = &instance.name;
    let mut editor = Editor::open(&context.paths.config)?;
    let done = if matches!(&instance.source, Source::Shipped(shipped) if shipped == name) {
        editor.enable(name, false);
        format!("switched '{name}' off in {}", shown(&context.paths.config))
    } else {
        editor.remove(name);
        format!("removed '{name}'")
    };
    editor.save()?;

    if let Source::File(path) = &instance.source {
        let others = context.instances(&config, &[])?;
        let shared = others.iter().any(|i| i.name != *name && i.source == instance.source);
        if path.parent() == Some(&context.paths.providers()) && !shared {
            let gone = std::fs::remove_file(path);
            gone.map_err(|e| Failure::new(format!("cannot remove {}: {e}", shown(path))))?;
            // Of one that was never approved there is none.
            let _ = std::fs::remove_file(approval::record(path));
        }
    }
    let text = format!("{done}; mounts show it until their next start\n");
    terminal::done(&text, json!({ "name": name }))?;
    Ok(ExitCode::SUCCESS)
}
