//! Logging in by OAuth: the device flow (RFC 8628) and the authorization code with PKCE on a loopback
//! redirect (RFC 7636, RFC 8252).
//!
//! **Invariant:** every wait has a bound, codes and tokens travel over https to addresses that were checked
//! (or over http to loopback), and no message holds one.
//!
//! **Invariant:** nothing is asked of a service before the store has shown that it keeps things.

use super::keyring::{KeyringError, Lookup};
use super::loopback::{self, Arrived};
use super::{Elsewhere, Secret, entry_of};
use crate::capability::{Guard, Refused, judge_literal};
use crate::provider::OAuth;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

/// How long things may take. The defaults are the services' own orders of magnitude.
#[derive(Clone, Debug)]
pub struct Patience {
    /// For the person to approve.
    pub approval: Duration,
    /// For each request.
    pub request: Duration,
    /// Device flow: never ask more often than this, whatever the service allows.
    pub interval: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            approval: Duration::from_secs(15 * 60),
            request: Duration::from_secs(20),
            interval: Duration::from_secs(1),
        }
    }
}

/// What a login brought.
#[allow(missing_debug_implementations)] // holds secrets
pub struct Tokens {
    pub access: Secret,
    pub refresh: Option<Secret>,
    /// From now.
    pub expires_in: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("this provider has no OAuth application of its own; register one and set client_id")]
    NoClientId,
    #[error("{0} is not an https address")]
    NotSecure(String),
    #[error("{0}")]
    Local(String),
    #[error("{0} has no device flow")]
    NoDeviceFlow(String),
    #[error("cannot reach {place}: {reason}")]
    Unreachable { place: String, reason: String },
    #[error("{place} answered {what}")]
    Unexpected { place: String, what: String },
    #[error("the request was refused in the browser")]
    Refused,
    #[error("the code has expired before it was approved; start again")]
    Expired,
    #[error("nobody approved within {} s; start again", .0.as_secs())]
    Unapproved(Duration),
    #[error("cannot listen on 127.0.0.1:{port}: {reason}; choose another port")]
    Listen { port: u16, reason: String },
}

/// The login at the place where the endpoints are: the service's own, or the same paths at the one origin that
/// all of them lead to. `None` where there is no login: what one place issues is sent to no other.
pub(super) fn at(oauth: &OAuth, elsewhere: &[Elsewhere]) -> Option<OAuth> {
    let Some((first, others)) = elsewhere.split_first() else { return Some(oauth.clone()) };
    if !oauth.elsewhere || others.iter().any(|other| other.origin != first.origin) {
        return None;
    }
    let origin = Url::parse(&first.origin).ok().filter(Url::has_host)?;
    let moved = |url: &String| {
        let mut to = origin.clone();
        to.set_path(Url::parse(url).ok()?.path());
        Some(to.to_string())
    };
    Some(OAuth {
        authorize_url: moved(&oauth.authorize_url)?,
        token_url: moved(&oauth.token_url)?,
        device_url: match &oauth.device_url {
            Some(url) => Some(moved(url)?),
            None => None,
        },
        // An application is registered at one place.
        client_id: None,
        scopes: oauth.scopes.clone(),
        elsewhere: true,
    })
}

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    #[error("{0}")]
    NoStore(KeyringError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error("it was not kept: {0}")]
    Lost(KeyringError),
}

/// A store that has shown that it keeps things. A login needs one: what a service issues is issued once.
#[derive(Debug)]
pub struct Tried(Lookup);

/// Tries the store out.
pub async fn tried(store: Lookup) -> Result<Tried, NotKept> {
    store.try_out().await.map_err(NotKept::NoStore)?;
    Ok(Tried(store))
}

impl Tried {
    /// Logs in. What is to be kept: all that the login brings where it can be renewed, else the token alone.
    pub async fn secret(
        &self,
        client_id: Option<&str>,
        login: impl Future<Output = Result<Tokens, LoginError>>,
    ) -> Result<Secret, NotKept> {
        Ok(entry_of(login.await?, client_id))
    }

    /// Keeps what a login has brought.
    pub async fn keep(&self, entry: &str, secret: Secret) -> Result<(), NotKept> {
        self.0.keep(entry, secret).await.map_err(NotKept::Lost)
    }
}

/// What the person is to do for the device flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePrompt {
    /// To be opened in any browser.
    pub page: String,
    /// To be typed there.
    pub code: String,
    pub expires_in: Duration,
}

/// Logs in by the device flow. `show` presents the code; this then waits for the approval.
pub async fn device(
    oauth: &OAuth,
    client_id: Option<&str>,
    patience: &Patience,
    show: impl FnOnce(&DevicePrompt),
) -> Result<Tokens, LoginError> {
    #[derive(Deserialize)]
    struct Started {
        device_code: String,
        user_code: String,
        #[serde(alias = "verification_url")]
        verification_uri: String,
        expires_in: u64,
        interval: Option<u64>,
    }
    let client_id = client(oauth, client_id)?;
    let device_url = oauth
        .device_url
        .as_deref()
        .ok_or_else(|| LoginError::NoDeviceFlow(oauth.authorize_url.clone()))?;
    // Before the first question, like all that can be known then.
    secure(&oauth.token_url)?;
    let http = Http::new(patience)?;
    let scopes = oauth.scopes.join(" ");
    let started: Started =
        http.post(device_url, &[("client_id", client_id), ("scope", &scopes)]).await?.parse()?;
    let device_code = Zeroizing::new(started.device_code);
    let printable = |text: &str| text.chars().all(|c| c.is_ascii_graphic()) && text.len() <= 200;
    if !printable(&started.user_code) || !printable(&started.verification_uri) {
        return Err(unexpected(device_url, "a code that cannot be shown"));
    }
    if secure(&started.verification_uri).is_err() {
        return Err(unexpected(device_url, "a page that is not an https address"));
    }
    let lifetime = Duration::from_secs(started.expires_in).min(patience.approval);
    show(&DevicePrompt {
        page: started.verification_uri,
        code: started.user_code,
        expires_in: lifetime,
    });
    let deadline = Instant::now() + lifetime;
    // RFC 8628 section 3.2: five seconds where the service says nothing.
    let asked = Duration::from_secs(started.interval.unwrap_or(5));
    let mut interval = asked.max(patience.interval).min(lifetime);
    loop {
        if Instant::now() + interval > deadline {
            return Err(LoginError::Expired);
        }
        tokio::time::sleep(interval).await;
        let form = [
            ("client_id", client_id),
            ("device_code", device_code.as_str()),
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ];
        let answer = match http.post(&oauth.token_url, &form).await {
            Ok(answer) => answer,
            // RFC 8628 section 3.5: a connection that fails is tried again, more slowly.
            Err(LoginError::Unreachable { .. }) => {
                interval *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        match answer.granted()? {
            Granted::Tokens(tokens) => return Ok(tokens),
            Granted::Error(error) => match error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval += Duration::from_secs(5),
                "expired_token" => return Err(LoginError::Expired),
                "access_denied" => return Err(LoginError::Refused),
                other => return Err(unexpected(&oauth.token_url, other)),
            },
        }
    }
}

/// Logs in with an authorization code and PKCE. `open` is given the page for the browser; the code
/// comes back to `http://127.0.0.1:PORT/callback`. Port 0 takes a free one, where the service's
/// application accepts any.
pub async fn browser(
    oauth: &OAuth,
    client_id: Option<&str>,
    port: u16,
    patience: &Patience,
    open: impl FnOnce(&Url),
) -> Result<Tokens, LoginError> {
    let client_id = client(oauth, client_id)?;
    secure(&oauth.token_url)?;
    let http = Http::new(patience)?;
    let verifier = random();
    let state = random();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let listener = loopback::Listener::bind(port)
        .await
        .map_err(|error| LoginError::Listen { port, reason: error.to_string() })?;
    let redirect = listener.redirect_url();
    let mut page = secure(&oauth.authorize_url)?;
    page.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", &redirect)
        .append_pair("scope", &oauth.scopes.join(" "))
        .append_pair("state", &state)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    open(&page);
    let code = match listener.wait(state, patience.approval).await {
        Some(Arrived::Code(code)) => code,
        Some(Arrived::Refused) => return Err(LoginError::Refused),
        None => return Err(LoginError::Unapproved(patience.approval)),
    };
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", &redirect),
        ("client_id", client_id),
        ("code_verifier", &verifier),
    ];
    match http.post(&oauth.token_url, &form).await?.granted()? {
        Granted::Tokens(tokens) => Ok(tokens),
        Granted::Error(error) => Err(unexpected(&oauth.token_url, &error)),
    }
}

/// A new access token for a refresh token.
pub async fn refresh(
    oauth: &OAuth,
    client_id: Option<&str>,
    token: &Secret,
    patience: &Patience,
) -> Result<Tokens, LoginError> {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.expose()),
        ("client_id", client(oauth, client_id)?),
    ];
    match Http::new(patience)?.post(&oauth.token_url, &form).await?.granted()? {
        Granted::Tokens(tokens) => Ok(tokens),
        Granted::Error(error) => Err(unexpected(&oauth.token_url, &error)),
    }
}

fn client<'a>(oauth: &'a OAuth, given: Option<&'a str>) -> Result<&'a str, LoginError> {
    given.or(oauth.client_id.as_deref()).ok_or(LoginError::NoClientId)
}

/// 256 random bits, in characters that need no escape.
fn random() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    // The kernel's source cannot fail once the system is up, and a guessable code must never go out.
    getrandom::fill(&mut *bytes).expect("the system has a source of randomness");
    Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

fn secure(text: &str) -> Result<Url, LoginError> {
    let url = Url::parse(text).map_err(|_| LoginError::NotSecure(text.to_owned()))?;
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    };
    match (url.scheme(), address) {
        ("https", None) => Ok(url),
        ("https", Some(address)) => {
            judge_literal(address, false).map_err(|refused| not_public(&refused))?;
            Ok(url)
        }
        ("http", Some(address)) if address.is_loopback() => Ok(url),
        _ => Err(LoginError::NotSecure(text.to_owned())),
    }
}

fn not_public(refused: &Refused) -> LoginError {
    let Refused { host, address, reach } = refused;
    LoginError::Local(format!(
        "{host} leads to the {reach} address {address}, where no login is made"
    ))
}

fn unexpected(url: &str, what: &str) -> LoginError {
    let place = Url::parse(url).map(|url| url.origin().ascii_serialization());
    LoginError::Unexpected {
        place: place.unwrap_or_else(|_| url.to_owned()),
        what: omnifs_text::printable(what).chars().take(200).collect(),
    }
}

struct Http(reqwest::Client);

/// A JSON answer of a token endpoint.
struct Answer {
    url: String,
    body: Zeroizing<Vec<u8>>,
}

enum Granted {
    Tokens(Tokens),
    Error(String),
}

impl Http {
    fn new(patience: &Patience) -> Result<Self, LoginError> {
        // Fails where the process has one already, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(concat!("omnifs/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Guard::of_public_places())
            .timeout(patience.request)
            .build()
            .map(Http)
            .map_err(|error| LoginError::Unreachable {
                place: "any server".to_owned(),
                reason: error.to_string(),
            })
    }

    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Answer, LoginError> {
        /// A token answer is under a kilobyte.
        const MOST: usize = 64 << 10;
        let target = secure(url)?;
        let place = target.origin().ascii_serialization();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let failed = |error: reqwest::Error| {
            let place = place.clone();
            if error.is_timeout() {
                return LoginError::Unreachable { place, reason: "no answer in time".to_owned() };
            }
            let error = error.without_url();
            let bottom = innermost(&error);
            match bottom.downcast_ref::<Refused>() {
                Some(refused) => not_public(refused),
                None => LoginError::Unreachable { place, reason: bottom.to_string() },
            }
        };
        let response = self
            .0
            .post(target)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        // RFC 6749 section 5.2: errors come with status 400 or 401; some services send them with 200.
        if !matches!(status.as_u16(), 200 | 400 | 401 | 403) {
            return Err(unexpected(url, &format!("status {}", status.as_u16())));
        }
        let mut body = Zeroizing::new(Vec::with_capacity(MOST));
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            if body.len() + chunk.len() > MOST {
                return Err(unexpected(url, "more than 64 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { url: url.to_owned(), body })
    }
}

impl Answer {
    fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, LoginError> {
        if let Ok(parsed) = serde_json::from_slice(&self.body) {
            return Ok(parsed);
        }
        // An error in JSON names itself; of anything else nothing is repeated.
        match self.error() {
            Some(error) => Err(unexpected(&self.url, &error)),
            None => Err(unexpected(&self.url, "something that is no OAuth answer")),
        }
    }

    fn error(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        serde_json::from_slice::<Refusal>(&self.body).ok().map(|refusal| refusal.error)
    }

    fn granted(&self) -> Result<Granted, LoginError> {
        #[derive(Deserialize)]
        struct Issued {
            access_token: String,
            refresh_token: Option<String>,
            expires_in: Option<u64>,
        }
        if let Some(error) = self.error() {
            return Ok(Granted::Error(error));
        }
        let issued: Issued = self.parse()?;
        let refresh = issued.refresh_token.and_then(Secret::trimmed);
        let access = Secret::trimmed(issued.access_token)
            .ok_or_else(|| unexpected(&self.url, "an empty access token"))?;
        Ok(Granted::Tokens(Tokens {
            access,
            refresh,
            expires_in: issued.expires_in.map(Duration::from_secs),
        }))
    }
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    bottom
}
