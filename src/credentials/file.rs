//! A secret in a file that only its owner can read.

use super::Secret;
use crate::paths;
#[cfg(unix)]
use crate::paths::quoted;
use std::fs::Metadata;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    /// Inode, and seconds and nanoseconds of the last status change; zero on Windows.
    unix: (u64, i64, i64),
}

/// A token is some hundred bytes; this is no place for anything larger.
const MOST: u64 = 64 << 10;

/// `None` where the file is as it was at `known`.
pub(super) fn read(path: &Path, known: Option<Stamp>) -> Result<Option<(Stamp, Secret)>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let mut file = paths::open_regular(path).map_err(failed)?;
    // Of the file that is open, so that a swap of the path between check and read is no matter.
    let metadata = file.metadata().map_err(failed)?;
    check_mode(path, &metadata)?;
    let stamp = stamp(&metadata);
    if known == Some(stamp) {
        return Ok(None);
    }
    if metadata.len() > MOST {
        return Err(format!("{shown} holds more than {MOST} bytes; it must hold one secret"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST as usize + 1));
    file.by_ref().take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is not text"))?;
    let secret = Secret::trimmed(text.to_owned()).ok_or_else(|| format!("{shown} is empty"))?;
    if !secret.is_line() {
        return Err(format!("{shown} must hold one line of visible ASCII characters"));
    }
    Ok(Some((stamp, secret)))
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let shown = path.display();
    if metadata.mode() & 0o077 != 0 {
        return Err(format!(
            "{shown} can be read by others (mode {:03o}); run `chmod 600 {}`",
            metadata.mode() & 0o777,
            quoted(path)
        ));
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user && metadata.uid() != 0 {
        return Err(format!("{shown} belongs to another user; use a file of your own"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &Metadata) -> Result<(), String> {
    Ok(())
}

fn stamp(metadata: &Metadata) -> Stamp {
    #[cfg(unix)]
    let unix = {
        use std::os::unix::fs::MetadataExt;
        (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    #[cfg(not(unix))]
    let unix = (0, 0, 0);
    Stamp { modified: metadata.modified().ok(), len: metadata.len(), unix }
}
