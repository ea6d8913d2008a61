//! Where omnifs keeps its files, by each system's conventions.
//!
//! Invariant: what this module creates belongs to the user alone (directories 0700, files 0600).

mod remedy;

use crate::trust::{self, Distrust};
pub use omnifs_platform::shell::{quoted, quoted_text};
pub use remedy::remedy;
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

/// Why this user's directories cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("this user has no home directory, or HOME is no absolute path")]
    Homeless,
    #[error(transparent)]
    Distrust(#[from] Distrust),
}

impl Unusable {
    pub fn hint(&self) -> String {
        match self {
            Unusable::Homeless => "set HOME to a directory that omnifs may write to".into(),
            Unusable::Distrust(distrust) => distrust.hint(),
        }
    }
}

impl Paths {
    /// The directories of the user who runs this process. `XDG_*` count where the system knows
    /// them.
    ///
    /// # Errors
    /// There are none.
    pub fn of_user() -> Result<Paths, Unusable> {
        let dirs = directories::ProjectDirs::from("", "", "omnifs");
        // A mount runs in another directory than the one it was started in.
        let dirs = dirs.filter(|dirs| dirs.data_dir().is_absolute()).ok_or(Unusable::Homeless)?;
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

    /// Whether nobody else could change what is kept here. The configuration is looked at when it is read,
    /// and without the cache everything else goes on.
    pub fn check(&self) -> Result<(), Unusable> {
        for place in [&self.data, &self.state] {
            trust::check(place)?;
        }
        Ok(())
    }

    /// Components that the user added: `NAME.wasm`.
    pub fn providers(&self) -> PathBuf {
        self.data.join("providers")
    }

    /// Secrets that a login has kept where the system has no keyring, a file each.
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// One record for each running mount.
    pub fn mounts(&self) -> PathBuf {
        self.state.join("mounts")
    }

    /// The volumes of each plugin's socket.
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// One log for each mountpoint.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
}

/// Creates the directory, with its parents, for the user alone. One that exists is left as it is.
///
/// # Errors
/// Somebody else could change what it leads to or what is in it. Or it lies in a home directory that does not
/// exist: root would make one wherever HOME has a mistake.
pub fn private_dir(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    trust::check(&path)?;
    if let Some(home) = remedy::missing_home(&path) {
        let text = format!("the home directory {} does not exist", home.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        builder.mode(0o700).create(&path).map_err(named)?;
        Ok(trust::check_own(&path)?)
    }
    #[cfg(not(unix))]
    builder.create(&path)
}

/// Options for files that only the user may read. Through a symbolic link none is opened, and a FIFO is
/// not waited for.
pub fn private_file() -> OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        options
    }
    // The user's profile is the user's alone there, and what is made in it inherits that.
    #[cfg(windows)]
    OpenOptions::new()
}

/// Replaces the file as a whole: a reader sees the old or the new content, never a part of it. An
/// existing file keeps its permissions, and a symbolic link stays one: what it leads to is replaced, or
/// made where it does not exist yet.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    trust::check(&std::path::absolute(path)?)?;
    let target = target(path)?;
    let directory = target.parent().filter(|directory| !directory.as_os_str().is_empty());
    // A name that nobody can have taken, for the user alone.
    let fresh = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")));
    // Its errors repeat that name, which says nothing to anybody.
    let fresh = fresh.map_err(|error| io::Error::from(error.kind()))?;
    fresh.as_file().write_all(content)?;
    if let Ok(old) = fs::metadata(&target) {
        fresh.as_file().set_permissions(old.permissions())?;
    }
    fresh.as_file().sync_all()?;
    fresh.persist(&target)?;
    Ok(())
}

/// What a path leads to through symbolic links at its end, whether or not that exists.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
    /// As the kernel follows.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            // No link, or nothing there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Opens a file to read it: a regular one, without waiting should it be a FIFO that nobody writes to.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = match options.open(path) {
        // Windows does not open directories as files.
        Err(_) if path.is_dir() => None,
        opened => Some(opened?).filter(|file| file.metadata().is_ok_and(|found| found.is_file())),
    };
    file.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

/// The whole of a small file, in the way of [`open_regular`].
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    /// More than any list of certificate authorities has.
    const MOST: u64 = 16 << 20;
    let mut bytes = Vec::new();
    open_regular(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 16 MiB")),
        false => Ok(bytes),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_made_for_the_user_alone_and_one_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_dir(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o757)).unwrap();
        assert!(private_dir(&path).unwrap_err().to_string().contains("chmod go-w"));
        // What somebody made is not changed behind his back.
        assert_eq!(mode(), 0o757);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(mode(), 0o755);
    }

    #[test]
    fn a_new_file_takes_no_name_that_somebody_could_have_prepared() {
        let dir = tempfile::tempdir().unwrap();
        let (file, victim) = (dir.path().join("config.toml"), dir.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        let guessed = dir.path().join(format!(".config.toml.{}", std::process::id()));
        std::os::unix::fs::symlink(&victim, &guessed).unwrap();
        replace(&file, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        let log = dir.path().join("x.log");
        std::os::unix::fs::symlink(&victim, &log).unwrap();
        assert!(private_file().append(true).create(true).open(&log).is_err());
    }

    #[test]
    fn a_fifo_is_no_file_to_wait_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in [fifo.as_path(), dir.path(), Path::new("/dev/null")] {
            assert!(open_regular(path).unwrap_err().to_string().contains("not a regular file"));
        }
        assert_eq!(
            open_regular(&dir.path().join("no")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
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
    fn a_link_to_a_file_that_does_not_exist_yet_stays_one_and_the_file_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("dotfiles")).unwrap();
        std::os::unix::fs::symlink("dotfiles/second", path("link")).unwrap();
        std::os::unix::fs::symlink("real", path("dotfiles/second")).unwrap();
        replace(&path("link"), b"new").unwrap();
        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(path("dotfiles/second")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(path("dotfiles/real")).unwrap(), "new");
        // Into a directory that does not exist, and round in a circle, nothing is written.
        std::os::unix::fs::symlink("none/real", path("deep")).unwrap();
        assert_eq!(replace(&path("deep"), b"new").unwrap_err().kind(), io::ErrorKind::NotFound);
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        assert!(replace(&path("loop"), b"new").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }
}
