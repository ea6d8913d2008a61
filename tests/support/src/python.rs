//! Packages from PyPI, each in an environment of its own in the target directory.

use crate::{program, target_directory, tied};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For an environment, or for what is fetched into it.
const FETCH: Duration = Duration::from_secs(300);
/// One at a time in a process, whose folder to work in has its number.
static FETCHING: Mutex<()> = Mutex::new(());

/// The interpreter that has the package, fetched where it is not there yet. An error is one line.
pub fn with_package(name: &str, version: &str) -> Result<PathBuf, String> {
    let target = target_directory().ok_or("this test has no target directory")?;
    let folder = target.join(format!("python-{name}-{version}"));
    let python = |folder: &Path| folder.join("bin/python3");
    let _one = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if python(&folder).exists() {
        return Ok(python(&folder));
    }
    // A folder of this process's own: the last step is a rename.
    let work = folder.with_extension(std::process::id().to_string());
    let system = program("python3").ok_or("python3 is not installed")?;
    let mut venv = Command::new(system);
    venv.args(["-m", "venv"]).arg(&work);
    let mut pip = Command::new(python(&work));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.arg(format!("{name}=={version}"));
    let fetched = run(&work, venv).and_then(|()| run(&work, pip));
    let moved = fetched.and_then(|()| match fs::rename(&work, &folder) {
        // Another run was quicker.
        Err(_) if python(&folder).exists() => Ok(()),
        moved => moved.map_err(|error| format!("{}: {error}", folder.display())),
    });
    let _ = fs::remove_dir_all(&work);
    moved.map(|()| python(&folder))
}

fn run(work: &Path, mut command: Command) -> Result<(), String> {
    let log = work.with_extension("log");
    let told = |error: std::io::Error| format!("{}: {error}", log.display());
    let output = File::create(&log).map_err(told)?;
    command.stdin(Stdio::null()).stdout(output.try_clone().map_err(told)?).stderr(output);
    let shown = format!("{command:?}");
    let mut child = tied::spawn(command).map_err(|error| format!("{shown}: {error}"))?;
    let ended = tied::wait(&mut child, FETCH);
    if ended.is_none() {
        tied::stop(&mut child, Duration::from_secs(5));
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    match ended {
        Some(status) if status.success() => Ok(()),
        _ => Err(format!("{shown} failed: {}", said.trim().replace('\n', " "))),
    }
}
