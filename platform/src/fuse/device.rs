//! The FUSE device and the two ways to mount it: the mount system call, and for an ordinary user
//! the set-uid helper fusermount3 of libfuse.
//!
//! The mount is made here and not by the `fuser` crate, so that it shows as `fuse.omnifs`, that a
//! refusal keeps its reason, and that nothing unmounts the path after somebody else has mounted
//! there.

use super::MountOptions;
use super::error::MountError;
use crate::child;
use crate::mounting::{self, Mount, Place, descriptor_path, mount_number};
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
use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

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
    pub mount: Mount,
}

/// Mounts on a directory. To raise events the daemon makes calls on its own mount
/// that write.
pub(super) fn mount(place: &Place, options: &MountOptions) -> Result<Device, MountError> {
    check(options.allow_other)?;
    let own_calls = options.watch_events;
    if rustix::process::geteuid().is_root() {
        let connection = open()?;
        match mount_directly(&connection, place, options) {
            Ok(made) => {
                let read_only = made.as_ref().is_some_and(|made| keeps_read_only(made, options));
                let mount = listed(place, made.as_ref())
                    .inspect_err(|_| take_back(place, made.as_ref()))?;
                return Ok(Device { connection, read_only, mount });
            }
            // Root without the capability, as in most containers: the helper may still do it.
            Err(Errno::PERM) if helper().is_none() => return Err(MountError::DeviceDenied),
            Err(Errno::PERM) => {}
            Err(error) => {
                return Err(MountError::System { what: "mounting", source: error.into() });
            }
        }
    }
    let connection = mount_with_helper(&place.path, options)?;
    Ok(Device { connection, read_only: !own_calls, mount: listed(place, None)? })
}

/// The mount's line in the table: by its number where there is a descriptor of it, since the directory may
/// have another path by now.
fn listed(place: &Place, made: Option<&OwnedFd>) -> Result<Mount, MountError> {
    let found = match made.and_then(|made| mount_number(made).ok().flatten()) {
        Some(number) => mounting::numbered(number),
        None => mounting::mounted_at(&place.path),
    };
    // A table that cannot be read holds nothing.
    let unread = || File::open("/proc/self/mountinfo").err();
    let gone = || unread().unwrap_or_else(|| io::Error::other("the mount is not in it"));
    let failed = |source| MountError::System { what: "reading the mount table", source };
    found.ok_or_else(gone).map_err(failed)
}

/// Takes a mount away that has just been made and cannot be served. Needs no descriptor.
fn take_back(place: &Place, made: Option<&OwnedFd>) {
    let (path, flags) = match made {
        // The path of a descriptor is a link.
        Some(made) => (descriptor_path(made), UnmountFlags::DETACH),
        None => (place.path.clone(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW),
    };
    if let Err(error) = rustix::mount::unmount(&path, flags) {
        tracing::warn!(%error, "a mount that could not be served stays");
    }
}

/// Whether a mount that is read-only to all who come by it can stay so. The file system below is
/// writable, so that the daemon can make its own calls through a copy of the mount ([`writable`]); where
/// the kernel cannot make one (before Linux 5.12), the mount becomes writable.
fn keeps_read_only(mount: &OwnedFd, options: &MountOptions) -> bool {
    if !options.watch_events {
        return true;
    }
    let own = descriptor_path(mount);
    let Err(error) = writable(&own) else { return true };
    tracing::debug!(%error, "the mount cannot be copied");
    let made = rustix::mount::mount_remount(&own, MountFlags::BIND | flags(options), c"");
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

fn flags(options: &MountOptions) -> MountFlags {
    let always = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    if options.exec { always } else { always | MountFlags::NOEXEC }
}

/// The options' meaning is in the kernel's Documentation/filesystems/fuse.rst. The file system is not
/// read-only, on purpose: the daemon makes calls on its own mount to wake watchers. The mount is, before
/// anybody can see it, so that every copy of it in another namespace is too. `default_permissions` is
/// left out: with it an ordinary user's write ends as EACCES at the mode bits, and never gets its EROFS;
/// everything here may be read by whoever may enter, so there is nothing for it to decide.
///
/// It goes on the directory that `place` holds, wherever its path leads by now. Gives a read-only mount as
/// a descriptor; a kernel that cannot make one (before Linux 5.2) makes a writable one.
fn mount_directly(
    device: &OwnedFd,
    place: &Place,
    options: &MountOptions,
) -> rustix::io::Result<Option<OwnedFd>> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let gid = rustix::process::getgid().as_raw().to_string();
    let fd = device.as_raw_fd().to_string();
    match mount_read_only(&fd, place, (&uid, &gid), options) {
        Ok(mount) => return Ok(Some(mount)),
        Err(error @ (Errno::NOSYS | Errno::INVAL)) => {
            tracing::debug!(%error, "the mount cannot be made read-only");
        }
        Err(error) => return Err(error),
    }
    let mut data = format!("fd={fd},rootmode={ROOT_MODE},user_id={uid},group_id={gid}");
    if options.allow_other {
        data.push_str(",allow_other");
    }
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let name = options.name.as_str();
    let point = descriptor_path(&place.directory);
    rustix::mount::mount(name, &point, "fuse.omnifs", flags(options), data.as_c_str())?;
    Ok(None)
}

/// A directory, in octal.
const ROOT_MODE: &str = "40000";

fn mount_read_only(
    device: &str,
    place: &Place,
    (uid, gid): (&str, &str),
    options: &MountOptions,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key, value| fsconfig_set_string(context.as_fd(), key, value);
    set("source", options.name.as_str())?;
    set("subtype", "omnifs")?;
    set("fd", device)?;
    set("rootmode", ROOT_MODE)?;
    set("user_id", uid)?;
    set("group_id", gid)?;
    if options.allow_other {
        fsconfig_set_flag(context.as_fd(), "allow_other")?;
    }
    fsconfig_create(context.as_fd())?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    if !options.exec {
        attributes |= MountAttrFlags::MOUNT_ATTR_NOEXEC;
    }
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&mount, c"", &place.directory, c"", both)?;
    Ok(mount)
}

fn mount_with_helper(point: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let system = |what| move |source: io::Error| MountError::System { what, source };
    let helper = helper().ok_or(MountError::NoHelper)?;
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|error| system("making a socket pair")(error.into()))?;
    let mut words = format!("fsname={},subtype=omnifs,nosuid,nodev,noatime", options.name);
    for (wanted, word) in [
        (!options.exec, ",noexec"),
        (options.allow_other, ",allow_other"),
        (!options.watch_events, ",ro"),
    ] {
        words.push_str(if wanted { word } else { "" });
    }
    // The helper sends the device over the socket that this variable numbers: its standard input.
    let mut child = child::command(helper)
        .env("_FUSE_COMMFD", "0")
        .args(["-o", &words, "--"])
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
        _ if said.contains("no write access") => {
            Err(mounting::Error::NotPermitted(point.to_owned()).into())
        }
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
