//! A program in a terminal: what it shows, keys for it, and whether it gave the terminal back.

use rustix::termios::{LocalModes, Termios, tcgetattr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZeroU16;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For a program to show something or to end, on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// The terminal and the program in it, which ends with this value.
pub struct Pty {
    master: File,
    /// Held, so that what the program wrote last is not lost as it ends.
    slave: OwnedFd,
    before: Termios,
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    screen: vt100::Parser,
    /// The program has had a screen of its own.
    taken: bool,
}

/// A terminal has one row and one column at least.
fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

impl Pty {
    /// Starts the program in a terminal of this size.
    pub fn spawn(command: &mut Command, rows: u16, columns: u16) -> io::Result<Pty> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: both descriptors have a place, no name and no modes are asked for, and the size is read only.
        let opened = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            )
        };
        if opened != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        for descriptor in [master.as_raw_fd(), slave.as_raw_fd()] {
            // SAFETY: sets a flag of a descriptor that is open.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        let before = tcgetattr(&slave)?;
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?);
        command.env("TERM", "xterm-256color");
        // SAFETY: runs between fork and exec; both are single system calls.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn()?;
        let seen =
            Seen { screen: vt100::Parser::new(cells(rows), cells(columns), 1000), taken: false };
        let seen = Arc::new(Mutex::new(seen));
        let (mut output, shown) = (master.try_clone()?, seen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                let mut seen = shown.lock().unwrap_or_else(PoisonError::into_inner);
                for byte in &bytes[..read] {
                    seen.screen.process(std::slice::from_ref(byte));
                    seen.taken |= seen.screen.screen().alternate_screen();
                }
            }
        });
        Ok(Pty { master, slave, before, child, seen })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What is on the screen, a line a row.
    pub fn contents(&self) -> String {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).screen.screen().contents()
    }

    /// Whether the character there has a colour of its own.
    pub fn is_colored(&self, row: u16, column: u16) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = seen.screen.screen().cell(row, column);
        cell.is_some_and(|cell| cell.fgcolor() != vt100::Color::Default)
    }

    /// Types.
    pub fn send(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until the screen is as wanted; what it shows, where it never is.
    #[track_caller]
    pub fn until(&self, what: &str, mut wanted: impl FnMut(&str) -> bool) {
        let found = crate::wait_until(SOON, || wanted(&self.contents()).then_some(()));
        assert!(found.is_some(), "{what}: {}", self.contents());
    }

    /// Another size, which the program is told of.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen
            .screen_mut()
            .set_size(cells(rows), cells(columns));
        // SAFETY: the descriptor is open, and the size is read only.
        let set =
            unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
    }

    /// The program's exit code, once it has ended and all that it wrote is on the screen.
    pub fn ended(&mut self) -> Option<i32> {
        let status = crate::wait_until(SOON, || self.child.try_wait().ok().flatten())?;
        // What it wrote last is followed by a mark.
        const MARK: &str = "\r\n(end)\r\n";
        let mut slave = File::from(self.slave.try_clone().ok()?);
        slave.write_all(MARK.as_bytes()).ok()?;
        crate::wait_until(SOON, || self.contents().contains("(end)").then_some(()))?;
        status.code()
    }

    /// Whether the program has the keys as they are typed.
    pub fn is_taken(&self) -> bool {
        tcgetattr(&self.slave).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON))
    }

    /// Whether the program has had a screen of its own at any time.
    pub fn was_taken(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).taken
    }

    /// Whether the terminal is as before: its own screen, a cursor, lines and echo.
    pub fn is_given_back(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = seen.screen.screen();
        let Ok(now) = tcgetattr(&self.slave) else { return false };
        let modes = |modes: &Termios| (modes.local_modes, modes.input_modes, modes.output_modes);
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && modes(&now) == modes(&self.before)
            && now.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }
}

impl std::fmt::Debug for Pty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pty").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
