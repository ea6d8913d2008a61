//! Secrets of the user: where they come from, and how they are kept.
//!
//! **Invariant:** a secret leaves this module only as an `Authorization` value or as a key of a
//! signature check; it has no `Debug`, no `Display` and no serialization, and is wiped when dropped.

mod file;
mod grant;
pub mod keyring;
pub mod login;
mod loopback;
mod process;
mod secret;

pub use grant::entry_of;
pub use process::set_not_dumpable;
pub use secret::Secret;

use crate::provider;
use grant::Grant;
use http::HeaderValue;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

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

/// One credential of one provider instance, with the sources to look into: a file, then the
/// environment, then the system keyring.
pub struct Chain {
    name: String,
    raw_prefixes: Vec<String>,
    file: Option<PathBuf>,
    variables: Vec<String>,
    environment: Environment,
    keyring: Option<Keyring>,
    oauth: Option<provider::OAuth>,
    cache: Mutex<Cache>,
}

struct Keyring {
    lookup: keyring::Lookup,
    entry: String,
    /// One question at a time: a refresh token may be good for one use only.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Cache {
    file: Option<(file::Stamp, Arc<Resolved>)>,
    /// The variable does not change while the process runs, so it is read once.
    environment: Option<Option<Arc<Resolved>>>,
    keyring: Option<Kept>,
    /// The service refused the secret, so the keyring may hold a newer one.
    doubted: bool,
}

/// What the keyring held when it was asked.
#[derive(Clone)]
struct Kept {
    asked: Instant,
    found: Option<Arc<Resolved>>,
    /// When the secret ends and is to be renewed.
    ends: Option<Instant>,
}

/// How long a keyring's "nothing here" or a refused secret is believed before it is asked again, so
/// that a login takes effect without a remount.
const KEYRING_RECHECK: Duration = Duration::from_secs(5);

static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Chain {
    /// The credential `spec` of an instance: `file` is the configuration's reference.
    pub fn new(
        instance: &str,
        spec: &provider::Credential,
        file: Option<PathBuf>,
        environment: Environment,
        keyring: Option<keyring::Lookup>,
    ) -> Self {
        Chain {
            name: spec.name.clone(),
            raw_prefixes: spec.raw_prefixes.clone(),
            file,
            variables: spec.environment.clone(),
            environment,
            keyring: keyring.map(|lookup| Keyring {
                lookup,
                entry: keyring::entry(instance, &spec.name),
                asking: tokio::sync::Mutex::new(()),
            }),
            oauth: spec.oauth.clone(),
            cache: Mutex::default(),
        }
    }

    /// The secret of an instance's webhook: `OMNIFS_WEBHOOK_SECRET_GITHUB` and the like, or a file,
    /// or the keyring.
    pub fn webhook(
        instance: &str,
        file: Option<PathBuf>,
        environment: Environment,
        keyring: Option<keyring::Lookup>,
    ) -> Self {
        let suffix: String = instance
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let spec = provider::Credential {
            name: "webhook".to_owned(),
            environment: vec![format!("OMNIFS_WEBHOOK_SECRET_{suffix}")],
            ..provider::Credential::default()
        };
        Chain::new(instance, &spec, file, environment, keyring)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The environment variables it looks into.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// The secret of the first source that has one.
    ///
    /// # Errors
    /// A configured file that cannot be used does not fall through to the next source.
    pub async fn resolve(&self) -> Result<Option<Arc<Resolved>>, CredentialError> {
        if let Some(path) = &self.file {
            return self.file_secret(path).await.map(Some);
        }
        if let Some(found) = self.environment_secret()? {
            return Ok(Some(found));
        }
        self.keyring_secret().await
    }

    /// The service refused the secret: look again before it is used next.
    pub fn doubt(&self) {
        self.lock().doubted = true;
    }

    /// The `Authorization` value: a secret that begins with a raw prefix as it stands, any other as
    /// a bearer token.
    pub fn authorization(&self, found: &Resolved) -> Result<HeaderValue, CredentialError> {
        let secret = found.secret.expose();
        let raw = self.raw_prefixes.iter().any(|prefix| secret.starts_with(prefix));
        let prefix = if raw { "" } else { "Bearer " };
        let text = zeroize::Zeroizing::new(format!("{prefix}{secret}"));
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| self.unusable(not_a_line(found)))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn file_secret(&self, path: &Path) -> Result<Arc<Resolved>, CredentialError> {
        let known = self.lock().file.as_ref().map(|(stamp, _)| *stamp);
        let (reading, from) = (path.to_owned(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || file::read(&reading, known))
            .await
            .unwrap_or_else(|error| Err(format!("cannot read {}: {error}", from.display())))
            .map_err(|reason| self.unusable(reason))?;
        let mut cache = self.lock();
        match (read, &cache.file) {
            (None, Some((_, found))) => Ok(found.clone()),
            (Some((stamp, secret)), _) => {
                let found = Arc::new(resolved(secret, Source::File(path.to_owned())));
                cache.file = Some((stamp, found.clone()));
                Ok(found)
            }
            // Only a known stamp makes the reading answer "unchanged", and it is never unset.
            (None, None) => Err(self.unusable(format!("cannot read {}", path.display()))),
        }
    }

    fn environment_secret(&self) -> Result<Option<Arc<Resolved>>, CredentialError> {
        if let Some(known) = &self.lock().environment {
            return Ok(known.clone());
        }
        let found = self.variables.iter().find_map(|name| {
            let secret = Secret::trimmed(self.environment.get(name)?)?;
            Some(Arc::new(resolved(secret, Source::Environment(name.clone()))))
        });
        if let Some(found) = &found
            && !found.secret.is_line()
        {
            return Err(self.unusable(not_a_line(found)));
        }
        self.lock().environment = Some(found.clone());
        Ok(found)
    }

    async fn keyring_secret(&self) -> Result<Option<Arc<Resolved>>, CredentialError> {
        let Some(keyring) = &self.keyring else { return Ok(None) };
        if let Some(known) = self.keyring_known() {
            return Ok(known);
        }
        let _one = keyring.asking.lock().await;
        if let Some(known) = self.keyring_known() {
            return Ok(known);
        }
        let doubted = std::mem::take(&mut self.lock().doubted);
        let secret = keyring.lookup.get(&keyring.entry).await;
        // A keyring that cannot be asked is a keyring without the secret: requests then go out
        // without one, and a 401 says what to do.
        let secret = secret.unwrap_or_else(|error| {
            tracing::debug!(credential = %self.name, "{error}");
            None
        });
        let (secret, ends) = match secret {
            Some(secret) => self.renewed(keyring, secret, doubted).await,
            None => (None, None),
        };
        let found = secret.map(|secret| Arc::new(resolved(secret, Source::Keyring)));
        self.lock().keyring = Some(Kept { asked: Instant::now(), found: found.clone(), ends });
        Ok(found)
    }

    /// The last answer of the keyring, while it may be believed.
    fn keyring_known(&self) -> Option<Option<Arc<Resolved>>> {
        let cache = self.lock();
        let Kept { asked, found, ends } = cache.keyring.as_ref()?;
        let ended = ends.is_some_and(|ends| ends <= Instant::now());
        let sure = found.is_some() && !cache.doubted && !ended;
        (sure || asked.elapsed() < KEYRING_RECHECK).then(|| found.clone())
    }

    /// The access token of an entry, and when it is to be renewed. One of a login that has ended, or
    /// that the service has refused, is renewed before it is used.
    async fn renewed(
        &self,
        keyring: &Keyring,
        entry: Secret,
        refused: bool,
    ) -> (Option<Secret>, Option<Instant>) {
        let now = SystemTime::now();
        let (Some(mut grant), Some(oauth)) = (Grant::read(&entry), &self.oauth) else {
            return (Some(entry), None);
        };
        // Another process may have renewed what the service refused here.
        let used = self.lock().keyring.as_ref().and_then(|kept| kept.found.clone());
        let same = used.is_some_and(|used| used.secret.expose() == grant.access.expose());
        if grant.has_ended(now) || (refused && same) {
            match grant.renew(oauth).await {
                Ok(next) => {
                    grant = next;
                    if let Err(error) = keyring.lookup.keep(&keyring.entry, grant.entry()).await {
                        tracing::warn!(
                            credential = %self.name,
                            "the renewed token lasts until the end of this mount: {error}"
                        );
                    }
                }
                // Requests go out with what there is, and a 401 says what to do.
                Err(error) => {
                    tracing::warn!(credential = %self.name, "the token was not renewed: {error}")
                }
            }
        }
        let ends = grant.lasts(now).map(|lasts| Instant::now() + lasts);
        (Some(grant.access), ends)
    }

    fn unusable(&self, reason: String) -> CredentialError {
        CredentialError::Unusable { name: self.name.clone(), reason }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // No code panics between two changes that belong together.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("name", &self.name).finish_non_exhaustive()
    }
}

fn resolved(secret: Secret, source: Source) -> Resolved {
    let fingerprint = FINGERPRINTS.hash_one(secret.expose());
    Resolved { secret, source, fingerprint }
}

fn not_a_line(found: &Resolved) -> String {
    format!("{} must hold one line of visible ASCII characters", found.source)
}
