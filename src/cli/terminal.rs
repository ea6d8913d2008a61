//! The only place that writes to standard output and asks a person.

use super::failure::{Exit, Failure};
use super::output::{self, chosen};
use omnifs::credentials::Secret;
use omnifs::logs::printable;
use omnifs::paths;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
/// With `--json` it is a part of the document at the end.
pub fn print(text: &str) -> Result<(), Failure> {
    match chosen().json {
        true => output::keep_text(text),
        false => drop(write(text)?),
    }
    Ok(())
}

/// What was done: `text` for people unless they want quiet, `result` for programs.
pub fn done(text: &str, result: serde_json::Value) -> Result<(), Failure> {
    let chosen = chosen();
    if chosen.json {
        output::keep(result);
    } else if !chosen.quiet {
        write(text)?;
    }
    Ok(())
}

/// What was asked for: `text` for people, `result` for programs.
pub fn show(text: &str, result: serde_json::Value) -> Result<(), Failure> {
    match chosen().json {
        true => output::keep(result),
        false => drop(write(text)?),
    }
    Ok(())
}

/// A line of a failure that is not the last one. With `--json` the result has it.
pub fn complain(line: &str) {
    if !chosen().json {
        let _ = writeln!(io::stderr(), "{}", painted(line));
    }
}

/// The same of a command that goes on: the document is written now.
pub fn begun(text: &str, result: serde_json::Value) -> Result<(), Failure> {
    if !chosen().json {
        return print(text);
    }
    output::keep(result);
    let document = output::document(&Ok(std::process::ExitCode::SUCCESS));
    document.map_or(Ok(()), |text| write(&text).map(drop))
}

/// Writes to standard output whatever was chosen. False: the reader has gone away, and more is not wanted.
pub fn write(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

/// A line for standard error, its first word in colour where that is wanted.
pub fn painted(line: &str) -> String {
    let color = match line.split(':').next() {
        Some("error") => "1;31",
        Some("warning") => "1;33",
        Some("hint" | "note") => "1;36",
        _ => return line.to_owned(),
    };
    match (chosen().color.on(&io::stderr()), line.split_once(':')) {
        (true, Some((kind, rest))) => format!("\x1b[{color}m{kind}:\x1b[0m{rest}"),
        _ => line.to_owned(),
    }
}

/// What a command uses, for who asked with `--verbose`.
pub fn detail(text: &str) {
    if chosen().verbose {
        tell("detail", text);
    }
}

/// Whether standard output takes colours.
pub fn colored() -> bool {
    chosen().color.on(&io::stdout())
}

/// One line on standard error, of a kind: `warning`, `note`.
pub fn tell(kind: &str, text: &str) {
    let chosen = chosen();
    let remark = matches!(kind, "note" | "warning" | "detail");
    if chosen.quiet && remark {
        return;
    }
    if chosen.json && remark {
        return output::keep_told(kind, text);
    }
    say(kind, text);
}

fn say(kind: &str, text: &str) {
    // Nobody is left to tell that nobody listens.
    let _ = writeln!(io::stderr(), "{}", painted(&format!("{kind}: {}", printable(text))));
}

/// The warnings that the document of the command has no place for.
pub fn tell_rest() {
    for told in output::untold() {
        say(&told.kind, &told.text);
    }
}

/// Asks for a yes. Without a terminal there is nobody to ask, and `how` says what to do instead.
pub fn confirm(question: &str, how: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to ask on").hint(how));
    }
    forget_typed();
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unreadable)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Whether there is somebody to ask.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Asks on a terminal. An empty answer is a yes, an end of the input is none.
pub fn asked(question: &str) -> Result<bool, Failure> {
    forget_typed();
    let _ = write!(io::stderr(), "{}? [Y/n] ", printable(question));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer).map_err(unreadable)?;
    Ok(read > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

/// Drops what was typed before the question was there: it answers another one.
#[cfg(unix)]
fn forget_typed() {
    // Of what is no terminal nothing is dropped.
    let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
}

#[cfg(windows)]
fn forget_typed() {
    // SAFETY: the handle is this process's standard input, and stays open.
    unsafe { windows_sys::Win32::System::Console::FlushConsoleInputBuffer(console()) };
}

/// Prints a secret for whoever asked for it.
pub fn print_secret(secret: &Secret) -> Result<(), Failure> {
    let line = Zeroizing::new(format!("{}\n", secret.expose()));
    print(&line)
}

/// The longest secret that is read: longer ones are some other file.
const MOST_SECRET: u64 = 16 << 10;

/// Reads one line that is a secret: from a pipe as it is, from a terminal without showing it.
pub fn secret(prompt: &str) -> Result<Secret, Failure> {
    maybe_secret(prompt)?.ok_or_else(|| Failure::new("no secret was given"))
}

/// A file that holds nothing but a secret.
pub fn secret_file(file: &Path) -> Result<Secret, Failure> {
    let read = paths::read_regular(file).map(Zeroizing::new);
    let named = |problem: &dyn std::fmt::Display| {
        Failure::new(format!("{}: {problem}", file.display())).exit(Exit::Usage)
    };
    let bytes = read.map_err(|error| named(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| named(&"it is not text"))?;
    let secret = one_word(text).map_err(|failure| named(&failure.message))?;
    secret.ok_or_else(|| named(&"it is empty"))
}

/// The same as [`secret`]; an empty line is none.
pub fn maybe_secret(prompt: &str) -> Result<Option<Secret>, Failure> {
    let stdin = io::stdin();
    let hidden = stdin.is_terminal().then(Hidden::begin).transpose().map_err(unreadable)?;
    if hidden.is_some() {
        let _ = write!(io::stderr(), "{prompt}: ");
    }
    let mut line = Zeroizing::new(String::with_capacity(256));
    let read = io::Read::take(stdin.lock(), MOST_SECRET).read_line(&mut line);
    if hidden.is_some() {
        let _ = writeln!(io::stderr());
    }
    drop(hidden);
    read.map_err(unreadable)?;
    one_word(&line)
}

fn one_word(text: &str) -> Result<Option<Secret>, Failure> {
    let secret = Secret::trimmed(text.to_owned());
    let strange = |c: char| c.is_control() || c.is_whitespace();
    match secret.as_ref().is_some_and(|secret| secret.expose().contains(strange)) {
        true => Err(Failure::new("a secret is one word without control characters")),
        false => Ok(secret),
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new(format!("cannot read from standard input: {error}"))
}

/// While it lives the terminal does not show what is typed.
struct Hidden {
    #[cfg(unix)]
    before: rustix::termios::Termios,
    #[cfg(windows)]
    before: u32,
}

impl Hidden {
    #[cfg(unix)]
    fn begin() -> io::Result<Hidden> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes &= !(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Hidden { before })
    }

    #[cfg(windows)]
    fn begin() -> io::Result<Hidden> {
        use windows_sys::Win32::System::Console::{
            ENABLE_ECHO_INPUT, GetConsoleMode, SetConsoleMode,
        };
        let mut before = 0;
        // SAFETY: the handle is this process's standard input, and stays open.
        let done = unsafe {
            GetConsoleMode(console(), &mut before) != 0
                && SetConsoleMode(console(), before & !ENABLE_ECHO_INPUT) != 0
        };
        if done { Ok(Hidden { before }) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(windows)]
fn console() -> windows_sys::Win32::Foundation::HANDLE {
    use std::os::windows::io::AsRawHandle;
    io::stdin().as_raw_handle().cast()
}

#[cfg(windows)]
impl Drop for Hidden {
    fn drop(&mut self) {
        // SAFETY: as above. A console that is gone shows nothing.
        unsafe { windows_sys::Win32::System::Console::SetConsoleMode(console(), self.before) };
    }
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}
