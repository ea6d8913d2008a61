//! A checked manifest in the host's own types.

use super::raw;
use crate::provider::{
    Algorithm, Bodies, ConfigKey, Contexts, Credential, Encoding, Endpoint, Feed, FeedKind,
    Handshake, Limits, Method, Nearby, OAuth, OtherHost, OtherLogin, Part, PathDoc, Probe,
    ResetUnit, Scheme, Scope, Scopes, Search, SecretForm, Session, Signature, Timestamp,
    TimestampPlace, TimestampUnit, Window, WindowName,
};
use crate::wasm::convert;
use std::time::Duration;

pub(super) fn config_key(raw: raw::ConfigKey) -> ConfigKey {
    ConfigKey { name: raw.name, description: raw.description, default: raw.default_value }
}

pub(super) fn path_doc(raw: raw::PathDoc) -> PathDoc {
    PathDoc {
        pattern: raw.pattern,
        summary: raw.summary,
        entries: raw.entries,
        example: raw.example,
        requests: raw.requests,
        page: raw.page,
        each_open: raw.each_open,
        search: match raw.search {
            raw::Search::Enter => Search::Enter,
            raw::Search::Again => Search::Again,
            raw::Search::Costly => Search::Costly,
        },
    }
}

pub(super) fn endpoint(raw: raw::Endpoint) -> Endpoint {
    let rule = |rule: raw::Rule| -> (Method, String) { (convert::method(rule.method), rule.path) };
    Endpoint {
        name: raw.name,
        // Components are the same everywhere.
        default_url: raw.windows_url.filter(|_| cfg!(windows)).unwrap_or(raw.default_url),
        url_environment: raw.url_environment,
        allow: raw.allow.into_iter().map(rule).collect(),
        credentials: raw.credentials,
        redirect_hosts: raw.redirect_hosts,
        limits: raw.limits.map(limits).unwrap_or_default(),
        purpose: raw.purpose,
        nearby: raw.nearby.map(|raw| Nearby {
            contexts: raw.contexts.map(|raw| Contexts {
                files: raw.files,
                name: raw.name,
                address: raw.address,
                chosen_environment: raw.chosen_environment,
                chosen_files: raw.chosen_files,
                chosen: raw.chosen,
            }),
            sockets: raw.sockets,
        }),
        bodies: raw.bodies.map(|raw| Bodies { member: raw.member, values: raw.values }),
        session: raw.session.map(|raw| Session {
            header: raw.header,
            begun_by: raw.begun_by,
            confirmed_by: raw.confirmed_by,
        }),
        // Of an interface of their own.
        statements: Vec::new(),
    }
}

fn limits(raw: raw::Limits) -> Limits {
    let window = |raw: raw::Window| Window {
        name: match raw.name {
            raw::WindowName::Fixed(name) => WindowName::Fixed(name),
            raw::WindowName::Header(name) => WindowName::Header(name),
        },
        limit: raw.limit,
        remaining: raw.remaining,
        reset: raw.reset,
        reset_unit: match raw.reset_unit {
            raw::ResetUnit::EpochSeconds => ResetUnit::EpochSeconds,
            raw::ResetUnit::EpochMilliseconds => ResetUnit::EpochMilliseconds,
            raw::ResetUnit::Seconds => ResetUnit::Seconds,
        },
        cost: raw.cost,
        fixed: raw.fixed,
    };
    Limits {
        windows: raw.windows.into_iter().map(window).collect(),
        throttled: raw.throttled,
        slow_down: raw.slow_down,
    }
}

pub(super) fn credential(raw: raw::Credential) -> Credential {
    Credential {
        name: raw.name,
        scheme: match raw.scheme {
            raw::Scheme::Bearer => Scheme::Bearer,
            raw::Scheme::Basic(user) => Scheme::Basic(user),
            raw::Scheme::AwsSigv4(raw::AwsSigv4 { service, region }) => {
                Scheme::AwsSigv4 { service, region }
            }
            raw::Scheme::Header(name) => Scheme::Header(name),
            raw::Scheme::Challenge(hosts) => Scheme::Challenge { hosts },
        },
        environment: raw.environment,
        environment_elsewhere: raw.environment_elsewhere,
        raw_prefixes: raw.raw_prefixes,
        oauth: raw.oauth.map(|oauth| OAuth {
            authorize_url: oauth.authorize_url,
            device_url: oauth.device_url,
            token_url: oauth.token_url,
            client_id: oauth.client_id,
            scopes: oauth.scopes,
            elsewhere: oauth.elsewhere,
        }),
        help_url: raw.help_url,
        whose: raw.whose.map(|raw| Probe {
            endpoint: raw.endpoint,
            method: convert::method(raw.method),
            path: raw.path,
            body: raw.body,
            name: raw.name,
        }),
        scopes: raw.scopes.map(|raw| Scopes {
            header: raw.header,
            needed: raw.needed.into_iter().map(scope).collect(),
        }),
        logins: raw.logins.into_iter().map(login).collect(),
    }
}

fn scope(raw: raw::Scope) -> Scope {
    Scope { name: raw.name, held_by: raw.held_by, purpose: raw.purpose }
}

fn login(raw: raw::OtherLogin) -> OtherLogin {
    let host = |raw: raw::OtherHost| OtherHost {
        ends_with: raw.ends_with,
        endpoint: raw.endpoint,
        url: raw.url,
    };
    OtherLogin {
        program: raw.program,
        arguments: raw.arguments,
        files: raw.files,
        secret: raw.secret,
        user: raw.user,
        own_host: raw.own_host,
        other_hosts: raw.other_hosts.into_iter().map(host).collect(),
    }
}

fn signature(raw: raw::Signature) -> Signature {
    let part = |part: raw::Part| match part {
        raw::Part::Body => Part::Body,
        raw::Part::Literal(text) => Part::Literal(text),
        raw::Part::Header(name) => Part::Header(name),
        raw::Part::Timestamp => Part::Timestamp,
    };
    let timestamp = |raw: raw::Timestamp| Timestamp {
        at: match raw.at {
            raw::TimestampPlace::Header(name) => TimestampPlace::Header(name),
            raw::TimestampPlace::Element(name) => TimestampPlace::Element(name),
            raw::TimestampPlace::Body(pointer) => TimestampPlace::Body(pointer),
        },
        unit: match raw.unit {
            raw::TimestampUnit::Seconds => TimestampUnit::Seconds,
            raw::TimestampUnit::Milliseconds => TimestampUnit::Milliseconds,
        },
    };
    Signature {
        header: raw.header,
        algorithm: match raw.algorithm {
            raw::Algorithm::HmacSha256 => Algorithm::HmacSha256,
            raw::Algorithm::Ed25519 => Algorithm::Ed25519,
            raw::Algorithm::Plain => Algorithm::Plain,
        },
        encoding: match raw.encoding {
            raw::Encoding::Hex => Encoding::Hex,
            raw::Encoding::Base64 => Encoding::Base64,
        },
        prefix: raw.prefix,
        separator: raw.separator,
        signed: raw.signed.into_iter().map(part).collect(),
        secret: match raw.secret {
            raw::SecretForm::Text => SecretForm::Text,
            raw::SecretForm::Hex => SecretForm::Hex,
            raw::SecretForm::Base64(prefix) => SecretForm::Base64(prefix),
        },
        timestamp: raw.timestamp.map(timestamp),
        handshake: raw.handshake.map(|raw| match raw {
            raw::Handshake::Delivery(raw) => {
                Handshake::Delivery { at: raw.at, value: raw.value, answer: raw.answer }
            }
            raw::Handshake::Query(name) => Handshake::Query(name),
        }),
        content_types: raw.content_types,
        pass: raw.pass,
    }
}

pub(super) fn feed(raw: raw::Feed) -> Feed {
    let kind = match raw.kind {
        raw::FeedKind::Push => FeedKind::Push,
        raw::FeedKind::Poll => FeedKind::Poll,
        raw::FeedKind::Webhook => FeedKind::Webhook,
    };
    Feed {
        name: raw.name,
        kind,
        scopes: raw.scopes,
        endpoint: raw.endpoint,
        silence: raw.silence.map(|seconds| Duration::from_secs(seconds.into())),
        signature: raw.signature.map(signature),
    }
}
