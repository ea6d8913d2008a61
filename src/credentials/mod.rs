//! Secrets of the user: where they come from, and how they are kept.
//!
//! **Invariant:** a secret leaves this module only as the value of a header, as the key of a signature or
//! of its check, into the user's own file where the system has no keyring, and to a user who asks for it
//! (`omnifs auth token`); it has no `Debug`, no `Display` and no serialization, and is wiped when dropped.
//!
//! **Invariant:** what the environment or a login holds for the service itself is not looked at for
//! an endpoint that leads elsewhere.

mod carried;
mod chain;
mod file;
mod grant;
pub mod keyring;
pub mod login;
mod loopback;
mod process;
mod secret;
pub(crate) mod sigv4;
mod status;

pub use carried::Carried;
pub(crate) use carried::WORTH_A_SEARCH;
pub use chain::{Chain, Elsewhere, Sources};
use grant::entry_of;
pub(crate) use grant::plain;
pub use process::set_not_dumpable;
pub use secret::Secret;
pub use sigv4::Signed;
pub use status::{CredentialState, CredentialStatus};

/// The one line of a file that only its owner can read.
///
/// # Errors
/// It is not such a file; says what to do, and repeats nothing of it.
pub(crate) fn secret_file(path: &std::path::Path) -> Result<Secret, String> {
    let read = file::read(path, None)?;
    read.map(|(_, secret)| secret).ok_or_else(|| format!("{} is empty", path.display()))
}

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// Looks an environment variable up; a parameter so that tests need not change the process's.
#[derive(Clone)]
pub struct Environment(Arc<Variables>);

type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    pub fn process() -> Self {
        Environment(Arc::new(|name| std::env::var(name).ok()))
    }

    pub fn from_fn(get: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Environment(Arc::new(get))
    }

    pub fn empty() -> Self {
        Environment(Arc::new(|_| None))
    }

    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    Environment(String),
    Keyring,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Environment(name) => write!(f, "environment variable {name}"),
            Source::Keyring => f.write_str("the system keyring"),
        }
    }
}

impl Source {
    /// What to do about a secret from here that is not accepted. `login` is the command that stores
    /// a new one in the keyring, which comes after the other sources.
    pub fn mend(&self, login: &str) -> String {
        match self {
            Source::Keyring => format!("run `{login}`"),
            Source::Environment(name) => {
                format!("set another one, or unset {name} and run `{login}`")
            }
            Source::File(path) => format!(
                "write another one into {}, or remove the file from the configuration and run \
                 `{login}`",
                path.display()
            ),
        }
    }
}

/// A secret that was found.
pub struct Resolved {
    pub secret: Secret,
    pub source: Source,
    /// Tells secrets of this process apart; worthless outside of it.
    pub fingerprint: u64,
}

static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Tells values of this process apart; worthless outside of it.
pub fn fingerprint(of: impl Hash) -> u64 {
    FINGERPRINTS.hash_one(of)
}

impl Resolved {
    fn new(secret: Secret, source: Source) -> Resolved {
        let fingerprint = fingerprint(secret.expose());
        Resolved { secret, source, fingerprint }
    }

    fn not_a_line(&self) -> String {
        format!("{} must hold one line of visible ASCII characters", self.source)
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why a credential that is configured cannot be used. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("credential {name:?}: {reason}")]
    Unusable { name: String, reason: String },
}
