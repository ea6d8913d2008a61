//! Child processes that do not outlive this one.
//!
//! The kernel's parent-death signal is bound to the *thread* that forked, so all of them are forked
//! from one thread that lives as long as the process.

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

type Job = (Command, Sender<io::Result<Child>>);

/// Spawns `command` in a process group of its own: a terminal's Ctrl-C does not reach it, its order of
/// ending is this process's. It gets SIGTERM when this process ends in whatever way.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in queue {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    command.process_group(0);
    let parent = rustix::process::getpid();
    // SAFETY: runs between fork and exec; both calls are single system calls, no allocation.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::TERM))?;
            // The parent may have died before the line above.
            match rustix::process::getppid() == Some(parent) {
                true => Ok(()),
                false => Err(io::ErrorKind::Interrupted.into()),
            }
        });
    }
    let (reply, answer) = channel();
    let gone = |_| io::Error::other("the spawning thread is gone");
    let keeper = keeper.lock().map_err(|_| io::Error::other("the spawning thread panicked"))?;
    keeper.send((command, reply)).map_err(|_| io::Error::other("the spawning thread is gone"))?;
    answer.recv().map_err(gone)?
}

/// Sends a signal to a child that has not been reaped: its pid cannot have been given to another.
pub fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// SIGTERM, then SIGKILL after `grace`; reaps the child. True when it went by itself.
pub fn stop(child: &mut Child, grace: Duration) -> bool {
    signal(child, Signal::TERM);
    // A stopped process does not act on SIGTERM.
    signal(child, Signal::CONT);
    if wait(child, grace).is_some() {
        return true;
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Waits for the child's end, at most `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    crate::wait_until(limit, || child.try_wait().ok().flatten())
}
