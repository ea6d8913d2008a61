//! The binary that is packed: for an old glibc where zig can be had, without symbols.

use super::{Machine, Profile};
use crate::step::{self, loud, minutes, say};
use crate::{cargo, components, zig};
use anyhow::{Context, Result};
use omnifs_support::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// RHEL 8's; Debian 11 and Ubuntu 20.04 have 2.31.
const OLD_GLIBC: &str = "2.28";
/// The package of zig on PyPI.
const ZIG: &str = "ziglang==0.17.1";

/// Builds it; its path. Objects and libraries of Rust name no version of glibc, so only the last step, the
/// linking of the binary, is done by another linker.
pub fn binary(profile: Profile, this_glibc: bool) -> Result<PathBuf> {
    let release = profile == Profile::Release;
    if !release || this_glibc {
        return cargo::build_binary(release);
    }
    match tool(Machine::X64, "cc") {
        Ok(linker) => linked_by(&linker),
        Err(error) => {
            loud(&format!("NOT linked for glibc {OLD_GLIBC}: {error:#}; it needs this machine's"));
            cargo::build_binary(true)
        }
    }
}

fn linked_by(linker: &Path) -> Result<PathBuf> {
    let mut command = cargo::cargo();
    command.args(["rustc", "--package", "omnifs", "--bin", "omnifs", "--release", "--"]);
    command.arg("-C").arg(format!("linker={}", linker.display()));
    command.env("OMNIFS_EMBED", components::output_directory()?);
    step::run(&mut command, &format!("building omnifs for glibc {OLD_GLIBC}"), minutes(60))?;
    Ok(cargo::target()?.join("release/omnifs"))
}

/// Builds it for a machine that this one is not; its path. Its C is compiled for that one, too.
pub fn for_machine(machine: Machine) -> Result<PathBuf> {
    let target = machine.target();
    let mut command = cargo::cargo();
    command.args(["build", "--package", "omnifs", "--bin", "omnifs", "--release"]);
    command.arg("--target").arg(&target);
    let variable = target.replace('-', "_");
    let compiler = tool(machine, "cc")?;
    command.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), &compiler);
    command
        .env(format!("CC_{variable}"), &compiler)
        .env(format!("AR_{variable}"), tool(machine, "ar")?);
    // This machine's own `strip` may not know that one's programs.
    command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    command.env("OMNIFS_EMBED", components::output_directory()?);
    step::run(&mut command, &format!("building omnifs for {target}"), minutes(60))?;
    Ok(cargo::target()?.join(target).join("release/omnifs"))
}

/// A script that runs zig's `cc` or `ar` for a machine with an old glibc.
fn tool(machine: Machine, tool: &str) -> Result<PathBuf> {
    let python = zig()?;
    let folder = cargo::target()?.join("zig").join(machine.name());
    fs::create_dir_all(&folder)?;
    // rustc takes what a linker understands from its name: a compiler's options, for one that ends in `cc`.
    let script = folder.join(format!("zig{tool}"));
    let words = match tool {
        "cc" => format!("cc -target {}-linux-gnu.{OLD_GLIBC}", machine.name()),
        other => other.to_owned(),
    };
    zig::script(&python, &words, &script)?;
    Ok(script)
}

/// A python that has it, fetched into the target directory once.
fn zig() -> Result<PathBuf> {
    let folder = cargo::target()?.join("zig");
    let python = folder.join("bin/python3");
    if !folder.join("whole").exists() {
        let _ = fs::remove_dir_all(&folder);
        let system = program("python3").context("there is no python3")?;
        let mut venv = Command::new(system);
        step::run(venv.args(["-m", "venv"]).arg(&folder), "a place for zig", minutes(10))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ZIG]);
        step::run(&mut install, "fetching zig", minutes(10))?;
        fs::write(folder.join("whole"), ZIG)?;
    }
    Ok(python)
}

/// A copy without symbols.
pub fn stripped(built: &Path, work: &Path) -> Result<PathBuf> {
    let binary = work.join("omnifs");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&binary).arg(built);
    step::run(&mut strip, "stripping the binary", minutes(2))?;
    Ok(binary)
}

/// The newest version of glibc that one of the binary's symbols asks for.
pub fn glibc(binary: &Path) -> Result<String> {
    let mut readelf = Command::new("readelf");
    let text = step::output(readelf.args(["-W", "--dyn-syms"]).arg(binary), "readelf", minutes(1))?;
    let needed = newest(&text).context("the binary names no version of glibc")?;
    say(&format!("the binary runs where glibc is {needed} or later"));
    Ok(needed)
}

fn newest(symbols: &str) -> Option<String> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let numbers: Option<Vec<u32>> = rest[..end].split('.').map(|n| n.parse().ok()).collect();
        numbers
    });
    let newest = versions.max()?;
    Some(newest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_the_newest_by_number() {
        let text = "1: 0 FUNC a@GLIBC_2.4 (3)\n2: 0 FUNC b@GLIBC_2.28 (2)\n3: c@GLIBC_PRIVATE (4)\n4: d@GLIBC_2.2.5 (5)";
        assert_eq!(newest(text).as_deref(), Some("2.28"));
        assert_eq!(newest("nothing"), None);
    }
}
