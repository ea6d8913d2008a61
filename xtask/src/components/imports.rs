//! What a component imports: the list that says what it can reach.

use anyhow::{Context, Result, bail};
use std::fmt;
use wit_component::DecodedWasm;

/// The package of `wit/`, with the version that the host implements.
const PACKAGE: &str = "omnifs:provider/";
const VERSION: &str = "@1.0.0";
/// What every provider may import.
const PROVIDER: &[&str] = &["types", "config", "log", "preload"];
/// What a provider that has event feeds, and so a service, may import beside that.
const SERVICE: &str = "http";
/// What one may that has feeds and statements.
const DATABASE: &str = "sql";
/// The exports by which the worlds differ.
const FEEDS: &str = "events";
const STATEMENTS: &str = "statements";

/// The WASI interfaces that the standard library of wasm32-wasip2 imports. The host answers each
/// of them with nothing: no directory, no variable, no argument, a closed stream. None reaches a
/// socket.
const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Version 13, layer 1 of the binary format; a core module has version 1, layer 0.
const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";

/// Imports and exports by their full names (`wasi:io/error@0.2.6`).
#[derive(Debug, PartialEq, Eq)]
pub struct Imports {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Imports {
    pub fn wasi(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(String::as_str).filter(|name| name.starts_with("wasi:"))
    }

    fn exports(&self, interface: &str) -> bool {
        self.exports.iter().any(|name| *name == format!("{PACKAGE}{interface}{VERSION}"))
    }
}

impl fmt::Display for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.imports.iter().try_for_each(|name| write!(f, "\n  {name}"))
    }
}

/// Reads a component's world.
pub fn read(component: &[u8]) -> Result<Imports> {
    // The decoder takes a core module for a component with an empty world.
    if !component.starts_with(PREAMBLE) {
        bail!("not a component");
    }
    let decoded = wit_component::decode(component).context("not a component")?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        bail!("a package of interfaces and not a component");
    };
    let world = &resolve.worlds[world];
    let names = |keys: Vec<_>| keys.into_iter().map(|key| resolve.name_world_key(key)).collect();
    Ok(Imports {
        imports: names(world.imports.keys().collect()),
        exports: names(world.exports.keys().collect()),
    })
}

/// Fails, with the whole list, where a shipped component imports what it must not.
pub fn check(name: &str, list: &Imports, wasi: bool) -> Result<()> {
    for export in ["manifest", "provider"] {
        if !list.exports(export) {
            bail!("{name} does not export {PACKAGE}{export}{VERSION}");
        }
    }
    for import in &list.imports {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        let allowed = match interface.strip_prefix(PACKAGE) {
            Some(_) if VERSION.strip_prefix('@') != Some(version) => false,
            Some(own) if own == SERVICE => list.exports(FEEDS),
            Some(own) if own == DATABASE => list.exports(FEEDS) && list.exports(STATEMENTS),
            Some(own) => PROVIDER.contains(&own),
            None => wasi && version.starts_with("0.2.") && WASI.contains(&interface),
        };
        if !allowed {
            bail!("{name} imports {import}, which it must not; all its imports:{list}");
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(imports: &[&str], exports: &[&str]) -> Imports {
        let own = |name: &&str| format!("omnifs:provider/{name}@1.0.0");
        let imports = imports.iter().map(|name| match name.contains(':') {
            true => (*name).to_owned(),
            false => own(name),
        });
        Imports { imports: imports.collect(), exports: exports.iter().map(own).collect() }
    }

    const OFFLINE: &[&str] = &["manifest", "provider"];
    const SERVICE_EXPORTS: &[&str] = &["manifest", "provider", "events"];

    #[test]
    fn a_service_may_import_http_and_an_offline_provider_may_not() {
        check("x", &list(&["types", "http"], SERVICE_EXPORTS), false).unwrap();
        let error = check("x", &list(&["types", "http"], OFFLINE), false).unwrap_err().to_string();
        assert!(error.contains("x imports omnifs:provider/http@1.0.0"), "{error}");
    }

    #[test]
    fn a_database_may_import_sql_where_it_names_its_statements() {
        let whole = ["manifest", "provider", "events", "statements"];
        check("x", &list(&["types", "sql"], &whole), false).unwrap();
        assert!(check("x", &list(&["types", "sql"], SERVICE_EXPORTS), false).is_err());
    }

    #[test]
    fn wasi_is_allowed_by_the_list_and_only_on_the_routes_that_have_it() {
        let quiet = list(&["log", "wasi:cli/exit@0.2.6"], OFFLINE);
        check("x", &quiet, true).unwrap();
        assert!(check("x", &quiet, false).is_err());
        let socket = list(&["wasi:sockets/tcp@0.2.6"], OFFLINE);
        assert!(
            check("x", &socket, true).unwrap_err().to_string().contains("\n  wasi:sockets/tcp")
        );
        assert!(check("x", &list(&["wasi:cli/exit@0.3.0"], OFFLINE), true).is_err());
    }

    #[test]
    fn another_version_another_package_and_a_missing_export_are_refused() {
        for import in
            ["omnifs:provider/types@2.0.0", "omnifs:provider/admin@1.0.0", "env:x/y@1.0.0"]
        {
            assert!(check("x", &list(&[import], OFFLINE), true).is_err(), "{import}");
        }
        assert!(check("x", &list(&[], &["manifest"]), true).is_err());
    }

    #[test]
    fn what_is_not_a_component_is_told() {
        assert!(read(b"\0asm\x01\0\0\0").is_err());
        assert!(read(b"plain text").is_err());
    }
}
