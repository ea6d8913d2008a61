//! The running mounts of this user: one record and one lock file for each mountpoint.
//!
//! Invariant: a record counts only while its process holds the lock. The system drops the lock
//! when the process ends, however it ends, so a record that outlived its process, or whose process
//! id was given to another one, is recognised and removed.

use super::{Error, channel};
use crate::paths;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// How to reach the process that holds a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub pid: u32,
    /// For people: characters that are not Unicode are replaced.
    pub mountpoint: String,
    /// A unix socket, on Windows a named pipe.
    pub channel: PathBuf,
    pub log: PathBuf,
}

/// The name of a mountpoint's record, lock and log. The path is absolute and resolved.
pub fn key(mountpoint: &Path) -> String {
    // Case does not count where file names have none.
    let folded = cfg!(windows).then(|| mountpoint.to_string_lossy().to_uppercase());
    let bytes = folded.as_ref().map(String::as_bytes);
    let digest = Sha256::digest(bytes.unwrap_or(mountpoint.as_os_str().as_encoded_bytes()));
    let name = mountpoint.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).take(24).collect();
    format!("{}{}{}", name, if name.is_empty() { "" } else { "-" }, &hex(&digest)[..16])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The directory of records.
#[derive(Clone, Debug)]
pub struct Registry {
    directory: PathBuf,
}

/// The right to be the mount at a mountpoint. Dropping it ends it and removes the record.
#[derive(Debug)]
pub struct Claim {
    record: PathBuf,
    channel: PathBuf,
    _lock: File,
}

impl Registry {
    pub fn new(directory: PathBuf) -> Registry {
        Registry { directory }
    }

    fn record(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.json"))
    }

    fn lock(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.lock"))
    }

    /// Claims the mountpoint for this process.
    ///
    /// # Errors
    /// [`Error::Taken`] where another process has it.
    pub fn claim(&self, mountpoint: &Path) -> Result<Claim, Error> {
        let fail = |source| Error::Registry { path: self.directory.clone(), source };
        paths::private_dir(&self.directory).map_err(fail)?;
        let key = key(mountpoint);
        let mut options = paths::private_file();
        options.write(true).create(true).truncate(false);
        let lock = options.open(self.lock(&key)).map_err(fail)?;
        // A client that looks whether the mount lives holds a shared lock for an instant.
        let patience = Instant::now() + Duration::from_millis(500);
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let pid = read(&self.record(&key)).map(|record| record.pid);
                    return Err(Error::Taken { mountpoint: mountpoint.to_owned(), pid });
                }
                Err(TryLockError::Error(source)) => return Err(fail(source)),
            }
        }
        // What an earlier process left behind must not pass for this one's.
        let record = self.record(&key);
        let _ = std::fs::remove_file(&record);
        let channel = channel::place(&self.directory, &key).map_err(fail)?;
        Ok(Claim { record, channel, _lock: lock })
    }

    /// The record of this mountpoint, if its process lives.
    pub fn get(&self, mountpoint: &Path) -> Option<Record> {
        self.live(&key(mountpoint))
    }

    /// Every mount whose process lives, by mountpoint.
    pub fn list(&self) -> Vec<Record> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let keys = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        let mut records: Vec<_> = keys.filter_map(|key| self.live(&key)).collect();
        records.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
        records
    }

    /// Reads a record whose lock is held; removes one whose lock is free.
    fn live(&self, key: &str) -> Option<Record> {
        let path = self.record(key);
        // A record is written after its lock file, so one that is here now has a lock to ask.
        if !path.exists() {
            return None;
        }
        match paths::open_regular(&self.lock(key)).map(|lock| (lock.try_lock_shared(), lock)) {
            Ok((Err(TryLockError::WouldBlock), _)) => {}
            Ok((Err(TryLockError::Error(_)), _)) => return None,
            // Nothing is known of it, so nothing is removed.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return None,
            // Removed while the shared lock is held: no new mount can have written it.
            Ok((Ok(()), _)) | Err(_) => {
                let _ = std::fs::remove_file(&path);
                #[cfg(unix)]
                if let Ok(channel) = channel::place(&self.directory, key) {
                    let _ = std::fs::remove_file(channel);
                }
                return None;
            }
        }
        read(&path)
    }

    /// Ends the mount's process at once.
    ///
    /// # Errors
    /// [`Error::NotHolder`] where the system does not say that this process holds the mount's lock.
    #[cfg(target_os = "linux")]
    pub fn end(&self, record: &Record) -> Result<(), Error> {
        use rustix::io::Errno;
        use rustix::process::{
            Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal,
        };
        use std::os::unix::fs::MetadataExt;
        let stranger = || Error::NotHolder(record.pid);
        let lock = self.lock(&key(Path::new(&record.mountpoint)));
        let Ok(lock) = std::fs::metadata(lock) else { return Err(stranger()) };
        let pid = i32::try_from(record.pid).ok().and_then(Pid::from_raw).ok_or_else(stranger)?;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Some(process),
            // It has ended by itself in the meantime.
            Err(Errno::SRCH) => return Ok(()),
            // Before Linux 5.3, and where a sandbox leaves the call out.
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(error) => {
                let path = self.directory.clone();
                return Err(Error::Registry { path, source: error.into() });
            }
        };
        // Looked at after the descriptor was taken, which stands for one process only: it is the one that
        // holds the lock now.
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        if !holds(&locks, record.pid, lock.ino()) {
            // Where nobody holds it any more it has ended, or is about to.
            let lives = self.get(Path::new(&record.mountpoint)).as_ref() == Some(record);
            return if lives { Err(stranger()) } else { Ok(()) };
        }
        let _ = match process {
            Some(process) => pidfd_send_signal(process, Signal::KILL),
            None => kill_process(pid, Signal::KILL),
        };
        Ok(())
    }
}

/// What `known` has of the first place on the way to `path`, and the rest of the path below it. Where `known`
/// knows each mount, only directories outside of any are asked for, so one that hangs does not hang the caller.
pub fn lies_in<T>(
    path: &Path,
    known: impl Fn(&Path) -> Option<T>,
) -> io::Result<Option<(T, PathBuf)>> {
    let path = std::path::absolute(path)?;
    let mut parts = path.components();
    let (mut outside, mut below) = (PathBuf::new(), PathBuf::new());
    let mut found = None;
    for part in parts.by_ref() {
        step(&mut outside, part);
        found = known(&outside);
        // On Windows that gives another form of the path, `\\?\C:\`, and mountpoints are no links.
        if found.is_none() && cfg!(not(windows)) {
            // Leads through symbolic links to the real directory.
            outside = std::fs::canonicalize(&outside).unwrap_or(outside);
            found = known(&outside);
        }
        if found.is_some() {
            break;
        }
    }
    let Some(found) = found else { return Ok(None) };
    for part in parts {
        if matches!(part, Component::ParentDir) && below.as_os_str().is_empty() {
            return Ok(None);
        }
        step(&mut below, part);
    }
    Ok(Some((found, below)))
}

/// Whether a process holds a lock on the file with this inode number, by the lines of proc_locks(5):
/// `1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF`. The device is left out: some file systems show
/// another one there than stat(2).
#[cfg(target_os = "linux")]
fn holds(locks: &str, pid: u32, inode: u64) -> bool {
    locks.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip_while(|field| *field != "FLOCK");
        let holder = fields.nth(3).and_then(|field| field.parse::<u32>().ok());
        let file = fields.next().and_then(|field| field.rsplit(':').next()?.parse::<u64>().ok());
        (holder, file) == (Some(pid), Some(inode))
    })
}

fn step(path: &mut PathBuf, part: Component<'_>) {
    match part {
        Component::ParentDir => {
            path.pop();
        }
        Component::CurDir => {}
        part => path.push(part),
    }
}

fn read(path: &Path) -> Option<Record> {
    let file = paths::open_regular(path).ok()?;
    serde_json::from_reader(io::Read::take(file, 1 << 16)).ok()
}

impl Claim {
    /// Where the mount's control channel is to be.
    pub(super) fn channel(&self) -> &Path {
        &self.channel
    }

    /// Makes the mount known to clients.
    pub fn publish(&self, record: &Record) -> Result<(), Error> {
        let fail = |source| Error::Registry { path: self.record.clone(), source };
        let text = serde_json::to_vec(record).map_err(|e| fail(e.into()))?;
        paths::replace(&self.record, &text).map_err(fail)
    }

    /// Writes the record where it is not there as it should be.
    pub(super) fn keep(&self, record: &Record) -> Result<(), Error> {
        if read(&self.record).as_ref() == Some(record) { Ok(()) } else { self.publish(record) }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.record);
        let _ = std::fs::remove_file(&self.channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(mountpoint: &Path) -> Record {
        Record {
            pid: std::process::id(),
            mountpoint: mountpoint.display().to_string(),
            channel: PathBuf::from("/channel"),
            log: PathBuf::from("/log"),
        }
    }

    #[test]
    fn a_mountpoint_has_one_claim_and_the_record_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path().join("mounts"));
        let at = Path::new("/mnt/x");
        let claim = registry.claim(at).unwrap();
        assert_eq!(registry.get(at), None);
        let record = record(at);
        claim.publish(&record).unwrap();
        assert_eq!(registry.get(at), Some(record.clone()));
        assert_eq!(registry.list(), [record]);
        assert!(matches!(registry.claim(at), Err(Error::Taken { pid: Some(_), .. })));
        drop(registry.claim(Path::new("/mnt/y")).unwrap());
        drop(claim);
        assert_eq!(registry.list(), []);
        drop(registry.claim(at).unwrap());
    }

    #[test]
    fn a_record_without_its_process_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path().to_owned());
        let at = Path::new("/mnt/x");
        let stale = registry.record(&key(at));
        let text = serde_json::to_vec(&record(at)).unwrap();
        std::fs::write(&stale, &text).unwrap();
        assert_eq!(registry.list(), []);
        assert!(!stale.exists());
        std::fs::write(registry.lock(&key(at)), "").unwrap();
        std::fs::write(&stale, &text).unwrap();
        assert_eq!(registry.get(at), None);
        assert!(!stale.exists());
    }

    #[test]
    fn a_damaged_record_is_no_mount() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path().to_owned());
        let claim = registry.claim(Path::new("/mnt/x")).unwrap();
        std::fs::write(&claim.record, "{\"pid\":").unwrap();
        assert_eq!(registry.list(), []);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_user_can_read_a_record() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path().join("mounts"));
        let claim = registry.claim(Path::new("/mnt/x")).unwrap();
        claim.publish(&record(Path::new("/mnt/x"))).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&claim.record), 0o600);
        assert_eq!(mode(&registry.directory), 0o700);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_does_not_hold_the_lock_is_not_ended() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path().join("mounts"));
        let at = Path::new("/mnt/x");
        let claim = registry.claim(at).unwrap();
        let mut victim = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        // Somebody has written another process into the record.
        let planted = Record { pid: victim.id(), ..record(at) };
        claim.publish(&planted).unwrap();
        let record = registry.get(at).unwrap();
        assert!(matches!(registry.end(&record), Err(Error::NotHolder(pid)) if pid == victim.id()));
        assert!(victim.try_wait().unwrap().is_none(), "it was ended");
        victim.kill().unwrap();
        victim.wait().unwrap();
        // The process that holds it is known as such.
        let inode = std::os::unix::fs::MetadataExt::ino(
            &std::fs::metadata(registry.lock(&key(at))).unwrap(),
        );
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        assert!(holds(&locks, std::process::id(), inode), "{locks}");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_found_below_its_mount_through_links_and_dots() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let registry = Registry::new(root.join("mounts"));
        let at = root.join("real/m");
        std::fs::create_dir_all(&at).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(&at, root.join("direct")).unwrap();
        let claim = registry.claim(&at).unwrap();
        claim.publish(&record(&at)).unwrap();
        let below = |path: &str| {
            lies_in(&root.join(path), |place| registry.get(place)).unwrap().map(|(_, below)| below)
        };
        assert_eq!(below("real/m"), Some("".into()));
        assert_eq!(below("link/m/a/./b/../c"), Some("a/c".into()));
        assert_eq!(below("direct/a"), Some("a".into()));
        assert_eq!(below("real/m/a/../.."), None);
        assert_eq!(below("real"), None);
        assert_eq!(below("absent/x"), None);
    }

    #[test]
    fn a_key_is_a_plain_file_name() {
        assert!(key(Path::new("/mnt/my files \u{1b}[2J")).starts_with("myfiles2J-"));
        assert_eq!(key(Path::new("/")).len(), 16);
        assert_ne!(key(Path::new("/a/m")), key(Path::new("/b/m")));
    }
}
