//! Which mount a path lies in.
//!
//! Invariant: no mount is entered on the way, neither this user's nor another's: whoever serves it could
//! keep the command waiting.

use super::failure::{Exit, Failure};
use super::{Context, shown};
use omnifs::control::{Record, lies_in};
use std::io;
use std::path::{Path, PathBuf};

/// Where a path lies.
pub enum Located {
    /// In a running mount of this user, and where below it.
    Here(Record, PathBuf),
    /// In a mount of the user with this number.
    Others(u32),
    Nowhere,
}

pub fn find(context: &Context, path: &Path) -> io::Result<Located> {
    let registry = context.registry();
    let owners = owners();
    // This user's own come first: in a user namespace the numbers of users differ.
    let known = |place: &Path| match registry.get(place) {
        Some(record) => Some(Ok(record)),
        None => owners.iter().rfind(|(at, _)| at == place).map(|(_, owner)| Err(*owner)),
    };
    Ok(match lies_in(path, known)? {
        Some((Ok(record), below)) => Located::Here(record, below),
        Some((Err(Some(owner)), _)) if !is_own(owner) => Located::Others(owner),
        Some((Err(_), _)) | None => Located::Nowhere,
    })
}

/// The running mount of this user that a path lies in, and the rest of the path below it.
pub fn mount_of(context: &Context, path: &Path) -> Result<(Record, PathBuf), Failure> {
    match find(context, path) {
        Ok(Located::Here(record, below)) => Ok((record, below)),
        Ok(Located::Others(user)) => Err(in_mount_of(path, user)
            .hint(format!("ask as that user: sudo -H -u '#{user}' omnifs ..."))
            .exit(Exit::NotMounted)),
        Ok(Located::Nowhere) => {
            Err(Failure::new(format!("{} is not in a running mount", shown(path)))
                .hint("`omnifs status` lists the mounts")
                .exit(Exit::NotMounted))
        }
        Err(error) => Err(Failure::new(format!("{}: {error}", shown(path)))),
    }
}

pub fn in_mount_of(path: &Path, user: u32) -> Failure {
    Failure::new(format!("{} is in a mount of user {user}", shown(path)))
}

/// Each mount of ours in the system's table, with the number of its user where that tells it: only FUSE
/// does (`user_id=`).
#[cfg(target_os = "linux")]
fn owners() -> Vec<(PathBuf, Option<u32>)> {
    let mounts = omnifs_platform::mounting::table().into_iter().filter(|mount| mount.ours());
    let owner = |options: &str| {
        options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
    };
    mounts.map(|mount| (mount.path, owner(&mount.options))).collect()
}

#[cfg(not(target_os = "linux"))]
fn owners() -> Vec<(PathBuf, Option<u32>)> {
    Vec::new()
}

#[cfg(unix)]
fn is_own(user: u32) -> bool {
    rustix::process::geteuid().as_raw() == user
}

#[cfg(not(unix))]
fn is_own(_: u32) -> bool {
    true
}
