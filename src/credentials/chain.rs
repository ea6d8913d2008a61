//! One credential of one instance: the sources to look into, and what is known of it.

use super::grant::Grant;
use super::status::Standing;
use super::{
    Carried, CredentialError, CredentialState, CredentialStatus, Environment, Resolved, Secret,
    Source, file, keyring, login,
};
use crate::provider;
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// An endpoint that does not lead to the service's own origin, which is that of its default URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The endpoint's name.
    pub endpoint: String,
    /// Where it leads: `https://ghe.example`.
    pub origin: String,
}

/// Where a credential is looked for.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Those endpoints that use it and lead elsewhere. Where there is one, the variables meant for the
    /// service itself are not looked into, and the keyring holds an entry for that place.
    pub elsewhere: Vec<Elsewhere>,
    /// The configuration's reference.
    pub file: Option<PathBuf>,
    pub environment: Environment,
    pub keyring: Option<keyring::Lookup>,
}

/// One credential of one provider instance: looked for in a file, then the environment, then the
/// system keyring.
pub struct Chain {
    spec: provider::Credential,
    elsewhere: Vec<Elsewhere>,
    file: Option<PathBuf>,
    environment: Environment,
    entry: String,
    keyring: Option<Keyring>,
    cache: Mutex<Cache>,
}

struct Keyring {
    lookup: keyring::Lookup,
    /// One question at a time: a refresh token may be good for one use only.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Cache {
    file: Option<(file::Stamp, Arc<Resolved>)>,
    keyring: Option<Kept>,
    /// The service refused the secret, so the keyring may hold a newer one.
    doubted: bool,
    standing: Standing,
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

impl Chain {
    /// The credential `spec` of an instance.
    pub fn new(instance: &str, spec: &provider::Credential, sources: Sources) -> Self {
        let Sources { elsewhere, file, environment, keyring } = sources;
        let oauth = spec.oauth.as_ref().and_then(|oauth| login::at(oauth, &elsewhere));
        let mut places: Vec<_> = elsewhere.iter().map(|e| e.origin.as_str()).collect();
        places.sort_unstable();
        places.dedup();
        Chain {
            spec: provider::Credential { oauth, ..spec.clone() },
            entry: keyring::entry(instance, &spec.name, &places),
            elsewhere,
            file,
            environment,
            keyring: keyring.map(|lookup| Keyring { lookup, asking: tokio::sync::Mutex::new(()) }),
            cache: Mutex::default(),
        }
    }

    /// The secret of an instance's webhook: `OMNIFS_WEBHOOK_SECRET_INSTANCE`, or a file,
    /// or the keyring. It signs what comes in and is sent nowhere.
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
        let sources = Sources { elsewhere: Vec::new(), file, environment, keyring };
        Chain::new(instance, &spec, sources)
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The keyring's entry.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The endpoints that use it and lead elsewhere.
    pub fn elsewhere(&self) -> &[Elsewhere] {
        &self.elsewhere
    }

    /// The login of the place where its endpoints are.
    pub fn oauth(&self) -> Option<&provider::OAuth> {
        self.spec.oauth.as_ref()
    }

    /// The environment variables it looks into.
    pub(crate) fn variables(&self) -> &[String] {
        if self.elsewhere.is_empty() {
            &self.spec.environment
        } else {
            &self.spec.environment_elsewhere
        }
    }

    /// Whether its variables hold the parts of one secret, and not each a secret of its own.
    fn signs(&self) -> bool {
        matches!(self.spec.scheme, provider::Scheme::AwsSigv4 { .. })
    }

    /// The secret of the first source that has one.
    ///
    /// # Errors
    /// A configured file that cannot be used does not fall through to the next source.
    pub async fn resolve(&self) -> Result<Option<Arc<Resolved>>, CredentialError> {
        let result = match &self.file {
            Some(path) => self.file_secret(path).await.map(Some),
            None => match self.environment_secret() {
                Ok(None) => self.keyring_secret().await,
                other => other,
            },
        };
        self.note(&result);
        result
    }

    fn note(&self, result: &Result<Option<Arc<Resolved>>, CredentialError>) {
        let standing = &mut self.lock().standing;
        let next = match result {
            Ok(Some(found)) if standing.fingerprint == Some(found.fingerprint) => return,
            Ok(Some(found)) => Standing {
                fingerprint: Some(found.fingerprint),
                source: Some(found.source.clone()),
                ..Standing::default()
            },
            Ok(None) => Standing { state: CredentialState::Missing, ..Standing::default() },
            Err(error) => Standing {
                state: CredentialState::Unusable,
                detail: Some(error.to_string()),
                ..Standing::default()
            },
        };
        *standing = next;
    }

    /// Tells the secret that was found last from others of this process.
    pub fn fingerprint(&self) -> Option<u64> {
        self.lock().standing.fingerprint
    }

    /// Whether a secret from `source` may be sent to an endpoint: what was put into the environment or
    /// the keyring for another place does not go to the service itself. A file is for all of the
    /// instance.
    pub fn may_reach(&self, source: &Source, endpoint_is_elsewhere: bool) -> bool {
        matches!(source, Source::File(_)) || endpoint_is_elsewhere != self.elsewhere.is_empty()
    }

    /// The header that carries the secret.
    ///
    /// # Errors
    /// A secret that its scheme cannot carry.
    pub fn carry(&self, found: Arc<Resolved>) -> Result<Carried, CredentialError> {
        Carried::new(&self.spec, found).map_err(|reason| self.unusable(reason))
    }

    /// The service answered a request with this secret.
    pub fn accepted(&self, found: &Resolved) {
        self.told(found, |standing| {
            standing.state = CredentialState::Accepted;
            standing.detail = None;
        });
    }

    /// The service said whose this secret is, or why it does not say.
    pub fn whose(&self, found: &Resolved, owner: Result<String, String>) {
        self.told(found, |standing| match owner {
            Ok(owner) => standing.owner = Some(owner),
            // A refusal was noted where it was met, with what to do.
            Err(_) if standing.state == CredentialState::Refused => {}
            Err(why) => {
                standing.state = CredentialState::Unknown;
                standing.detail = Some(why);
            }
        });
    }

    /// The service said what this secret allows, and this is not among it.
    pub fn lacks(&self, found: &Resolved, lacks: Vec<String>) {
        self.told(found, |standing| standing.lacks = lacks);
    }

    /// The service refused this secret.
    pub fn refused(&self, found: &Resolved, why: &str) {
        self.told(found, |standing| {
            standing.state = CredentialState::Refused;
            standing.owner = None;
            standing.lacks.clear();
            standing.detail = Some(why.to_owned());
        });
    }

    /// A request with what there is was refused: look again before the next.
    pub fn doubt(&self) {
        self.lock().doubted = true;
    }

    fn told(&self, found: &Resolved, change: impl FnOnce(&mut Standing)) {
        let standing = &mut self.lock().standing;
        // Another secret may have taken its place since.
        if standing.fingerprint == Some(found.fingerprint) {
            change(standing);
        }
    }

    /// What is known without asking anybody. `login` is the command that keeps a secret.
    pub fn status(&self, login: &str) -> CredentialStatus {
        let standing = self.lock().standing.clone();
        let detail = match standing.state {
            CredentialState::Missing => Some(self.wanted(login)),
            _ => standing.detail.or_else(|| self.unused()),
        };
        CredentialStatus {
            name: self.spec.name.clone(),
            state: standing.state,
            source: standing.source.map(|source| source.to_string()),
            owner: standing.owner,
            detail,
            lacks: standing.lacks,
        }
    }

    /// What to do where there is no secret.
    pub fn wanted(&self, login: &str) -> String {
        let unused = self.unused().map(|unused| unused + "; ").unwrap_or_default();
        let set = match (self.signs(), self.variables()) {
            // The third is for secrets that end.
            (true, [id, secret, ..]) => format!("{id} and {secret}"),
            (_, variables) => variables.join(" or "),
        };
        let set = if set.is_empty() { set } else { format!(" or set {set}") };
        let file = if self.elsewhere.is_empty() { "" } else { " or name a credential-file" };
        format!("{unused}run `{login}`{set}{file}")
    }

    /// Which variables hold a secret that is not used, and why not.
    fn unused(&self) -> Option<String> {
        let Elsewhere { endpoint, origin } = self.elsewhere.first()?;
        let has = |name: &&String| self.environment.get(name).is_some_and(|v| !v.trim().is_empty());
        let set: Vec<_> = self.spec.environment.iter().filter(has).map(String::as_str).collect();
        let verb = match set.len() {
            0 => return None,
            1 => "is",
            _ => "are",
        };
        let set = set.join(" and ");
        Some(format!("{set} {verb} not used: the endpoint {endpoint} is at {origin}"))
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
                let found = Arc::new(Resolved::new(secret, Source::File(path.to_owned())));
                cache.file = Some((stamp, found.clone()));
                Ok(found)
            }
            // Only a known stamp makes the reading answer "unchanged", and it is never unset.
            (None, None) => Err(self.unusable(format!("cannot read {}", path.display()))),
        }
    }

    fn environment_secret(&self) -> Result<Option<Arc<Resolved>>, CredentialError> {
        let variable = |name: &String| Secret::trimmed(self.environment.get(name)?);
        let found = match (self.signs(), self.variables()) {
            (true, [id, secret, token @ ..]) => variable(id).zip(variable(secret)).map(|both| {
                let (key_id, secret) = (both.0.expose(), both.1.expose());
                let mut whole = Zeroizing::new(format!("{key_id}:{secret}"));
                if let Some(token) = token.first().and_then(variable) {
                    whole = Zeroizing::new(format!("{}:{}", *whole, token.expose()));
                }
                (Secret::new(whole.to_string()), id)
            }),
            (_, names) => names.iter().find_map(|name| Some((variable(name)?, name))),
        };
        let resolved = |(secret, name): (Secret, &String)| {
            Arc::new(Resolved::new(secret, Source::Environment(name.clone())))
        };
        let found = found.map(resolved);
        match found {
            Some(found) if !found.secret.is_line() => Err(self.unusable(found.not_a_line())),
            found => Ok(found),
        }
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
        let secret = keyring.lookup.get(&self.entry).await;
        // A keyring that cannot be asked is a keyring without the secret: requests then go out
        // without one, and a 401 says what to do.
        let secret = secret.unwrap_or_else(|error| {
            tracing::debug!(credential = %self.spec.name, "{error}");
            None
        });
        let (secret, ends) = match secret {
            Some(secret) => self.renewed(keyring, secret, doubted).await,
            None => (None, None),
        };
        let found = secret.map(|secret| Arc::new(Resolved::new(secret, Source::Keyring)));
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
        let Some(mut grant) = Grant::read(&entry) else { return (Some(entry), None) };
        let Some(oauth) = &self.spec.oauth else { return (Some(grant.access), None) };
        // Another process may have renewed what the service refused here.
        let used = self.lock().keyring.as_ref().and_then(|kept| kept.found.clone());
        let same = used.is_some_and(|used| used.secret.expose() == grant.access.expose());
        if grant.has_ended(now) || (refused && same) {
            // Else a refresh token that is good for one use would be used up, and the next one lost.
            let ready = keyring.lookup.try_out().await.map_err(|error| error.to_string());
            let renewed = match ready {
                Ok(()) => grant.renew(oauth).await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            };
            match renewed {
                Ok(next) => {
                    grant = next;
                    if let Err(error) = keyring.lookup.keep(&self.entry, grant.entry()).await {
                        tracing::warn!(
                            credential = %self.spec.name,
                            "the renewed token lasts until the end of this mount: {error}"
                        );
                    }
                }
                // Requests go out with what there is, and a 401 says what to do.
                Err(error) => {
                    tracing::warn!(credential = %self.spec.name, "the token was not renewed: {error}")
                }
            }
        }
        let ends = grant.lasts(now).map(|lasts| Instant::now() + lasts);
        (Some(grant.access), ends)
    }

    fn unusable(&self, reason: String) -> CredentialError {
        CredentialError::Unusable { name: self.spec.name.clone(), reason }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // No code panics between two changes that belong together.
        self.cache.lock()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("name", &self.spec.name).finish_non_exhaustive()
    }
}
