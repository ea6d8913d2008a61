//! Packages from npm, each in a folder of its own in the target directory, and the node that runs them.

use crate::{program, target_directory, tied};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For npm to fetch.
const FETCH: Duration = Duration::from_secs(300);
/// One at a time in a process, whose folder to work in has its number.
static FETCHING: Mutex<()> = Mutex::new(());

/// A node that takes `--import`. An error is one line.
pub fn node() -> Result<PathBuf, String> {
    let node = program("node").ok_or("there is no node: apt-get install nodejs")?;
    // Older than 18.18, it knows no such option.
    let mut imports = Command::new(&node);
    imports.args(["--import", "data:text/javascript,", "--eval", ""]);
    let imports = imports.output().map_err(|error| format!("node: {error}"))?;
    if !imports.status.success() {
        let said = String::from_utf8_lossy(&imports.stderr);
        return Err(format!("this node is too old, 18.18 will do: {}", said.trim()));
    }
    Ok(node)
}

/// The folder `node_modules` with the package, fetched through npm where it is not there yet. `beside` are packages
/// (`NAME@VERSION`) that it leaves open and that make what it says.
pub fn package(name: &str, version: &str, beside: &[&str]) -> Result<PathBuf, String> {
    package_with(name, version, beside, "{}")
}

/// The same with `package.json` of the folder that it is fetched into, whose `overrides` choose in the place of packages.
pub fn package_with(
    name: &str,
    version: &str,
    beside: &[&str],
    folder_manifest: &str,
) -> Result<PathBuf, String> {
    let target = target_directory().ok_or("this test has no target directory")?;
    let plain = name.trim_start_matches('@').replace('/', "-");
    let folder = target.join(format!("npm-{plain}-{version}"));
    let modules = folder.join("node_modules");
    let _one = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if modules.exists() {
        return Ok(modules);
    }
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    // A folder of this process's own: the last step is a rename.
    let work = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&work).map_err(told)?;
    fs::write(work.join("package.json"), folder_manifest).map_err(told)?;
    let log = work.join("npm.log");
    let output = File::create(&log).map_err(told)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]);
    npm.args(["--fetch-timeout=60000", "--fetch-retries=1", "--prefix"]).arg(&work);
    npm.arg(format!("{name}@{version}")).args(beside).current_dir(&work);
    npm.stdin(Stdio::null()).stdout(output.try_clone().map_err(told)?).stderr(output);
    let ended = tied::spawn(npm)
        .map_err(|error| format!("npm cannot be run ({error}): apt-get install npm"))
        .map(|mut child| {
            let ended = tied::wait(&mut child, FETCH);
            if ended.is_none() {
                tied::stop(&mut child, Duration::from_secs(5));
            }
            ended
        });
    let fetched = ended.and_then(|ended| match ended {
        Some(status) if status.success() => Ok(()),
        _ => {
            let said = fs::read_to_string(&log).unwrap_or_default();
            Err(format!("npm install {name}@{version} failed: {}", said.trim()))
        }
    });
    let moved = fetched.and_then(|()| match fs::rename(&work, &folder) {
        // Another run was quicker.
        Err(_) if modules.exists() => Ok(()),
        moved => moved.map_err(told),
    });
    let _ = fs::remove_dir_all(&work);
    moved.map(|()| modules)
}

/// Code for `node --import`: an address that holds it.
pub fn import(code: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    format!("data:text/javascript,{}", code.bytes().map(byte).collect::<String>())
}
