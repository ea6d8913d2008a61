//! The system's table of mounts, and whether what serves one still lives.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the source of one of our NFS mounts begins with: nobody else's looks like it.
pub(crate) const NFS_SOURCE: &str = "127.0.0.1:/omnifs-";

/// For a live process to answer `statfs`, or to take a connection.
const ANSWER: Duration = Duration::from_secs(2);

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub path: PathBuf,
    /// `ext4`, `fuse.omnifs`.
    pub kind: String,
    pub source: String,
    /// Those of the file system, with commas between them, where the system tells them.
    pub options: String,
    /// Unique among the present mounts.
    #[cfg(target_os = "linux")]
    pub(crate) id: u64,
    /// The device's minor number, which is that of a FUSE connection.
    #[cfg(target_os = "linux")]
    pub minor: u32,
    /// What of the file system is mounted: `/`, or a directory that was bound.
    #[cfg(target_os = "linux")]
    pub root: PathBuf,
}

impl Mount {
    /// Made by this program.
    pub fn ours(&self) -> bool {
        self.kind == "fuse.omnifs"
            || (self.kind.starts_with("fuse") && self.source == "omnifs")
            || self.is_nfs()
    }

    fn is_nfs(&self) -> bool {
        self.kind.starts_with("nfs") && self.source.starts_with(NFS_SOURCE)
    }

    /// Nobody listens where the server was. Asked of the port and not of the mount, which would wait
    /// as long as its options say.
    fn unserved(&self) -> bool {
        let port = self.options.split(',').find_map(|option| option.strip_prefix("port="));
        let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) else { return false };
        TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), ANSWER).is_err()
    }

    /// Its process has ended: what is asked of it answers ENOTCONN, or nobody listens any more.
    pub fn dead(&self) -> bool {
        if self.is_nfs() && !self.options.is_empty() {
            return self.unserved();
        }
        // Not `stat`: the kernel answers that from its cache, also after the end. A process that
        // hangs is not dead, and must not hang this one: the thread that asks it ends with the mount.
        #[cfg(unix)]
        {
            use rustix::io::Errno;
            let (sender, receiver) = std::sync::mpsc::channel();
            let path = self.path.clone();
            let ask = move || sender.send(rustix::fs::statvfs(&path).err());
            let asked = std::thread::Builder::new().name("omnifs-probe".into()).spawn(ask);
            let answer = receiver.recv_timeout(ANSWER);
            // A server of our own answers at once, and without its options there is no port to ask.
            let silent = self.is_nfs() && !matches!(answer, Ok(None));
            let closed = matches!(answer, Ok(Some(Errno::NOTCONN | Errno::CONNABORTED)));
            asked.is_ok() && (closed || silent)
        }
        #[cfg(not(unix))]
        false
    }
}

/// Every mount of the system. The program asks the kernel for what it holds, and no server.
#[cfg(target_os = "macos")]
pub fn table() -> Vec<Mount> {
    let Ok(output) = crate::child::command("/sbin/mount").output() else { return Vec::new() };
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let mounts = lines.lines().filter_map(super::macos::mount_line);
    mounts
        .map(|(source, path, kind)| Mount {
            path: path.into(),
            kind: kind.into(),
            source: source.into(),
            options: String::new(),
        })
        .collect()
}

/// Every mount of this mount namespace, the topmost on a path last.
#[cfg(target_os = "linux")]
pub fn table() -> Vec<Mount> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    lines(&text).collect()
}

/// The mounts of every other mount namespace that a process is in, as far as this one may see them.
#[cfg(target_os = "linux")]
pub fn elsewhere() -> Vec<Mount> {
    let namespace = |process: &Path| std::fs::read_link(process.join("ns/mnt")).ok();
    let mut seen = std::collections::HashSet::from([namespace(Path::new("/proc/self"))]);
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut mounts = Vec::new();
    for process in processes.flatten().map(|entry| entry.path()) {
        let found = namespace(&process);
        if found.is_none() || seen.contains(&found) {
            continue;
        }
        // The process may have ended, and another of the namespace not.
        if let Ok(text) = std::fs::read(process.join("mountinfo")) {
            mounts.extend(lines(&text));
            seen.insert(found);
        }
    }
    mounts
}

#[cfg(target_os = "linux")]
fn lines(text: &[u8]) -> impl Iterator<Item = Mount> {
    text.split(|byte| *byte == b'\n').filter_map(linux::parse)
}

/// This system has no such table.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn table() -> Vec<Mount> {
    Vec::new()
}

/// What is mounted exactly at this resolved path, the topmost if several.
pub fn mounted_at(path: &Path) -> Option<Mount> {
    table().into_iter().rfind(|mount| mount.path == path)
}

/// The mount with this number, by its present path: a directory above it may have been renamed.
#[cfg(target_os = "linux")]
pub(crate) fn numbered(id: u64) -> Option<Mount> {
    table().into_iter().find(|mount| mount.id == id)
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Mount;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    /// One line of proc_pid_mountinfo(5):
    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    pub fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = text(fields.next()?)?.parse().ok()?;
        let (_, minor) = text(fields.nth(1)?)?.split_once(':')?;
        let root = OsString::from_vec(unescape(fields.next()?)).into();
        let path = OsString::from_vec(unescape(fields.next()?)).into();
        // The optional fields end with a lone "-".
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        Some(Mount {
            path,
            kind: String::from_utf8(unescape(rest.next()?)).ok()?,
            source: String::from_utf8_lossy(&unescape(rest.next()?)).into_owned(),
            options: String::from_utf8_lossy(rest.next().unwrap_or_default()).into_owned(),
            id,
            minor: minor.parse().ok()?,
            root,
        })
    }

    fn text(field: &[u8]) -> Option<&str> {
        std::str::from_utf8(field).ok()
    }

    /// Space, tab, newline and backslash are written as three octal digits.
    fn unescape(field: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(field.len());
        let mut rest = field;
        while let Some((&first, tail)) = rest.split_first() {
            let code = rest.get(1..4).filter(|_| first == b'\\');
            let code = code.and_then(|code| u8::from_str_radix(text(code)?, 8).ok());
            plain.push(code.unwrap_or(first));
            rest = if code.is_some() { &rest[4..] } else { tail };
        }
        plain
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux::parse;
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_is_read_with_its_escapes() {
        let line =
            b"36 35 0:98 / /mnt/a\\040b\\134c rw,noatime master:1 shared:2 - fuse.omnifs omnifs rw";
        let mount = parse(line).unwrap();
        assert_eq!(mount.path, Path::new("/mnt/a b\\c"));
        assert_eq!((mount.id, mount.minor, &*mount.root), (36, 98, Path::new("/")));
        assert!(mount.ours());
        for torn in [&b""[..], b"1 2 0:3 4 /x rw -", b"1 2 3 / /x rw - ext4 a rw", b"torn line"] {
            assert_eq!(parse(torn), None);
        }
        assert!(!parse(b"1 2 0:3 / /x rw - fuse.sshfs me@host: rw").unwrap().ours());
        let nfs = b"1 2 0:3 / /x ro - nfs 127.0.0.1:/omnifs-0123 ro,vers=3,port=1,mountport=1";
        let nfs = parse(nfs).unwrap();
        assert!(nfs.ours() && nfs.dead(), "nobody listens on port 1");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!Mount { options: format!("ro,port={port}"), ..nfs }.dead());
        assert!(!parse(b"1 2 0:3 / /x ro - nfs 127.0.0.1:/home ro").unwrap().ours());
    }

    #[test]
    fn the_table_holds_the_root() {
        assert!(mounted_at(Path::new("/")).is_some());
        assert_eq!(mounted_at(Path::new("/no/such/mount")), None);
    }
}
