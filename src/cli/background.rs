//! A mount in the background: this program again, without a terminal, and one line of JSON on its
//! standard output that says when the mount answers or why it does not.
//!
//! It starts anew rather than forks: a runtime has threads, and no thread survives a fork.

use super::failure::{Exit, Failure};
use super::{shown, terminal};
use omnifs::paths;
use omnifs_platform::mounting::{self, Mount, UnmountMode};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The argument, before all others, of a process that only keeps a mount.
pub const KEEP: &str = "--keep";

/// For the first start: it compiles every component.
const PATIENCE: Duration = Duration::from_secs(90);
/// The longest report: some warnings.
const MOST_REPORT: u64 = 1 << 20;

/// What the background process says once.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    warnings: Vec<String>,
    failure: Option<Failure>,
}

/// Says that the mount is ready, from the background process. If nobody waits any more (Ctrl-C at
/// the terminal), the mount is not wanted and ends.
///
/// `goes_on`: with a mount that another process has begun, of which whoever waited may have heard.
pub fn ready(warnings: Vec<String>, goes_on: bool) {
    let said = say(&Report { warnings, failure: None });
    if goes_on {
        return;
    }
    #[cfg(unix)]
    if said.is_err() {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::TERM);
    }
    #[cfg(windows)]
    if said.is_err() {
        omnifs::stops::stop();
    }
}

/// Says why there is no mount, from the background process that ends with it.
pub fn failed(failure: Failure) -> ExitCode {
    let code = ExitCode::from(failure.exit as u8);
    // Nobody may be waiting, and standard error is the log.
    failure.lines().iter().for_each(|line| eprintln!("{line}"));
    let _ = say(&Report { warnings: Vec::new(), failure: Some(failure) });
    code
}

fn say(report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

/// Starts this program with the same arguments in the background, and waits until the mount at
/// `mountpoint` answers.
///
/// `kept`: another process holds the mount, and starts the one that serves it again when that dies.
pub fn start(mountpoint: &Path, log: &Path, kept: bool) -> Result<(), Failure> {
    let stderr = open_log(log).map_err(|e| {
        Failure::unwritten(format_args!("cannot write the log {}", shown(log)), log, &e)
    })?;
    let mut child = spawn(stderr, kept).map_err(|e| Failure::new(format!("cannot start: {e}")))?;
    // The child was given a pipe for its standard output.
    let stdout = child.stdout.take().ok_or_else(|| Failure::new("cannot start: no pipe"))?;
    let (sender, receiver) = mpsc::channel();
    let looked_at = mountpoint.to_owned();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout.take(MOST_REPORT)).read_line(&mut line);
        let report = read.ok().and_then(|_| serde_json::from_str::<Report>(&line).ok());
        // The first look through the kernel: the mount answers, not only its process.
        let answers = match &report {
            Some(Report { failure: None, .. }) => std::fs::read_dir(&looked_at).map(drop),
            _ => Ok(()),
        };
        let _ = sender.send((report, answers));
    });
    let log_hint = format!("its log is {}", paths::quoted(log));
    match receiver.recv_timeout(PATIENCE) {
        Ok((Some(Report { failure: Some(failure), .. }), _)) => {
            let _ = child.wait();
            Err(failure)
        }
        Ok((Some(Report { warnings, .. }), answers)) => {
            for warning in &warnings {
                terminal::tell("warning", warning);
            }
            answers.map_err(|e| {
                Failure::new(format!("the mount does not answer: {e}"))
                    .hint(log_hint)
                    .exit(Exit::Mountpoint)
            })
        }
        Ok((None, _)) => {
            let end = child.wait().map(|status| status.to_string()).unwrap_or_default();
            let text = format!("the mount's process ended before it was ready ({end})");
            Err(Failure::new(text).hint(log_hint))
        }
        Err(_) => {
            // With the process that it has started.
            #[cfg(unix)]
            {
                use rustix::process::{Pid, Signal, kill_process_group};
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            }
            let _ = child.kill();
            let _ = child.wait();
            if let Some(mount) = mounting::mounted_at(mountpoint).filter(Mount::ours) {
                let _ = mounting::unmount(&mount, UnmountMode::Force);
            }
            let seconds = PATIENCE.as_secs();
            Err(Failure::new(format!("the mount was not ready within {seconds} seconds"))
                .hint(log_hint))
        }
    }
}

fn open_log(log: &Path) -> std::io::Result<File> {
    if let Some(directory) = log.parent() {
        paths::private_dir(directory)?;
    }
    paths::private_file().append(true).create(true).open(log)
}

fn spawn(stderr: File, kept: bool) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    if kept {
        command.arg(KEEP);
    }
    // First, so that an argument `--` stays before what belongs behind it.
    command.arg("--ready-on-stdout").args(std::env::args_os().skip(1));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: setsid(2) is async-signal-safe and touches no memory.
        unsafe {
            command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into));
        }
    }
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt;
        use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, DETACHED_PROCESS};
        command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
    }
    command.spawn()
}
