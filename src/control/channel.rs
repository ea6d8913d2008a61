//! What the control channel runs over: a unix socket among the user's private files, on Windows a named
//! pipe that only the user may open. No port: whoever may connect is who may command.

use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
pub(crate) use unix::Listener;
#[cfg(unix)]
pub(super) use unix::Reached;
#[cfg(windows)]
pub(super) use windows::{Listener, Reached};

/// Where the channel of the mount with this key is. By the key's digest alone: a socket's path is bounded,
/// and its length is to depend on the directory and on no mountpoint.
#[cfg(unix)]
pub(super) fn place(directory: &Path, key: &str) -> io::Result<PathBuf> {
    let digest = key.rsplit('-').next().unwrap_or(key);
    Ok(directory.join(format!("{digest}.sock")))
}

/// Pipes have names of their own, which cannot be guessed here: nobody can have taken it.
#[cfg(windows)]
pub(super) fn place(_: &Path, key: &str) -> io::Result<PathBuf> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!(r"\\.\pipe\omnifs-{key}-{}", super::registry::hex(&random)).into())
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tokio::net::{UnixListener, UnixStream};

    /// A socket's path, in a form that the system takes.
    #[derive(Debug)]
    pub(in crate::control) struct Reached {
        path: PathBuf,
        #[cfg(target_os = "linux")]
        _directory: Option<rustix::fd::OwnedFd>,
    }

    /// Bytes of a path in a socket's address, with the zero at its end: 104 on macOS, 108 on Linux.
    const LONGEST: usize = 103;

    impl Reached {
        /// A path that is too long for an address is taken from its directory, held open meanwhile.
        pub fn new(path: &Path) -> io::Result<Reached> {
            if path.as_os_str().len() <= LONGEST {
                return Ok(Reached {
                    path: path.to_owned(),
                    #[cfg(target_os = "linux")]
                    _directory: None,
                });
            }
            #[cfg(target_os = "linux")]
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                use rustix::fd::AsRawFd;
                use rustix::fs::{Mode, OFlags};
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = rustix::fs::open(parent, flags, Mode::empty())?;
                let short = format!("/proc/self/fd/{}", directory.as_raw_fd());
                return Ok(Reached {
                    path: Path::new(&short).join(name),
                    _directory: Some(directory),
                });
            }
            let text =
                format!("the path {} is too long for a socket: {}", path.display(), shorter());
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }

        pub fn path(&self) -> &Path {
            &self.path
        }
    }

    /// What to do where the directory is too long. macOS takes no notice of `XDG_STATE_HOME`.
    fn shorter() -> &'static str {
        match cfg!(target_os = "macos") {
            true => "set HOME to a shorter one",
            false => "set HOME or XDG_STATE_HOME to a shorter one",
        }
    }

    #[derive(Debug)]
    pub(crate) struct Listener {
        socket: UnixListener,
        _reached: Reached,
    }

    impl Listener {
        /// Listens at `path`, in place of what an earlier process left there.
        pub fn bind(path: &Path) -> io::Result<Listener> {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let reached = Reached::new(path)?;
            let socket = UnixListener::bind(reached.path())?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok(Listener { socket, _reached: reached })
        }
    }

    impl axum::serve::Listener for Listener {
        type Io = UnixStream;
        type Addr = ();

        /// The next connection of this user or of root. Anybody else's is closed, and takes no place.
        async fn accept(&mut self) -> (UnixStream, ()) {
            loop {
                let (stream, _) = axum::serve::Listener::accept(&mut self.socket).await;
                let own = rustix::process::geteuid().as_raw();
                match stream.peer_cred() {
                    Ok(peer) if peer.uid() == own || peer.uid() == 0 => return (stream, ()),
                    Ok(peer) => tracing::warn!(
                        uid = peer.uid(),
                        "another user's connection to the control channel is closed"
                    ),
                    Err(error) => {
                        tracing::debug!(%error, "a connection to the control channel is closed")
                    }
                }
            }
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::control::key;

    /// A home of macOS, whose sockets have paths of at most 103 bytes.
    #[test]
    fn the_length_of_a_sockets_path_depends_on_the_directory_alone() {
        let home = "/Users/somebody.with-a-name/Library/Application Support/omnifs/state/mounts";
        let length = |mountpoint: &str| {
            place(Path::new(home), &key(Path::new(mountpoint))).unwrap().as_os_str().len()
        };
        let mountpoints = ["/", "/m", "/mnt/a-name-that-is-as-long-as-a-key-takes-of-it"];
        assert_eq!(mountpoints.map(length), [home.len() + "/0123456789abcdef.sock".len(); 3]);
        assert!(length("/m") <= 103);
    }

    #[cfg(target_os = "macos")]
    #[test]
    fn no_hint_names_a_variable_that_the_system_takes_no_notice_of() {
        let error = Reached::new(Path::new(&"x".repeat(200))).unwrap_err();
        assert!(!error.to_string().contains("XDG"), "{error}");
    }
}

#[cfg(windows)]
mod windows {
    use super::*;
    use std::ffi::{OsString, c_void};
    use std::time::Duration;
    use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
    use windows_sys::Win32::Foundation::LocalFree;
    use windows_sys::Win32::Security::Authorization::{
        ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
    };
    use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;

    /// Everything for the owner (`OWNER RIGHTS`) and the system, nothing for anybody else.
    const ACCESS: &str = "D:P(A;;GA;;;S-1-3-4)(A;;GA;;;SY)\0";

    #[derive(Debug)]
    pub(in crate::control) struct Reached(PathBuf);

    impl Reached {
        pub fn new(path: &Path) -> io::Result<Reached> {
            Ok(Reached(path.to_owned()))
        }

        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    /// A pipe has one connection: there is always one more than are in use.
    #[derive(Debug)]
    pub(in crate::control) struct Listener {
        name: OsString,
        next: NamedPipeServer,
    }

    impl Listener {
        pub fn bind(path: &Path) -> io::Result<Listener> {
            let name = path.as_os_str().to_owned();
            let next = pipe(&name, true)?;
            Ok(Listener { name, next })
        }
    }

    impl axum::serve::Listener for Listener {
        type Io = NamedPipeServer;
        type Addr = ();

        async fn accept(&mut self) -> (NamedPipeServer, ()) {
            loop {
                let connected = self.next.connect().await;
                match (connected, pipe(&self.name, false)) {
                    (Ok(()), Ok(next)) => return (std::mem::replace(&mut self.next, next), ()),
                    (connected, next) => {
                        tracing::warn!(?connected, "the control channel's pipe");
                        if let Ok(next) = next {
                            self.next = next;
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe(name: &OsString, first: bool) -> io::Result<NamedPipeServer> {
        let text: Vec<u16> = ACCESS.encode_utf16().collect();
        let mut descriptor: *mut c_void = std::ptr::null_mut();
        // SAFETY: the text ends with a zero, and the result has a place. It is freed below.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                std::ptr::null_mut(),
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        let mut attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor,
            bInheritHandle: 0,
        };
        let mut options = ServerOptions::new();
        options.first_pipe_instance(first).reject_remote_clients(true);
        // SAFETY: the attributes are whole, and live until the call is over.
        let made = unsafe {
            options.create_with_security_attributes_raw(name, (&raw mut attributes).cast())
        };
        // SAFETY: made by the conversion, and used by nobody any more.
        unsafe { LocalFree(descriptor) };
        made
    }
}
