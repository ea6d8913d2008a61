//! Reading a mount as people do: files, and shell lines of ordinary tools.

use crate::wait_until;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// The file as text. Panics with its path.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a directory, sorted. Opening it may succeed where reading it fails.
pub fn list(directory: &Path) -> std::io::Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)?;
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names = entries.map(|entry| entry.map(name)).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    Ok(names)
}

/// The Linux errno with which reading the file fails. Panics where it can be read.
pub fn errno(path: &Path) -> i32 {
    match std::fs::read(path) {
        Ok(bytes) => panic!("{} was read: {} bytes", path.display(), bytes.len()),
        // Anything but this crate's own mistakes comes from the kernel.
        Err(error) => error.raw_os_error().unwrap_or_else(|| panic!("{}: {error}", path.display())),
    }
}

/// Waits until the file reads as `expected`; panics with what it holds.
pub fn await_content(path: &Path, expected: &str, limit: Duration) {
    let reads = || (std::fs::read_to_string(path).ok()? == expected).then_some(());
    let seen = wait_until(limit, reads);
    assert!(seen.is_some(), "{} is {:?}", path.display(), std::fs::read_to_string(path));
}

/// Waits until the path is gone. An error other than "not found" is not gone.
pub fn await_gone(path: &Path, limit: Duration) {
    let kind = || std::fs::symlink_metadata(path).err().map(|error| error.kind());
    let gone = wait_until(limit, || (kind()? == ErrorKind::NotFound).then_some(()));
    assert!(gone.is_some(), "{} is still there, or fails: {:?}", path.display(), kind());
}

/// Runs a line of bash in `directory` for at most two minutes, whatever its outcome.
pub fn try_shell(directory: &Path, line: &str) -> Output {
    Command::new("timeout")
        .args(["120", "bash", "-o", "pipefail", "-c", line])
        .current_dir(directory)
        .output()
        .expect("a shell")
}

/// As [`try_shell`] for a line that must succeed; what it printed, without the last line end.
pub fn shell(directory: &Path, line: &str) -> String {
    let output = try_shell(directory, line);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{line}: {}\n{out}{err}", output.status);
    out.trim_end_matches('\n').to_owned()
}
