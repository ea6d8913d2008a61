//! Running other programs: each with a name, a deadline, and nothing left behind.

use anyhow::{Context, Result, bail};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Between SIGTERM and SIGKILL of a step that is over its deadline.
const GRACE: Duration = Duration::from_secs(10);

/// How long a child in the foreground has to act on the terminal's own Ctrl-C before the signal is
/// passed on to it.
const OWN: Duration = Duration::from_secs(3);

/// The child in the foreground, 0 for none: signals are its affair.
static FOREGROUND: AtomicU32 = AtomicU32::new(0);

pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// One line of progress, on stderr.
pub fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// A line that must not be overlooked: something did not run.
pub fn loud(line: &str) {
    eprintln!("xtask: !!! {line}");
}

/// On Ctrl-C, SIGTERM and SIGHUP: ends every process this one started, then itself.
pub fn install_signal_handler() -> Result<()> {
    ctrlc::set_handler(|| {
        let child = FOREGROUND.load(Ordering::SeqCst);
        if child != 0 {
            // Ctrl-C in a terminal has reached the child as well; a signal to this process alone has
            // not.
            let ended = || (FOREGROUND.load(Ordering::SeqCst) != child).then_some(());
            if omnifs_support::wait_until(OWN, ended).is_none() {
                terminate(child);
            }
            return;
        }
        end_all(std::process::id());
        std::process::exit(130);
    })
    .context("installing the signal handler")
}

/// Runs a step to its end, its output passed through. Fails where it fails or is over `limit`.
pub fn run(command: &mut Command, what: &str, limit: Duration) -> Result<()> {
    say(what);
    let start = Instant::now();
    let status = wait(spawn(command)?, what, limit)?;
    if !status.success() {
        bail!("{what}: {} ended with {status}", program(command));
    }
    if start.elapsed() > Duration::from_secs(5) {
        say(&format!("{what}: done in {} s", start.elapsed().as_secs()));
    }
    Ok(())
}

/// Runs a step and gives its standard output; what it says on stderr is passed through.
pub fn output(command: &mut Command, what: &str, limit: Duration) -> Result<String> {
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    // INVARIANT: piped just above.
    #[allow(clippy::unwrap_used)]
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).map(|_| text)
    });
    let status = wait(child, what, limit)?;
    let text =
        reader.join().map_err(|_| anyhow::anyhow!("{what}: reading its output failed"))??;
    if !status.success() {
        bail!("{what}: {} ended with {status}", program(command));
    }
    String::from_utf8(text).with_context(|| format!("{what}: its output is not UTF-8"))
}

/// As [`output`] with stderr thrown away: for asking whether something is there.
pub fn ask(command: &mut Command) -> Option<String> {
    let limit = Duration::from_secs(60);
    output(command.stderr(Stdio::null()).stdin(Stdio::null()), "asking", limit).ok()
}

/// Runs a program in the foreground for as long as it takes; Ctrl-C is its own affair, and this
/// process goes on when it ends.
pub fn foreground(command: &mut Command) -> Result<ExitStatus> {
    let mut child = spawn(command)?;
    FOREGROUND.store(child.id(), Ordering::SeqCst);
    let status = child.wait();
    FOREGROUND.store(0, Ordering::SeqCst);
    Ok(status?)
}

fn spawn(command: &mut Command) -> Result<Child> {
    let program = program(command);
    command.spawn().with_context(|| format!("cannot run {program}"))
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn wait(mut child: Child, what: &str, limit: Duration) -> Result<ExitStatus> {
    let id = child.id();
    let (done, ended) = channel();
    std::thread::spawn(move || done.send(child.wait()));
    match ended.recv_timeout(limit) {
        Ok(status) => Ok(status?),
        Err(RecvTimeoutError::Disconnected) => bail!("{what}: its waiting thread is gone"),
        Err(RecvTimeoutError::Timeout) => {
            loud(&format!("{what}: not done after {} s, stopping it", limit.as_secs()));
            end_all(id);
            terminate(id);
            if ended.recv_timeout(GRACE).is_err() {
                kill(id);
            }
            bail!("{what}: stopped at its deadline of {} s", limit.as_secs());
        }
    }
}

/// Ends the descendants of `id`: SIGTERM, a moment of grace, SIGKILL.
fn end_all(id: u32) {
    let all = descendants(id);
    all.iter().copied().for_each(terminate);
    let gone = || descendants(id).is_empty().then_some(());
    if omnifs_support::wait_until(GRACE, gone).is_none() {
        descendants(id).into_iter().for_each(kill);
    }
}

#[cfg(unix)]
fn signal(id: u32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(id as i32) {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

#[cfg(unix)]
fn terminate(id: u32) {
    signal(id, rustix::process::Signal::TERM);
}

#[cfg(unix)]
fn kill(id: u32) {
    signal(id, rustix::process::Signal::KILL);
}

#[cfg(windows)]
fn terminate(id: u32) {
    kill(id);
}

#[cfg(windows)]
fn kill(id: u32) {
    let _ = Command::new("taskkill").args(["/T", "/F", "/PID", &id.to_string()]).output();
}

/// Children, their children and so on, zombies left out. Empty where there is no /proc.
fn descendants(id: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let parents: Vec<(u32, u32)> = entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // `pid (command) state ppid ...`; the command may hold blanks and brackets.
            let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
            let zombie = fields.next()? == "Z";
            (!zombie).then_some((pid, fields.next()?.parse().ok()?))
        })
        .collect();
    let mut found = vec![id];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_step_over_its_deadline_is_stopped_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 300 & wait"]);
        let start = Instant::now();
        let error = run(&mut command, "sleeping", Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("deadline"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_failing_step_names_itself_and_its_program() {
        let error = run(&mut Command::new("false"), "failing", minutes(1)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("failing") && text.contains("false"), "{text}");
    }

    #[test]
    fn the_output_of_a_step_is_its_standard_output() {
        let mut command = Command::new("printf");
        assert_eq!(output(command.arg("a b"), "printing", minutes(1)).unwrap(), "a b");
    }
}
