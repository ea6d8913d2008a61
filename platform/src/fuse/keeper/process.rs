//! The keeper itself: a process that holds a mount's descriptors and starts the one which serves it.
//!
//! It reads no configuration, opens nothing, and knows of its child what the child says in one byte.

use super::{DROP, HELD, HOLD, LIFE, OVER, READY, SOCKET};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

/// How long a process that goes on with a session may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// The program of this process, or of one that it has forked.
pub(super) const OWN: &str = "/proc/self/exe";
/// How often in a row one may die before it has answered, or, if nobody has killed it, soon after.
const MOST_DEATHS: u32 = 4;
/// What dies sooner after it has answered has failed.
const SOON: Duration = Duration::from_secs(10);
/// How many quick deaths in a row make no pause, how much longer each further one makes it, and how often.
const CALM: u32 = 2;
const PAUSE: Duration = Duration::from_millis(50);
const MOST_PAUSES: u32 = 20;
/// How long the rest of a process is waited for once the thread that does nothing has ended.
const REST: Duration = Duration::from_millis(100);

/// Starts this program with `--kept=new` and these arguments, and with `--kept=old --kept-in DIR` again each
/// time that it dies without having said that its mount is over. Returns when there is nothing left to keep,
/// with what it ended with.
///
/// `in_front`: whoever has started this process takes it for the mount, and tells it when that is to end.
///
/// # Errors
/// It could not be started at all.
pub fn keep(arguments: impl IntoIterator<Item = OsString>, in_front: bool) -> io::Result<ExitCode> {
    let mut signals = if in_front { Some(Signals::take()?) } else { None };
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // Beyond the numbers that are the next process's, at each of which something stands from here on.
    let ours = rustix::io::fcntl_dupfd_cloexec(&ours, HELD[2] + 1)?;
    let theirs = rustix::io::fcntl_dupfd_cloexec(&theirs, HELD[2] + 1)?;
    for number in [SOCKET].into_iter().chain(HELD) {
        put(&theirs, number)?;
    }
    // Whatever is installed there by then. One that does not come up is taken back: this one, which is there as long as
    // this process.
    let installed = std::env::current_exe()?;
    let mut program = installed.as_path();
    let mut directory = PathBuf::from("/");
    // The directory that it was started in is not to be in use for as long as this lasts.
    if let Ok(started_in) = std::env::current_dir() {
        directory = started_in;
        std::env::set_current_dir("/")?;
    }
    let arguments: Vec<_> = arguments.into_iter().collect();
    let (mut held, mut deaths, mut quick) = (false, 0_u32, 0_u32);
    let mut dying: Vec<Child> = Vec::new();
    loop {
        let mut child = match spawn(program, &directory, &arguments, signals.as_ref(), held) {
            // It may have been removed, or be no program.
            Err(_) if held && program == installed => {
                spawn(Path::new(OWN), &directory, &arguments, signals.as_ref(), held)?
            }
            child => child?,
        };
        let life = watch(&mut child, &ours, signals.as_mut(), &mut held)?;
        dying.push(child);
        // One that cannot be waited for is left to the system.
        dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if life.over || !held || life.code == Some(0) {
            let is_asked = signals.is_some_and(|signals| signals.asked.is_some());
            // It may have been asked before it was ready, which is a failure to itself alone.
            let code = if life.over && is_asked { 0 } else { life.code.unwrap_or(1) };
            return Ok(ExitCode::from(code));
        }
        let lived = life.lived.is_some_and(|lived| life.killed || lived >= SOON);
        deaths = if lived { 0 } else { deaths + 1 };
        program = if lived { &installed } else { Path::new(OWN) };
        if deaths > MOST_DEATHS {
            // The kernel ends the session with the last descriptor of it.
            return Ok(ExitCode::FAILURE);
        }
        // One that is killed again and again is not to keep the machine from whatever it is short of.
        quick = if life.lived.is_some_and(|lived| lived >= SOON) { 0 } else { quick + 1 };
        let pauses = quick.saturating_sub(CALM).min(MOST_PAUSES).max((1 << deaths) - 1);
        std::thread::sleep(PAUSE * pauses);
    }
}

/// How a serving process has lived.
struct Life {
    /// From its first answer to its end.
    lived: Option<Duration>,
    over: bool,
    /// `None`: a signal ended it.
    code: Option<u8>,
    /// Somebody else has ended it.
    killed: bool,
}

/// Waits for the end of a serving process. One that goes on with a session and does not answer in time is ended.
///
/// Its end is that of the thread which it has named. Another one may wait in the kernel, where no signal ends it, for a
/// lock that somebody holds who waits for an answer: that is the next process's to give.
fn watch(
    child: &mut Child,
    socket: &OwnedFd,
    mut signals: Option<&mut Signals>,
    held: &mut bool,
) -> io::Result<Life> {
    // Its number is not another's before it is waited for.
    let pid = Pid::from_child(child);
    let mut life = Life { lived: None, over: false, code: None, killed: false };
    let mut answered = None;
    let whole = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(whole) => whole,
        // An old kernel or a sandbox, where nothing can be kept.
        Err(_) => {
            let status = loop {
                let Some(signals) = &mut signals else { break child.wait()? };
                signals.take_in(Some(pid));
                if let Some(status) = child.try_wait()? {
                    break status;
                }
                std::thread::sleep(REST);
            };
            life.code = status.code().map(|code| u8::try_from(code).unwrap_or(1));
            return Ok(life);
        }
    };
    let mut exit = whole.try_clone()?;
    let mut deadline = held.then(|| Instant::now() + PATIENCE);
    loop {
        let limit =
            deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        // Without signals, the socket stands there twice.
        let told = signals.as_ref().map_or(socket, |signals| &signals.told);
        let mut all = [socket, &exit, told].map(|of| PollFd::new(of, PollFlags::IN));
        match poll(&mut all, limit.as_ref()) {
            Ok(0) => {
                deadline = None;
                child.kill()?;
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [said, ended, told] = all.each_ref().map(|of| !of.revents().is_empty());
        if let Some(signals) = signals.as_mut().filter(|_| told) {
            // One that goes on with a mount can end that only once it answers.
            let listens = !*held || answered.is_some();
            signals.take_in(listens.then_some(pid));
        }
        // What it has said is heard before its end.
        if said {
            match receive(socket, held, &mut exit)? {
                READY => {
                    (answered, deadline) = (Some(Instant::now()), None);
                    signals.iter().for_each(|signals| signals.repeat(pid));
                }
                DROP => *held = false,
                OVER => life.over = true,
                _ => {}
            }
        } else if ended {
            life.lived = answered.map(|answered: Instant| answered.elapsed());
            let goes_on = *held && !life.over;
            let mut rest = [PollFd::new(&whole, PollFlags::IN)];
            // What is left of it after that waits in the kernel.
            let _ = poll(&mut rest, Some(&timespec(REST)));
            let status = if goes_on { child.try_wait()? } else { Some(child.wait()?) };
            let code = status.and_then(|status| status.code());
            // One that is not ended wholly is waited for no longer: only who is killed leaves so.
            life.killed = status.is_none_or(|status| status.signal() == Some(libc::SIGKILL));
            life.code = code.map(|code| u8::try_from(code).unwrap_or(1));
            return Ok(life);
        }
    }
}

/// The signals by which a mount is told to end, which are for the process that serves it. What was asked for stays
/// so: that process may die of something else, and the next one is to end then.
struct Signals {
    told: OwnedFd,
    /// Those that were blocked before.
    blocked: libc::sigset_t,
    asked: Option<Signal>,
}

impl Signals {
    fn take() -> io::Result<Signals> {
        // SAFETY: the set is made by the first call before it is read, and this process has one thread.
        unsafe {
            let (mut set, mut blocked) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, &raw mut blocked) < 0 {
                return Err(io::Error::last_os_error());
            }
            let number = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            // Beyond the numbers that are the next process's.
            let number = OwnedFd::from_raw_fd(number);
            let told = rustix::io::fcntl_dupfd_cloexec(&number, HELD[2] + 1)?;
            Ok(Signals { told, blocked, asked: None })
        }
    }

    /// Passes on what has come, if there is somebody who listens.
    fn take_in(&mut self, serving: Option<Pid>) {
        // A terminal's Ctrl-C reaches all its processes; that it is gone may be told to the first alone.
        const FROM_A_TERMINAL: i32 = 0x80;
        let mut told = [0; size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.told, &mut told[..]) == Ok(told.len()) {
            // SAFETY: as many bytes as it has, all of them plain numbers.
            let told: libc::signalfd_siginfo = unsafe { std::mem::transmute_copy(&told) };
            let signal = i32::try_from(told.ssi_signo).ok().and_then(Signal::from_named_raw);
            self.asked = signal.or(self.asked);
            if told.ssi_code != FROM_A_TERMINAL || signal == Some(Signal::HUP) {
                serving.into_iter().for_each(|serving| self.repeat(serving));
            }
        }
    }

    fn repeat(&self, serving: Pid) {
        if let Some(signal) = self.asked {
            // One that has ended needs no telling.
            let _ = kill_process(serving, signal);
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    // INVARIANT: of some seconds.
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}

/// One word of the serving process, and what goes with it.
fn receive(socket: &OwnedFd, held: &mut bool, exit: &mut OwnedFd) -> io::Result<u8> {
    let mut word = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut word)];
    rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    for message in control.drain() {
        let RecvAncillaryMessage::ScmRights(mut given) = message else { continue };
        match word[0] {
            HOLD => {
                for (descriptor, number) in given.zip(HELD) {
                    put(&descriptor, number)?;
                }
                *held = true;
            }
            LIFE => *exit = given.next().ok_or(io::ErrorKind::InvalidData)?,
            _ => {}
        }
    }
    Ok(word[0])
}

/// Starts the program with its descriptors, which have their numbers already, and nothing else of ours but the
/// standard ones.
fn spawn(
    program: &Path,
    directory: &Path,
    arguments: &[OsString],
    signals: Option<&Signals>,
    held: bool,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    match held {
        // That directory may be below the mount, which is not served yet.
        true => command.args(["--kept=old".as_ref(), "--kept-in".as_ref(), directory.as_os_str()]),
        false => command.arg("--kept=new").current_dir(directory),
    };
    command.args(arguments);
    let blocked = signals.map(|signals| signals.blocked);
    let given = if held { SOCKET..=HELD[2] } else { SOCKET..=SOCKET };
    // SAFETY: fcntl(2) and sigprocmask(2) are async-signal-safe, and touch no memory but the set.
    unsafe {
        command.pre_exec(move || {
            for number in given.clone() {
                if libc::fcntl(number, libc::F_SETFD, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            if let Some(blocked) = &blocked
                && libc::sigprocmask(libc::SIG_SETMASK, blocked, std::ptr::null_mut()) < 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn()
}

/// Puts a descriptor at a number, in the place of what is there.
fn put(descriptor: &OwnedFd, number: RawFd) -> io::Result<()> {
    // SAFETY: both numbers are of descriptors that this process has; nothing here owns the second.
    match unsafe { libc::dup3(descriptor.as_raw_fd(), number, libc::O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
