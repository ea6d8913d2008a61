//! Services that say by a refusal how they want a secret: `Basic` for themselves, or `Bearer` with the address of a
//! service that gives tokens (RFC 9110, 11.6.1; the token authentication of the Distribution project).
//!
//! **Invariant:** name and password go to the endpoint's own origin and to the hosts that the manifest or the
//! user names for this; a token goes to the endpoint's own origin alone.

use super::client::{self, Fault};
use super::endpoint::Target;
use super::exchange::{Exchange, path_of};
use crate::credentials::{Carried, Secret, WORTH_A_SEARCH};
use crate::provider::Cause;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_auth::ChallengeParser;
use lru::LruCache;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Tokens that are kept; each repository may have one of its own.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Of these, how many an answer is searched for.
const SEARCHED: usize = 16;
/// Bytes of a token service's answer.
const ANSWER_MOST: usize = 64 << 10;
/// What a token is good for where its service does not say.
const USUAL: Duration = Duration::from_secs(60);
/// So much before its end a token is not used any more.
const EARLY: Duration = Duration::from_secs(5);

/// What got a request through, by whose it was and where it led.
pub(super) struct Passes {
    kept: Mutex<LruCache<(Option<u64>, String), Pass>>,
    /// The newest tokens, which an answer must not repeat, in use or not.
    given: Mutex<VecDeque<Secret>>,
    /// One token is asked for at a time: those who wait mostly want the same.
    getting: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
enum Pass {
    /// Name and password.
    Basic,
    Token(Token),
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    ends: Instant,
}

impl Default for Passes {
    fn default() -> Passes {
        let kept = Mutex::new(LruCache::new(KEPT));
        Passes { kept, given: Mutex::default(), getting: tokio::sync::Mutex::default() }
    }
}

/// What a refusal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Basic,
    Token { realm: String, service: Option<String>, scopes: Vec<String> },
}

/// A token is preferred, where there is a choice: it shows less.
fn asked(headers: &HeaderMap) -> Option<Asked> {
    let mut basic = None;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        for challenge in ChallengeParser::new(text).map_while(Result::ok) {
            let named = |name: &str| {
                let mut all = challenge.params.iter();
                let found = all.find(|(each, _)| each.eq_ignore_ascii_case(name))?;
                Some(found.1.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Asked::Basic);
            } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = named("realm")
            {
                let scopes = named("scope").unwrap_or_default();
                let scopes = scopes.split_ascii_whitespace().map(str::to_owned).collect();
                return Some(Asked::Token { realm, service: named("service"), scopes });
            }
        }
    }
    basic
}

/// A pass is taken to be good for what lies beside a path, and two levels below its directory's directory: the
/// tags, manifests and blobs of one repository. A wrong guess costs a refusal.
fn place_of(target: &str) -> &str {
    let above = |path: &str| path.rfind('/').unwrap_or(0);
    let path = path_of(target);
    let path = &path[..above(path)];
    &path[..above(path)]
}

/// The answer of a token service.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    /// Seconds.
    expires_in: Option<u64>,
}

impl Given {
    fn token(self) -> Option<(Token, Secret)> {
        let text = Secret::new(self.token.or(self.access_token)?);
        let mut header = HeaderValue::from_str(&format!("Bearer {}", text.expose())).ok()?;
        header.set_sensitive(true);
        let lasts = self.expires_in.map_or(USUAL, Duration::from_secs);
        // A time that no clock holds is no bound.
        let ends = Instant::now().checked_add(lasts.saturating_sub(EARLY))?;
        (!text.expose().is_empty()).then_some((Token { header, ends }, text))
    }
}

impl Target {
    fn passes(&self) -> Option<&Passes> {
        self.passes.as_ref()
    }
}

impl Exchange<'_> {
    /// The header that let the last request to this place through.
    pub(super) fn pass(&self) -> Option<HeaderValue> {
        self.header(&self.known()?)
    }

    /// Whether the bytes hold one of the newest tokens.
    pub(super) fn token_shows_in(&self, bytes: &[u8]) -> bool {
        let Some(passes) = self.target.passes() else { return false };
        let given = passes.given.lock();
        let mut tokens = given.iter().map(|token| token.expose().as_bytes());
        tokens.any(|token| memchr::memmem::find(bytes, token).is_some())
    }

    /// Whether the last request to this place had a token: a refusal is then no word on the secret.
    pub(super) fn has_token(&self) -> bool {
        let Some(passes) = self.target.passes() else { return false };
        let kept = passes.kept.lock();
        // It may have ended since.
        matches!(kept.peek(&self.place()), Some(Pass::Token(_)))
    }

    /// Whose passes, and where they lead.
    fn place(&self) -> (Option<u64>, String) {
        (self.fingerprint(), place_of(&self.checked.target).to_owned())
    }

    /// What to send with a request that was refused with these headers, after `sent` was sent. `None`: there is
    /// nothing better.
    ///
    /// # Errors
    /// The token service gives none, or may not be asked.
    pub(super) async fn challenged(
        &self,
        url: &Url,
        headers: &HeaderMap,
        sent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Fault> {
        let Some(passes) = self.target.passes() else { return Ok(None) };
        let pass = match asked(headers) {
            None => return Ok(None),
            Some(Asked::Basic) => Pass::Basic,
            Some(Asked::Token { realm, service, scopes }) => {
                let _turn = passes.getting.lock().await;
                // Somebody has got another one meanwhile.
                if let Some(pass) = self.pass().filter(|pass| Some(pass) != sent) {
                    return Ok(Some(pass));
                }
                let getting = self.token(url, &realm, service.as_deref(), &scopes);
                // Others wait for this, and a stream that is opened has no deadline of its own.
                let within = self.shared.limits.total;
                let token = tokio::time::timeout(within, getting).await.unwrap_or_else(|_| {
                    let detail = format!("no token within {} s", within.as_secs_f32());
                    Err(Fault::new(Cause::TimedOut, detail))
                });
                Pass::Token(token?)
            }
        };
        let header = self.header(&pass).filter(|header| Some(header) != sent);
        if header.is_some() {
            let place = match pass {
                Pass::Basic => (self.fingerprint(), String::new()),
                Pass::Token(_) => self.place(),
            };
            passes.kept.lock().put(place, pass);
        }
        Ok(header)
    }

    fn known(&self) -> Option<Pass> {
        let passes = self.target.passes()?;
        let mut kept = passes.kept.lock();
        let token = kept.get(&self.place());
        let in_time = token.filter(|pass| match pass {
            Pass::Token(token) => Instant::now() < token.ends,
            Pass::Basic => true,
        });
        if let Some(pass) = in_time {
            return Some(pass.clone());
        }
        let everywhere = kept.get(&(self.fingerprint(), String::new()));
        everywhere.filter(|pass| matches!(pass, Pass::Basic)).cloned()
    }

    fn header(&self, pass: &Pass) -> Option<HeaderValue> {
        match pass {
            Pass::Token(token) => Some(token.header.clone()),
            Pass::Basic => self.carried.iter().find_map(Carried::basic).cloned(),
        }
    }

    async fn token(
        &self,
        url: &Url,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<Token, Fault> {
        let denied = |reason: String| {
            Fault::new(Cause::Denied, format!("{} answered {reason}", client::origin(url)))
        };
        let mut realm = self.target.token_service(url, realm).map_err(denied)?;
        let place = client::origin(&realm);
        {
            let mut query = realm.query_pairs_mut();
            let service = service.map(|service| ("service", service));
            query.extend_pairs(service);
            query.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        }
        let mut request = reqwest::Request::new(reqwest::Method::GET, realm.clone());
        let carried = self.carried.iter().find(|carried| carried.basic().is_some());
        if let Some(basic) = carried.and_then(Carried::basic) {
            request.headers_mut().insert(header::AUTHORIZATION, basic.clone());
        }
        let mut response = self.send(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Fault::new(Cause::Denied, self.no_token(&place, carried)));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let detail = format!("{place}, which gives tokens, is asked too often");
                return Err(Fault::new(Cause::RateLimited, detail));
            }
            status => {
                let detail = format!("{place}, which gives tokens, answered {status}");
                let cause =
                    if status.is_redirection() { Cause::Denied } else { Cause::Unavailable };
                return Err(Fault::new(cause, detail));
            }
        }
        let no_answer = || Fault::new(Cause::Invalid, format!("{place} answered no token"));
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.transport(&error, &realm))?
        {
            if body.len() + chunk.len() > ANSWER_MOST {
                return Err(no_answer());
            }
            body.extend_from_slice(&chunk);
        }
        let given: Given = serde_json::from_slice(&body).map_err(|_| no_answer())?;
        let (token, text) = given.token().ok_or_else(no_answer)?;
        // A shorter one would be found in any text.
        if let Some(passes) = self.target.passes().filter(|_| text.expose().len() >= WORTH_A_SEARCH)
        {
            let mut given = passes.given.lock();
            given.push_back(text);
            if given.len() > SEARCHED {
                given.pop_front();
            }
        }
        Ok(token)
    }

    /// Notes that the secret was refused, and says what to do.
    fn no_token(&self, place: &str, carried: Option<&Carried>) -> String {
        let Some(carried) = carried else {
            let name = self.target.spec.credentials.first().map(String::as_str);
            let chain = name.and_then(|name| Some((name, self.shared.credential(name)?)));
            let wanted = chain.map(|(name, chain)| chain.wanted(&self.shared.login(name)));
            let wanted = wanted.map(|wanted| format!("; {wanted}")).unwrap_or_default();
            return format!("{place} gives no token without a credential{wanted}");
        };
        let (name, source) = (&carried.credential, &carried.found.source);
        let mend = source.mend(&self.shared.login(name));
        let detail =
            format!("{place} gives no token for the credential {name:?} from {source}; {mend}");
        if let Some(chain) = self.shared.credential(name) {
            chain.doubt();
            chain.refused(&carried.found, &detail);
        }
        self.target.counters.troubled(Some(detail.clone()));
        detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Asked> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        asked(&headers)
    }

    fn token(realm: &str, service: Option<&str>, scopes: &[&str]) -> Option<Asked> {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let (realm, service) = (realm.to_owned(), service.map(str::to_owned));
        Some(Asked::Token { realm, service, scopes })
    }

    #[test]
    fn a_refusal_is_read_as_services_write_it() {
        let hub = "Bearer realm=\"https://auth.example/token\",service=\"r.example\",\
                   scope=\"repository:a/b:pull\"";
        let expected =
            token("https://auth.example/token", Some("r.example"), &["repository:a/b:pull"]);
        assert_eq!(of(&[hub]), expected);
        // One header or two, in any order, in any case.
        assert_eq!(of(&["Basic realm=\"x\"", hub]), expected);
        assert_eq!(of(&[&format!("Basic realm=\"x\", {hub}")]), expected);
        assert_eq!(of(&["BEARER REALM=\"https://t\", SCOPE=\"a:b:pull,push c:d:*\""]), {
            token("https://t", None, &["a:b:pull,push", "c:d:*"])
        });
        assert_eq!(of(&["basic realm=test"]), Some(Asked::Basic));
        for nothing in ["Bearer error=\"invalid_token\"", "Digest realm=\"x\"", "Bearer realm=", ""]
        {
            assert_eq!(of(&[nothing]), None, "{nothing}");
        }
    }

    #[test]
    fn a_pass_is_for_what_lies_beside_a_path() {
        let place = "/v2/library/tool";
        for target in ["tags/list?n=100&last=a/b", "manifests/latest", "blobs/sha256:00"] {
            assert_eq!(place_of(&format!("{place}/{target}")), place);
        }
        for target in ["/v2/_catalog?n=1", "/v2/", "/", "/a"] {
            assert_eq!(place_of(target), "", "{target}");
        }
    }

    #[test]
    fn a_token_ends_before_its_service_says_so() {
        let given = |text: &str| serde_json::from_str::<Given>(text).unwrap().token();
        let lasts =
            |text: &str| given(text).unwrap().0.ends.duration_since(Instant::now()).as_secs();
        assert!((50..=55).contains(&lasts("{\"token\": \"t\"}")));
        assert!((290..=295).contains(&lasts("{\"access_token\": \"t\", \"expires_in\": 300}")));
        assert_eq!(lasts("{\"token\": \"t\", \"expires_in\": 3}"), 0);
        for bad in ["{}", "{\"token\": \"\"}", "{\"token\": \"a\\nb\"}"] {
            assert!(given(bad).is_none(), "{bad}");
        }
        let (token, _) = given("{\"token\": \"a\", \"access_token\": \"b\"}").unwrap();
        assert!(token.header.is_sensitive());
        assert_eq!(token.header, "Bearer a");
    }
}
