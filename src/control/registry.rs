//! The running mounts of this user: one record and one lock file for each mountpoint.
//!
//! Invariant: a record counts only while its process holds the lock. The system drops the lock
//! when the process ends, however it ends, so a record that outlived its process, or whose process
//! id was given to another one, is recognised and removed.

use super::Error;
use crate::paths;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// What a client must show to the mount's control channel: 256 random bits in hex.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> io::Result<Token> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Token(hex(&bytes)))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its duration how much was right.
    pub(super) fn matches(&self, shown: &str) -> bool {
        let (own, shown) = (self.0.as_bytes(), shown.as_bytes());
        own.len() == shown.len() && own.iter().zip(shown).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// How to reach the process that holds a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub pid: u32,
    /// For people: characters that are not Unicode are replaced.
    pub mountpoint: String,
    pub address: SocketAddr,
    pub token: Token,
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
        Ok(Claim { record, _lock: lock })
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
        match File::open(self.lock(key)).map(|lock| (lock.try_lock_shared(), lock)) {
            Ok((Err(TryLockError::WouldBlock), _)) => {}
            Ok((Err(TryLockError::Error(_)), _)) => return None,
            // Removed while the shared lock is held: no new mount can have written it.
            Ok((Ok(()), _)) | Err(_) => {
                let _ = std::fs::remove_file(&path);
                return None;
            }
        }
        read(&path)
    }

    /// The mount that `path` lies in, and the rest of the path below it. Only directories outside
    /// of any mount are asked for, so a mount that hangs does not hang the caller.
    pub fn containing(&self, path: &Path) -> io::Result<Option<(Record, PathBuf)>> {
        let path = std::path::absolute(path)?;
        let mut parts = path.components();
        let (mut outside, mut below) = (PathBuf::new(), PathBuf::new());
        let mut found = None;
        for part in parts.by_ref() {
            step(&mut outside, part);
            found = self.get(&outside);
            // On Windows that gives another form of the path, `\\?\C:\`, and mountpoints are no links.
            if found.is_none() && cfg!(not(windows)) {
                // Leads through symbolic links to the real directory.
                outside = std::fs::canonicalize(&outside).unwrap_or(outside);
                found = self.get(&outside);
            }
            if found.is_some() {
                break;
            }
        }
        let Some(record) = found else { return Ok(None) };
        for part in parts {
            if matches!(part, Component::ParentDir) && below.as_os_str().is_empty() {
                return Ok(None);
            }
            step(&mut below, part);
        }
        Ok(Some((record, below)))
    }
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
    let file = File::open(path).ok()?;
    serde_json::from_reader(io::Read::take(file, 1 << 16)).ok()
}

impl Claim {
    /// Makes the mount known to clients.
    pub fn publish(&self, record: &Record) -> Result<(), Error> {
        let fail = |source| Error::Registry { path: self.record.clone(), source };
        let text = serde_json::to_vec(record).map_err(|e| fail(e.into()))?;
        paths::replace(&self.record, &text).map_err(fail)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(mountpoint: &Path) -> Record {
        Record {
            pid: std::process::id(),
            mountpoint: mountpoint.display().to_string(),
            address: ([127, 0, 0, 1], 1).into(),
            token: Token::random().unwrap(),
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
    fn only_the_user_can_read_the_token() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path().join("mounts"));
        let claim = registry.claim(Path::new("/mnt/x")).unwrap();
        claim.publish(&record(Path::new("/mnt/x"))).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&claim.record), 0o600);
        assert_eq!(mode(&registry.directory), 0o700);
        assert_eq!(format!("{:?}", record(Path::new("/")).token), "Token");
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
        let below =
            |path: &str| registry.containing(&root.join(path)).unwrap().map(|(_, below)| below);
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
