//! What GitHub says with an answer beyond its status.

use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::{Error, content};
use serde_json::Value;

/// What GitHub asks for where it names a secondary limit and no time
/// ("Rate limits for the REST API").
const A_MINUTE: u32 = 60;

pub fn judge(request: &Request, answer: &Response) -> Option<Error> {
    if is_elsewhere(request, answer) {
        return Some(Error::NotFound);
    }
    if !matches!(answer.status, 403 | 451) || answer.is_throttled() {
        return None;
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let codes = body["errors"].as_array().into_iter().flatten();
    if codes.into_iter().any(|error| error["code"] == "too_large") {
        return Some(Error::TooLarge);
    }
    let text = |value: &Value| content::one_line(value.as_str().unwrap_or_default());
    if text(&body["documentation_url"]).contains("secondary-rate-limits") {
        return Some(Error::RateLimited(Some(A_MINUTE)));
    }
    let mends = [
        header(answer, "x-github-sso", sso),
        header(answer, "x-accepted-github-permissions", |needed| {
            Some(format!("the token needs the permission {needed}"))
        }),
        header(answer, "x-accepted-oauth-scopes", |needed| {
            Some(format!("the token needs one of the scopes {needed}"))
        }),
        // Why a repository is blocked.
        Some(text(&body["block"]["html_url"])).filter(|page| !page.is_empty()),
    ];
    let said = [Some(answer.complaint())].into_iter().chain(mends).flatten();
    Some(Error::Denied(said.collect::<Vec<_>>().join("; ")))
}

fn header(answer: &Response, name: &str, read: fn(&str) -> Option<String>) -> Option<String> {
    let value = content::one_line(answer.header(name)?.trim());
    if value.is_empty() { None } else { read(&value) }
}

/// `required; url=https://github.com/orgs/acme/sso?authorization_request=...`
fn sso(value: &str) -> Option<String> {
    let (_, url) = value.strip_prefix("required;")?.split_once("url=")?;
    Some(format!("authorize the token for the organization at {url}"))
}

/// Whether another repository answered: an issue that was transferred redirects to what it has
/// become there, which may even have the same number.
fn is_elsewhere(request: &Request, answer: &Response) -> bool {
    let repository = |path: &str| {
        let (_, rest) = path.split_once("/repositories/")?;
        rest.split(['/', '?']).next().map(str::to_owned)
    };
    let Some(asked) = repository(request.path()) else { return false };
    answer.header("content-location").is_some_and(|path| repository(path) != Some(asked))
}
