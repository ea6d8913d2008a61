//! What stands between a request and its document at GitHub: credentials, rate limits,
//! validators, and the headers that tell of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::GithubSetup;
use super::data::World;
use super::device::Device;
use super::routes::{self, Ask, Stored, error, signature, stored};
use super::view::{Memo, View};
use crate::clock::{http_date, lock, parse_http_date};
use crate::fault::Fault;
use crate::history::History;
use crate::requests::{credential_hash, hex, secret_of};
use crate::rng::Rng;
use crate::server::{Answer, Harness, Incoming, Service};

const HOUR: i64 = 3_600;
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

#[derive(Debug)]
pub(crate) struct Shared {
    pub harness: Harness,
    pub state: Mutex<State>,
    pub tokens: Mutex<Vec<String>>,
    pub scopes: Mutex<Option<String>>,
    pub device: Device,
    pub api: String,
    pub storage: String,
}

#[derive(Debug)]
pub(crate) struct State {
    pub world: World,
    pub history: History,
    pub limits: Limits,
    pub poll_interval: u32,
    pub edit_events: bool,
    /// Numbers events and deliveries.
    pub last_event: u64,
    pub held_at: Option<u64>,
    pub rng: Rng,
}

impl State {
    pub fn hold_events(&mut self, hold: bool) {
        self.held_at = hold.then_some(self.held_at.unwrap_or(self.last_event));
    }
}

/// One hour's budget for each credential.
#[derive(Debug)]
pub(crate) struct Limits {
    limit: u64,
    windows: HashMap<String, Window>,
    /// What a credential not seen yet has already used.
    used: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    used: u64,
    reset: i64,
}

impl Limits {
    pub fn set(&mut self, limit: u64, remaining: u64) {
        self.limit = limit;
        self.used = limit.saturating_sub(remaining);
        for window in self.windows.values_mut() {
            window.used = self.used;
        }
    }

    fn window(&mut self, credential: &str, now: i64) -> &mut Window {
        let fresh = Window { used: self.used, reset: now + HOUR };
        let window = self.windows.entry(credential.to_owned()).or_insert(fresh);
        if window.reset <= now {
            *window = Window { used: 0, reset: now + HOUR };
        }
        window
    }
}

impl Shared {
    pub fn new(world: World, setup: &GithubSetup, ports: (u16, u16)) -> Self {
        let floor = world.newest();
        Self {
            harness: Harness::new(floor),
            state: Mutex::new(State {
                world,
                history: History::default(),
                limits: Limits { limit: setup.rate_limit, windows: HashMap::new(), used: 0 },
                poll_interval: setup.poll_interval,
                edit_events: false,
                last_event: 40_000_000_000,
                held_at: None,
                rng: Rng::new(setup.seed),
            }),
            tokens: Mutex::new(setup.tokens.clone()),
            scopes: Mutex::default(),
            device: Device::default(),
            api: format!("http://127.0.0.1:{}", ports.0),
            storage: format!("http://127.0.0.1:{}", ports.1),
        }
    }

    /// The credential's name in the limits, or why it is refused.
    fn admit(&self, request: &Incoming) -> Result<String, Box<Answer>> {
        let refuse = |status, message| Err(Box::new(error(status, message)));
        if request.header("user-agent").is_none_or(str::is_empty) {
            return refuse(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a \
                 User-Agent header",
            );
        }
        if let Some(version) = request.header("x-github-api-version")
            && !VERSIONS.contains(&version)
        {
            return refuse(400, "The requested API version is not supported");
        }
        let secret = request.header("authorization").map(secret_of);
        let tokens = lock(&self.tokens);
        match secret {
            None if tokens.is_empty() => Ok("anonymous".to_owned()),
            None => refuse(401, "Requires authentication"),
            Some(secret) if tokens.is_empty() || tokens.iter().any(|t| t == secret) => {
                Ok(credential_hash(secret))
            }
            Some(_) => refuse(401, "Bad credentials"),
        }
    }

    fn limit_headers(&self, state: &mut State, credential: &str, answer: &mut Answer) {
        let now = self.harness.clock.now();
        let limit = state.limits.limit;
        let Window { used, reset } = *state.limits.window(credential, now);
        answer.set("x-ratelimit-limit", limit.to_string());
        answer.set("x-ratelimit-remaining", limit.saturating_sub(used).to_string());
        answer.set("x-ratelimit-used", used.min(limit).to_string());
        answer.set("x-ratelimit-reset", reset.to_string());
        answer.set("x-ratelimit-resource", "core");
    }

    fn dress(&self, request: &Incoming, mut answer: Answer) -> Answer {
        let version = request.header("x-github-api-version").unwrap_or(VERSIONS[0]);
        let version = if VERSIONS.contains(&version) { version } else { VERSIONS[0] };
        answer.set("date", http_date(self.harness.clock.now()));
        answer.set("server", "github.com");
        if let Some(scopes) = lock(&self.scopes).as_ref().filter(|_| answer.status < 400) {
            answer.set("x-oauth-scopes", scopes.clone());
        }
        answer.set("x-github-api-version-selected", version.to_owned());
        answer.set("x-github-media-type", "github.v3; format=json");
        answer.set("vary", "Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding");
        answer
    }

    fn budget_document(&self, state: &mut State, credential: &str) -> Answer {
        let now = self.harness.clock.now();
        let limit = state.limits.limit;
        let Window { used, reset } = *state.limits.window(credential, now);
        let used = used.min(limit);
        let core = json!({"limit": limit, "used": used, "remaining": limit - used, "reset": reset});
        let search = json!({"limit": 30, "used": 0, "remaining": 30, "reset": now + 60});
        let body = json!({"resources": {"core": core, "search": search}, "rate": core});
        let mut answer = Answer::new(200, "application/json; charset=utf-8", body.to_string());
        answer.counted = false;
        answer
    }
}

impl Service for Shared {
    fn name(&self) -> &'static str {
        "api"
    }

    fn harness(&self) -> &Harness {
        &self.harness
    }

    fn answer(&self, request: &Incoming) -> Answer {
        // As an Enterprise Server has its API.
        let below = request.path.strip_prefix("/api/v3").filter(|path| path.starts_with('/'));
        if let Some(path) = below {
            return self.answer(&Incoming { path: path.to_owned(), ..request.clone() });
        }
        if let Some((answer, issued)) = self.device.answer(request, &self.api) {
            lock(&self.tokens).extend(issued);
            return answer;
        }
        let credential = match self.admit(request) {
            Ok(credential) => credential,
            Err(mut refused) => {
                refused.counted = false;
                return self.dress(request, *refused);
            }
        };
        let mut state = lock(&self.state);
        let now = self.harness.clock.now();
        let mut answer = if request.path == "/rate_limit" {
            self.budget_document(&mut state, &credential)
        } else if state.limits.window(&credential, now).used >= state.limits.limit {
            let mut refused = error(
                403,
                "API rate limit exceeded for user ID 1. If you reach out to GitHub Support for \
                 help, please include the request ID.",
            );
            refused.counted = false;
            refused
        } else {
            let memo = Memo::default();
            let view = View { world: &state.world, api: &self.api, memo: &memo };
            let ask = Ask {
                view,
                storage: &self.storage,
                request,
                pairs: request.pairs(),
                last_event: state.held_at.unwrap_or(u64::MAX),
            };
            let found = ask.find();
            validate(request, routes::answer(found, &ask, state.poll_interval))
        };
        if answer.counted {
            state.limits.window(&credential, now).used += 1;
        }
        self.limit_headers(&mut state, &credential, &mut answer);
        drop(state);
        self.dress(request, answer)
    }

    fn refuse(&self, fault: Fault, request: &Incoming) -> Answer {
        let mut answer = match fault {
            Fault::PrimaryLimit { .. } => error(403, "API rate limit exceeded for user ID 1."),
            Fault::SecondaryLimit { .. } => error(
                403,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you \
                 try again.",
            ),
            Fault::TooMany { .. } => error(429, "Too many requests"),
            Fault::Status(status) => error(status, reason(status)),
            _ => error(500, reason(500)),
        };
        answer.counted = false;
        let credential = match self.admit(request) {
            Ok(credential) => credential,
            Err(_) => "anonymous".to_owned(),
        };
        self.limit_headers(&mut lock(&self.state), &credential, &mut answer);
        match fault {
            Fault::PrimaryLimit { reset_in } => {
                let reset = self.harness.clock.now() + i64::from(reset_in);
                answer.set("x-ratelimit-remaining", "0");
                answer.set("x-ratelimit-reset", reset.to_string());
            }
            Fault::SecondaryLimit { retry_after } | Fault::TooMany { retry_after } => {
                answer.set("retry-after", retry_after.to_string());
            }
            _ => {}
        }
        self.dress(request, answer)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        401 => "Bad credentials",
        403 => "Resource not accessible by personal access token",
        404 => "Not Found",
        410 => "This issue was deleted",
        429 => "Too many requests",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Server Error",
    }
}

/// Gives the answer its ETag, and answers 304 where the client holds it already. A 304 costs
/// nothing (GitHub, "Best practices for using the REST API").
fn validate(request: &Incoming, mut answer: Answer) -> Answer {
    if answer.status != 200 {
        return answer;
    }
    let etag = format!("W/\"{}\"", hex(&Sha256::digest(&answer.body)));
    let date = answer.headers.iter().find(|(name, _)| *name == "last-modified");
    let fresh = match request.header("if-none-match") {
        // Weak comparison (RFC 9110 section 13.1.2), which also accepts the strong form.
        Some(held) => held.split(',').any(|held| {
            let held = held.trim();
            held == "*" || held.trim_start_matches("W/") == etag.trim_start_matches("W/")
        }),
        None => match (request.header("if-modified-since").and_then(parse_http_date), date) {
            (Some(held), Some((_, changed))) => parse_http_date(changed).is_some_and(|c| c <= held),
            _ => false,
        },
    };
    answer.set("etag", etag);
    answer.set("cache-control", "private, max-age=60, s-maxage=60");
    if fresh {
        answer.status = 304;
        answer.counted = false;
        answer.body = Default::default();
        answer.headers.retain(|(name, _)| *name != "content-type");
    }
    answer
}

/// The content, or the part of it that is asked for (RFC 9110, section 14), as object storage does.
fn ranged(request: &Incoming, stored: Stored) -> Answer {
    let Stored { content_type, body, digest } = stored;
    let etag = format!("\"0x{}\"", &digest[..16]);
    let total = body.len();
    if request.header("if-match").is_some_and(|held| held != "*" && held != etag) {
        return Answer::new(412, "application/xml", "<Error><Code>ConditionNotMet</Code></Error>");
    }
    let dressed = |answer: Answer| answer.with("etag", etag.clone()).with("accept-ranges", "bytes");
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return dressed(Answer::new(200, &content_type, body));
    };
    let last = last.parse().unwrap_or(usize::MAX).min(total.saturating_sub(1));
    match first.parse::<usize>() {
        Ok(first) if first <= last && first < total => {
            let part = Answer::new(206, &content_type, body.slice(first..=last));
            dressed(part).with("content-range", format!("bytes {first}-{last}/{total}"))
        }
        _ => Answer::new(416, "application/xml", "<Error><Code>InvalidRange</Code></Error>")
            .with("content-range", format!("bytes */{total}")),
    }
}

/// The second host: downloads by signed URL. It takes no credential and refuses one.
#[derive(Debug)]
pub(crate) struct Storage(pub Arc<Shared>);

impl Service for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn harness(&self) -> &Harness {
        &self.0.harness
    }

    fn answer(&self, request: &Incoming) -> Answer {
        let refuse = |status: u16, text: &str| Answer {
            counted: false,
            ..Answer::new(status, "application/xml", format!("<Error><Code>{text}</Code></Error>"))
        };
        // A storage service takes the header for an attempt to sign in and fails it.
        if request.headers.contains_key("authorization") {
            return refuse(400, "InvalidAuthenticationInfo");
        }
        let segments = request.segments();
        let [kind, id] = segments.as_slice() else { return refuse(404, "BlobNotFound") };
        let Ok(id) = id.parse::<u64>() else { return refuse(404, "BlobNotFound") };
        if request.query.as_deref() != Some(&signature(kind, id)) {
            return refuse(403, "AuthenticationFailed");
        }
        let state = lock(&self.0.state);
        match stored(state.world.repos.values(), kind, id) {
            Some(stored) => Answer { counted: false, ..ranged(request, stored) },
            None => refuse(404, "BlobNotFound"),
        }
    }

    fn refuse(&self, fault: Fault, _request: &Incoming) -> Answer {
        let status = match fault {
            Fault::Status(status) => status,
            Fault::TooMany { .. } => 429,
            _ => 503,
        };
        let body = "<Error><Code>ServerBusy</Code></Error>";
        Answer { counted: false, ..Answer::new(status, "application/xml", body) }
    }
}
