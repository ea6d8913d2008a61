//! The real binary with a home of its own.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub struct Home {
    dir: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        for name in ["config/omnifs", "data", "state", "cache", "mnt"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Home { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    pub fn config_file(&self) -> PathBuf {
        self.path("config/omnifs/config.toml")
    }

    pub fn config(&self, text: &str) {
        std::fs::write(self.config_file(), text).unwrap();
    }

    /// Gives a command this home and nothing of the caller's settings.
    pub fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OMNIFS_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.path(""))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .current_dir(self.path(""))
            .stdin(Stdio::null())
    }

    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omnifs"));
        self.environment(&mut command).args(arguments);
        command
    }

    /// Runs it as another user, who owns the directories of this home that are named. For root alone.
    #[cfg(target_os = "linux")]
    pub fn command_as<A: AsRef<OsStr>>(
        &self,
        user: u32,
        own: &[&str],
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        let open = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        // The build directory may be closed to other users.
        let binary = self.path("omnifs");
        if !binary.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_omnifs"), &binary).unwrap();
        }
        open(&self.path(""));
        open(&binary);
        for name in own {
            std::os::unix::fs::chown(self.path(name), Some(user), Some(user)).unwrap();
        }
        let mut command = Command::new(&binary);
        self.environment(&mut command).args(arguments).uid(user).gid(user);
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    /// Fails with this code, one `error:` line that holds `error`, and a hint that holds `hint`.
    #[track_caller]
    pub fn fails(&self, code: i32, error: &str, hint: &str) {
        assert_eq!(self.code, code, "{self:?}");
        let errors: Vec<_> = self.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(errors[0].contains(error), "{error:?} is not in {self:?}");
        let hints: String = self.stderr.lines().filter(|l| l.starts_with("hint: ")).collect();
        assert!(hints.contains(hint), "{hint:?} is not in {self:?}");
    }

    #[track_caller]
    pub fn works(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        &self.stdout
    }
}

/// Waits until something holds, for at most 20 seconds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true in 20 seconds");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The SDK of this checkout.
pub fn sdk() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/sdk").display().to_string()
}

/// Where components are built, so that a project of a test finds the SDK built.
pub fn guest_target() -> PathBuf {
    let mut built = Path::new(env!("CARGO_BIN_EXE_omnifs")).ancestors();
    built.nth(2).expect("a target directory").join("providers")
}

/// Has a project built with the versions that are at hand.
pub fn lock(project: &Path) {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).expect("a lock file");
}
