//! One fetch: check, credential, budget, conditions, attempts, redirects, answer.
//!
//! **Invariant:** the credentials and the conditions go to the endpoint's own origin only, and there to
//! requests that the manifest allows: a redirect is checked as if the guest had asked for where it leads.
//! Once a redirect has left the origin, they do not come back.

use super::budget::{Budget, Limited, Permit, Route};
use super::client::{self, Again, Fault};
use super::counters::count;
use super::endpoint::Target;
use super::request::{self, Checked};
use super::sharing::{self, Had};
use super::validators::{Kept, Key};
use super::{Priority, RAISED_BY, Shared};
use crate::backoff::Backoff;
use crate::credentials::{self, Carried, Signed};
use crate::provider::{Cause, Failure, Method, Request, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Everything about a fetch that its attempts share.
pub(super) struct Exchange<'a> {
    pub(super) shared: &'a Shared,
    pub(super) target: &'a Target,
    client: &'a reqwest::Client,
    pub(super) checked: Checked,
    /// Those of the endpoint's credentials that were found.
    pub(super) carried: Vec<Carried>,
    pub(super) kept: Option<Arc<Kept>>,
    /// Headers of the host's own, which go along redirects.
    pub(super) extra: HeaderMap,
    /// Where a redirect is known to lead.
    pub(super) place: Option<Url>,
    /// Bytes that a part (a 206) may have.
    pub(super) most_of_part: usize,
    budget: &'a Arc<Budget>,
    route: Route,
    priority: Priority,
    deadline: Instant,
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// It came from the endpoint's own origin.
    pub(super) own: bool,
    /// Where redirects out of that origin have led.
    pub(super) place: Option<Url>,
    /// The path that answered, where redirects within that origin led to another one.
    pub(super) moved: Option<String>,
}

enum Ended {
    Fault(Fault),
    Limited(Limited),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Ended::Fault(fault)
    }
}

impl Shared {
    pub(super) async fn fetch(
        &self,
        request: Request,
        priority: Priority,
    ) -> Result<Response, Failure> {
        self.bounded(&request, |target, checked, deadline| {
            self.fetch_checked(target, checked, priority, deadline)
        })
        .await
    }

    /// Checks a request and makes it within the deadline of one.
    pub(super) async fn bounded<'a, T, F>(
        &'a self,
        request: &Request,
        make: impl FnOnce(&'a Target, Checked, Instant) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (target, checked) = self.checked(request)?;
        let deadline = Instant::now() + self.limits.total;
        let result = match timeout_at(deadline, make(target, checked, deadline)).await {
            Ok(result) => result,
            Err(_) => Err(self.failure(
                Cause::TimedOut,
                format!(
                    "{} {} was not answered within {} s",
                    request::name(request.method),
                    path_of(&request.path),
                    self.limits.total.as_secs_f32()
                ),
            )),
        };
        if let Err(failure) = &result {
            tracing::debug!(provider = %self.instance, cause = ?failure.cause, "{}", failure.detail);
            target.counters.failed(failure);
        }
        result
    }

    async fn fetch_checked(
        &self,
        target: &Target,
        checked: Checked,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let exchange = self.prepare(target, checked, priority, deadline).await?;
        let key = (exchange.checked.method == Method::Get).then(|| exchange.key());
        let trail = key.as_ref().and_then(|_| sharing::trail());
        let had = match &trail {
            Some(trail) => trail.find(&exchange).await,
            None => Had::Nothing,
        };
        let same = trail.as_ref().is_some_and(|trail| trail.is_of_one_secret());
        let (before, asked) = match had {
            Had::Answer(kept) => return exchange.answer_of_others(key, &kept, same),
            // A service may have one tag for what it shows differently to others.
            Had::Before(kept, asked) => (kept.filter(|_| same), Some(asked)),
            Had::Nothing => (None, None),
        };
        let kept = key.as_ref().and_then(|key| self.validators.find(key)).or(before);
        let exchange = Exchange { kept, ..exchange };
        let _turn = match (&target.session, &exchange.checked.body) {
            (Some(session), Some(body)) => Some(session.turn(body).await),
            _ => None,
        };
        let answer = exchange.attempts().await?;
        target.counters.answered(answer.status.as_u16());
        let (response, kept) = exchange.answer(key, answer)?;
        if let (Some(trail), Some(asked)) = (trail, asked) {
            trail.answered(asked, kept);
        }
        Ok(response)
    }

    /// What the manifest allows of a request.
    pub(super) fn checked(&self, request: &Request) -> Result<(&Target, Checked), Failure> {
        let target = self.target(&request.endpoint)?;
        let reserved = self.credentials.iter().map(|(spec, _)| spec.scheme.header());
        let checked = request::check(request, &target.spec, reserved, &self.limits);
        let checked = checked.map_err(|reason| {
            count(&target.counters.refused);
            self.failure(Cause::Denied, format!("the request was refused: {reason}"))
        })?;
        Ok((target, checked))
    }

    /// Everything else that comes before the first connection.
    pub(super) async fn prepare<'a>(
        &'a self,
        target: &'a Target,
        checked: Checked,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Exchange<'a>, Failure> {
        let carried = self.carried(target).await?;
        let name = &target.spec.name;
        let budget = self.budgets.get(&target.budget_key()).ok_or_else(|| {
            self.failure(Cause::Denied, format!("endpoint {name:?} has no budget"))
        })?;
        let client = target
            .client(&self.limits)
            .await
            .map_err(|reason| self.failure(Cause::Unavailable, reason))?;
        let route = (name.clone(), checked.rule);
        Ok(Exchange {
            shared: self,
            target,
            client,
            checked,
            carried,
            kept: None,
            extra: HeaderMap::new(),
            place: None,
            most_of_part: self.limits.body,
            budget,
            route,
            priority,
            deadline,
        })
    }

    /// The endpoint's credentials, as far as there are secrets for it.
    pub(super) async fn carried(&self, target: &Target) -> Result<Vec<Carried>, Failure> {
        let mut carried = Vec::new();
        for name in &target.spec.credentials {
            let Some(chain) = self.credential(name) else { continue };
            let denied = |error: credentials::CredentialError| {
                target.counters.troubled(Some(error.to_string()));
                self.failure(Cause::Denied, error.to_string())
            };
            let Some(found) = chain.resolve().await.map_err(denied)? else { continue };
            if chain.may_reach(&found.source, target.elsewhere.is_some()) {
                carried.push(chain.carry(found).map_err(denied)?);
            }
        }
        Ok(carried)
    }
}

/// Between two attempts; few deadlines leave room for as much.
const RETRY_MOST: Duration = Duration::from_secs(30);

impl Exchange<'_> {
    pub(super) fn key(&self) -> Key {
        Key {
            instance: self.shared.instance.clone(),
            endpoint: self.target.spec.name.clone(),
            target: self.checked.target.clone(),
            headers: Key::headers_of(&self.checked.headers),
            credentials: self.fingerprint(),
        }
    }

    pub(super) async fn attempts(&self) -> Result<Answer, Failure> {
        let limits = &self.shared.limits;
        let idempotent = self.checked.method != Method::Post;
        let mut retries = 0;
        let mut backoff = Backoff::new(limits.retry_pause, RETRY_MOST);
        loop {
            // What is behind a redirect is not the endpoint's, nor is its rate limit.
            let own = self.place.is_none();
            let permit = own.then(|| self.admit()).transpose();
            let permit = permit.map_err(|limited| self.limited(limited))?;
            let outcome = self.attempt().await;
            drop(permit);
            let more = retries < limits.retries;
            let mut pause = backoff.wait(None);
            match outcome {
                Ok(answer) if more && idempotent && matches!(answer.status.as_u16(), 502..=504) => {
                    let asked = super::budget::headers::pause_asked(
                        &answer.headers,
                        self.shared.clock.now(),
                    );
                    pause = pause.max(asked.unwrap_or_default());
                    if !self.fits(pause) {
                        return Ok(answer);
                    }
                }
                Ok(answer) => return Ok(answer),
                Err(Ended::Limited(limited)) => return Err(self.limited(limited)),
                Err(Ended::Fault(fault)) => {
                    let again = match fault.again {
                        Again::Any => true,
                        Again::Idempotent => idempotent,
                        Again::Never => false,
                    };
                    if !(more && again && self.fits(pause)) {
                        return Err(self.fault(fault));
                    }
                }
            }
            retries += 1;
            count(&self.target.counters.retries);
            tokio::time::sleep(pause).await;
        }
    }

    /// A pause must leave half of the remaining time for the attempt that follows it.
    fn fits(&self, pause: Duration) -> bool {
        pause <= self.deadline.saturating_duration_since(Instant::now()) / 2
    }

    /// One request with the redirects it meets.
    async fn attempt(&self) -> Result<Answer, Ended> {
        // It is never closed, and the fetch has a deadline.
        let _turn = self.target.turns.acquire().await;
        let (mut url, mut own) = match &self.place {
            Some(place) => (place.clone(), false),
            None => (self.url()?, true),
        };
        let mut moved = false;
        for _ in 0..=self.shared.limits.redirects {
            let (response, sent_in) = self.execute(&url, own).await?;
            if let Some(location) = redirected(&response) {
                let kept = matches!(response.status().as_u16(), 307 | 308);
                let next = self.redirect(&url, &location?).map_err(|reason| {
                    Fault::new(Cause::Denied, format!("{} answered {reason}", client::origin(&url)))
                })?;
                let stays = own && self.target.own(&next);
                if self.checked.method == Method::Post && !(kept && stays) {
                    return Err(Fault::new(
                        Cause::Denied,
                        format!(
                            "{} redirects a POST to {}, where its body must not go",
                            client::origin(&url),
                            client::origin(&next)
                        ),
                    )
                    .into());
                }
                if own {
                    self.observe(response.status().as_u16(), response.headers(), b"")
                        .map_err(Ended::Limited)?;
                }
                count(&self.target.counters.redirects);
                (url, own, moved) = (next, stays, true);
                continue;
            }
            let (status, headers) = (response.status(), response.headers().clone());
            let body = self.body(response, &url).await?;
            if own {
                self.observe(status.as_u16(), &headers, &body).map_err(Ended::Limited)?;
                if let Some(session) = self.target.session.as_ref().filter(|_| status.is_success())
                {
                    let said = self.checked.said.as_deref();
                    session.learn(said, self.fingerprint(), sent_in, &headers);
                }
            }
            let moved = if moved && own { self.target.below(&url) } else { None };
            let moved = moved.map(|target| path_of(&target).to_owned());
            let place = (!own).then_some(url);
            return Ok(Answer { status, headers, body, own, place, moved });
        }
        Err(Fault::new(
            Cause::Unavailable,
            format!(
                "{} redirects more than {} times",
                client::origin(&url),
                self.shared.limits.redirects
            ),
        )
        .into())
    }

    /// Sends the request, and once more where the service's refusal says how it wants the secret. With the name
    /// of the session that it was sent in.
    pub(super) async fn execute(
        &self,
        url: &Url,
        own: bool,
    ) -> Result<(reqwest::Response, Option<HeaderValue>), Fault> {
        let pass = if own { self.pass() } else { None };
        let (response, session) = self.send_in_session(self.build(url, own, pass.as_ref())).await?;
        if !own || response.status() != StatusCode::UNAUTHORIZED {
            return Ok((response, session));
        }
        match self.challenged(url, response.headers(), pass.as_ref()).await? {
            Some(pass) => self.send_in_session(self.build(url, own, Some(&pass))).await,
            None => Ok((response, session)),
        }
    }

    async fn send_in_session(
        &self,
        request: reqwest::Request,
    ) -> Result<(reqwest::Response, Option<HeaderValue>), Fault> {
        let session = self.target.session.as_ref();
        let sent = session.and_then(|own| request.headers().get(&own.header)).cloned();
        Ok((self.send(request).await?, sent))
    }

    pub(super) async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, Fault> {
        self.target.counters.called_out();
        let url = request.url().clone();
        let sent = self.client.execute(request).await;
        let response = sent.map_err(|error| self.transport(&error, &url))?;
        self.target.counters.responded(response.status().as_u16());
        self.check_head(&response)?;
        Ok(response)
    }

    /// Where a redirect leads, if the guest may go there. Within the own origin it is a request like any
    /// other, with the credential or, after a detour, without it.
    fn redirect(&self, from: &Url, location: &str) -> Result<Url, String> {
        let next = self.target.redirect(from, location)?;
        if self.target.own(&next) {
            let target = self.target.below(&next).ok_or_else(|| {
                format!("a redirect to {}, which is outside of the endpoint", next.path())
            })?;
            let (method, limits) = (self.checked.method, &self.shared.limits);
            request::rule(method, &target, &self.target.spec, limits)
                .map_err(|reason| format!("a redirect that was not followed: {reason}"))?;
        }
        Ok(next)
    }

    pub(super) fn url(&self) -> Result<Url, Fault> {
        self.target.url(&self.checked.target).map_err(|reason| Fault::new(Cause::Denied, reason))
    }

    fn build(&self, url: &Url, own: bool, pass: Option<&HeaderValue>) -> reqwest::Request {
        let method = match self.checked.method {
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
            Method::Post => reqwest::Method::POST,
        };
        let mut request = reqwest::Request::new(method.clone(), url.clone());
        let headers = request.headers_mut();
        if own {
            *headers = self.checked.headers.clone();
            for carried in &self.carried {
                let signed = Signed {
                    method: &method,
                    url,
                    body: self.checked.body.as_deref().unwrap_or_default(),
                    now: self.shared.clock.now(),
                    region: self.shared.region(&carried.credential),
                };
                carried.put(signed, headers);
            }
            if let Some(pass) = pass {
                headers.insert(header::AUTHORIZATION, pass.clone());
            }
            if let Some(session) = &self.target.session {
                session.put(self.checked.said.as_deref(), self.fingerprint(), headers);
            }
            if let Some(kept) = &self.kept {
                kept.conditions(headers);
            }
        } else if let Some(accept) = self.checked.headers.get(header::ACCEPT) {
            headers.insert(header::ACCEPT, accept.clone());
        }
        for (name, value) in &self.extra {
            request.headers_mut().insert(name, value.clone());
        }
        if let Some(body) = &self.checked.body {
            *request.body_mut() = Some(body.clone().into());
        }
        request
    }

    fn check_head(&self, response: &reqwest::Response) -> Result<(), Fault> {
        let bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > self.shared.limits.header_bytes {
            return Err(Fault::new(
                Cause::TooLarge,
                format!(
                    "{} answered with headers of more than {} bytes",
                    client::origin(response.url()),
                    self.shared.limits.header_bytes
                ),
            ));
        }
        Ok(())
    }

    /// The whole body, decompressed as it comes and cut off at the cap.
    async fn body(&self, response: reqwest::Response, url: &Url) -> Result<Bytes, Fault> {
        let part = response.status() == StatusCode::PARTIAL_CONTENT;
        let most = self.shared.limits.body.min(if part { self.most_of_part } else { usize::MAX });
        let too_large = || {
            let (place, path) = (client::origin(url), path_of(&self.checked.target));
            if part {
                let detail =
                    format!("{place} answered {path} with a part longer than it was asked for");
                return Fault::new(Cause::Invalid, detail);
            }
            Fault::new(
                Cause::TooLarge,
                format!("{place} answered {path} with more than {most} bytes; {RAISED_BY}"),
            )
        };
        let promised = response.content_length().unwrap_or(0);
        let head = self.checked.method == Method::Head;
        if !head && promised > most as u64 {
            return Err(too_large());
        }
        // What a server promises is not allocated before it comes.
        let mut body: Vec<u8> = Vec::with_capacity(promised.min(1 << 20) as usize);
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| match part && client::is_undecodable(&error) {
                true => Fault::new(Cause::Invalid, super::part::NOT_AS_LONG),
                false => self.transport(&error, url),
            })?;
            if body.len() + chunk.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
            self.target.counters.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Ok(Bytes::from(body.into_boxed_slice()))
    }

    pub(super) fn transport(&self, error: &reqwest::Error, url: &Url) -> Fault {
        let proxy = self.target.proxy();
        client::fault(error, &self.shared.service, &self.target.base, proxy, url)
    }

    pub(super) fn admit(&self) -> Result<Permit, Limited> {
        self.budget.admit(&self.route, self.fingerprint(), self.priority, self.shared.clock.now())
    }

    pub(super) fn observe(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Limited> {
        let post = self.checked.method == Method::Post;
        let now = self.shared.clock.now();
        self.shared.heard(headers);
        let limits = &self.target.spec.limits;
        let answer = (status, headers, body);
        self.budget.observe(&self.route, self.fingerprint(), limits, post, answer, now)
    }

    /// Of all secrets that the request carries.
    pub(super) fn fingerprint(&self) -> Option<u64> {
        let each = self.carried.iter().map(|c| (&c.credential, c.found.fingerprint));
        (!self.carried.is_empty()).then(|| credentials::fingerprint(each.collect::<Vec<_>>()))
    }

    pub(super) fn fault(&self, fault: Fault) -> Failure {
        self.shared.failure(fault.cause, fault.detail)
    }

    pub(super) fn limited(&self, limited: Limited) -> Failure {
        count(&self.target.counters.throttled);
        Failure {
            retry_after: Some(limited.retry_after),
            ..self.shared.failure(Cause::RateLimited, limited.detail)
        }
    }
}

/// Where a redirect points, if the answer is one.
fn redirected(response: &reqwest::Response) -> Option<Result<String, Fault>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?;
    Some(location.to_str().map(str::to_owned).map_err(|_| {
        Fault::new(Cause::Invalid, "the service answered a redirect that is not text")
    }))
}

/// The path without its query, which may be long.
pub(super) fn path_of(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}
