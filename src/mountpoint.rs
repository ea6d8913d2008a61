//! The directory that a mount covers: whether it can be used, and how it is given back.
//!
//! Invariant: nothing here waits for a file system that may hang. What lies above the mountpoint is
//! resolved, the mountpoint itself is judged by the system's own table of mounts.

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::{detach, point, prepare, resolve};

use crate::paths::quoted;
#[cfg(unix)]
use omnifs_platform::child;
use omnifs_platform::nfs::mounting;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a directory", .0.display())]
    NotDirectory(PathBuf),
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("no permission to mount at {}", .0.display())]
    NotPermitted(PathBuf),
    #[error("omnifs is already mounted at {}", .0.display())]
    Mounted(PathBuf),
    #[error("a {kind} file system whose process has ended is mounted at {}", path.display())]
    Dead { path: PathBuf, kind: String },
    #[error("{} cannot be used: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("{} is in use", .0.display())]
    Busy(PathBuf),
    #[error("cannot unmount {}: {why}", path.display())]
    Detach { path: PathBuf, why: String },
    /// Says what to do itself.
    #[error(transparent)]
    Windows(#[from] omnifs_platform::winfsp::Refusal),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Missing(path) => format!("create it: mkdir -p {}", quoted(path)),
            Error::NotDirectory(_) => "name a directory".into(),
            Error::NotEmpty(_) => "its files would be hidden: name an empty directory".into(),
            Error::NotPermitted(_) => {
                "name a directory that is yours and that you may write".into()
            }
            Error::Mounted(path) => format!("unmount it first: omnifs unmount {}", quoted(path)),
            Error::Dead { path, .. } => {
                format!("detach it first: fusermount3 -uz {}", quoted(path))
            }
            Error::Unusable { .. } | Error::Windows(_) => return None,
            Error::Busy(path) => format!(
                "close what uses it (`lsof +f -- {0}` lists it), or: omnifs unmount --force {0}",
                quoted(path)
            ),
            Error::Detach { .. } => "`omnifs doctor` checks what unmounting needs".into(),
        })
    }
}

/// A line of the system's table of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    pub path: PathBuf,
    /// `ext4`, `fuse.omnifs`.
    pub kind: String,
    pub source: String,
    /// Those of the file system, with commas between them, where the system tells them.
    pub options: String,
}

impl Mounted {
    pub fn ours(&self) -> bool {
        self.kind == "fuse.omnifs"
            || (self.kind.starts_with("fuse") && self.source == "omnifs")
            || self.is_nfs()
    }

    /// One of ours, through NFS.
    fn is_nfs(&self) -> bool {
        self.kind.starts_with("nfs") && self.source.starts_with(mounting::SOURCE)
    }

    /// Nobody listens where the server was. Asked of the port and not of the mount, which would wait
    /// as long as its options say.
    fn unserved(&self) -> bool {
        let port = self.options.split(',').find_map(|option| option.strip_prefix("port="));
        let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) else { return false };
        let address = ([127, 0, 0, 1], port).into();
        std::net::TcpStream::connect_timeout(&address, ANSWER).is_err()
    }

    /// Its process has ended: what is asked of it answers ENOTCONN, or nobody listens any more.
    pub fn dead(&self) -> bool {
        if self.is_nfs() && !self.options.is_empty() {
            return self.unserved();
        }
        // Not `stat`: the kernel answers that from its cache, also after the end. A process that
        // hangs is not dead, and must not hang this one.
        #[cfg(unix)]
        {
            let (sender, receiver) = std::sync::mpsc::channel();
            let path = self.path.clone();
            let ask = move || sender.send(rustix::fs::statvfs(&path).err());
            let asked = std::thread::Builder::new().name("omnifs-probe".into()).spawn(ask);
            let answer = receiver.recv_timeout(ANSWER);
            // A server of our own answers at once, and without its options there is no port to ask.
            let silent = self.is_nfs() && !matches!(answer, Ok(None));
            let closed = matches!(
                answer,
                Ok(Some(rustix::io::Errno::NOTCONN | rustix::io::Errno::CONNABORTED))
            );
            asked.is_ok() && (closed || silent)
        }
        #[cfg(not(unix))]
        false
    }
}

/// For a live process to answer `statfs`, or to take a connection.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(2);

/// Every mount of the system. The program asks the kernel for what it holds, and no server.
#[cfg(target_os = "macos")]
pub fn table() -> Vec<Mounted> {
    let Ok(output) = child::command("/sbin/mount").output() else { return Vec::new() };
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let mounts = lines.lines().filter_map(mounting::macos_mount_line);
    mounts
        .map(|(source, path, kind)| Mounted {
            path: path.into(),
            kind: kind.into(),
            source: source.into(),
            options: String::new(),
        })
        .collect()
}

/// Every mount of this mount namespace. Empty where the system has no such table.
#[cfg(not(target_os = "macos"))]
pub fn table() -> Vec<Mounted> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    text.split(|b| *b == b'\n').filter_map(parse).collect()
}

#[cfg(not(target_os = "macos"))]
/// One line of proc_pid_mountinfo(5):
/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|b| *b == b' ');
    let path = unescape(fields.nth(4)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8(unescape(rest.next()?)).ok()?;
    let source = String::from_utf8_lossy(&unescape(rest.next()?)).into_owned();
    let options = String::from_utf8_lossy(rest.next().unwrap_or_default()).into_owned();
    Some(Mounted { path: bytes_path(path), kind, source, options })
}

#[cfg(not(target_os = "macos"))]
/// `\040` and the like.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = rest.get(1..4).filter(|_| first == b'\\');
        let code = code.and_then(|c| u8::from_str_radix(std::str::from_utf8(c).ok()?, 8).ok());
        plain.push(code.unwrap_or(first));
        rest = if code.is_some() { &rest[4..] } else { tail };
    }
    plain
}

#[cfg(target_os = "linux")]
fn bytes_path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn bytes_path(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// What is mounted exactly at this resolved path: the last line is the topmost.
pub fn mounted_at(path: &Path) -> Option<Mounted> {
    table().into_iter().rfind(|mount| mount.path == path)
}

/// The path, absolute and without symbolic links; its last component is not entered.
///
/// # Errors
/// A directory above it does not exist or cannot be entered.
#[cfg(unix)]
pub fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let path = std::path::absolute(path).map_err(unusable)?;
    if mounted_at(&path).is_some() {
        return Ok(path);
    }
    match std::fs::canonicalize(&path) {
        Ok(path) => Ok(path),
        Err(error) => {
            // A dead mount cannot be entered, but what is above it can.
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(Error::Unusable { path, source: error });
            };
            match std::fs::canonicalize(parent) {
                Ok(parent) => Ok(parent.join(name)),
                Err(error) => Err(wrong(path, error)),
            }
        }
    }
}

#[cfg(unix)]
fn wrong(path: PathBuf, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(path),
        io::ErrorKind::NotADirectory => Error::NotDirectory(path),
        io::ErrorKind::PermissionDenied => Error::NotPermitted(path),
        _ => Error::Unusable { path, source },
    }
}

/// Checks that the resolved path can be mounted over, and detaches what an omnifs that was killed
/// left there. True: something was detached.
#[cfg(unix)]
pub fn prepare(path: &Path) -> Result<bool, Error> {
    let mut repaired = false;
    while let Some(mount) = mounted_at(path) {
        match (mount.ours(), mount.dead()) {
            (true, true) => detach(path, true)?,
            (true, false) => return Err(Error::Mounted(path.to_owned())),
            (false, true) => return Err(Error::Dead { path: path.to_owned(), kind: mount.kind }),
            // An empty volume of a container is a mount of its own, and as good as a directory.
            (false, false) => break,
        }
        repaired = true;
    }
    let wrong = |source| wrong(path.to_owned(), source);
    if !std::fs::metadata(path).map_err(wrong)?.is_dir() {
        return Err(Error::NotDirectory(path.to_owned()));
    }
    if std::fs::read_dir(path).map_err(wrong)?.next().is_some() {
        return Err(Error::NotEmpty(path.to_owned()));
    }
    // What fusermount3 asks of a user who is not root.
    use rustix::fs::{Access, access};
    let root = rustix::process::geteuid().is_root();
    if !root && access(path, Access::WRITE_OK).is_err() {
        return Err(Error::NotPermitted(path.to_owned()));
    }
    Ok(repaired)
}

/// Unmounts what is at the path. With `lazy` also where files are in use: they fail from then on.
///
/// A process that is killed while it tells the kernel of a name may not end: the kernel has it wait for a
/// directory that a reader holds, who waits for the process. So the connection is ended first, which
/// lets both go.
#[cfg(unix)]
pub fn detach(path: &Path, lazy: bool) -> Result<(), Error> {
    #[cfg(target_os = "linux")]
    {
        use rustix::mount::{UnmountFlags, unmount};
        if lazy {
            // For whoever is not root; not every machine lets them.
            let _ = omnifs_platform::fuse::abort(path);
        }
        let by_force = UnmountFlags::FORCE | UnmountFlags::DETACH;
        let flags = if lazy { by_force } else { UnmountFlags::empty() };
        match unmount(path, flags | UnmountFlags::NOFOLLOW) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::BUSY) => return Err(Error::Busy(path.to_owned())),
            Err(rustix::io::Errno::PERM) => {}
            Err(error) => {
                return Err(Error::Detach { path: path.to_owned(), why: error.to_string() });
            }
        }
    }
    let commands = if cfg!(target_os = "linux") {
        let how = if lazy { "-uz" } else { "-u" };
        vec![("fusermount3".into(), vec![how.into(), "--".into(), path.into()])]
    } else {
        mounting::macos_unmount_commands(path, lazy)
    };
    let mut why = String::new();
    for (program, arguments) in commands {
        why = match child::command(&program).args(arguments).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
            Err(error) => format!("{} cannot be run: {error}", program.display()),
        };
    }
    if why.to_ascii_lowercase().contains("busy") {
        return Err(Error::Busy(path.to_owned()));
    }
    Err(Error::Detach { path: path.to_owned(), why })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_is_read_with_its_escapes() {
        let line =
            b"36 35 98:0 / /mnt/a\\040b\\134c rw,noatime master:1 shared:2 - fuse.omnifs omnifs rw";
        let mount = parse(line).unwrap();
        assert_eq!(mount.path, Path::new("/mnt/a b\\c"));
        assert!(mount.ours());
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 2 3 4 /x rw -"), None);
        assert!(!parse(b"1 2 3 / /x rw - fuse.sshfs me@host: rw").unwrap().ours());
        let nfs = b"1 2 3 / /x ro - nfs 127.0.0.1:/omnifs-0123 ro,vers=3,port=1,mountport=1";
        let nfs = parse(nfs).unwrap();
        assert!(nfs.ours() && nfs.dead(), "nobody listens on port 1");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!Mounted { options: format!("ro,port={port}"), ..nfs }.dead());
        assert!(!parse(b"1 2 3 / /x ro - nfs 127.0.0.1:/home ro").unwrap().ours());
    }

    #[test]
    fn the_table_holds_the_root() {
        assert!(table().iter().any(|mount| mount.path == Path::new("/")));
    }

    #[test]
    fn each_unusable_mountpoint_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let fails = |path: &str| prepare(&resolve(&root.join(path)).unwrap()).unwrap_err();
        std::fs::write(root.join("file"), "").unwrap();
        assert!(matches!(fails("absent"), Error::Missing(_)));
        assert!(fails("absent").hint().unwrap().starts_with("create it: mkdir -p /"));
        assert!(matches!(fails("file"), Error::NotDirectory(_)));
        assert!(matches!(fails(""), Error::NotEmpty(_)));
        assert!(matches!(resolve(&root.join("no/where")), Err(Error::Missing(_))));
        assert!(matches!(resolve(&root.join("file/below")), Err(Error::NotDirectory(_)) | Ok(_)));
        std::fs::create_dir(root.join("good")).unwrap();
        std::os::unix::fs::symlink(root.join("good"), root.join("link")).unwrap();
        assert_eq!(resolve(&root.join("link/")).unwrap(), root.join("good"));
        assert!(!prepare(&root.join("good")).unwrap());
    }
}
