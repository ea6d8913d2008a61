//! From the service's answer to the provider's: validators, refused credentials, what stays outside.

use super::client::Fault;
use super::counters::count;
use super::exchange::{Answer, Exchange};
use super::validators::Key;
use crate::provider::{Cause, Failure, Response};
use http::{HeaderMap, StatusCode};

/// What an answer must not bring into the sandbox: hop-by-hop fields and cookies.
const KEPT_BACK: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A secret shorter than this is a test's, and would be found in any text.
const SECRET_WORTH_A_SEARCH: usize = 12;

impl Exchange<'_> {
    /// The provider's answer from the service's.
    pub(super) fn answer(&self, key: Option<Key>, answer: Answer) -> Result<Response, Failure> {
        if answer.own {
            self.authorized(answer.status)?;
        }
        let headers = self.readable(&answer.headers);
        if answer.status == StatusCode::NOT_MODIFIED {
            let Some(kept) = self.kept.as_ref().filter(|_| answer.own) else {
                return Err(self.fault(Fault::new(
                    Cause::Invalid,
                    "the service answered 304 to a request without conditions",
                )));
            };
            count(&self.target.counters.revalidated);
            self.shared.validators.confirmed();
            self.unseen_secret(&headers, b"")?;
            return Ok(Response {
                status: 200,
                headers: kept.headers(headers),
                body: kept.body.clone(),
            });
        }
        self.unseen_secret(&headers, &answer.body)?;
        if let Some(key) = key
            && answer.own
            && answer.status == StatusCode::OK
        {
            self.shared.validators.keep(key, &answer.headers, &headers, &answer.body);
        }
        Ok(Response { status: answer.status.as_u16(), headers, body: answer.body })
    }

    pub(super) fn readable(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        headers
            .iter()
            .filter(|(name, _)| !KEPT_BACK.contains(&name.as_str()))
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect()
    }

    /// A service that echoes requests must not carry the secret into the sandbox.
    pub(super) fn unseen_secret(
        &self,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<(), Failure> {
        let Some(found) = &self.credential else { return Ok(()) };
        let secret = found.secret.expose().as_bytes();
        if secret.len() < SECRET_WORTH_A_SEARCH {
            return Ok(());
        }
        let finder = memchr::memmem::Finder::new(secret);
        let shown = finder.find(body).is_some()
            || headers.iter().any(|(_, value)| finder.find(value.as_bytes()).is_some());
        if shown {
            return Err(self.fault(Fault::new(
                Cause::Invalid,
                "the service's answer repeats the credential; it was dropped",
            )));
        }
        Ok(())
    }

    pub(super) fn authorized(&self, status: StatusCode) -> Result<(), Failure> {
        let Some(name) = self.target.spec.credentials.first() else { return Ok(()) };
        if status != StatusCode::UNAUTHORIZED {
            return Ok(());
        }
        let chain = self.shared.credentials.get(name);
        if let Some(chain) = chain {
            chain.doubt();
        }
        let login = format!("omnifs auth login {}", self.shared.instance);
        let place = &self.target.base;
        let detail = match &self.credential {
            Some(found) => format!(
                "{place} answered 401: it does not accept credential {name:?} from {}; {}",
                found.source,
                found.source.mend(&login)
            ),
            None => {
                let variables = chain.map(|chain| chain.variables()).unwrap_or_default();
                let or = if variables.is_empty() {
                    String::new()
                } else {
                    format!(" or set {}", variables.join(" or "))
                };
                format!(
                    "{place} answered 401: it wants credential {name:?} and none is configured; \
                     run `{login}`{or}"
                )
            }
        };
        Err(self.shared.failure(Cause::Denied, detail))
    }
}
