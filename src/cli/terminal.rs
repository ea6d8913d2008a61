//! The only place that writes to standard output and asks a person.

use super::failure::{Exit, Failure};
use omnifs::credentials::Secret;
use omnifs::logs::printable;
use omnifs::paths;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// One line on standard error, of a kind: `warning`, `note`.
pub fn tell(kind: &str, text: &str) {
    // Nobody is left to tell that nobody listens.
    let _ = writeln!(io::stderr(), "{kind}: {}", printable(text));
}

/// Asks for a yes. Without a terminal there is nobody to ask, and `how` says what to do instead.
pub fn confirm(question: &str, how: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to ask on").hint(how));
    }
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
    let _ = write!(io::stderr(), "{}? [Y/n] ", printable(question));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer).map_err(unreadable)?;
    Ok(read > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
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
