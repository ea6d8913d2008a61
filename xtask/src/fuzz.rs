//! `cargo xtask fuzz`: libFuzzer against what strangers send.
//!
//! What cargo-fuzz would do with a nightly compiler is done here with any: this program is cargo's wrapper
//! around rustc, and adds the coverage flags to our own crates alone. What they depend on is built as ever.

use crate::step::{minutes, say};
use crate::{cargo, step};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Set for cargo: this program is called in place of rustc.
const WRAPS: &str = "OMNIFS_XTASK_WRAPS_RUSTC";

/// The crates that are fuzzed.
const OWN: [&str; 4] = ["omnifs", "omnifs_gitpack", "omnifs_platform", "omnifs_sdk"];

/// libFuzzer's own (SanitizerCoverage, "inline 8-bit counters"). Cargo does not see them: whoever changes
/// them removes fuzz/target.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Ccodegen-units=1",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Fuzzes what reads bytes of strangers: deliveries, logs, NFS, names, manifests, configuration, JSON
#[derive(clap::Args)]
pub struct Fuzz {
    /// The name of one in fuzz/targets; without it, all of them, one after the other
    target: Option<String>,
    /// How long each one runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

impl Fuzz {
    pub fn run(self) -> Result<()> {
        let root = cargo::root().join("fuzz");
        let mut targets = targets(&root)?;
        if let Some(target) = self.target {
            if !targets.contains(&target) {
                bail!("there is no fuzz target {target}; there are {}", targets.join(", "));
            }
            targets = vec![target];
        }
        let built = root.join("target");
        let mut command = cargo::cargo();
        command.args(["build", "--manifest-path"]).arg(root.join("Cargo.toml"));
        command.arg("--target-dir").arg(&built);
        command.args(targets.iter().flat_map(|target| ["--bin", target]));
        command.env("RUSTC_WRAPPER", std::env::current_exe()?).env(WRAPS, "1");
        // Nothing that ships runs here.
        command.env("OMNIFS_EMBED", built.join("no-components"));
        step::run(&mut command, "building the fuzz targets", minutes(60))?;
        let failed: Vec<_> =
            targets.iter().filter_map(|target| run(&root, target, self.seconds).err()).collect();
        if failed.is_empty() {
            say(&format!("nothing was found in {} s of each", self.seconds));
            return Ok(());
        }
        bail!("{}", failed.iter().map(|error| format!("{error:#}")).collect::<Vec<_>>().join("; "))
    }
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let directory = root.join("targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn run(root: &Path, target: &str, seconds: u32) -> Result<()> {
    let seeds = root.join("corpus").join(target);
    // What it finds is added to the first of two directories, and goes on from there the next time.
    let found = root.join("target/corpus").join(target);
    let artifacts = root.join("artifacts").join(target);
    for directory in [&found, &artifacts] {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(&artifacts);
    prefix.push("/");
    let mut command = Command::new(root.join("target/debug").join(target));
    command.arg(format!("-max_total_time={seconds}")).arg(prefix);
    command.args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    command.arg(found).arg(seeds);
    let limit = Duration::from_secs(u64::from(seconds)) + minutes(2);
    step::run(&mut command, &format!("fuzzing {target}"), limit).with_context(|| {
        format!("what it found is in {}; give it the file to see it again", artifacts.display())
    })
}

/// Runs rustc where cargo has called this program in its place, with the flags for our own crates.
pub fn wrapped_rustc() -> Option<ExitCode> {
    std::env::var_os(WRAPS)?;
    let mut arguments = std::env::args_os().skip(1);
    let mut command = Command::new(arguments.next()?);
    let arguments: Vec<OsString> = arguments.collect();
    let is_own = arguments
        .windows(2)
        .any(|pair| pair[0] == "--crate-name" && OWN.iter().any(|own| pair[1] == *own));
    command.args(&arguments).args(if is_own { &FLAGS[..] } else { &[] });
    match command.status() {
        Ok(status) if status.success() => Some(ExitCode::SUCCESS),
        Ok(_) => Some(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("error: cannot run rustc: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}
