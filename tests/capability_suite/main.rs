//! The HTTP capability against scripted servers on loopback.

#![cfg(unix)]
// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used)]

mod answers;
mod bodies;
mod budget;
mod challenges;
mod credentials;
mod egress;
mod elsewhere;
mod gate;
mod login;
mod parts;
#[cfg(all(feature = "sql", target_os = "linux"))]
mod postgres;
mod redirects;
mod retries;
mod schemes;
mod server;
mod sessions;
#[cfg(target_os = "linux")]
mod signatures;
#[cfg(feature = "sql")]
mod sql;
mod tls;
mod whose;

use omnifs::capability::validators::Validators;
use omnifs::capability::{Limits, Outbound, Override, Setup};
use omnifs::credentials::Environment;
use omnifs::provider::{
    self, Cause, Credential, Endpoint, Failure, Manifest, Method, Request, ResetUnit, Response,
    Scheme, Upstream, Window, WindowName,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "ghp_0123456789abcdefSECRET";

fn endpoint() -> Endpoint {
    Endpoint {
        name: "api".to_owned(),
        default_url: "https://api.example.test".to_owned(),
        url_environment: Some("EXAMPLE_URL".to_owned()),
        allow: vec![
            (Method::Get, "/things/**".to_owned()),
            (Method::Head, "/things/*".to_owned()),
            (Method::Post, "/graphql".to_owned()),
            (Method::Get, "/search/*".to_owned()),
        ],
        credentials: vec!["token".to_owned()],
        redirect_hosts: vec!["logs.example.test".to_owned()],
        limits: rate_limits(),
        purpose: "tests".to_owned(),
        nearby: None,
        bodies: None,
        session: None,
        statements: Vec::new(),
    }
}

/// A window whose name is in a header, one of a fixed name, and what refusals say.
fn rate_limits() -> provider::Limits {
    let window = |name, middle: &str, reset_unit, fixed| Window {
        name,
        limit: format!("x-ratelimit{middle}-limit"),
        remaining: format!("x-ratelimit{middle}-remaining"),
        reset: format!("x-ratelimit{middle}-reset"),
        reset_unit,
        cost: None,
        fixed,
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    provider::Limits {
        windows: vec![
            window(
                WindowName::Header("x-ratelimit-resource".to_owned()),
                "",
                ResetUnit::EpochSeconds,
                true,
            ),
            window(
                WindowName::Fixed("requests".to_owned()),
                "-requests",
                ResetUnit::EpochMilliseconds,
                false,
            ),
        ],
        throttled: texts(&[
            "rate_limited",
            "ratelimited",
            "secondary rate limit",
            "rate limit exceeded",
        ]),
        slow_down: texts(&["secondary rate limit"]),
    }
}

fn credential() -> Credential {
    Credential {
        name: "token".to_owned(),
        scheme: Scheme::Bearer,
        // The servers of these tests are not where the manifest has its service.
        environment_elsewhere: vec!["EXAMPLE_TOKEN_HERE".to_owned()],
        environment: vec!["EXAMPLE_TOKEN".to_owned(), "EXAMPLE_TOKEN_2".to_owned()],
        raw_prefixes: vec!["lin_api_".to_owned()],
        help_url: "https://example.test/tokens".to_owned(),
        ..Credential::default()
    }
}

fn manifest() -> Manifest {
    Manifest {
        name: "example".to_owned(),
        endpoints: vec![endpoint()],
        credentials: vec![credential()],
        ..Manifest::default()
    }
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let map: HashMap<String, String> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment::from_fn(move |name| map.get(name).cloned())
}

/// Quick, with a secret from the environment, at `url`.
fn setup(url: &str) -> Setup {
    let mut setup = Setup::new("example", manifest(), Arc::new(Validators::new(8 << 20)));
    setup.environment = environment(&[("EXAMPLE_TOKEN_HERE", SECRET)]);
    setup.overrides.insert("api".to_owned(), Override::from(url));
    setup.limits = Limits {
        connect: Duration::from_secs(2),
        total: Duration::from_secs(5),
        retry_pause: Duration::from_millis(5),
        ..Limits::default()
    };
    setup
}

fn outbound(url: &str) -> Outbound {
    Outbound::new(setup(url)).unwrap()
}

fn get(path: &str) -> Request {
    Request {
        endpoint: "api".to_owned(),
        method: Method::Get,
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

fn post(body: &'static str) -> Request {
    Request {
        method: Method::Post,
        path: "/graphql".to_owned(),
        body: Some(body.into()),
        ..get("/")
    }
}

async fn fetch(outbound: &Outbound, request: Request) -> Result<Response, Failure> {
    let result = outbound.fetch(request).await;
    // Whatever a test is about: no answer and no error holds the secret.
    assert!(!format!("{result:?} {outbound:?} {:?}", outbound.status()).contains(SECRET));
    if let Err(failure) = &result {
        assert!(!failure.detail.contains('\n'), "{failure}");
        assert!(!failure.to_string().contains(SECRET));
    }
    result
}

async fn fails(outbound: &Outbound, request: Request) -> (Cause, String) {
    let failure = fetch(outbound, request).await.expect_err("the request must fail");
    (failure.cause, failure.detail)
}

fn header_of<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let line = request.lines().find(|line| {
        line.split_once(':').is_some_and(|(other, _)| other.eq_ignore_ascii_case(name))
    });
    line.and_then(|line| Some(line.split_once(':')?.1.trim()))
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}
