//! Who waits for an answer and is told to stop.

use crate::fixture::{Fixture, eventually, is_root, possible};
use omnifs_platform::memory::{New, ROOT};
use omnifs_platform::mounting::UnmountMode;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the service takes, and within which time a signal ends the wait for it.
const SLOW: Duration = Duration::from_secs(12);
const SOON: Duration = Duration::from_secs(8);

#[test]
fn a_signal_ends_the_wait_for_a_slow_answer_and_nothing_is_kept_of_it() {
    let Some(mut fixture) = Fixture::new() else { return };
    let memory = fixture.memory.clone();
    let slow = memory.add(ROOT, "slow", New::Directory).unwrap();
    memory.add(slow, "f", New::file("at last")).unwrap();
    let file = |name| memory.add(slow, name, New::file("at last")).unwrap();
    // Where the name is asked for, the file is read, and the directory is listed. Who reads a page that somebody
    // has asked for waits for that answer, so each reads a file of its own.
    let waits = [
        ("cat", ["slow/f"; 3], [slow; 3]),
        ("cat", ["slow/1", "slow/2", "slow/3"], ["1", "2", "3"].map(file)),
        ("ls", ["slow"; 3], [slow; 3]),
    ];
    for (program, paths, delayed) in waits {
        delayed.iter().for_each(|inode| memory.set_delay(*inode, SLOW).unwrap());
        for (signal, path) in [Signal::INT, Signal::TERM, Signal::KILL].into_iter().zip(paths) {
            let before = memory.calls().total();
            let mut command = Command::new(program);
            command.arg(fixture.path(path)).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            eventually("it is asked for", || memory.calls().total() > before);
            // From here on it waits in the kernel.
            std::thread::sleep(Duration::from_millis(50));
            let told = Instant::now();
            kill_process(Pid::from_child(&child), signal).unwrap();
            let status = child.wait().unwrap();
            let took = told.elapsed();
            assert_eq!(status.signal(), Some(signal.as_raw()), "{program} {path}: {status:?}");
            assert!(took < SOON, "{program} {path} {signal:?}: {took:?}");
        }
        delayed.iter().for_each(|inode| memory.set_delay(*inode, Duration::ZERO).unwrap());
    }
    // The answers come, and are given back.
    eventually("what was opened is closed", || memory.open_count() == 0);
    assert_eq!(fs::read_to_string(fixture.path("slow/f")).unwrap(), "at last");
    if possible(is_root(), "dropping the kernel's caches needs root") {
        eventually("the kernel forgets", || {
            fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
            memory.references() == 0
        });
    }
    fixture.mounted.unmount(UnmountMode::Clean).unwrap();
    eventually("all references are back", || memory.references() == 0);
}
