//! Running on Windows's interfaces without one: under Wine.
//!
//! Built with mingw-w64, so without the WinFsp back end, whose driver Wine cannot run anyway.
//! Wine 8 has no bcryptprimitives.dll, from which Rust's standard library takes random numbers: a
//! library with the one function stands in.

use crate::check::target_added;
use crate::step::{loud, minutes, say};
use crate::{cargo, components, setup, step};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "x86_64-pc-windows-gnu";
const WINE: &str = "/usr/lib/wine/wine64";

const SHIM: &str = "#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T size)
{
    return RtlGenRandom(to, (ULONG)size);
}
";

/// Builds omnifs for Windows with mingw-w64 and runs what of it Wine can run
#[derive(clap::Args)]
pub struct Windows;

impl Windows {
    pub fn run(self) -> Result<()> {
        if let Some(why) = missing()? {
            bail!("{why}");
        }
        let components = components::build_all(components::Which::Shipped)?;
        let mut build = cargo::cargo();
        build.args(["build", "--package", "omnifs", "--bin", "omnifs", "--target", TARGET]);
        build.env("OMNIFS_EMBED", &components);
        step::run(&mut build, "building omnifs for Windows", minutes(60))?;
        let program = cargo::target()?.join(TARGET).join("debug").join("omnifs.exe");
        let home = cargo::target()?.join("windows").join("home");
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
        for (line, code, says) in COMMANDS {
            run(&program, &home, line, *code, says)?;
        }
        test_platform()?;
        say("what of omnifs runs under Wine works");
        Ok(())
    }
}

/// Commands, their exit codes, and what they must say.
const COMMANDS: &[(&str, i32, &[&str])] = &[
    ("--version", 0, &["omnifs "]),
    ("status", 0, &["no mount"]),
    ("providers list", 0, &["docker", "github", "linear"]),
    ("providers info github", 0, &["https://api.github.com", "it may reach"]),
    // The same component as on Linux, and the pipe of this system.
    ("providers info docker", 0, &["npipe:////./pipe/docker_engine"]),
    ("config path", 0, &["config.toml"]),
    ("config check", 0, &[]),
    ("config show", 0, &["winfsp"]),
    ("mount o", 4, &["o is no drive letter: write O:"]),
    ("mount C:", 4, &["C: is in use: name another letter"]),
    ("mount C:\\windows", 4, &["name one that does not exist yet"]),
    ("mount C:\\no\\where", 4, &["make it first"]),
    ("mount --foreground O:", 1, &["this build cannot mount through winfsp"]),
    ("unmount O:", 3, &["nothing is mounted at"]),
];

/// Tests of the platform crate: names, descriptors and the stand-in for WinFsp's dispatcher, on
/// Windows's own times, paths and strings. A line that says why not, where they cannot run.
pub fn test_platform() -> Result<Option<String>> {
    if let Some(why) = missing()? {
        return Ok(Some(format!("the platform's tests under Wine: {why}")));
    }
    let mut command = cargo::cargo();
    command.args(["test", "--package", "omnifs-platform", "--lib", "--target", TARGET]);
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", WINE);
    wine(&mut command)?;
    step::run(&mut command, "testing the platform crate under Wine", minutes(20))?;
    Ok(None)
}

/// What keeps programs for Windows from being made and run here.
fn missing() -> Result<Option<String>> {
    if let Some(line) = setup::need(setup::Goal::Wine)?.into_iter().next() {
        return Ok(Some(line));
    }
    Ok(target_added(TARGET).err())
}

/// Sets Wine up for a command: a prefix of its own, nothing on a screen, and the stand-in.
fn wine(command: &mut Command) -> Result<()> {
    let folder = cargo::target()?.join("windows");
    let source = folder.join("prng.c");
    let library = folder.join("bcryptprimitives.dll");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&source, SHIM))
        .with_context(|| source.display().to_string())?;
    let mut compile = Command::new("x86_64-w64-mingw32-gcc");
    compile.arg("-shared").arg("-o").arg(&library).arg(&source).arg("-ladvapi32");
    step::run(&mut compile, "building the stand-in for bcryptprimitives.dll", minutes(1))?;
    command
        .env("WINEPREFIX", folder.join("prefix"))
        .env("WINEPATH", &folder)
        .env("WINEDEBUG", "-all")
        .env("WINEDLLOVERRIDES", "bcryptprimitives=n;mscoree=;mshtml=");
    Ok(())
}

fn run(program: &Path, home: &Path, line: &str, code: i32, says: &[&str]) -> Result<()> {
    let mut command = Command::new(WINE);
    command.arg(program).args(line.split(' ')).current_dir(home);
    wine(&mut command)?;
    let output = command.output().with_context(|| WINE.to_owned())?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let missing: Vec<_> = says.iter().filter(|text| !said.contains(**text)).collect();
    if output.status.code() != Some(code) || !missing.is_empty() {
        loud(&said);
        bail!("`omnifs {line}` under Wine: {}, and it does not say {missing:?}", output.status);
    }
    say(&format!("under Wine: omnifs {line}: as expected"));
    Ok(())
}
