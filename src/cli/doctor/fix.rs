//! What `omnifs doctor --fix` does: what takes nothing from anybody, and what the row advises.

use super::super::failure::Failure;
use super::super::{shown, terminal};
use super::Finding;
use omnifs::trust::Distrust;
use omnifs_platform::mounting::{self, Mount, UnmountMode};
#[cfg(unix)]
use std::io;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Its process has ended: nothing answers there any more.
    Unmount(Mount),
    /// Nobody but the owner is to write it.
    CloseToWriters(PathBuf),
    /// Nobody but the owner is to read or write it.
    CloseToReaders(PathBuf),
}

impl Fix {
    /// What mends it, where that is a matter of permissions of `own`, a file or directory of omnifs. A directory above
    /// it may be shared for reasons of its user's, so the row's advice is all there is for that one.
    pub fn of(distrust: &Distrust, own: &Path) -> Option<Fix> {
        match distrust {
            Distrust::Shared(path) if is_same(path, own) => Some(Fix::CloseToWriters(path.clone())),
            Distrust::Shared(_) | Distrust::Foreign { .. } | Distrust::Unreadable { .. } => None,
        }
    }

    fn question(&self) -> String {
        match self {
            Fix::Unmount(mount) => format!("Unmount {}?", shown(&mount.path)),
            Fix::CloseToWriters(path) => format!("Let nobody but you write {}?", shown(path)),
            Fix::CloseToReaders(path) => format!("Let nobody but you read {}?", shown(path)),
        }
    }

    fn run(&self) -> Result<(), Failure> {
        match self {
            // Another may have been mounted there while the question stood.
            Fix::Unmount(mount) if !mount.dead() => {
                Err(Failure::new(format!("{} is not dead any more", shown(&mount.path))))
            }
            Fix::Unmount(mount) => Ok(mounting::unmount(mount, UnmountMode::Force)?),
            Fix::CloseToWriters(path) => close(path, 0o022),
            Fix::CloseToReaders(path) => close(path, 0o077),
        }
    }
}

/// Asks for each, unless all are granted, and mends it. Whether any was.
pub fn all(findings: &[Finding], granted: bool) -> Result<bool, Failure> {
    let (mut any, mut asked) = (false, Vec::new());
    for (finding, fix) in findings.iter().filter_map(|f| Some((f, f.fix.as_ref()?))) {
        // Several rows may be about one file.
        if asked.contains(&fix) {
            continue;
        }
        asked.push(fix);
        let question = format!("{}. {}", finding.what, fix.question());
        let question = omnifs::logs::printable(&question);
        if !granted && !terminal::confirm(&question, "--yes mends it without asking")? {
            continue;
        }
        match fix.run() {
            Ok(()) => any = true,
            Err(failure) => terminal::tell("warning", &failure.message),
        }
    }
    Ok(any)
}

fn is_same(path: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    path == other || real(path).is_some_and(|path| Some(path) == real(other))
}

/// Takes these permissions from a file or directory of this user. What a symbolic link leads to stays as it is.
#[cfg(unix)]
fn close(path: &Path, bits: u32) -> Result<(), Failure> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
    let closed = || {
        let mut options = std::fs::File::options();
        // The one that is looked at is the one that is changed. A FIFO is not waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = options.read(true).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to somebody else"));
        }
        let mode = found.permissions().mode() & 0o7777 & !bits;
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    };
    let failed = |e| Failure::new(format!("cannot change the permissions of {}: {e}", shown(path)));
    closed().map_err(failed)
}

/// What lies in the user's profile is the user's alone there.
#[cfg(not(unix))]
fn close(path: &Path, _: u32) -> Result<(), Failure> {
    Err(Failure::new(format!("cannot change the permissions of {}", shown(path))))
}
