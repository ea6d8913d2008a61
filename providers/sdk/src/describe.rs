//! The manifest in its wire form.

use crate::bindings::service::exports::omnifs::provider::manifest as w;
use crate::bindings::statements::exports::omnifs::provider::statements as s;
use crate::manifest::{self as m, Manifest};

pub(crate) fn description(manifest: &Manifest, root: String) -> w::Description {
    w::Description {
        identity: w::Identity {
            name: manifest.name.to_owned(),
            version: manifest.version.to_owned(),
            summary: manifest.summary.to_owned(),
        },
        root,
        config: Vec::from_iter(manifest.config.iter().map(|setting| w::ConfigKey {
            name: setting.name.to_owned(),
            description: setting.description.to_owned(),
            default_value: maybe(setting.default),
        })),
        endpoints: manifest.endpoints.iter().map(endpoint).collect(),
        credentials: manifest.credentials.iter().map(credential).collect(),
        feeds: manifest.feeds.iter().map(feed).collect(),
        guide: manifest.guide.iter().map(path).collect(),
    }
}

pub(crate) fn databases(manifest: &Manifest) -> Vec<s::Database> {
    let kind = |kind| match kind {
        m::ParameterKind::Value => s::ParameterKind::Value,
        m::ParameterKind::Integer => s::ParameterKind::Integer,
        m::ParameterKind::Text => s::ParameterKind::Text,
        m::ParameterKind::Identifier => s::ParameterKind::Identifier,
    };
    let statement = |own: &m::Statement| s::Statement {
        name: own.name.to_owned(),
        text: own.text.to_owned(),
        parameters: Vec::from_iter(
            own.parameters
                .iter()
                .map(|(name, of)| s::Parameter { name: (*name).to_owned(), kind: kind(*of) }),
        ),
    };
    let databases = manifest.endpoints.iter().filter(|endpoint| !endpoint.statements.is_empty());
    let database = |endpoint: &m::Endpoint| s::Database {
        endpoint: endpoint.name.to_owned(),
        statements: endpoint.statements.iter().map(statement).collect(),
    };
    databases.map(database).collect()
}

fn path(path: &m::Path) -> w::PathDoc {
    w::PathDoc {
        pattern: path.pattern.to_owned(),
        summary: path.summary.to_owned(),
        entries: owned(path.entries),
        example: path.example.to_owned(),
        requests: path.requests,
        page: path.page,
        each_open: path.each_open,
        search: match path.search {
            m::Search::Enter => w::Search::Enter,
            m::Search::Again => w::Search::Again,
            m::Search::Costly => w::Search::Costly,
        },
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn maybe(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn endpoint(endpoint: &m::Endpoint) -> w::Endpoint {
    let rule = |rule: &m::Rule| w::Rule { method: rule.method.into(), path: rule.path.to_owned() };
    w::Endpoint {
        name: endpoint.name.to_owned(),
        default_url: endpoint.default_url.to_owned(),
        windows_url: maybe(endpoint.windows_url),
        url_environment: maybe(endpoint.url_environment),
        allow: endpoint.allow.iter().map(rule).collect(),
        credentials: owned(endpoint.credentials),
        redirect_hosts: owned(endpoint.redirect_hosts),
        limits: endpoint.limits.as_ref().map(limits),
        purpose: endpoint.purpose.to_owned(),
        nearby: endpoint.nearby.as_ref().map(nearby),
        bodies: endpoint.bodies.map(|bodies| w::Bodies {
            member: bodies.member.to_owned(),
            values: owned(bodies.values),
        }),
        session: endpoint.session.map(|session| w::Session {
            header: session.header.to_owned(),
            begun_by: session.begun_by.to_owned(),
            confirmed_by: session.confirmed_by.to_owned(),
        }),
    }
}

fn nearby(nearby: &m::Nearby) -> w::Nearby {
    let contexts = |contexts: &m::Contexts| w::Contexts {
        files: owned(contexts.files),
        name: contexts.name.to_owned(),
        address: contexts.address.to_owned(),
        chosen_environment: maybe(contexts.chosen_environment),
        chosen_files: owned(contexts.chosen_files),
        chosen: contexts.chosen.to_owned(),
    };
    w::Nearby { contexts: nearby.contexts.as_ref().map(contexts), sockets: owned(nearby.sockets) }
}

fn limits(limits: &m::Limits) -> w::Limits {
    let window = |window: &m::Window| w::Window {
        name: match window.name {
            m::WindowName::Fixed(name) => w::WindowName::Fixed(name.to_owned()),
            m::WindowName::Header(name) => w::WindowName::Header(name.to_owned()),
        },
        limit: window.limit.to_owned(),
        remaining: window.remaining.to_owned(),
        reset: window.reset.to_owned(),
        reset_unit: match window.reset_unit {
            m::ResetUnit::EpochSeconds => w::ResetUnit::EpochSeconds,
            m::ResetUnit::EpochMilliseconds => w::ResetUnit::EpochMilliseconds,
            m::ResetUnit::Seconds => w::ResetUnit::Seconds,
        },
        cost: maybe(window.cost),
        fixed: window.fixed,
    };
    w::Limits {
        windows: limits.windows.iter().map(window).collect(),
        throttled: owned(limits.throttled),
        slow_down: owned(limits.slow_down),
    }
}

fn credential(credential: &m::Credential) -> w::Credential {
    let oauth = |oauth: m::OAuth| w::Oauth {
        authorize_url: oauth.authorize_url.to_owned(),
        device_url: maybe(oauth.device_url),
        token_url: oauth.token_url.to_owned(),
        client_id: maybe(oauth.client_id),
        scopes: owned(oauth.scopes),
        elsewhere: oauth.elsewhere,
    };
    let probe = |probe: m::Probe| w::Probe {
        endpoint: probe.endpoint.to_owned(),
        method: probe.method.into(),
        path: probe.path.to_owned(),
        body: maybe(probe.body),
        name: probe.name.to_owned(),
    };
    w::Credential {
        name: credential.name.to_owned(),
        scheme: match credential.scheme {
            m::Scheme::Bearer => w::Scheme::Bearer,
            m::Scheme::Basic(user) => w::Scheme::Basic(maybe(user)),
            m::Scheme::AwsSigv4 { service, region } => w::Scheme::AwsSigv4(w::AwsSigv4 {
                service: service.to_owned(),
                region: maybe(region),
            }),
            m::Scheme::Header(name) => w::Scheme::Header(name.to_owned()),
            m::Scheme::Challenge(hosts) => w::Scheme::Challenge(owned(hosts)),
        },
        environment: owned(credential.environment),
        environment_elsewhere: owned(credential.environment_elsewhere),
        raw_prefixes: owned(credential.raw_prefixes),
        oauth: credential.oauth.map(oauth),
        help_url: credential.help_url.to_owned(),
        whose: credential.whose.map(probe),
        scopes: credential.scopes.as_ref().map(scopes),
        logins: credential.logins.iter().map(login).collect(),
    }
}

fn scopes(scopes: &m::Scopes) -> w::Scopes {
    let scope = |scope: &m::Scope| w::Scope {
        name: scope.name.to_owned(),
        held_by: owned(scope.held_by),
        purpose: scope.purpose.to_owned(),
    };
    w::Scopes {
        header: scopes.header.to_owned(),
        needed: scopes.needed.iter().map(scope).collect(),
    }
}

fn login(login: &m::OtherLogin) -> w::OtherLogin {
    let host = |host: &m::OtherHost| w::OtherHost {
        ends_with: host.ends_with.to_owned(),
        endpoint: host.endpoint.to_owned(),
        url: host.url.to_owned(),
    };
    w::OtherLogin {
        program: login.program.to_owned(),
        arguments: owned(login.arguments),
        files: owned(login.files),
        secret: login.secret.to_owned(),
        user: login.user.to_owned(),
        own_host: login.own_host.to_owned(),
        other_hosts: login.other_hosts.iter().map(host).collect(),
    }
}

fn feed(feed: &m::Feed) -> w::Feed {
    w::Feed {
        name: feed.name.to_owned(),
        kind: match feed.kind {
            m::FeedKind::Push => w::FeedKind::Push,
            m::FeedKind::Poll => w::FeedKind::Poll,
            m::FeedKind::Webhook => w::FeedKind::Webhook,
        },
        scopes: feed.scopes.to_owned(),
        endpoint: maybe(feed.endpoint),
        silence: feed.silence,
        signature: feed.signature.as_ref().map(signature),
    }
}

fn signature(signature: &m::Signature) -> w::Signature {
    let part = |part: &m::Part| match part {
        m::Part::Body => w::Part::Body,
        m::Part::Literal(text) => w::Part::Literal((*text).to_owned()),
        m::Part::Header(name) => w::Part::Header((*name).to_owned()),
        m::Part::Timestamp => w::Part::Timestamp,
    };
    let timestamp = |timestamp: m::Timestamp| w::Timestamp {
        at: match timestamp.at {
            m::TimestampPlace::Header(name) => w::TimestampPlace::Header(name.to_owned()),
            m::TimestampPlace::Element(name) => w::TimestampPlace::Element(name.to_owned()),
            m::TimestampPlace::Body(pointer) => w::TimestampPlace::Body(pointer.to_owned()),
        },
        unit: match timestamp.unit {
            m::TimestampUnit::Seconds => w::TimestampUnit::Seconds,
            m::TimestampUnit::Milliseconds => w::TimestampUnit::Milliseconds,
        },
    };
    w::Signature {
        header: signature.header.to_owned(),
        algorithm: match signature.algorithm {
            m::Algorithm::HmacSha256 => w::Algorithm::HmacSha256,
            m::Algorithm::Ed25519 => w::Algorithm::Ed25519,
            m::Algorithm::Plain => w::Algorithm::Plain,
        },
        encoding: match signature.encoding {
            m::Encoding::Hex => w::Encoding::Hex,
            m::Encoding::Base64 => w::Encoding::Base64,
        },
        prefix: signature.prefix.to_owned(),
        separator: maybe(signature.separator),
        signed: signature.signed.iter().map(part).collect(),
        secret: match signature.secret {
            m::SecretForm::Text => w::SecretForm::Text,
            m::SecretForm::Hex => w::SecretForm::Hex,
            m::SecretForm::Base64(prefix) => w::SecretForm::Base64(prefix.to_owned()),
        },
        timestamp: signature.timestamp.map(timestamp),
        handshake: signature.handshake.map(|handshake| match handshake {
            m::Handshake::Delivery { at, value, answer } => {
                w::Handshake::Delivery(w::AskingDelivery {
                    at: at.to_owned(),
                    value: value.to_owned(),
                    answer: answer.to_owned(),
                })
            }
            m::Handshake::Query(name) => w::Handshake::Query(name.to_owned()),
        }),
        content_types: owned(signature.content_types),
        pass: owned(signature.pass),
    }
}
