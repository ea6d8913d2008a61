//! Building the providers to WebAssembly components, by one of three routes; see [`route`].
//!
//! Invariant: what lands in `<target>/components` has been checked to import nothing but the
//! provider interface and the WASI interfaces that the host answers.

mod imports;
mod providers;
mod route;

pub use route::{system_cargo, target_installed, wasm_linker};

use crate::step::{loud, minutes, say};
use crate::{cargo, setup, step};
use anyhow::{Context, Result, bail};
use providers::Provider;
use route::Route;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The provider that is always built by the fallback too.
const FALLBACK_SAMPLE: &str = "docker";

/// Builds the components of providers/
#[derive(clap::Args)]
pub struct Components {
    /// Takes the fallback route even where the wasm32-wasip2 target is installed
    #[arg(long)]
    fallback: bool,
}

impl Components {
    pub fn run(self) -> Result<()> {
        let directory = match self.fallback {
            true => build(&Route::fallback()?, &providers::all()?, &output_directory()?)?,
            false => build_all(Which::All)?,
        };
        say(&format!("components are in {}", directory.display()));
        Ok(())
    }
}

/// Where components land.
pub fn output_directory() -> Result<PathBuf> {
    Ok(cargo::target()?.join("components"))
}

/// Which providers are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that ship.
    Shipped,
    /// And those that misbehave on purpose.
    All,
}

/// Builds the providers; the folder with the components.
pub fn build_all(which: Which) -> Result<PathBuf> {
    let mut providers = providers::all()?;
    providers.retain(|provider| which == Which::All || !provider.test_only);
    let route = Route::choose()?;
    say(&format!("components: {}", route.describe()));
    build(&route, &providers, &output_directory()?)
}

/// Builds one provider by the fallback, whatever route the others took, so that it does not rot. The
/// folder with the component, or `None` where the fallback cannot be had; that has been said.
pub fn build_fallback_sample() -> Result<Option<PathBuf>> {
    let directory = cargo::target()?.join("components-fallback");
    let sample: Vec<Provider> =
        providers::all()?.into_iter().filter(|p| p.name == FALLBACK_SAMPLE).collect();
    if sample.is_empty() {
        bail!("providers/{FALLBACK_SAMPLE} is missing: the fallback route has nothing to build");
    }
    if let Err(error) = setup::need(setup::Goal::Fallback) {
        loud(&format!("the fallback component was NOT built: {error:#}"));
        return Ok(None);
    }
    say(&format!("the fallback route as well: {FALLBACK_SAMPLE}"));
    build(&Route::fallback()?, &sample, &directory).map(Some)
}

/// Builds `providers` and puts their components into `directory`; a component there
/// whose provider is no more goes.
fn build(route: &Route, providers: &[Provider], directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    for (manifest, members) in providers::by_manifest(providers) {
        for (provider, module) in route.build(manifest, &members)? {
            let bytes = fs::read(&module).with_context(|| format!("{}", module.display()))?;
            let component = route.encode(&provider.name, bytes)?;
            let list = imports::read(&component)
                .with_context(|| format!("reading the imports of {}", provider.name))?;
            if !provider.test_only {
                imports::check(&provider.name, &list, route.has_wasi())?;
            }
            let file = directory.join(format!("{}.wasm", provider.name));
            // An untouched file keeps its time, and what embeds it is not rebuilt.
            if fs::read(&file).ok().as_deref() != Some(&component) {
                write(&file, &component)?;
                let (size, wasi) = (component.len() / 1024, list.wasi().count());
                say(&format!("{}: {size} KiB, {wasi} WASI imports", provider.name));
            }
        }
    }
    let known: BTreeSet<String> = providers::all()?.into_iter().map(|p| p.name).collect();
    for entry in fs::read_dir(directory)?.flatten() {
        let path = entry.path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        if path.extension().is_some_and(|x| x == "wasm")
            && !name.is_some_and(|n| known.contains(&n))
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(directory.to_owned())
}

/// Through a rename, so that nobody reads half a component.
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let partial = file.with_extension("partial");
    fs::write(&partial, bytes).with_context(|| format!("writing {}", partial.display()))?;
    fs::rename(&partial, file).with_context(|| format!("writing {}", file.display()))
}

/// Runs the providers' own unit tests, natively. What does not run is noted in the file `skipped`.
pub fn test_natively(skipped: &Path) -> Result<()> {
    let mut command = cargo::cargo();
    command.env("OMNIFS_SKIPPED", skipped);
    command.args(["test", "--workspace", "--no-fail-fast", "--manifest-path"]);
    command.arg(providers::workspace()).env("CARGO_TARGET_DIR", providers::target()?);
    step::run(&mut command, "testing the providers natively", minutes(20))
}

/// Tests the twins, and the providers' queries, against the services' own descriptions. They are in a
/// workspace of their own, and share the providers' target directory, whose tests use them too.
pub fn test_descriptions(skipped: &Path) -> Result<()> {
    let mut command = cargo::cargo();
    command.env("OMNIFS_SKIPPED", skipped);
    command.args(["test", "--no-fail-fast", "--manifest-path"]);
    command.arg(descriptions());
    command.env("CARGO_TARGET_DIR", providers::target()?);
    step::run(&mut command, "testing against the services' descriptions", minutes(20))
}

/// Builds the S3 server of the tests, which is a workspace of its own. Answers the program.
pub fn build_s3_server() -> Result<PathBuf> {
    let target = cargo::target()?.join("s3-server");
    let mut command = cargo::cargo();
    command.args(["build", "--manifest-path"]).arg(s3_server());
    command.env("CARGO_TARGET_DIR", &target);
    step::run(&mut command, "building the S3 server of the tests", minutes(20))?;
    Ok(target.join("debug/omnifs-s3-server"))
}

/// The manifest of the S3 server of the tests.
pub fn s3_server() -> PathBuf {
    cargo::root().join("tests/s3/Cargo.toml")
}

/// The manifest of the checks against the services' own descriptions.
pub fn descriptions() -> PathBuf {
    cargo::root().join("tests/descriptions/Cargo.toml")
}

/// The manifests of the providers' workspace and of the crates beside it.
pub fn manifests() -> Result<Vec<PathBuf>> {
    let all = providers::all()?;
    Ok(providers::by_manifest(&all).into_keys().map(Path::to_owned).collect())
}

/// The target directory of everything below providers/.
pub fn target() -> Result<PathBuf> {
    providers::target()
}
