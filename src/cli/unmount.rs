use super::failure::{Exit, Failure};
use super::locate::{self, Located};
use super::{Context, is_root, shown, terminal, wait};
use clap::Args;
use omnifs::control::{self, Client, Record};
use omnifs::paths;
use omnifs_platform::mounting::{self, Mount, UnmountMode};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// End the mount at PATH
///
/// Returns when the mountpoint is free. A mount whose files are in use stays, and its users can be
/// listed with `lsof +f -- PATH`.
#[derive(Debug, Args)]
pub struct Unmount {
    /// The mountpoint
    #[arg(required_unless_present = "all")]
    path: Option<PathBuf>,
    /// Every mount of yours that is running
    #[arg(long, conflicts_with = "path")]
    all: bool,
    /// Also where files are in use, or the mount's process hangs: its files then fail
    #[arg(long, short)]
    force: bool,
}

/// For the mount's process to end after its file system is gone.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(context: &Context, args: &Unmount) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.path {
        unmount(context, path, args.force)?;
        terminal::done("", json!({ "unmounted": [path] }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let records = context.registry().list();
    if records.is_empty() {
        return Err(Failure::new("nothing is mounted").exit(Exit::NotMounted));
    }
    // One that stays keeps none of the others from being ended.
    let (mut ended, mut failed) = (Vec::new(), Vec::new());
    for record in &records {
        match unmount(context, record.mountpoint.as_ref(), args.force) {
            Ok(()) => ended.push(&record.mountpoint),
            Err(failure) => failed.push(failure),
        }
    }
    terminal::done("", json!({ "unmounted": ended }))?;
    let count = failed.len();
    match failed.into_iter().next() {
        None => Ok(ExitCode::SUCCESS),
        Some(first) if count == 1 => Err(first),
        Some(first) => {
            terminal::tell("note", &format!("{count} mounts stay; the first says why"));
            Err(first)
        }
    }
}

/// Ends the mount at `path`.
fn unmount(context: &Context, path: &Path, force: bool) -> Result<(), Failure> {
    let unusable = |e| Failure::new(format!("{}: {e}", shown(path)));
    match locate::find(context, path).map_err(unusable)? {
        Located::Here(record, below) if below.as_os_str().is_empty() => {
            let client = Client::new(record.clone())?;
            match wait(client.unmount(force))? {
                Ok(()) => gone(context, &record)?,
                // It does not answer, or cannot do it: for want of descriptors, say.
                Err(control::Error::Silent { .. } | control::Error::Refused(_)) if force => {
                    end(context, &record)?;
                }
                Err(control::Error::Refused(refused)) => {
                    return Err(Failure::from(refused).exit(Exit::Mountpoint));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Located::Here(record, _) => {
            let text = format!("{} is inside the mount at {}", shown(path), record.mountpoint);
            return Err(Failure::new(text)
                .hint(format!(
                    "to end that mount: omnifs unmount {}",
                    paths::quoted_text(&record.mountpoint)
                ))
                .exit(Exit::NotMounted));
        }
        Located::Others(user) if !is_root() => {
            return Err(locate::in_mount_of(path, user)
                .hint("only that user and root can end it")
                .exit(Exit::Mountpoint));
        }
        Located::Others(_) | Located::Nowhere => without_process(path, force)?,
    }
    Ok(())
}

/// Waits until the mount's process has given its claim back.
fn gone(context: &Context, record: &Record) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while context.registry().list().iter().any(|other| other == record) {
        if Instant::now() > deadline {
            let text = format!("process {} goes on after the unmount", record.pid);
            return Err(Failure::new(text).hint(format!(
                "to end it: omnifs unmount --force {}",
                paths::quoted_text(&record.mountpoint)
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Takes the mountpoint from a process that does not answer, and ends the process: it holds the
/// mount's lock, so the process id is its own.
fn end(context: &Context, record: &Record) -> Result<(), Failure> {
    let mountpoint = Path::new(&record.mountpoint);
    if let Some(mount) = mounting::mounted_at(mountpoint).filter(Mount::ours) {
        mounting::unmount(&mount, UnmountMode::Force)?;
    }
    #[cfg(target_os = "linux")]
    context.registry().end(record)?;
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        use rustix::process::{Pid, Signal, kill_process};
        if let Some(pid) = i32::try_from(record.pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself in the meantime.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    #[cfg(windows)]
    {
        use windows_sys::Win32::Foundation::CloseHandle;
        use windows_sys::Win32::System::Threading::{
            OpenProcess, PROCESS_TERMINATE, TerminateProcess,
        };
        // SAFETY: the handle is closed below and used by nobody else.
        let process = unsafe { OpenProcess(PROCESS_TERMINATE, 0, record.pid) };
        if !process.is_null() {
            // SAFETY: opened above. It may have ended by itself in the meantime.
            unsafe {
                TerminateProcess(process, 1);
                CloseHandle(process);
            }
        }
    }
    gone(context, record)
}

/// What a process that was killed left mounted.
fn without_process(path: &Path, force: bool) -> Result<(), Failure> {
    let nothing = || {
        Failure::new(format!("nothing is mounted at {}", shown(path)))
            .hint("`omnifs status` lists the mounts")
            .exit(Exit::NotMounted)
    };
    let path = match mounting::resolve(path) {
        Ok(path) => path,
        Err(mounting::Error::Missing(_) | mounting::Error::NotDirectory(_)) => {
            return Err(nothing());
        }
        Err(error) => return Err(error.into()),
    };
    match mounting::mounted_at(&path) {
        Some(mount) if mount.ours() => {
            let how = UnmountMode::forced(force || mount.dead());
            Ok(mounting::unmount(&mount, how)?)
        }
        Some(mount) => {
            let text = format!("what is mounted at {} is {}, not omnifs", shown(&path), mount.kind);
            Err(Failure::new(text).exit(Exit::NotMounted))
        }
        None => Err(nothing()),
    }
}
