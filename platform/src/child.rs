//! Programs of the system that this one runs.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// A program that gets nothing of this process's environment, which may hold tokens, but where programs
/// are; and that says in English what went wrong, since that is looked into.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_run_sees_no_variable_of_ours() {
        // Cargo sets some for every test.
        assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")));
        let output = command("env").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let names: Vec<_> = said.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.iter().all(|name| ["LC_ALL", "PATH"].contains(name)), "{said}");
    }
}
