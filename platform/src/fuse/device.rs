//! The FUSE device and the two ways to mount it: the mount system call, and for an ordinary user
//! the set-uid helper fusermount3 of libfuse.
//!
//! The mount is made here and not by the `fuser` crate, so that it shows as `fuse.omnifs`, that a
//! refusal keeps its reason, and that nothing unmounts the path after somebody else has mounted
//! there.

use super::Unmount;
use super::error::{MountError, UnmountError};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    move_mount,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use std::ffi::CString;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";

/// Opens the FUSE device, or says what is missing.
pub(super) fn open() -> Result<OwnedFd, MountError> {
    match rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Ok(device) => Ok(device),
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Err(MountError::NoDevice),
        Err(Errno::ACCESS | Errno::PERM) => Err(MountError::DeviceDenied),
        Err(error) => Err(MountError::System { what: "opening /dev/fuse", source: error.into() }),
    }
}

/// The path of fusermount3, if it is installed.
pub fn helper() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/bin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&paths).chain(usual).map(|dir| dir.join(HELPER)).find(|p| p.is_file())
}

/// Whether /etc/fuse.conf lets ordinary users pass `allow_other`.
pub fn user_allow_other() -> bool {
    let lines = std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    lines.lines().any(|line| line.trim() == "user_allow_other")
}

/// Says whether this user can mount at all: the device is there, and there is the privilege or the
/// helper, which opens the device in the place of an ordinary user.
pub fn check(allow_other: bool) -> Result<(), MountError> {
    let root = rustix::process::geteuid().is_root();
    match open() {
        Ok(_) if root => return Ok(()),
        Ok(_) => {}
        Err(MountError::DeviceDenied) if !root => {}
        Err(error) => return Err(error),
    }
    if helper().is_none() {
        return Err(MountError::NoHelper);
    }
    if allow_other && !user_allow_other() {
        return Err(MountError::AllowOther);
    }
    Ok(())
}

/// A connection to the kernel.
#[derive(Debug)]
pub(super) struct Device {
    pub connection: OwnedFd,
    /// The kernel itself refuses whatever would write, by EROFS and before it asks.
    pub read_only: bool,
}

/// Mounts on `point`, an existing directory. With `own_calls` the daemon will make calls on its own
/// mount that write.
pub(super) fn mount(
    point: &Path,
    name: &str,
    allow_other: bool,
    own_calls: bool,
) -> Result<Device, MountError> {
    check(allow_other)?;
    if rustix::process::geteuid().is_root() {
        let connection = open()?;
        match mount_directly(&connection, point, name, allow_other) {
            Ok(read_only) => {
                let read_only = read_only && keeps_read_only(point, own_calls);
                return Ok(Device { connection, read_only });
            }
            // Root without the capability, as in most containers: the helper may still do it.
            Err(Errno::PERM) if helper().is_none() => return Err(MountError::DeviceDenied),
            Err(Errno::PERM) => {}
            Err(error) => {
                return Err(MountError::System { what: "mounting", source: error.into() });
            }
        }
    }
    let connection = mount_with_helper(point, name, allow_other, !own_calls)?;
    Ok(Device { connection, read_only: !own_calls })
}

/// Whether a mount that is read-only to all who come by it can stay so. The file system below is
/// writable, so that the daemon can make its own calls through a copy of the mount ([`writable`]); where
/// the kernel cannot make one (before Linux 5.12), the mount becomes writable.
fn keeps_read_only(point: &Path, own_calls: bool) -> bool {
    if !own_calls {
        return true;
    }
    let Err(error) = writable(point) else { return true };
    tracing::debug!(%error, "the mount cannot be copied");
    let made = rustix::mount::mount_remount(point, MountFlags::BIND | FLAGS, c"");
    if let Err(error) = made {
        tracing::warn!(%error, "the mount cannot be made writable: file watchers are not told");
    }
    false
}

/// A copy of the mount on `point` that can be written through, in no place of the tree. It ends with
/// the descriptor. Needs root.
pub(super) fn writable(point: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = rustix::mount::open_tree(CWD, point, flags)?;
    let attributes = libc::mount_attr {
        attr_set: 0,
        attr_clr: libc::MOUNT_ATTR_RDONLY,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: a system call (mount_setattr(2)) with a descriptor that lives, an empty path that ends
    // with NUL, and a structure of the size that is given with it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            copy.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH as libc::c_uint,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        Ok(copy)
    } else {
        Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}

const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOATIME);

/// The options' meaning is in the kernel's Documentation/filesystems/fuse.rst. The file system is not
/// read-only, on purpose: the daemon makes calls on its own mount to wake watchers. The mount is, before
/// anybody can see it, so that every copy of it in another namespace is too. `default_permissions` is
/// left out: with it an ordinary user's write ends as EACCES at the mode bits, and never gets its EROFS;
/// everything here may be read by whoever may enter, so there is nothing for it to decide.
///
/// Gives whether the mount is read-only; a kernel that cannot do that (before Linux 5.2) makes a
/// writable one.
fn mount_directly(
    device: &OwnedFd,
    point: &Path,
    name: &str,
    allow_other: bool,
) -> rustix::io::Result<bool> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let gid = rustix::process::getgid().as_raw().to_string();
    let fd = device.as_raw_fd().to_string();
    match mount_read_only(&fd, point, name, (&uid, &gid), allow_other) {
        Ok(()) => return Ok(true),
        Err(error @ (Errno::NOSYS | Errno::INVAL)) => {
            tracing::debug!(%error, "the mount cannot be made read-only");
        }
        Err(error) => return Err(error),
    }
    let mut data = format!("fd={fd},rootmode={ROOT_MODE},user_id={uid},group_id={gid}");
    if allow_other {
        data.push_str(",allow_other");
    }
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount(name, point, "fuse.omnifs", FLAGS, data.as_c_str())?;
    Ok(false)
}

/// A directory, in octal.
const ROOT_MODE: &str = "40000";

fn mount_read_only(
    device: &str,
    point: &Path,
    name: &str,
    (uid, gid): (&str, &str),
    allow_other: bool,
) -> rustix::io::Result<()> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key, value| fsconfig_set_string(context.as_fd(), key, value);
    set("source", name)?;
    set("subtype", "omnifs")?;
    set("fd", device)?;
    set("rootmode", ROOT_MODE)?;
    set("user_id", uid)?;
    set("group_id", gid)?;
    if allow_other {
        fsconfig_set_flag(context.as_fd(), "allow_other")?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(mount, c"", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn mount_with_helper(
    point: &Path,
    name: &str,
    allow_other: bool,
    read_only: bool,
) -> Result<OwnedFd, MountError> {
    let system = |what| move |source: io::Error| MountError::System { what, source };
    let helper = helper().ok_or(MountError::NoHelper)?;
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|error| system("making a socket pair")(error.into()))?;
    let mut options = format!("fsname={name},subtype=omnifs,nosuid,nodev,noatime");
    if allow_other {
        options.push_str(",allow_other");
    }
    if read_only {
        options.push_str(",ro");
    }
    // The helper sends the device over the socket that this variable numbers: its standard input.
    let mut child = Command::new(helper)
        .env("_FUSE_COMMFD", "0")
        .args(["-o", &options, "--"])
        .arg(point)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(system("starting fusermount3"))?;
    let device = receive_descriptor(&ours);
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        // What it says only decides the wording of an error.
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child.wait().map_err(system("waiting for fusermount3"))?;
    match device {
        Ok(Some(device)) if status.success() => Ok(device),
        _ if said.contains("user_allow_other") => Err(MountError::AllowOther),
        _ if said.contains("no write access") => Err(MountError::NotPermitted(point.to_owned())),
        Err(source) if said.is_empty() => {
            Err(MountError::System { what: "receiving the FUSE device", source })
        }
        _ => Err(MountError::Helper(one_line(&said))),
    }
}

fn one_line(said: &str) -> String {
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    line.trim().trim_start_matches("fusermount3:").trim().to_owned()
}

/// `None`: the other side closed without sending one.
fn receive_descriptor(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut byte)];
    rustix::io::retry_on_intr(|| {
        recvmsg(socket.as_fd(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(received)
}

/// Takes the mount on `point` away. By force it also ends the connection, which an ordinary user
/// cannot ask of the helper: see [`abort`].
pub(super) fn unmount(point: &Path, how: Unmount) -> Result<(), UnmountError> {
    let flags = match how {
        Unmount::Clean => UnmountFlags::empty(),
        Unmount::Lazy => UnmountFlags::DETACH,
        Unmount::Force => UnmountFlags::DETACH | UnmountFlags::FORCE,
    };
    match rustix::mount::unmount(point, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => unmount_with_helper(point, how != Unmount::Clean),
        Err(error) => Err(unmount_error(point, error.into())),
    }
}

fn unmount_error(point: &Path, source: io::Error) -> UnmountError {
    let path = point.to_owned();
    match source.raw_os_error() {
        Some(libc::EBUSY) => UnmountError::Busy(path),
        Some(libc::EINVAL | libc::ENOENT) => UnmountError::NotMounted(path),
        _ => UnmountError::System { path, source },
    }
}

fn unmount_with_helper(point: &Path, lazily: bool) -> Result<(), UnmountError> {
    let Some(helper) = helper() else {
        return Err(unmount_error(point, io::Error::other("fusermount3 is not installed")));
    };
    let mut command = Command::new(helper);
    command.arg("-u");
    if lazily {
        command.arg("-z");
    }
    let output = command
        .arg("--")
        .arg(point)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unmount_error(point, error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("busy") {
        return Err(UnmountError::Busy(point.to_owned()));
    }
    if said.contains("not found in") {
        return Err(UnmountError::NotMounted(point.to_owned()));
    }
    Err(unmount_error(point, io::Error::other(one_line(&said))))
}

/// Ends a connection at once: every waiting call fails with ENOTCONN. `minor` is the mount's device
/// number. Belongs to the mounting user; needs the fusectl file system, which not every machine
/// has mounted.
pub(super) fn abort(minor: u32) -> io::Result<()> {
    std::fs::write(format!("/sys/fs/fuse/connections/{minor}/abort"), "1")
}
