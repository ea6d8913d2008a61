//! zig, from PyPI, as a C compiler and linker for other systems: it has the headers and the symbols of each.

use crate::cargo;
use crate::step::{self, minutes};
use anyhow::{Context, Result};
use omnifs_support::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "ziglang==0.17.1";

/// A python that has it, fetched into the target directory once.
pub fn fetched() -> Result<PathBuf> {
    let folder = cargo::target()?.join("zig");
    let python = folder.join("bin/python3");
    if !folder.join("whole").exists() {
        let _ = fs::remove_dir_all(&folder);
        let system = program("python3").context("there is no python3")?;
        let mut venv = Command::new(system);
        step::run(venv.args(["-m", "venv"]).arg(&folder), "a place for zig", minutes(2))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]);
        step::run(&mut install, "fetching zig", minutes(5))?;
        fs::write(folder.join("whole"), PACKAGE)?;
    }
    Ok(python)
}

/// Writes a program that runs one of zig's tools, such as `cc -target aarch64-macos`. cc's crate passes a target
/// that zig spells otherwise: that one is dropped.
pub fn script(python: &Path, tool: &str, file: &Path) -> Result<()> {
    let text = format!(
        "#!/bin/sh\nfor word do\n  shift\n  case $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; \
         esac\ndone\nexec '{}' -m ziglang {tool} \"$@\"\n",
        python.display()
    );
    fs::write(file, text).with_context(|| file.display().to_string())?;
    #[cfg(unix)]
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}
