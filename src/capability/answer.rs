//! From the service's answer to the provider's: validators, refused credentials, what stays outside.

use super::client::Fault;
use super::counters::count;
use super::exchange::{Answer, Exchange};
use super::validators::{Kept, Key, is_forbidden};
use crate::credentials::{Carried, Chain};
use crate::provider::{Cause, Failure, Response};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

/// Tells which path answered, where that is another one than was asked for: the provider cannot see
/// a redirect, and may have to know that it is shown another object. Not kept with the answer, since
/// the same answer may come without a redirect the next time.
fn located(mut headers: Vec<(String, String)>, moved: Option<String>) -> Vec<(String, String)> {
    if let Some(path) = moved {
        headers.retain(|(name, _)| name != "content-location");
        headers.push(("content-location".to_owned(), path));
    }
    headers
}

impl Exchange<'_> {
    /// The provider's answer from the service's, and what may be kept of it where that is all of it.
    pub(super) fn answer(
        &self,
        key: Option<Key>,
        answer: Answer,
    ) -> Result<(Response, Option<Arc<Kept>>), Failure> {
        if answer.own {
            self.authorized(answer.status)?;
        }
        if is_forbidden(&answer.headers) {
            self.shared.forbidden.fetch_add(1, Ordering::Relaxed);
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
            let headers = kept.headers(headers);
            let forbids = is_forbidden(&answer.headers);
            if let Some(key) = key.filter(|_| forbids) {
                // It allowed that before.
                self.shared.validators.keep(key, None);
            }
            let whole = (answer.moved.is_none() && !forbids)
                .then(|| Arc::new(kept.confirmed(headers.clone())));
            let headers = located(headers, answer.moved);
            return Ok((Response { status: 200, headers, body: kept.body.clone() }, whole));
        }
        self.unseen_secret(&headers, &answer.body)?;
        let mut whole = None;
        if let Some(key) = key
            && answer.own
            && answer.status == StatusCode::OK
        {
            let kept = Kept::of(&answer.headers, &headers, &answer.body).map(Arc::new);
            self.shared.validators.keep(key, kept.as_ref());
            whole = kept.filter(|_| answer.moved.is_none());
        }
        let headers = located(headers, answer.moved);
        Ok((Response { status: answer.status.as_u16(), headers, body: answer.body }, whole))
    }

    /// The provider's answer from the one that another mount of the fleet got. It spent nothing of this one's rate limit, and
    /// says nothing of its credential. `same_secret`: the other mount has it too.
    pub(super) fn answer_of_others(
        &self,
        key: Option<Key>,
        kept: &Arc<Kept>,
        same_secret: bool,
    ) -> Result<Response, Failure> {
        let headers = kept.own_headers().to_vec();
        self.unseen_secret(&headers, &kept.body)?;
        count(&self.target.counters.shared);
        match key.filter(|_| same_secret) {
            Some(key) => self.shared.validators.keep(key, Some(kept)),
            // What another secret has got is for this moment: neither for a condition under this one, nor for the disk.
            None => drop(self.shared.forbidden.fetch_add(1, Ordering::Relaxed)),
        }
        Ok(Response { status: 200, headers, body: kept.body.clone() })
    }

    pub(super) fn readable(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        headers
            .iter()
            .filter(|(name, _)| {
                let session = self.target.session.as_ref().map(|session| &session.header);
                !KEPT_BACK.contains(&name.as_str()) && session != Some(*name)
            })
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect()
    }

    /// A service that echoes requests must not carry a secret into the sandbox.
    pub(super) fn unseen_secret(
        &self,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<(), Failure> {
        let shown = |carried: &Carried| {
            carried.shows_in(body)
                || headers.iter().any(|(_, value)| carried.shows_in(value.as_bytes()))
        };
        let token = self.token_shows_in(body)
            || headers.iter().any(|(_, value)| self.token_shows_in(value.as_bytes()));
        if token || self.carried.iter().any(shown) {
            return Err(self.fault(Fault::new(
                Cause::Invalid,
                "the service's answer repeats the credential; it was dropped",
            )));
        }
        Ok(())
    }

    /// Learns from the status whether the credentials are good.
    pub(super) fn authorized(&self, status: StatusCode) -> Result<(), Failure> {
        let names = &self.target.spec.credentials;
        if names.is_empty() || status != StatusCode::UNAUTHORIZED {
            if status.is_success() || status == StatusCode::NOT_MODIFIED {
                self.shared.admitted.store(true, Ordering::Relaxed);
                self.each_carried(|chain, carried| chain.accepted(&carried.found));
            }
            return Ok(());
        }
        self.shared.admitted.store(false, Ordering::Relaxed);
        if self.has_token() {
            let place = &self.target.base;
            let detail = format!("{place} answered 401: the token that it asked for is not enough");
            self.target.counters.troubled(Some(detail.clone()));
            return Err(self.shared.failure(Cause::Denied, detail));
        }
        let lacks = |name: &&String| !self.carried.iter().any(|c| c.credential == **name);
        let missing: Vec<_> = names.iter().filter(lacks).collect();
        let place = &self.target.base;
        let mut parts = Vec::new();
        if missing.is_empty() {
            self.each_carried(|_, carried| {
                let login = self.shared.login(&carried.credential);
                let source = &carried.found.source;
                let name = &carried.credential;
                parts.push(format!(
                    "it does not accept credential {name:?} from {source}; {}",
                    source.mend(&login)
                ));
            });
        }
        for name in missing {
            let Some(chain) = self.shared.credential(name) else { continue };
            let wanted = chain.wanted(&self.shared.login(name));
            parts.push(match (chain.elsewhere().first(), &self.target.elsewhere) {
                // What is kept for the other endpoint's place does not go to this one.
                (Some(other), None) => format!(
                    "it wants credential {name:?}, and the endpoint {} is at {}; only one from a \
                     credential-file is for both",
                    other.endpoint, other.origin
                ),
                _ => format!("it wants credential {name:?} and none is configured; {wanted}"),
            });
        }
        let detail = format!("{place} answered 401: {}", parts.join("; "));
        self.each_carried(|chain, carried| {
            chain.doubt();
            if self.carried.len() == names.len() {
                chain.refused(&carried.found, &detail);
            }
        });
        let failure = self.shared.failure(Cause::Denied, detail);
        self.target.counters.troubled(Some(failure.detail.clone()));
        Err(failure)
    }

    fn each_carried(&self, mut tell: impl FnMut(&Chain, &Carried)) {
        for carried in &self.carried {
            if let Some(chain) = self.shared.credential(&carried.credential) {
                tell(chain, carried);
            }
        }
    }
}
