//! Removing what a killed test run leaves behind: processes of a private engine, mounts, directories.

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOCK: &str = "lock";

/// Marks `directory` as in use for as long as the file is open.
pub fn lock(directory: &Path) -> io::Result<File> {
    let file = File::create(directory.join(LOCK))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Cleans the directories below `base` that begin with `prefix` and that no process has locked.
pub fn abandoned(base: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        // A directory without a lock file is one that is being made at this moment.
        let Some(file) = ours.then(|| File::open(entry.path().join(LOCK)).ok()).flatten() else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            clean(&entry.path());
        }
    }
}

/// Ends the processes of an engine on `directory`, unmounts what is below it, and removes it.
pub fn clean(directory: &Path) {
    for pid in processes(directory) {
        let _ = kill_process(pid, Signal::KILL);
    }
    // They are not our children: their end shows in /proc.
    crate::wait_until(Duration::from_secs(60), || processes(directory).is_empty().then_some(()));
    for mount in mounts(directory) {
        let _ = unmount(&mount, UnmountFlags::DETACH);
    }
    // A process that is still exiting may add a file between the listing and the removal.
    crate::wait_until(Duration::from_secs(30), || {
        (fs::remove_dir_all(directory).is_ok() || !directory.exists()).then_some(())
    });
}

/// The processes that name `directory` on their command line (containerd and its shims, Podman's monitors) and their
/// descendants (what runs in the containers). The name is unique to this engine. Zombies do not
/// count.
fn processes(directory: &Path) -> Vec<Pid> {
    let own = std::process::id() as i32;
    let needle = directory.as_os_str().as_encoded_bytes();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut parents = Vec::new();
    let mut found = HashSet::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Some((parent, state)) = stat(&entry.path()) else { continue };
        if state == 'Z' || pid == own {
            continue;
        }
        parents.push((pid, parent));
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let engine = ["dockerd", "containerd", "podman", "conmon"].iter().any(|name| {
            command.split(|b| *b == 0).next().is_some_and(|program| {
                Path::new(&*String::from_utf8_lossy(program))
                    .file_name()
                    .is_some_and(|file| file.to_string_lossy().starts_with(name))
            })
        });
        if engine && command.windows(needle.len()).any(|part| part == needle) {
            found.insert(pid);
        }
    }
    loop {
        let before = found.len();
        for (pid, parent) in &parents {
            if found.contains(parent) {
                found.insert(*pid);
            }
        }
        if found.len() == before {
            return found.into_iter().filter_map(Pid::from_raw).collect();
        }
    }
}

/// Parent and state of a process or thread, from its `stat` file: `pid (command) state ppid ...`.
fn stat(process: &Path) -> Option<(i32, char)> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    // The command may hold blanks and brackets; it ends at the last one.
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// Whether the process that a pid file names runs; a zombie does not.
pub fn is_alive(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap_or_default();
    let process = Path::new("/proc").join(pid.trim());
    !pid.trim().is_empty() && stat(&process).is_some_and(|(_, state)| state != 'Z')
}

/// Whether a signal has stopped every thread of the process: SIGSTOP takes effect thread by thread.
pub fn all_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| stat(&thread.path()).is_none_or(|(_, state)| state == 'T'))
}

/// Mount points below `directory`, the innermost first.
fn mounts(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(directory))
        .collect();
    mounts.reverse();
    mounts
}
