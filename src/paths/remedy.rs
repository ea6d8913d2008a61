//! What to do where a directory or file of omnifs cannot be made or written.

use super::quoted;
use crate::trust::Advised;
use std::env;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The home directory, where `path` lies in it and it does not exist.
pub(super) fn missing_home(path: &Path) -> Option<PathBuf> {
    let home = env::home_dir().filter(|home| cfg!(unix) && home.is_absolute())?;
    (path.starts_with(&home) && !home.exists()).then_some(home)
}

/// What to do about an error of making or writing `path`, in one line. `None`: nothing that is known here, or
/// the error says so itself.
pub fn remedy(path: &Path, error: &io::Error) -> Option<String> {
    if error.get_ref().is_some_and(|cause| cause.is::<Advised>()) {
        return None;
    }
    if let Some(home) = missing_home(path) {
        let whose = match env::var_os("HOME").is_some_and(|home| !home.is_empty()) {
            true => "HOME is",
            false => "HOME is not set, and this user's home directory is",
        };
        let home = quoted(&home);
        return Some(format!(
            "{whose} {home}, which does not exist: set HOME to a directory of your own"
        ));
    }
    // What is missing cannot be made there.
    let found = path.ancestors().find(|place| place.exists()).unwrap_or(path);
    let place = quoted(found);
    Some(match error.kind() {
        ErrorKind::StorageFull => format!("make room on the disk that holds {place}"),
        ErrorKind::QuotaExceeded => {
            format!("make room in your quota of the disk that holds {place}")
        }
        ErrorKind::ReadOnlyFilesystem => format!(
            "{place} is on a file system that is mounted read-only: set {} to a directory that can be written",
            variable(path)
        ),
        ErrorKind::PermissionDenied if found != path => {
            format!("let {place} be written, or set {} to a directory of your own", variable(path))
        }
        ErrorKind::PermissionDenied if cfg!(windows) => {
            format!("icacls {place} /grant %USERNAME%:(OI)(CI)F")
        }
        ErrorKind::PermissionDenied => {
            format!("sudo chown -R $(id -u) {place} && chmod -R u+rwX {place}")
        }
        _ => return None,
    })
}

/// The variable that says where `path` lies.
fn variable(path: &Path) -> &'static str {
    let names = ["XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"];
    let leads = |name: &&str| {
        env::var_os(name).is_some_and(|place| !place.is_empty() && path.starts_with(place))
    };
    // Only Linux asks these.
    names.into_iter().filter(|_| cfg!(target_os = "linux")).find(leads).unwrap_or("HOME")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_a_disk_names_the_directory_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let told = |kind: ErrorKind| remedy(&dir.path().join("a/b"), &kind.into());
        for (kind, says) in [
            (ErrorKind::StorageFull, "make room on the disk"),
            (ErrorKind::QuotaExceeded, "make room in your quota"),
            (ErrorKind::ReadOnlyFilesystem, "mounted read-only: set HOME"),
            (ErrorKind::PermissionDenied, "be written, or set HOME"),
        ] {
            let told = told(kind).unwrap();
            assert!(told.contains(says) && !told.contains('\n'), "{told}");
            assert!(told.contains(&quoted(dir.path())) && !told.contains("a/b"), "{told}");
        }
        assert_eq!(told(ErrorKind::Interrupted), None);
        let own = remedy(dir.path(), &ErrorKind::PermissionDenied.into()).unwrap();
        assert!(own.starts_with("sudo chown"), "{own}");
    }
}
