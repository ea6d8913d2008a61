use super::super::failure::{Exit, Failure};
use super::super::{Context, shown, terminal};
use super::info::describe;
use clap::Args;
use omnifs::approval::{self, Asks};
use omnifs::component::{self, Component};
use omnifs::config::{Approval, Editor, Instance, Source, valid_name};
use omnifs::logs::printable;
use omnifs::{host, paths};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Approve a provider's component, so that mounts show it
///
/// Shows what the component asks for and asks before it is granted. Of a TOML file that declares a
/// service, a component is made first. The component is copied to the provider directory, and the
/// approval is recorded in the configuration with its SHA-256 and that of what it asks for: when either
/// changes it must be approved again.
#[derive(Debug, Args)]
pub struct Add {
    /// The component: a .wasm file, a .toml file that declares a service, or the name of such a file that
    /// ships with omnifs
    #[arg(value_name = "FILE|NAME")]
    file: PathBuf,
    /// The name of its directory in a mount [default: the component's own name]
    #[arg(long)]
    name: Option<String>,
    /// Grant without asking
    #[arg(long, short)]
    yes: bool,
}

pub fn run(context: &Context, args: &Add) -> Result<ExitCode, Failure> {
    // Before anything is asked or copied.
    let config = context.config()?;
    let label = args.name.as_deref().unwrap_or("NAME");
    let component =
        component::read_or_shipped(&args.file).map_err(|e| Failure::component(&e, label))?;
    let shown_file = shown(&args.file);
    let manifest = host::describe(&shown_file, &component, context.cache())?;
    let name = args.name.as_ref().unwrap_or(&manifest.name);
    if !valid_name(name) {
        return Err(omnifs::config::Error::Name { name: name.clone() }.into());
    }
    let known = config.written.get(name).and_then(|instance| instance.provider.as_deref());
    if host::shipped_names().contains(&name.as_str()) && known.is_none() {
        return Err(Failure::new(format!("a shipped provider is named '{name}'"))
            .hint("give it another name with --name")
            .exit(Exit::Usage));
    }
    let text = describe(&manifest, &component, None, &config.mount);
    let asks = Asks::of(&manifest);
    let replaced = context.instances(&config, &[])?.into_iter().find(|i| i.name == *name);
    let replaced = replaced.as_ref().and_then(|instance| replaces(instance, &component, &asks));
    let is_shown = replaced.is_some();
    let replaced = replaced.unwrap_or_default();
    if args.yes {
        replaced.iter().for_each(|line| terminal::tell("note", line));
    } else {
        terminal::print(&text)?;
        let lines = replaced.iter().map(|line| format!("{}\n", printable(line)));
        terminal::print(&lines.collect::<String>())?;
        let question = format!("Grant this to the provider '{name}'?");
        if !terminal::confirm(&question, "read `omnifs providers info FILE`, then give --yes")? {
            return Err(Failure::new("nothing was granted"));
        }
    }
    // Before anything is copied: most of what keeps the configuration from being changed shows here.
    let mut editor = Editor::open(&context.paths.config)?;
    let directory = context.paths.providers();
    paths::private_dir(&directory)
        .map_err(|e| Failure::unwritten("nothing was added", &directory, &e))?;
    let in_place = in_place(&directory, &args.file);
    let installed = in_place.as_deref().unwrap_or(name);
    let path = directory.join(format!("{installed}.wasm"));
    let mut written = Written::default();
    let save = || {
        if in_place.is_none() {
            written.replace(&path, &component.bytes())?;
        }
        written.replace(&approval::record(&path), asks.text().as_bytes())?;
        editor.grant(name, installed, &component.digest, &asks.digest());
        editor.save().map_err(Failure::from)
    };
    if let Err(failure) = save() {
        written.take_back();
        return Err(failure);
    }
    let from = match is_shown {
        true => "`omnifs reload` has running mounts run it",
        false => "mounts show it from their next start",
    };
    let text = format!("added '{name}' to {}; {from}\n", shown(&context.paths.config));
    terminal::done(
        &text,
        json!({ "name": name, "component": component.digest, "asks": asks.digest() }),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What becomes of an instance of this name that was approved before.
fn replaces(instance: &Instance, component: &Component, asks: &Asks) -> Option<Vec<String>> {
    let Approval::Recorded { component: before, asks: approved } = &instance.approval else {
        return None;
    };
    let name = &instance.name;
    let mut lines = vec![match *before == component.digest {
        true => format!("the provider '{name}' is approved already, with this component"),
        false => format!("it takes the place of the provider '{name}', with its credentials"),
    }];
    let Source::File(path) = &instance.source else { return Some(lines) };
    match approved.as_ref().and_then(|digest| Asks::recorded(path, digest)) {
        Some(before) if before == *asks => lines.push("it asks for what was approved".into()),
        Some(before) => {
            lines.push("since it was approved, what it says has changed:".into());
            lines.extend(asks.since(&before));
        }
        None => lines.push("what was approved then is not recorded".into()),
    }
    Some(lines)
}

/// What the configuration calls a file that was dropped into the provider directory: it stays where it is.
fn in_place(directory: &Path, file: &Path) -> Option<String> {
    let real = std::fs::canonicalize(file).ok()?;
    if real.parent() != std::fs::canonicalize(directory).ok().as_deref() {
        return None;
    }
    let stem = real.file_name()?.to_str()?.strip_suffix(".wasm")?;
    valid_name(stem).then(|| stem.to_owned())
}

/// Files that were written, each with what it held before.
#[derive(Default)]
struct Written(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Written {
    fn replace(&mut self, path: &Path, content: &[u8]) -> Result<(), Failure> {
        let before = std::fs::read(path).ok();
        paths::replace(path, content).map_err(|e| {
            Failure::unwritten(format_args!("cannot write {}", shown(path)), path, &e)
        })?;
        self.0.push((path.to_owned(), before));
        Ok(())
    }

    /// As if nothing had been written. What cannot be taken back is no more than a file that nobody approved.
    fn take_back(self) {
        for (path, before) in self.0 {
            let _ = match before {
                Some(content) => paths::replace(&path, &content),
                None => std::fs::remove_file(&path),
            };
        }
    }
}
