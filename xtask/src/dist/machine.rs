//! The machines that packages for Linux are made for.

use super::{Profile, Release, build, tree::Tree};
use super::{archive, deb, npm, rpm};
use crate::check;
use crate::step::{loud, say};
use anyhow::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    X64,
    Arm64,
}

impl Machine {
    /// As Rust, rpm and zig call it, and the files.
    pub fn name(self) -> &'static str {
        match self {
            Machine::X64 => "x86_64",
            Machine::Arm64 => "aarch64",
        }
    }

    pub fn debian(self) -> &'static str {
        match self {
            Machine::X64 => "amd64",
            Machine::Arm64 => "arm64",
        }
    }

    pub fn node(self) -> &'static str {
        match self {
            Machine::X64 => "x64",
            Machine::Arm64 => "arm64",
        }
    }

    pub fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.name())
    }
}

/// The packages that hold a program for one machine.
pub fn pack(release: &Release, tree: &Tree) -> Result<()> {
    archive::make(release, tree)?;
    deb::make(release, tree)?;
    rpm::make(release, tree)?;
    npm::platform(release)
}

/// Those for the machine that this one is not.
pub fn pack_other(release: &Release, tree: &Tree) -> Result<()> {
    let machine = Machine::Arm64;
    let left_out = |why: &str| {
        loud(&format!("nothing for {} was made: {why}", machine.name()));
    };
    if release.profile != Profile::Release {
        left_out("this is no release build");
        return Ok(());
    }
    if let Err(why) = check::target_added(&machine.target()) {
        left_out(&why);
        return Ok(());
    }
    let built = match build::for_machine(machine) {
        Ok(built) => built,
        Err(error) => {
            left_out(&format!("{error:#}"));
            return Ok(());
        }
    };
    let other = release.of(machine, &built)?;
    let mib = other.size()? as f64 / f64::from(1 << 20);
    say(&format!("that of {} has {mib:.1} MiB and needs glibc {}", machine.name(), other.glibc));
    pack(&other, &tree.of(&other)?)
}
