mod openapi;
mod other;
mod plan;
mod text;

use super::failure::{Exit, Failure};
use super::{shown, terminal};
use clap::{Args, ValueEnum};
use omnifs::config::valid_name;
use omnifs::paths;
use plan::Plan;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Begin a provider: a project that builds, with a test over recorded exchanges
///
/// It shows a list of things, each a directory with a file for each field. Out of an OpenAPI description it takes the
/// paths that --list and --item name, with the fields of what they answer; else it has names to put your own in place of.
/// What to do next is printed. providers/README.md tells the rest.
#[derive(Debug, Args)]
pub struct Init {
    /// The provider's name, and that of the new directory
    name: String,
    /// What to begin with
    #[arg(long, num_args = 1..=2, value_names = ["KIND", "FILE"], default_value = "blank")]
    from: Vec<String>,
    /// The path of the description that lists them: /pets
    #[arg(long, value_name = "PATH")]
    list: Option<String>,
    /// The path of one of them: /pets/{id}
    #[arg(long, value_name = "PATH")]
    item: Option<String>,
    /// The field that the item's path is made with, where it is not called as there
    #[arg(long, value_name = "FIELD")]
    key: Option<String>,
    /// The language of the project
    #[arg(long, value_enum, default_value_t)]
    language: Language,
    /// Where the SDK is: providers/sdk of a checkout, or a git repository [default: the registry]
    #[arg(long, value_name = "PATH|URL")]
    sdk: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Language {
    #[default]
    Rust,
    Python,
    Javascript,
}

pub fn run(args: &Init) -> Result<ExitCode, Failure> {
    if !valid_name(&args.name) || !args.name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(usage(format!("'{}' cannot name a provider", args.name))
            .hint("a name begins with a lower-case letter, and has those, digits and '-'"));
    }
    let folder = Path::new(&args.name);
    let enter = format!("cd {}", paths::quoted(folder));
    if let Some(project) = other::project(&args.name, args.language) {
        if args.sdk.is_some() || args.from != ["blank"] {
            return Err(usage("--from and --sdk are for a project in Rust"));
        }
        write(folder, project.files)?;
        let [fetch, build] = project.build;
        let add = format!("omnifs providers add ./{}", project.component);
        return done(&args.name, &project.component, &[enter, fetch, build, add]);
    }
    let sdk = sdk(args.sdk.as_deref())?;
    let plan = plan(args)?;
    write(folder, text::files(&args.name, &plan, &sdk))?;
    let component = format!("target/wasm32-wasip2/release/{}.wasm", args.name.replace('-', "_"));
    done(&args.name, &component, &[enter, "cargo test".to_owned(), "omnifs dev".to_owned()])
}

/// Makes the directory with these files.
fn write<N: AsRef<Path>>(
    folder: &Path,
    files: impl IntoIterator<Item = (N, String)>,
) -> Result<(), Failure> {
    let wrong = |path: &Path, e: &std::io::Error| Failure::unwritten(shown(path), path, e);
    // Made, and not found: nobody's files are written over.
    fs::create_dir(folder).map_err(|e| wrong(folder, &e))?;
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|e| wrong(parent, &e))?;
        fs::write(&path, text).map_err(|e| wrong(&path, &e))?;
    }
    Ok(())
}

fn done(name: &str, component: &str, next: &[String]) -> Result<ExitCode, Failure> {
    let text = format!("made {name}; next:\n  {}\n", next.join("\n  "));
    terminal::done(&text, json!({ "directory": name, "component": component, "next": next }))?;
    Ok(ExitCode::SUCCESS)
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(message).exit(Exit::Usage)
}

fn plan(args: &Init) -> Result<Plan, Failure> {
    let kinds: Vec<&str> = args.from.iter().map(String::as_str).collect();
    match kinds[..] {
        ["blank"] if args.list.is_none() && args.item.is_none() && args.key.is_none() => {
            Ok(Plan::blank())
        }
        ["blank"] => Err(usage("--list, --item and --key are of an OpenAPI description")
            .hint("add: --from openapi FILE")),
        ["openapi", file] => {
            let (Some(list), Some(item)) = (&args.list, &args.item) else {
                return Err(usage("which paths of the description?")
                    .hint("add, for example: --list /pets --item '/pets/{id}'"));
            };
            let wrong = |e: &dyn std::fmt::Display| usage(format!("{}: {e}", shown(file.as_ref())));
            let bytes = paths::read_regular(file.as_ref()).map_err(|e| wrong(&e))?;
            let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is not text"))?;
            let wanted = openapi::Wanted { list, item, key: args.key.as_deref() };
            openapi::plan(&text, &wanted).map_err(|e| wrong(&e))
        }
        ["graphql", ..] => Err(usage("a project cannot be made out of a GraphQL schema yet")
            .hint("begin with --from blank; the SDK's `graphql` module asks such a service")),
        _ => Err(usage(format!("'{}' is nothing to begin with", kinds.join(" ")))
            .hint("--from blank, or --from openapi FILE")),
    }
}

/// The entry of the SDK in Cargo.toml.
fn sdk(given: Option<&str>) -> Result<String, Failure> {
    /// The package, whose library is called `omnifs_sdk`.
    const PACKAGE: &str = "omnifs-provider";
    let Some(place) = given else {
        return Ok(format!(
            "{{ package = \"{PACKAGE}\", version = \"{}\" }}",
            env!("CARGO_PKG_VERSION")
        ));
    };
    if place.contains("://") {
        return Ok(format!("{{ package = \"{PACKAGE}\", git = {} }}", text::quoted(place)));
    }
    let found: PathBuf =
        fs::canonicalize(place).map_err(|e| usage(format!("--sdk {place}: {e}")))?;
    if !found.join("Cargo.toml").is_file() {
        return Err(usage(format!("--sdk {place}: it has no Cargo.toml"))
            .hint("give providers/sdk of a checkout"));
    }
    let path = text::quoted(&found.to_string_lossy());
    Ok(format!("{{ package = \"{PACKAGE}\", path = {path} }}"))
}
