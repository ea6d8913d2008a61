//! How a secret travels: the header that carries it, or the signature that is made with it, by its scheme.

use super::sigv4::{Signed, Signer};
use super::{Resolved, Secret};
use crate::provider::{Credential, Scheme};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A secret shorter than this is a test's, and would be found in any text.
pub const WORTH_A_SEARCH: usize = 12;

/// A credential on its way.
pub struct Carried {
    /// The credential's name.
    pub credential: String,
    pub found: Arc<Resolved>,
    way: Way,
    /// The texts by which an answer would give the secret away.
    traces: Vec<Secret>,
}

enum Way {
    Header(HeaderName, HeaderValue),
    Signature(Signer),
    /// As the service asks: `Basic`, to it or to the one that gives tokens for it.
    Asked(HeaderValue),
}

impl Carried {
    /// Why it cannot travel says nothing of the secret.
    pub(super) fn new(spec: &Credential, found: Arc<Resolved>) -> Result<Carried, String> {
        if let Scheme::AwsSigv4 { service, .. } = &spec.scheme {
            return Carried::signing(spec, service, found);
        }
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
            Scheme::Basic(_) | Scheme::Challenge { .. } => {
                let pair = Zeroizing::new(match &spec.scheme {
                    Scheme::Basic(Some(user)) => format!("{user}:{secret}"),
                    _ => secret.to_owned(),
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
            // It is answered above.
            Scheme::AwsSigv4 { .. } => return Err("it signs and is not sent".to_owned()),
        });
        let mut value = HeaderValue::from_str(&text).map_err(|_| found.not_a_line())?;
        value.set_sensitive(true);
        let traces = traces.into_iter().map(Secret::new);
        let traces = traces.filter(|trace| trace.expose().len() >= WORTH_A_SEARCH).collect();
        let way = match spec.scheme {
            Scheme::Challenge { .. } => Way::Asked(value),
            _ => Way::Header(header, value),
        };
        Ok(Carried { credential: spec.name.clone(), found, way, traces })
    }

    fn signing(spec: &Credential, service: &str, found: Arc<Resolved>) -> Result<Carried, String> {
        let form = "must have the form KEY-ID:SECRET or KEY-ID:SECRET:SESSION-TOKEN";
        let signer = Signer::new(service, found.secret.expose())
            .ok_or_else(|| format!("{} {form}", found.source))?;
        let traces = signer.hidden().filter(|trace| trace.expose().len() >= WORTH_A_SEARCH);
        let traces = traces.cloned().collect();
        Ok(Carried { credential: spec.name.clone(), found, way: Way::Signature(signer), traces })
    }

    /// Adds it to the headers of a request to the endpoint's own origin.
    pub fn put(&self, request: Signed<'_>, headers: &mut HeaderMap) {
        match &self.way {
            Way::Header(header, value) => drop(headers.insert(header.clone(), value.clone())),
            Way::Signature(signer) => signer.sign(request, headers),
            Way::Asked(_) => {}
        }
    }

    /// The header that a service gets when it asks for it.
    pub fn basic(&self) -> Option<&HeaderValue> {
        match &self.way {
            Way::Asked(value) => Some(value),
            Way::Header(..) | Way::Signature(_) => None,
        }
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
