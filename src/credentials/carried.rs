//! How a secret travels: the header that carries it, by its scheme.

use super::{Resolved, Secret};
use crate::provider::{Credential, Scheme};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A secret shorter than this is a test's, and would be found in any text.
const WORTH_A_SEARCH: usize = 12;

/// A credential on its way.
pub struct Carried {
    /// The credential's name.
    pub credential: String,
    pub found: Arc<Resolved>,
    pub header: HeaderName,
    pub value: HeaderValue,
    /// The texts by which an answer would give the secret away.
    traces: Vec<Secret>,
}

impl Carried {
    /// Why it cannot travel says nothing of the secret.
    pub(super) fn new(spec: &Credential, found: Arc<Resolved>) -> Result<Carried, String> {
        let header = HeaderName::from_bytes(spec.scheme.header().as_bytes())
            .map_err(|_| format!("{:?} is not a header name", spec.scheme.header()))?;
        let secret = found.secret.expose();
        let mut traces = vec![secret.to_owned()];
        let text = Zeroizing::new(match &spec.scheme {
            Scheme::Bearer if spec.raw_prefixes.iter().any(|raw| secret.starts_with(raw)) => {
                secret.to_owned()
            }
            Scheme::Bearer => format!("Bearer {secret}"),
            Scheme::Header(_) => secret.to_owned(),
            Scheme::Basic(user) => {
                let pair = Zeroizing::new(match user {
                    Some(user) => format!("{user}:{secret}"),
                    None => secret.to_owned(),
                });
                let (user, password) = pair
                    .split_once(':')
                    .ok_or_else(|| format!("{} must have the form USER:PASSWORD", found.source))?;
                // Services that know one key only take it as the user's name.
                let key = if password.is_empty() { user } else { password };
                let encoded = STANDARD.encode(pair.as_bytes());
                let text = format!("Basic {encoded}");
                traces.extend([key.to_owned(), encoded]);
                text
            }
        });
        let mut value = HeaderValue::from_str(&text).map_err(|_| found.not_a_line())?;
        value.set_sensitive(true);
        let traces = traces.into_iter().map(Secret::new);
        let traces = traces.filter(|trace| trace.expose().len() >= WORTH_A_SEARCH).collect();
        Ok(Carried { credential: spec.name.clone(), found, header, value, traces })
    }

    /// Whether the bytes hold the secret, as it is or as it travels.
    pub fn shows_in(&self, bytes: &[u8]) -> bool {
        let mut traces = self.traces.iter().map(|trace| trace.expose().as_bytes());
        traces.any(|trace| memchr::memmem::find(bytes, trace).is_some())
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").field("credential", &self.credential).finish_non_exhaustive()
    }
}
