//! How a command fails: one line that says what is wrong, lines that say what to do, an exit code.

use omnifs::control::{self, Refused};
use omnifs::{component, config, daemon, paths};
use omnifs_platform::mounting;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Exit codes, as the help of `omnifs` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Exit {
    Failure = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// There is no mount for what was asked.
    NotMounted = 3,
    /// The mountpoint cannot be used, or not be given back.
    Mountpoint = 4,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    pub message: String,
    pub hints: Vec<String>,
    pub exit: Exit,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hints: Vec::new(), exit: Exit::Failure }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hints.push(hint.into());
        self
    }

    pub fn exit(mut self, exit: Exit) -> Failure {
        self.exit = exit;
        self
    }

    fn of(message: impl ToString, hint: Option<impl ToString>, exit: Exit) -> Failure {
        let hints = hint.map(|hint| hint.to_string()).into_iter().collect();
        Failure { message: message.to_string(), hints, exit }
    }

    /// What is wrong with a command line, as clap tells it in several lines.
    pub fn usage(text: &str) -> Failure {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        let failure = Failure::new(message).exit(Exit::Usage);
        lines.filter(|line| !line.starts_with("For more")).fold(failure, Failure::hint)
    }

    /// What could not be made or written at `path`, and why.
    pub fn unwritten(what: impl std::fmt::Display, path: &Path, error: &io::Error) -> Failure {
        Failure::of(format!("{what}: {error}"), paths::remedy(path, error), Exit::Failure)
    }

    /// A failure with the component of an instance.
    pub fn component(error: &component::Error, instance: &str) -> Failure {
        Failure::of(error, error.hint(instance), Exit::Failure)
    }

    /// The lines for stderr.
    pub fn lines(&self) -> Vec<String> {
        // What a service or a file name brought in must not act on the terminal, and one line
        // stays one line.
        let line = |kind: &str, text: &str| format!("{kind}: {}", omnifs::logs::printable(text));
        let hints = self.hints.iter().map(|hint| line("hint", hint));
        std::iter::once(line("error", &self.message)).chain(hints).collect()
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Failure {
        Failure::of(&error, error.hint(), Exit::Usage)
    }
}

impl From<Vec<config::Error>> for Failure {
    fn from(errors: Vec<config::Error>) -> Failure {
        let more = errors.len().saturating_sub(1);
        let first = errors.into_iter().next().map(Failure::from);
        // The list is documented as never empty.
        let failure = first.unwrap_or_else(|| Failure::new("the configuration is wrong"));
        match more {
            0 => failure,
            1 => failure.hint("`omnifs config check` shows one more mistake"),
            n => failure.hint(format!("`omnifs config check` shows {n} more mistakes")),
        }
    }
}

impl From<control::Error> for Failure {
    fn from(error: control::Error) -> Failure {
        let exit = match error {
            control::Error::Taken { .. } => Exit::Mountpoint,
            _ => Exit::Failure,
        };
        Failure::of(&error, error.hint(), exit)
    }
}

impl From<mounting::Error> for Failure {
    fn from(error: mounting::Error) -> Failure {
        Failure::of(&error, error.hint(), Exit::Mountpoint)
    }
}

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Failure {
        match error {
            daemon::Error::Mountpoint(error) => error.into(),
            daemon::Error::Control(error) => error.into(),
            error => Failure::of(&error, error.hint(), Exit::Failure),
        }
    }
}

#[cfg(target_os = "linux")]
impl From<omnifs::volumes::Error> for Failure {
    fn from(error: omnifs::volumes::Error) -> Failure {
        Failure::of(&error, error.hint(), Exit::Failure)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        Failure::of(&refused.message, refused.hint.as_ref(), Exit::Failure)
    }
}

impl From<paths::Unusable> for Failure {
    fn from(error: paths::Unusable) -> Failure {
        Failure::of(&error, Some(error.hint()), Exit::Failure)
    }
}
