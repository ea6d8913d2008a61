//! What systemd wants to be told by a unit with `Type=notify` (sd_notify(3)): that the mount is ready, and,
//! with `WatchdogSec=`, that it still answers.

use crate::logs::printable;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The supervisor's socket.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    to: SocketAddr,
    /// It must hear of us within this time.
    patience: Option<Duration>,
}

impl Supervisor {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say. `None`: nobody wants to be told.
    ///
    /// # Errors
    /// The socket's name is none.
    pub fn of_environment() -> io::Result<Option<Arc<Supervisor>>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // The keeper that has started this process is what the supervisor knows.
        let keeper =
            rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| {
            [Some(std::process::id()), keeper].contains(&u32::try_from(pid).ok())
        });
        let patience = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0);
        Supervisor::new(&name, patience.map(Duration::from_micros)).map(|new| Some(Arc::new(new)))
    }

    fn new(name: &OsStr, patience: Option<Duration>) -> io::Result<Supervisor> {
        let to = match name.as_bytes().strip_prefix(b"@") {
            // A name that is no file.
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A supervisor that does not read must not hold the mount up.
        socket.set_nonblocking(true)?;
        Ok(Supervisor { socket, to, patience })
    }

    /// The mount answers. From now on it is asked in regular intervals, and the supervisor told that it still
    /// does; one that hangs is not told of, and started anew.
    pub fn ready(self: &Arc<Supervisor>, mountpoint: &Path) {
        let shown = printable(&mountpoint.to_string_lossy()).into_owned();
        self.tell(&format!("READY=1\nSTATUS=mounted at {shown}"));
        let Some(patience) = self.patience else { return };
        let mount = device(mountpoint);
        let (supervisor, mountpoint) = (Arc::downgrade(self), mountpoint.to_owned());
        let watch = move || {
            loop {
                let Some(supervisor) = supervisor.upgrade() else { return };
                if answers(&mountpoint, mount) {
                    supervisor.tell("WATCHDOG=1");
                }
                drop(supervisor);
                std::thread::sleep(patience / 3);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("watchdog".into()).spawn(watch) {
            tracing::warn!(%error, "the supervisor is not told that the mount answers");
        }
    }

    /// What listens at a socket, and mounts nothing, is ready.
    pub fn listening(&self, socket: &Path) {
        let shown = printable(&socket.to_string_lossy()).into_owned();
        self.tell(&format!("READY=1\nSTATUS=listening at {shown}"));
    }

    /// The mount has ended.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, text: &str) {
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.to) {
            tracing::warn!(%error, "cannot tell the supervisor");
        }
    }
}

/// Through the kernel, which keeps no answer to this question. What lies below the mount, or over it, answers for
/// itself alone.
fn answers(mountpoint: &Path, mount: Option<u64>) -> bool {
    rustix::fs::statvfs(mountpoint).is_ok() && mount.is_some() && device(mountpoint) == mount
}

fn device(mountpoint: &Path) -> Option<u64> {
    mountpoint.metadata().ok().map(|found| found.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let read = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    #[test]
    fn a_supervisor_hears_of_the_start_and_while_the_mount_answers() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notify");
        let socket = UnixDatagram::bind(&file).unwrap();
        let patience = Some(Duration::from_millis(30));
        let supervisor = Arc::new(Supervisor::new(file.as_os_str(), patience).unwrap());
        supervisor.ready(dir.path());
        assert_eq!(heard(&socket), format!("READY=1\nSTATUS=mounted at {}", dir.path().display()));
        assert_eq!(heard(&socket), "WATCHDOG=1");
        assert_eq!(heard(&socket), "WATCHDOG=1");
        supervisor.stopping();
        while heard(&socket) != "STOPPING=1" {}
    }

    #[test]
    fn a_mountpoint_that_answers_with_an_error_is_not_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notify");
        let socket = UnixDatagram::bind(&file).unwrap();
        let patience = Some(Duration::from_millis(3));
        let supervisor = Arc::new(Supervisor::new(file.as_os_str(), patience).unwrap());
        supervisor.ready(&dir.path().join("gone"));
        assert!(heard(&socket).starts_with("READY=1"));
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err());
    }

    #[test]
    fn a_socket_may_have_a_name_that_is_no_file() {
        let name = format!("omnifs-supervisor-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let supervisor = Supervisor::new(OsStr::new(&format!("@{name}")), None).unwrap();
        supervisor.stopping();
        assert_eq!(heard(&socket), "STOPPING=1");
    }
}
