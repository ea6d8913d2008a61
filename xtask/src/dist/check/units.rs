//! The units, as systemd reads them.

use crate::cargo;
use crate::step::say;
use anyhow::{Result, bail};
use omnifs_support::program;
use std::fs;
use std::process::Command;

pub fn check() -> Result<Option<String>> {
    if program("systemd-analyze").is_none() {
        return Ok(Some("the units: apt-get install systemd".to_owned()));
    }
    let folder = cargo::target()?.join("units");
    fs::create_dir_all(&folder)?;
    for (unit, scope) in [
        ("omnifs.service", "--user"),
        ("omnifs@.service", "--system"),
        ("omnifs-relay.service", "--system"),
        ("omnifs-docker-volumes.service", "--system"),
    ] {
        let text = fs::read_to_string(cargo::root().join("installers/linux").join(unit))?;
        // It looks for the program; an instance is what has a mountpoint.
        let program = std::env::current_exe()?;
        let text = text.replace("/usr/bin/omnifs", &program.to_string_lossy());
        let file = folder.join(unit.replace('@', "@srv-omnifs"));
        super::super::write(&file, text)?;
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no", scope]).arg(&file);
        verify.env("XDG_RUNTIME_DIR", &folder).stdin(std::process::Stdio::null());
        let output = verify.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() || said.contains("omnifs") {
            bail!("systemd-analyze verify {unit}: {}: {said}", output.status);
        }
    }
    say("systemd reads the units without complaint");
    fs::remove_dir_all(folder)?;
    Ok(None)
}
