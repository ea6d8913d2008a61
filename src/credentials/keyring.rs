//! The operating system's keyring: Secret Service, Keychain, Credential Manager.
//!
//! **Invariant:** no call waits longer than [`DEADLINE`]. A keyring may ask its user to unlock it,
//! and a read of a file must not hang on a dialog that nobody sees.

use super::Secret;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

/// The keyring's name for what belongs to this program.
const SERVICE: &str = "omnifs";

/// For a look-up from the mount.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// For a command with a person before it, who may be asked to unlock the keyring.
pub const PATIENT: Duration = Duration::from_secs(60);

/// The entry's user name: `hub/token`, or `hub/token@https://hub.example` of a secret that is for
/// other places than the service's own. One is never found as the other, so that no secret follows an
/// endpoint that is moved.
pub fn entry(instance: &str, credential: &str, elsewhere: &[&str]) -> String {
    let at = if elsewhere.is_empty() { "" } else { "@" };
    format!("{instance}/{credential}{at}{}", elsewhere.join(","))
}

/// The keyring could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("there is no system keyring in this session; use a file or an environment variable")]
    Absent,
    #[error("the system keyring did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the system keyring: {0}")]
    Failed(String),
    /// Of a file in the place of a keyring.
    #[error("{0}")]
    File(String),
}

/// Finds a secret by its entry, and keeps what takes its place.
#[derive(Clone)]
pub struct Lookup {
    find: Find,
    keep: Keep,
}

type Find =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<Secret>, KeyringError>> + Send + Sync>;
/// `None` removes the entry.
type Keep = Arc<
    dyn Fn(String, Option<Secret>) -> BoxFuture<'static, Result<(), KeyringError>> + Send + Sync,
>;

/// An entry to try the keyring with. No instance's name begins like that.
pub const TRIAL: &str = ".trial";

impl Lookup {
    /// The operating system's keyring, for the mount.
    pub fn system() -> Self {
        Lookup::within(DEADLINE)
    }

    /// The operating system's keyring. No call waits longer than `deadline`.
    pub fn within(deadline: Duration) -> Self {
        Lookup {
            find: Arc::new(move |entry| {
                Box::pin(async move {
                    match get(&entry, deadline).await {
                        // Ordinary on a server: not worth a word.
                        Err(KeyringError::Absent) => Ok(None),
                        other => other,
                    }
                })
            }),
            keep: Arc::new(move |entry, secret| {
                Box::pin(async move {
                    match secret {
                        Some(secret) => set(&entry, &secret, deadline).await,
                        None => remove(&entry, deadline).await.map(|_| ()),
                    }
                })
            }),
        }
    }

    /// What is kept is not found: for tests of what only reads.
    pub fn from_fn(find: impl Fn(&str) -> Option<Secret> + Send + Sync + 'static) -> Self {
        Lookup::from_fns(find, |_, _| Ok(()))
    }

    /// `keep` removes the entry where it is given `None`.
    pub fn from_fns(
        find: impl Fn(&str) -> Option<Secret> + Send + Sync + 'static,
        keep: impl Fn(&str, Option<Secret>) -> Result<(), KeyringError> + Send + Sync + 'static,
    ) -> Self {
        Lookup {
            find: Arc::new(move |entry| {
                let found = find(&entry);
                Box::pin(async move { Ok(found) })
            }),
            keep: Arc::new(move |entry, secret| {
                let kept = keep(&entry, secret);
                Box::pin(async move { kept })
            }),
        }
    }

    pub async fn get(&self, entry: &str) -> Result<Option<Secret>, KeyringError> {
        (self.find)(entry.to_owned()).await
    }

    pub async fn keep(&self, entry: &str, secret: Secret) -> Result<(), KeyringError> {
        (self.keep)(entry.to_owned(), Some(secret)).await
    }

    /// Keeps something and removes it again. To be done before a service issues what can be issued once:
    /// it would stay valid there, and nobody would have it.
    pub async fn try_out(&self) -> Result<(), KeyringError> {
        self.keep(TRIAL, Secret::new("trial".to_owned())).await?;
        (self.keep)(TRIAL.to_owned(), None).await
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

/// Reads an entry.
pub async fn get(entry: &str, deadline: Duration) -> Result<Option<Secret>, KeyringError> {
    let entry = entry.to_owned();
    call(deadline, move || match keyring::Entry::new(SERVICE, &entry)?.get_password() {
        Ok(text) => Ok(Secret::trimmed(text)),
        Err(keyring::Error::NoEntry) => Ok(None),
        Err(error) => Err(error),
    })
    .await
}

/// Stores a secret in an entry, in place of what it holds.
pub async fn set(entry: &str, secret: &Secret, deadline: Duration) -> Result<(), KeyringError> {
    let entry = entry.to_owned();
    let secret = secret.clone();
    call(deadline, move || keyring::Entry::new(SERVICE, &entry)?.set_password(secret.expose()))
        .await
}

/// Removes an entry; whether there was one.
pub async fn remove(entry: &str, deadline: Duration) -> Result<bool, KeyringError> {
    let entry = entry.to_owned();
    call(deadline, move || match keyring::Entry::new(SERVICE, &entry)?.delete_credential() {
        Ok(()) => Ok(true),
        Err(keyring::Error::NoEntry) => Ok(false),
        Err(error) => Err(error),
    })
    .await
}

/// One call at a time: a keyring that hangs costs one thread, not one for each attempt.
static CALLS: Semaphore = Semaphore::const_new(1);

/// Runs on a thread of its own: a call that never returns must not keep the runtime from ending.
async fn call<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> Result<T, keyring::Error> + Send + 'static,
) -> Result<T, KeyringError> {
    if !session() {
        return Err(KeyringError::Absent);
    }
    let end = Instant::now() + deadline;
    let turn = timeout_at(end, CALLS.acquire())
        .await
        .map_err(|_| KeyringError::Silent(deadline))?
        .map_err(|error| KeyringError::Failed(error.to_string()))?;
    let (done, answer) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("keyring".to_owned())
        .spawn(move || {
            let result = work().map_err(failed);
            drop(turn);
            // Nobody waits for an answer that comes after the deadline.
            let _ = done.send(result);
        })
        .map_err(|error| KeyringError::Failed(error.to_string()))?;
    match timeout_at(end, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(KeyringError::Failed("its client panicked".to_owned())),
        Err(_) => Err(KeyringError::Silent(deadline)),
    }
}

/// Whether a session may be without one: a bus need not lead to a keyring.
pub const MAY_BE_ABSENT: bool = cfg!(all(unix, not(target_os = "macos")));

/// Whether there may be a keyring to ask. Asks none.
pub fn has_session() -> bool {
    session()
}

fn failed(error: keyring::Error) -> KeyringError {
    match error {
        keyring::Error::NoDefaultStore => KeyringError::Absent,
        // This one's message may hold what was stored.
        keyring::Error::BadEncoding(_) | keyring::Error::BadDataFormat(..) => {
            KeyringError::Failed("the entry is not text".to_owned())
        }
        other => {
            let text = Zeroizing::new(other.to_string());
            KeyringError::Failed(omnifs_text::printable(&text).chars().take(200).collect())
        }
    }
}

/// Whether there is a D-Bus session to ask: without one the client library would try for a while,
/// or start a bus of its own.
#[cfg(all(unix, not(target_os = "macos")))]
fn session() -> bool {
    if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|address| !address.is_empty()) {
        return true;
    }
    let bus = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => std::path::PathBuf::from(directory).join("bus"),
        None => format!("/run/user/{}/bus", rustix::process::geteuid().as_raw()).into(),
    };
    bus.exists()
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn session() -> bool {
    true
}
