//! The first words between the kernel and `fuser`, overheard, so that a later process can be given them again.
//!
//! A kernel greets a device once (FUSE_INIT). `fuser` expects that greeting, so a process which goes on with a
//! device that another has greeted hears it from us: over a socket, in whose place the device is put
//! afterwards.

use fuser::{Config, Filesystem, Session, SessionACL};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// More than either side says. A kernel refuses a buffer that could not take a write of the largest size.
const LONGEST: usize = (1 << 20) + 4096;
/// Where a greeting has the second half of its flags: behind `fuse_in_header` and four numbers.
const FLAGS2: usize = 40 + 16;
/// FUSE_HAS_RESEND, bit 39: the kernel can be asked for what was not answered (Linux 6.9).
const HAS_RESEND: u32 = 1 << 7;

/// What a kernel has asked, and what it was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    pub asked: Vec<u8>,
    pub answered: Vec<u8>,
}

impl Greeting {
    /// Whether another process could go on with the session.
    pub fn has_resend(&self) -> bool {
        let flags = self.asked.get(FLAGS2..FLAGS2 + 4).and_then(|flags| flags.try_into().ok());
        flags.is_some_and(|flags| u32::from_ne_bytes(flags) & HAS_RESEND != 0)
    }
}

/// A session over a device that has just been mounted.
pub(super) fn begin<F: Filesystem>(
    filesystem: F,
    device: &OwnedFd,
    acl: SessionACL,
    config: Config,
) -> io::Result<(Session<F>, Greeting)> {
    let asked = receive(device)?;
    let (session, answered) = introduce(filesystem, device, acl, config, &asked)?;
    rustix::io::write(device, &answered)?;
    Ok((session, Greeting { asked, answered }))
}

/// A session over a device that another process has had.
///
/// # Errors
/// This program would have agreed on something else with the kernel, which cannot be undone.
pub(super) fn resume<F: Filesystem>(
    filesystem: F,
    device: &OwnedFd,
    acl: SessionACL,
    config: Config,
    greeting: &Greeting,
) -> io::Result<Session<F>> {
    let (session, answered) = introduce(filesystem, device, acl, config, &greeting.asked)?;
    if answered != greeting.answered {
        return Err(io::Error::other(
            "the mount was made with other features than this program has",
        ));
    }
    Ok(session)
}

/// Has `fuser` greeted over a socket, and puts the device in the socket's place.
fn introduce<F: Filesystem>(
    filesystem: F,
    device: &OwnedFd,
    acl: SessionACL,
    config: Config,
    asked: &[u8],
) -> io::Result<(Session<F>, Vec<u8>)> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::io::write(&ours, asked)?;
    let number = theirs.as_raw_fd();
    let session = Session::from_fd(filesystem, theirs, acl, config)?;
    let answered = receive(&ours)?;
    // SAFETY: both descriptors live: the session holds the one with this number for as long as it lasts, and
    // has no thread yet that uses it.
    if unsafe { libc::dup3(device.as_raw_fd(), number, libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((session, answered))
}

fn receive(from: impl AsFd) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; LONGEST];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&from, &mut buffer[..]))?;
    buffer.truncate(length);
    Ok(buffer)
}
