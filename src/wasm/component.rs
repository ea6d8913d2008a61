//! A provider's file, compiled and linked.

use super::bindings::exports::omnifs::provider as exports;
use super::engine::Engine;
use super::host::{Reach, State};
use super::limits;
use super::text::one_line;
use super::{artifact, compile};
use crate::names::Quoted;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::InstancePre;

/// Why a file is not a provider. The message names the provider and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("provider {provider}: {reason}")]
pub struct LoadError {
    pub provider: Arc<str>,
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("the file is empty")]
    Empty,
    #[error("the file has {0} bytes; a component may have {max}", max = limits::COMPONENT_MAX)]
    TooLarge(usize),
    #[error("the file is not a WebAssembly component: {0}")]
    NotComponent(String),
    /// wasmtime refused it: malformed, or it uses a feature that is off.
    #[error("the component cannot be used: {0}")]
    Unusable(String),
    /// It would take a compiler too long, or too much memory.
    #[error(
        "the component has {found} {what}, more than {most}; build it with optimisations, or make it \
         smaller"
    )]
    Beyond { what: &'static str, found: u64, most: u64 },
    #[error(
        "the component takes a component from outside of the one that uses it, which cannot be \
         bounded; define it where it is instantiated"
    )]
    Borrowed,
    #[error(
        "the component has not been compiled within {0:?}; it goes on while this process runs: try \
         again in a minute"
    )]
    Slow(Duration),
    #[error("the component could not be compiled: {0}")]
    NotCompiled(String),
    #[error("the component imports {import}: {why}")]
    Import { import: String, why: String },
    #[error(
        "the component does not export {0}: build it for the world `service`, `database` or `offline` of \
         omnifs:provider@1.0.0"
    )]
    Export(&'static str),
}

/// The names of what a component imports and exports.
#[derive(Debug, Default)]
pub(super) struct Surface {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// A compiled provider, linked to what it imports. Clones share it.
#[derive(Clone)]
pub struct Component(pub(super) Arc<Loaded>);

pub(super) struct Loaded {
    pub(super) engine: Engine,
    pub(super) name: Arc<str>,
    digest: [u8; 32],
    pub(super) instance: InstancePre<State>,
    pub(super) manifest: exports::manifest::GuestIndices,
    pub(super) provider: exports::provider::GuestIndices,
    pub(super) events: Option<exports::events::GuestIndices>,
    pub(super) statements: Option<exports::statements::GuestIndices>,
    reach: Reach,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.0.name)
            .field("reach", &self.0.reach)
            .field("exports_events", &self.0.events.is_some())
            .finish()
    }
}

impl Component {
    /// Compiles a component and links it. `name` is for messages. With `cache`, a directory, the
    /// compiled artifact is kept there and used the next time; a cache that cannot be used costs
    /// time and nothing else.
    ///
    /// Blocks for the time of a compilation (about 0.1 s; 1 ms from the cache), and never longer than
    /// [`limits::COMPILE_MAX`].
    pub fn load(
        engine: &Engine,
        bytes: &[u8],
        name: &str,
        cache: Option<&Path>,
    ) -> Result<Component, LoadError> {
        let provider: Arc<str> = name.into();
        let digest = Sha256::digest(bytes).into();
        let load = || {
            check_header(bytes)?;
            let bytes = bytes.to_vec();
            load(engine, digest, || Ok(bytes), &provider, cache)
        };
        load().map_err(|reason| LoadError { provider: provider.clone(), reason })
    }

    /// [`Component::load`] of the component whose SHA-256 is `digest`. It is asked for its bytes where it
    /// has to be compiled.
    pub(super) fn load_known(
        engine: &Engine,
        digest: [u8; 32],
        bytes: impl FnOnce() -> Result<Vec<u8>, Reason> + Send + 'static,
        provider: &Arc<str>,
        cache: &Path,
    ) -> Result<Component, LoadError> {
        let bytes = move || {
            let bytes = bytes()?;
            check_header(&bytes)?;
            match *Sha256::digest(&bytes) == digest {
                true => Ok(bytes),
                false => Err(Reason::NotCompiled("its file has changed since".into())),
            }
        };
        let loaded = load(engine, digest, bytes, provider, Some(cache));
        loaded.map_err(|reason| LoadError { provider: provider.clone(), reason })
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// SHA-256 of the file: what a user's approval of its capabilities is tied to.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// Whether it can make requests.
    pub fn imports_http(&self) -> bool {
        self.0.reach == Reach::Http
    }

    /// Whether it can have statements run.
    pub fn imports_sql(&self) -> bool {
        self.0.reach == Reach::Sql
    }

    /// Whether it can read feeds.
    pub fn exports_events(&self) -> bool {
        self.0.events.is_some()
    }
}

fn load(
    engine: &Engine,
    digest: [u8; 32],
    bytes: impl FnOnce() -> Result<Vec<u8>, Reason> + Send + 'static,
    name: &Arc<str>,
    cache: Option<&Path>,
) -> Result<Component, Reason> {
    let wasm = &engine.shared().wasm;
    let component = {
        let (wasm, cache) = (wasm.clone(), cache.map(Path::to_owned));
        compile::within(limits::COMPILE_MAX, move || match cache {
            Some(cache) => artifact::load_or_compile(&wasm, &digest, bytes, &cache),
            None => compile::compile(&wasm, &bytes()?),
        })?
    };
    // Of an artifact too: another version may have made it, that offered something else.
    let kind = component.component_type();
    let surface = Surface {
        imports: kind.imports(wasm).map(|(name, _)| name.to_owned()).collect(),
        exports: kind.exports(wasm).map(|(name, _)| name.to_owned()).collect(),
    };
    check_surface(&surface)?;
    let exports_events = surface.exports.iter().any(|name| is(name, EVENTS));
    let exports_statements = surface.exports.iter().any(|name| is(name, STATEMENTS));
    let imports = |interface| surface.imports.iter().any(|name| is(name, interface));
    let reach = match (imports(HTTP), imports(SQL)) {
        (true, _) => Reach::Http,
        (false, true) => Reach::Sql,
        (false, false) => Reach::Nothing,
    };
    let linker = engine.shared().linker(reach);
    let mismatch = |error: wasmtime::Error| Reason::Unusable(another_version(&error));
    let instance = linker.instantiate_pre(&component).map_err(mismatch)?;
    Ok(Component(Arc::new(Loaded {
        manifest: exports::manifest::GuestIndices::new(&instance).map_err(mismatch)?,
        provider: exports::provider::GuestIndices::new(&instance).map_err(mismatch)?,
        events: exports_events
            .then(|| exports::events::GuestIndices::new(&instance))
            .transpose()
            .map_err(mismatch)?,
        statements: exports_statements
            .then(|| exports::statements::GuestIndices::new(&instance))
            .transpose()
            .map_err(mismatch)?,
        engine: engine.clone(),
        name: name.clone(),
        digest,
        instance,
        reach,
    })))
}

/// That a component imports nothing but what it may, and exports what a provider has to.
pub(super) fn check_surface(surface: &Surface) -> Result<(), Reason> {
    let exports = |interface| surface.exports.iter().any(|name| is(name, interface));
    for interface in ["omnifs:provider/manifest", "omnifs:provider/provider"] {
        if !exports(interface) {
            return Err(Reason::Export(interface));
        }
    }
    let imports = |interface| surface.imports.iter().any(|name| is(name, interface));
    let also = |interface: &'static str| match exports(interface) {
        true => Ok(()),
        false => Err(interface),
    };
    surface.imports.iter().try_for_each(|import| {
        let needed = match import {
            import if is(import, HTTP) => also(EVENTS),
            import if is(import, SQL) && imports(HTTP) => {
                let why = format!("a component reaches databases or services ({HTTP}), not both");
                return Err(Reason::Import { import: shown(import), why });
            }
            import if is(import, SQL) => also(EVENTS).and_then(|()| also(STATEMENTS)),
            _ => Ok(()),
        };
        check_import(import, needed).map_err(|why| Reason::Import { import: shown(import), why })
    })
}

/// Tells the usual wrong files from components before a compiler sees them.
fn check_header(bytes: &[u8]) -> Result<(), Reason> {
    let not = |what: &str| Err(Reason::NotComponent(what.into()));
    match bytes {
        [] => Err(Reason::Empty),
        _ if bytes.len() > limits::COMPONENT_MAX => Err(Reason::TooLarge(bytes.len())),
        // Version 13, layer 1: what the component model has until it is final.
        [0, b'a', b's', b'm', 13, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            not("it is a core module; build it for wasm32-wasip2, or encode it with wit-component")
        }
        [0, b'a', b's', b'm', ..] => not("its WebAssembly version is unknown, or it is cut short"),
        _ if std::str::from_utf8(&bytes[..bytes.len().min(64)]).map_or_else(
            // A character cut at the end of the sample is still text.
            |error| error.error_len().is_none(),
            |_| true,
        ) && !bytes[..bytes.len().min(64)].contains(&0) =>
        {
            not("it is text")
        }
        _ => not("it does not begin with the WebAssembly magic number"),
    }
}

const HTTP: &str = "omnifs:provider/http";
const SQL: &str = "omnifs:provider/sql";
const EVENTS: &str = "omnifs:provider/events";
const STATEMENTS: &str = "omnifs:provider/statements";

/// The interfaces of `wit/` that a component may import. `types` has no functions.
const OWN: [&str; 6] = [
    "omnifs:provider/config",
    HTTP,
    "omnifs:provider/log",
    "omnifs:provider/preload",
    SQL,
    "omnifs:provider/types",
];

/// What Rust's and C's standard libraries import. All but clocks and random numbers answers "denied"
/// or "empty".
const WASI: [&str; 25] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
];
const WASI_UDP: [&str; 2] = ["wasi:sockets/udp", "wasi:sockets/udp-create-socket"];

/// Whether the versioned name is this interface, in a version this host speaks: 1.x of ours, 0.2.x of
/// WASI.
fn is(name: &str, interface: &str) -> bool {
    let series = if interface.starts_with("wasi:") { "@0.2." } else { "@1." };
    name.strip_prefix(interface).is_some_and(|version| version.starts_with(series))
}

/// `needed`: what a component has to export that imports this, if it does not.
fn check_import(import: &str, needed: Result<(), &str>) -> Result<(), String> {
    if let Err(missing) = needed {
        let world = if is(import, HTTP) { "service" } else { "database" };
        return Err(format!(
            "only a component of the world `{world}` may, and this one does not export {missing}"
        ));
    }
    if OWN.iter().chain(&WASI).chain(&WASI_UDP).any(|interface| is(import, interface)) {
        return Ok(());
    }
    let (interface, version) = import.split_once('@').unwrap_or((import, "none"));
    if OWN.contains(&interface) {
        return Err(format!("this omnifs offers version 1.0.0 of it, not {version}"));
    }
    if WASI.contains(&interface) || WASI_UDP.contains(&interface) {
        return Err(format!("this omnifs offers WASI 0.2, not {version}"));
    }
    if interface.starts_with("omnifs:provider/") {
        return Err("there is no such interface".into());
    }
    Err(format!(
        "a provider reaches nothing but what omnifs:provider declares, and services through {HTTP}"
    ))
}

/// An import or export has the right name and another type.
pub(super) fn another_version(error: &wasmtime::Error) -> String {
    format!("it is built for another version of omnifs:provider: {}", cause(error))
}

fn shown(name: &str) -> String {
    Quoted(name).to_string()
}

pub(super) fn cause(error: &wasmtime::Error) -> String {
    one_line(&format!("{error:#}"), limits::TEXT_MAX)
}
