//! How services say what is left of a rate limit: GitHub's and Linear's headers and errors.
//!
//! GitHub: docs.github.com, "Rate limits for the REST API" and "Rate limits and query limits for the
//! GraphQL API". Linear: linear.app/developers, "Rate limiting".

use http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One limit as an answer states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub resource: String,
    pub limit: u64,
    pub remaining: u64,
    /// By the local clock.
    pub reset: SystemTime,
    /// What this request cost, where the service says.
    pub cost: Option<u64>,
    /// Until the reset the remainder never rises (a fixed window, not a leaky bucket).
    pub falls_only: bool,
}

#[derive(Debug, Default)]
pub(super) struct Observation {
    pub windows: Vec<Window>,
    /// The answer is a refusal for the rate of requests.
    pub limited: bool,
    /// The limit that is used up, where it is one of the known windows.
    pub spent: Option<String>,
    pub secondary: bool,
    pub retry_after: Option<Duration>,
}

/// No stop is believed beyond this: a service's windows are an hour or a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(
    post: bool,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Observation {
    let clock = Skew::of(headers, now);
    let mut seen = Observation::default();
    github(headers, &clock, &mut seen);
    linear(headers, &clock, &mut seen);
    let refusing = matches!(status, 400 | 403 | 429);
    // Most answers are neither, and are not parsed.
    let worth = refusing
        || (post
            && status == 200
            && (holds(body, b"RATE_LIMITED")
                || holds(body, b"RATELIMITED")
                || holds(body, b"rateLimit")));
    let said = if worth { Said::parse(body) } else { Said::default() };
    if let Some(rate) = said.data.and_then(|data| data.rate_limit) {
        rate.observe(&clock, &mut seen);
    }
    let kinds: Vec<&str> = said
        .errors
        .iter()
        .flatten()
        .flat_map(|error| {
            let extensions = error.extensions.as_ref();
            [error.kind.as_deref(), extensions.and_then(|e| e.code.as_deref())]
        })
        .flatten()
        .collect();
    let by_body = kinds.iter().any(|kind| matches!(*kind, "RATE_LIMITED" | "RATELIMITED"));
    let message = said.message.unwrap_or_default().to_ascii_lowercase();
    let retry_after = retry_after(headers, &clock);
    let spent = seen.windows.iter().find(|w| w.remaining < w.cost.unwrap_or(1).max(1));
    seen.secondary =
        message.contains("secondary rate limit") || message.contains("abuse detection");
    seen.limited = match status {
        429 => true,
        403 => retry_after.is_some() || spent.is_some() || message.contains("rate limit"),
        200 => post && by_body,
        400 => by_body,
        _ => false,
    };
    if seen.limited && !seen.secondary {
        seen.spent = spent.map(|window| window.resource.clone());
        if seen.spent.is_none() && by_body && retry_after.is_none() {
            // The service says that a budget is gone and not which: the tightest one it named.
            seen.spent = seen
                .windows
                .iter()
                .min_by_key(|w| w.remaining.saturating_mul(1000) / w.limit.max(1))
                .map(|window| window.resource.clone());
        }
    }
    seen.retry_after = retry_after;
    seen
}

/// The service's clock against ours. Resets are absolute by its clock, and laptops are off.
struct Skew {
    service: Option<SystemTime>,
    here: SystemTime,
}

impl Skew {
    fn of(headers: &HeaderMap, here: SystemTime) -> Self {
        Skew { service: text(headers, header::DATE.as_str()).and_then(date), here }
    }

    fn local(&self, reset: SystemTime) -> SystemTime {
        let service = self.service.unwrap_or(self.here);
        self.here + reset.duration_since(service).unwrap_or_default().min(LONGEST)
    }
}

fn github(headers: &HeaderMap, clock: &Skew, seen: &mut Observation) {
    let (Some(limit), Some(remaining), Some(reset)) = (
        number(headers, "x-ratelimit-limit"),
        number(headers, "x-ratelimit-remaining"),
        number(headers, "x-ratelimit-reset"),
    ) else {
        return;
    };
    let resource = text(headers, "x-ratelimit-resource").unwrap_or("requests");
    seen.windows.push(Window {
        resource: resource.chars().filter(|c| !c.is_control()).take(64).collect(),
        limit,
        remaining,
        reset: clock.local(epoch(Duration::from_secs(reset))),
        cost: None,
        falls_only: true,
    });
}

fn linear(headers: &HeaderMap, clock: &Skew, seen: &mut Observation) {
    for (resource, prefix, cost) in [
        ("requests", "x-ratelimit-requests", None),
        ("complexity", "x-ratelimit-complexity", Some("x-complexity")),
        ("endpoint", "x-ratelimit-endpoint-requests", None),
    ] {
        let field = |suffix: &str| number(headers, &format!("{prefix}-{suffix}"));
        let (Some(limit), Some(remaining), Some(reset)) =
            (field("limit"), field("remaining"), field("reset"))
        else {
            continue;
        };
        seen.windows.push(Window {
            resource: resource.to_owned(),
            limit,
            remaining,
            reset: clock.local(epoch(Duration::from_millis(reset))),
            cost: cost.and_then(|name| number(headers, name)),
            falls_only: false,
        });
    }
}

/// The part of an error answer, GraphQL or REST, that speaks of limits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    message: Option<String>,
    errors: Option<Vec<SaidError>>,
    data: Option<SaidData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidError {
    #[serde(rename = "type")]
    kind: Option<String>,
    extensions: Option<Extensions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extensions {
    code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidData {
    #[serde(rename = "rateLimit")]
    rate_limit: Option<RateLimit>,
}

/// GitHub's `rateLimit` object, where the query asked for it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    limit: Option<u64>,
    remaining: Option<u64>,
    reset_at: Option<String>,
    cost: Option<u64>,
}

impl Said {
    /// REST errors have entries of other shapes, so a part that does not fit is left out.
    fn parse(body: &[u8]) -> Said {
        if let Ok(said) = serde_json::from_slice(body) {
            return said;
        }
        #[derive(Deserialize)]
        struct Message {
            message: Option<String>,
            #[serde(rename = "errors")]
            _errors: Option<IgnoredAny>,
        }
        let message = serde_json::from_slice::<Message>(body).ok().and_then(|m| m.message);
        Said { message, ..Said::default() }
    }
}

impl RateLimit {
    fn observe(&self, clock: &Skew, seen: &mut Observation) {
        let reset = self.reset_at.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let (Some(remaining), Some(reset)) = (self.remaining, reset) else { return };
        let window = Window {
            resource: "graphql".to_owned(),
            limit: self.limit.unwrap_or(remaining),
            remaining,
            reset: clock.local(reset.into()),
            cost: self.cost,
            falls_only: true,
        };
        match seen.windows.iter_mut().find(|known| known.resource == window.resource) {
            Some(known) => known.cost = window.cost,
            None => seen.windows.push(window),
        }
    }
}

/// Seconds or an HTTP date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, clock: &Skew) -> Option<Duration> {
    let value = text(headers, header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let at = clock.local(date(value)?);
    Some(at.duration_since(clock.here).unwrap_or_default())
}

/// Whether a 503 asks for a pause, and for how long.
pub(in crate::capability) fn pause_asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers, &Skew::of(headers, now))
}

pub(in crate::capability) fn date(value: &str) -> Option<SystemTime> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok().map(Into::into)
}

/// Saturates: what a service sends may lie beyond what the clock can hold.
fn epoch(since: Duration) -> SystemTime {
    const FAR: Duration = Duration::from_secs(1 << 36);
    UNIX_EPOCH + since.min(FAR)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let value = text(headers, name)?.trim();
    // Some services write these as decimal fractions.
    value.split('.').next()?.parse().ok()
}

fn holds(body: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(body, word).is_some()
}
