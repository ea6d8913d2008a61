//! How a kernel is told to mount a running [`Server`](super::Server): the command lines for macOS and
//! Linux, the same function on every system, and the call that mounts here.
//!
//! Each option is here for a reason, which docs/nfs.md repeats for people.

use super::Server;
use crate::mounting;
#[cfg(target_os = "linux")]
use crate::mounting::{Place, descriptor_path};
use crate::shell::posix_quoted;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// An option of the mount command, and why it is there.
type Option = (&'static str, &'static str);

/// Left out where programs that lie in the mount may be run.
const NOEXEC: Option = ("noexec", "no program of a service is run by its name");

/// What both systems are told alike.
const COMMON: &[Option] = &[
    ("vers=3", "the version that is spoken"),
    ("soft", "an error, and not a process that cannot be ended, when the server is gone"),
    ("timeo=100", "ten seconds for the first try: longer than any answer that succeeds"),
    ("retrans=2", "then two more tries, and the error"),
    ("actimeo=1", "attributes are asked for again after a second; every open asks anyway"),
    ("nosuid", "no program gets rights from a file of a service"),
    ("nodev", "no file of a service is a device"),
];

const MACOS: &[Option] = &[
    ("rdonly", "nothing can be written, so it is refused before it is sent"),
    ("tcp", "the one transport that is served"),
    ("locallocks", "locks are this machine's own: no lock daemon is asked"),
    ("intr", "a process that waits can be ended"),
    ("nonegnamecache", "a name that was absent is asked for again: it may be there now"),
    ("rdirplus", "a listing brings its attributes along"),
    ("nobrowse", "Finder's sidebar and Spotlight leave it alone"),
    ("deadtimeout=60", "the system takes the mount away when the server stays gone"),
];

const LINUX: &[Option] = &[
    ("ro", "nothing can be written, so it is refused before it is sent"),
    ("proto=tcp", "the one transport that is served"),
    ("mountproto=tcp", "the mount protocol is served there too"),
    ("nolock", "locks are this machine's own: no lock daemon is asked"),
    ("lookupcache=positive", "a name that was absent is asked for again: it may be there now"),
];

/// Every option of both systems and its reason.
pub fn reasons() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMON.iter().chain(MACOS).chain(LINUX).copied().chain([NOEXEC])
}

/// A system whose kernel has a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Macos,
    Linux,
}

impl System {
    pub const ALL: [System; 2] = [System::Macos, System::Linux];

    pub fn name(self) -> &'static str {
        match self {
            System::Macos => "macOS",
            System::Linux => "Linux",
        }
    }
}

/// What there is to mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub port: u16,
    /// See [`Server::export`].
    pub export: String,
    /// Programs that lie in the mount may be run.
    pub exec: bool,
}

impl Source {
    pub fn of(server: &Server, exec: bool) -> Source {
        Source { port: server.port(), export: server.export(), exec }
    }

    /// As the mount table shows it.
    pub fn text(&self) -> String {
        format!("127.0.0.1:{}", self.export)
    }

    fn options(&self, own: &[Option]) -> String {
        let noexec = (!self.exec).then_some(&NOEXEC);
        let words = own.iter().chain(COMMON).chain(noexec).map(|(option, _)| (*option).to_owned());
        let ports = [format!("port={}", self.port), format!("mountport={}", self.port)];
        words.chain(ports).collect::<Vec<_>>().join(",")
    }

    /// The program that mounts this on `point`, and its arguments. On macOS any user may run it who
    /// owns `point`; on Linux root.
    pub fn command(&self, system: System, point: &Path) -> (PathBuf, Vec<OsString>) {
        let (program, mut arguments, own) = match system {
            System::Macos => ("/sbin/mount_nfs", vec![], MACOS),
            System::Linux => ("mount", vec!["-t".into(), "nfs".into()], LINUX),
        };
        arguments.extend(["-o".into(), self.options(own).into(), self.text().into(), point.into()]);
        (program.into(), arguments)
    }

    /// The command for a person to type.
    pub fn command_line(&self, system: System, point: &Path) -> String {
        let (program, arguments) = self.command(system, point);
        let sudo = if system == System::Linux { "sudo " } else { "" };
        let words: Vec<String> =
            arguments.iter().map(|word| posix_quoted(&word.to_string_lossy())).collect();
        format!("{sudo}{} {}", program.display(), words.join(" "))
    }

    /// What the mount system call of Linux wants beside the flags: it resolves no names.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    fn kernel_options(&self) -> String {
        // These are flags of the call.
        let flags = ["ro", "nosuid", "nodev", "noexec"];
        let options = self.options(LINUX);
        let own = options.split(',').filter(|option| !flags.contains(option));
        own.chain(["addr=127.0.0.1", "mountaddr=127.0.0.1"]).collect::<Vec<_>>().join(",")
    }
}

#[derive(Debug, Error)]
pub enum AttachError {
    #[error(transparent)]
    Mountpoint(#[from] mounting::Error),
    #[error("this kernel has no NFS client")]
    NoClient,
    #[error("only root may mount NFS on this system")]
    NotPermitted,
    #[error("this system has no NFS client that omnifs knows")]
    Unknown,
    #[error("{program} failed: {said}")]
    Command { program: String, said: String },
    #[error("mounting failed: {0}")]
    System(io::Error),
}

impl AttachError {
    /// What to do about it.
    pub fn hint(&self) -> std::option::Option<String> {
        Some(match self {
            AttachError::Mountpoint(error) => return error.hint(),
            AttachError::NoClient => {
                "load it: sudo modprobe nfs (where there is none, install the \
                 distribution's full kernel), or use --backend fuse"
                    .to_owned()
            }
            AttachError::NotPermitted => {
                "run it with sudo, use --backend fuse, or `omnifs serve nfs`".to_owned()
            }
            AttachError::Unknown => {
                "`omnifs serve nfs` serves another machine's or program's".to_owned()
            }
            AttachError::Command { .. } | AttachError::System(_) => return None,
        })
    }
}

/// Whether this machine's kernel can mount NFS: it has the client, or may load it.
#[cfg(target_os = "linux")]
pub fn has_client() -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "nfs") {
        return true;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = Path::new("/lib/modules").join(release.trim());
    let list = std::fs::read_to_string(modules.join("modules.dep")).unwrap_or_default();
    list.lines().any(|line| line.split(':').next().is_some_and(|m| m.contains("/nfs/nfsv3.ko")))
}

#[cfg(not(target_os = "linux"))]
pub fn has_client() -> bool {
    cfg!(target_os = "macos")
}

/// Mounts on `point`, which is checked first. Blocks until the kernel has spoken with the server.
#[cfg(target_os = "linux")]
pub fn attach(source: &Source, point: &Path) -> Result<(), AttachError> {
    use rustix::io::Errno;
    use rustix::mount::{MountFlags, mount};
    let mut flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    if !source.exec {
        flags |= MountFlags::NOEXEC;
    }
    let options = std::ffi::CString::new(source.kernel_options())
        .map_err(|error| AttachError::System(io::Error::other(error)))?;
    let place = Place::take(point)?;
    let held = descriptor_path(&place.directory);
    mount(source.text(), held, "nfs", flags, options.as_c_str()).map_err(|error| match error {
        Errno::NODEV | Errno::PROTONOSUPPORT | Errno::NOTSUP => AttachError::NoClient,
        Errno::PERM | Errno::ACCESS => AttachError::NotPermitted,
        other => AttachError::System(other.into()),
    })
}

#[cfg(target_os = "macos")]
pub fn attach(source: &Source, point: &Path) -> Result<(), AttachError> {
    let (program, arguments) = source.command(System::Macos, point);
    let output =
        crate::child::command(&program).args(arguments).output().map_err(AttachError::System)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(AttachError::Command { program: program.display().to_string(), said })
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn attach(_: &Source, _: &Path) -> Result<(), AttachError> {
    Err(AttachError::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source { port: 50_123, export: "/omnifs-0123456789abcdef".into(), exec: false }
    }

    #[test]
    fn the_command_line_for_macos_has_every_option_in_one_argument() {
        let (program, arguments) =
            source().command(System::Macos, Path::new("/Users/me/my omnifs"));
        assert_eq!(program, Path::new("/sbin/mount_nfs"));
        assert_eq!(
            arguments,
            [
                "-o",
                "rdonly,tcp,locallocks,intr,nonegnamecache,rdirplus,nobrowse,deadtimeout=60,vers=3,\
                 soft,timeo=100,retrans=2,actimeo=1,nosuid,nodev,noexec,port=50123,mountport=50123",
                "127.0.0.1:/omnifs-0123456789abcdef",
                "/Users/me/my omnifs",
            ]
        );
        assert!(source().text().starts_with(mounting::NFS_SOURCE));
    }

    #[test]
    fn the_command_line_for_linux_can_be_typed() {
        let line = source().command_line(System::Linux, Path::new("/mnt/it's"));
        assert_eq!(
            line,
            "sudo mount -t nfs -o ro,proto=tcp,mountproto=tcp,nolock,lookupcache=positive,vers=3,soft,\
             timeo=100,retrans=2,actimeo=1,nosuid,nodev,noexec,port=50123,mountport=50123 \
             127.0.0.1:/omnifs-0123456789abcdef '/mnt/it'\\''s'"
        );
        assert_eq!(
            source().kernel_options(),
            "proto=tcp,mountproto=tcp,nolock,lookupcache=positive,vers=3,soft,timeo=100,retrans=2,\
             actimeo=1,port=50123,mountport=50123,addr=127.0.0.1,mountaddr=127.0.0.1"
        );
    }

    #[test]
    fn each_option_and_its_reason_is_in_the_documentation() {
        let text = include_str!("../../../docs/nfs.md");
        for (option, _) in reasons() {
            assert!(text.contains(&format!("`{option}`")), "{option}");
        }
    }
}
