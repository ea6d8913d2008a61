//! The ways to a component.
//!
//! - *installed*: rustup's wasm32-wasip2 target is there; cargo's own linker makes the component.
//! - *added*: rustup was asked for it, and it came within the bounded wait.
//! - *fallback*: Debian's rustc-web, cargo-web and rust-web-src build the standard library and the
//!   provider for wasm32-unknown-unknown, and `wit-component` encodes the module. No WASI at all.

use super::providers::{self, Provider};
use crate::step::{minutes, say};
use crate::{cargo, setup, step};
use anyhow::{Context, Result};
use omnifs_support::program;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TARGET: &str = "wasm32-wasip2";
const FALLBACK_TARGET: &str = "wasm32-unknown-unknown";
/// rustup fetches some 30 MB; where it cannot, it can take minutes to notice.
const ADD: Duration = Duration::from_secs(180);
/// One workspace of providers, the standard library included.
const BUILD: Duration = minutes(20);

/// Environment variables that the fallback's cargo gets, and no other: rustup's proxies leave their
/// toolchain's library path in the environment, and a different rustc must not load from it.
const KEPT: &[&str] = &[
    "HOME",
    "USER",
    "TERM",
    "LANG",
    "TMPDIR",
    "CARGO_HOME",
    "CARGO_NET_OFFLINE",
    "CARGO_HTTP_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

#[derive(Debug)]
pub enum Route {
    Installed,
    Added,
    Fallback { linker: PathBuf },
}

impl Route {
    /// The first route that can be taken here.
    pub fn choose() -> Result<Route> {
        if target_installed(TARGET) {
            return Ok(Route::Installed);
        }
        let reason = match program("rustup") {
            None => "there is no rustup".to_owned(),
            Some(rustup) => {
                let what = "adding the wasm32-wasip2 target by rustup";
                let mut add = Command::new(rustup);
                match step::run(add.args(["target", "add", TARGET]), what, ADD) {
                    Ok(()) if target_installed(TARGET) => return Ok(Route::Added),
                    Ok(()) => format!("rustup added {TARGET} to another toolchain"),
                    Err(error) => format!("{error:#}"),
                }
            }
        };
        say(&format!("{reason}: building components by the fallback"));
        setup::need(setup::Goal::Fallback).with_context(|| {
            format!("neither `rustup target add {TARGET}` nor the fallback works")
        })?;
        Route::fallback()
    }

    /// The fallback; its packages must be there.
    pub fn fallback() -> Result<Route> {
        setup::need(setup::Goal::Fallback)?;
        Ok(Route::Fallback { linker: wasm_linker().context("no linker for wasm was found")? })
    }

    pub fn describe(&self) -> String {
        match self {
            Route::Installed => format!("route A, the installed {TARGET} target"),
            Route::Added => format!("route B, the {TARGET} target that rustup has just added"),
            Route::Fallback { linker } => {
                format!(
                    "route C, Debian's rustc-web for {FALLBACK_TARGET}, linked by {}",
                    linker.display()
                )
            }
        }
    }

    /// Whether the standard library of this route imports WASI interfaces.
    pub fn has_wasi(&self) -> bool {
        !matches!(self, Route::Fallback { .. })
    }

    /// Builds the providers of one manifest; each with the module or component cargo made of it.
    pub fn build<'a>(
        &self,
        manifest: &Path,
        members: &[&'a Provider],
    ) -> Result<Vec<(&'a Provider, PathBuf)>> {
        let mut command = match self {
            Route::Installed | Route::Added => {
                let mut command = cargo::cargo();
                // Flags for the host (`-C target-cpu=native`) are not for wasm.
                for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
                    command.env_remove(name);
                }
                command.args(["build", "--target", TARGET]);
                command.env("CARGO_TARGET_DIR", providers::target()?);
                command
            }
            Route::Fallback { linker } => {
                let mut command = system_cargo();
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command.args(["build", "-Z", "build-std=std,panic_abort"]);
                command.args(["--target", FALLBACK_TARGET]);
                // A directory of its own: the two compilers would overwrite each other's work.
                let target = cargo::target()?.join("providers-fallback");
                command.env("CARGO_TARGET_DIR", target);
                command
            }
        };
        command.args(["--release", "--message-format", "json-render-diagnostics"]);
        command.arg("--manifest-path").arg(manifest);
        for provider in members {
            command.args(["--package", &provider.package]);
        }
        let names: Vec<&str> = members.iter().map(|provider| provider.name.as_str()).collect();
        let what = format!("building {}", names.join(", "));
        let messages = step::output(&mut command, &what, BUILD)?;
        members
            .iter()
            .map(|provider| {
                let built = artifact(&messages, &provider.package);
                let built = built.with_context(|| format!("{} built to nothing", provider.name))?;
                Ok((*provider, built))
            })
            .collect()
    }

    /// The component of what cargo built: as it is, or a core module encoded.
    pub fn encode(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if self.has_wasi() {
            return Ok(bytes);
        }
        let mut encoder = wit_component::ComponentEncoder::default();
        encoder
            .validate(true)
            .module(&bytes)
            .and_then(|encoder| encoder.encode())
            .with_context(|| format!("encoding {name} as a component"))
    }
}

/// Debian's cargo and rustc, in an environment of their own; they may build a standard library.
pub fn system_cargo() -> Command {
    let mut command = Command::new("/usr/bin/cargo");
    command.env_clear().envs(KEPT.iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("RUSTC", "/usr/bin/rustc");
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(cargo::root());
    command
}

/// The `.wasm` file that cargo's messages name for a package.
fn artifact(messages: &str, package: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = artifacts
        .filter(|message| message.get("reason").is_some_and(|r| r == "compiler-artifact"))
        .filter(|message| {
            let id = message.get("package_id").and_then(Value::as_str).unwrap_or_default();
            is_package(id, package)
        })
        .filter_map(|message| message.get("filenames")?.as_array().cloned())
        .flatten()
        .filter_map(|file| Some(PathBuf::from(file.as_str()?)))
        .filter(|file| file.extension().is_some_and(|x| x == "wasm"));
    files.next()
}

/// Whether a package id (`path+file:///a/b/docker#0.1.0`, `...#name@0.1.0`) is of this package.
fn is_package(id: &str, package: &str) -> bool {
    let Some((source, fragment)) = id.rsplit_once('#') else { return false };
    match fragment.split_once('@') {
        Some((name, _)) => name == package,
        None => source.rsplit('/').next() == Some(package),
    }
}

/// Whether the rustc that cargo uses has the standard library for the target.
pub fn target_installed(target: &str) -> bool {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--print", "target-libdir", "--target", target]).current_dir(cargo::root());
    let Some(directory) = step::ask(&mut rustc) else { return false };
    let Ok(files) = std::fs::read_dir(directory.trim()) else { return false };
    files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

/// A linker for wasm: rustup's rust-lld, else the newest of the system.
pub fn wasm_linker() -> Option<PathBuf> {
    let sysroot = step::ask(Command::new("rustc").args(["--print", "sysroot"]));
    let ours = sysroot.into_iter().flat_map(|sysroot| {
        let hosts = std::fs::read_dir(Path::new(sysroot.trim()).join("lib/rustlib"));
        hosts.into_iter().flatten().flatten().map(|host| host.path().join("bin/rust-lld"))
    });
    // An older one may not read what a newer LLVM wrote.
    let versions = (20..40).rev().map(|version| format!("/usr/bin/wasm-ld-{version}"));
    ours.chain(versions.map(PathBuf::from)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_ids_are_matched_by_name_in_both_forms() {
        assert!(is_package("path+file:///x/providers/docker#0.1.0", "docker"));
        assert!(is_package("path+file:///x/providers/docker#omnifs-docker@0.1.0", "omnifs-docker"));
        assert!(!is_package("path+file:///x/providers/docker#omnifs-docker@0.1.0", "docker"));
        assert!(!is_package("docker", "docker"));
    }

    #[test]
    fn the_artifact_is_the_wasm_file_of_the_package() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","package_id":"path+file:///p/sdk#0.1.0","filenames":["/t/sdk.rlib"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","package_id":"path+file:///p/docker#0.1.0","filenames":["/t/docker.rlib","/t/docker.wasm"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(artifact(messages, "docker"), Some(PathBuf::from("/t/docker.wasm")));
        assert_eq!(artifact(messages, "sdk"), None);
    }
}
