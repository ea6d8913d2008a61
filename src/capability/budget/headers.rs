//! What an answer says of its rate limits, in the headers and words that the manifest names.

use crate::provider::{self, Limits, ResetUnit, WindowName};
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
    /// The refusal asks for a longer pause, whatever the windows say.
    pub slow_down: bool,
    pub retry_after: Option<Duration>,
}

/// No stop is believed beyond this: a service's windows are an hour or a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(
    limits: &Limits,
    post: bool,
    (status, headers, body): (u16, &HeaderMap, &[u8]),
    now: SystemTime,
) -> Observation {
    let clock = Skew::of(headers, now);
    let windows = limits.windows.iter().filter_map(|declared| window(declared, headers, &clock));
    let mut seen = Observation { windows: windows.collect(), ..Observation::default() };
    let refusing = (400..500).contains(&status);
    // GraphQL services refuse with 200 too. Most answers are neither, and are not parsed.
    let worth = !limits.throttled.is_empty()
        && (refusing || post && status == 200 && holds(body, b"\"errors\""));
    let said = if worth { Said::parse(body) } else { Said::default() };
    let message = said.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let by_code = limits.throttled.iter().any(|word| said.has_code(word));
    let by_message = limits.throttled.iter().any(|words| message.contains(words.as_str()));
    let retry_after = retry_after(headers, &clock);
    let spent = seen.windows.iter().find(|w| w.remaining < w.cost.unwrap_or(1).max(1));
    seen.slow_down =
        limits.slow_down.iter().any(|word| message.contains(word.as_str()) || said.has_code(word));
    seen.limited = match status {
        429 => true,
        403 => retry_after.is_some() || spent.is_some() || by_code || by_message,
        200 => by_code,
        _ => refusing && (by_code || by_message),
    };
    if seen.limited && !seen.slow_down {
        seen.spent = spent.map(|window| window.resource.clone());
        if seen.spent.is_none() && by_code && retry_after.is_none() {
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

/// The window as these headers state it; nothing where one of them is missing.
fn window(declared: &provider::Window, headers: &HeaderMap, clock: &Skew) -> Option<Window> {
    /// Of a window whose own name the service leaves out.
    const UNNAMED: &str = "requests";
    let limit = number(headers, &declared.limit)?;
    let remaining = number(headers, &declared.remaining)?;
    let reset = number(headers, &declared.reset)?;
    let name = match &declared.name {
        WindowName::Fixed(name) => name,
        WindowName::Header(name) => text(headers, name).unwrap_or(UNNAMED),
    };
    Some(Window {
        resource: omnifs_text::printable(name).chars().take(64).collect(),
        limit,
        remaining,
        reset: match declared.reset_unit {
            ResetUnit::EpochSeconds => clock.local(epoch(Duration::from_secs(reset))),
            ResetUnit::EpochMilliseconds => clock.local(epoch(Duration::from_millis(reset))),
            ResetUnit::Seconds => clock.here + Duration::from_secs(reset).min(LONGEST),
        },
        cost: declared.cost.as_ref().and_then(|name| number(headers, name)),
        falls_only: declared.fixed,
    })
}

/// The part of an error answer, GraphQL or REST, that speaks of limits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    message: Option<String>,
    errors: Option<Vec<SaidError>>,
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

    fn has_code(&self, word: &str) -> bool {
        self.errors.iter().flatten().any(|error| {
            let code = error.extensions.as_ref().and_then(|extensions| extensions.code.as_deref());
            [error.kind.as_deref(), code]
                .into_iter()
                .flatten()
                .any(|c| c.eq_ignore_ascii_case(word))
        })
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

/// How long what is answered has been as it is, by both of the service's dates, in whole seconds. Nothing where it sends
/// only one of them, or says that it answered before.
pub(in crate::capability) fn unchanged_for(headers: &HeaderMap) -> Option<Duration> {
    let at = |name| text(headers, name).and_then(date);
    at("date")?.duration_since(at("last-modified")?).ok()
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
