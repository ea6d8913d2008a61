//! Where omnifs keeps its files, by each system's conventions.
//!
//! Invariant: what this module creates belongs to the user alone (directories 0700, files 0600).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The user's directories for omnifs. Nothing is created until it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `config.toml`, unless named otherwise.
    pub config: PathBuf,
    /// Holds `providers/`.
    pub data: PathBuf,
    /// Compiled components. Losing it costs time, nothing else.
    pub cache: PathBuf,
    /// Running mounts and logs.
    pub state: PathBuf,
}

/// The system names no home directory for this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this user has no home directory")]
pub struct Homeless;

impl Homeless {
    pub fn hint(self) -> &'static str {
        "set HOME to a directory that omnifs may write to"
    }
}

impl Paths {
    /// The directories of the user who runs this process. `XDG_*` count where the system knows
    /// them.
    pub fn of_user() -> Result<Paths, Homeless> {
        let dirs = directories::ProjectDirs::from("", "", "omnifs").ok_or(Homeless)?;
        // Only Linux has a state directory. The runtime directory will not do: it differs between
        // a login, sudo and cron, and each of them must find the same mounts.
        let state =
            dirs.state_dir().map_or_else(|| dirs.data_local_dir().join("state"), Path::to_owned);
        Ok(Paths {
            config: dirs.config_dir().join("config.toml"),
            data: dirs.data_dir().to_owned(),
            cache: dirs.cache_dir().to_owned(),
            state,
        })
    }

    /// Components that the user added: `NAME.wasm`.
    pub fn providers(&self) -> PathBuf {
        self.data.join("providers")
    }

    /// One record for each running mount.
    pub fn mounts(&self) -> PathBuf {
        self.state.join("mounts")
    }

    /// One log for each mountpoint.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
}

/// Creates the directory, with its parents, for the user alone; takes others' access away from one
/// that exists.
pub fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
        builder.mode(0o700).create(path)?;
        let found = fs::metadata(path)?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            let text = format!("{} belongs to another user", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        if found.mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }
    #[cfg(not(unix))]
    builder.create(path)
}

/// Options for files that only the user may read.
pub fn private_file() -> OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        options.mode(0o600);
        options
    }
    // The user's profile is the user's alone there, and what is made in it inherits that.
    #[cfg(windows)]
    OpenOptions::new()
}

/// Replaces the file as a whole: a reader sees the old or the new content, never a part of it. An
/// existing file keeps its permissions, and a symbolic link stays one.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut fresh = std::ffi::OsString::from(".");
    fresh.push(name);
    fresh.push(format!(".{}", std::process::id()));
    let fresh = target.with_file_name(fresh);
    let written = (|| {
        let mut file: File = private_file().write(true).create(true).truncate(true).open(&fresh)?;
        file.write_all(content)?;
        if let Ok(old) = fs::metadata(&target) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&fresh, &target)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// A path as a shell takes it, for a command that a message shows.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@%:".contains(&b);
    let simple = !text.is_empty() && text.bytes().all(|b| plain(b) || cfg!(windows) && b == b'\\');
    match simple {
        true => text.into_owned(),
        false if cfg!(windows) => format!("\"{text}\""),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_directory_is_taken_back_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn replacing_a_linked_file_keeps_the_link_and_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_path_in_a_command_is_quoted_where_a_shell_would_take_it_apart() {
        for (path, shown) in [
            ("/mnt/o", "/mnt/o"),
            ("/mnt/my files", "'/mnt/my files'"),
            ("/mnt/it's", "'/mnt/it'\\''s'"),
            ("/mnt/$HOME", "'/mnt/$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), shown);
        }
    }
}
