//! See `crate::fuzzing`.

use super::{check, raw};
use crate::approval::Asks;
use crate::provider::{FeedKind, Manifest, Part, Scheme, TimestampPlace, WindowName};
use crate::wasm::bindings::omnifs::provider::types;
use http::HeaderName;
use std::collections::{BTreeSet, HashSet};

/// Values of a manifest, each a line; what is beyond the last one is empty.
struct Lines<'a>(std::vec::IntoIter<&'a str>);

impl<'a> Lines<'a> {
    fn text(&mut self) -> String {
        self.0.next().unwrap_or_default().to_owned()
    }

    fn number(&mut self, below: usize) -> usize {
        self.text().parse().unwrap_or(0) % below
    }

    fn flag(&mut self) -> bool {
        self.number(2) == 1
    }

    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| read(self))
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.number(70)).map(|_| read(self)).collect()
    }

    fn method(&mut self) -> types::Method {
        [types::Method::Get, types::Method::Head, types::Method::Post][self.number(3)]
    }

    fn description(&mut self) -> raw::Description {
        raw::Description {
            identity: raw::Identity {
                name: self.text(),
                version: self.text(),
                summary: self.text(),
            },
            root: self.text(),
            config: self.list(|lines| raw::ConfigKey {
                name: lines.text(),
                description: lines.text(),
                default_value: lines.maybe(Self::text),
            }),
            endpoints: self.list(Self::endpoint),
            credentials: self.list(Self::credential),
            feeds: self.list(Self::feed),
            guide: self.list(|lines| raw::PathDoc {
                pattern: lines.text(),
                summary: lines.text(),
                entries: lines.list(Self::text),
                example: lines.text(),
                requests: lines.number(100) as u32,
                page: lines.maybe(|lines| lines.number(100) as u32),
                each_open: lines.flag(),
                search: [raw::Search::Enter, raw::Search::Again, raw::Search::Costly]
                    [lines.number(3)],
            }),
        }
    }

    fn endpoint(&mut self) -> raw::Endpoint {
        raw::Endpoint {
            name: self.text(),
            default_url: self.text(),
            windows_url: self.maybe(Self::text),
            url_environment: self.maybe(Self::text),
            allow: self.list(|lines| raw::Rule { method: lines.method(), path: lines.text() }),
            credentials: self.list(Self::text),
            redirect_hosts: self.list(Self::text),
            limits: self.maybe(|lines| raw::Limits {
                windows: lines.list(Self::window),
                throttled: lines.list(Self::text),
                slow_down: lines.list(Self::text),
            }),
            purpose: self.text(),
            nearby: self.maybe(|lines| raw::Nearby {
                contexts: lines.maybe(|lines| raw::Contexts {
                    files: lines.list(Self::text),
                    name: lines.text(),
                    address: lines.text(),
                    chosen_environment: lines.maybe(Self::text),
                    chosen_files: lines.list(Self::text),
                    chosen: lines.text(),
                }),
                sockets: lines.list(Self::text),
            }),
            bodies: self.maybe(|lines| raw::Bodies {
                member: lines.text(),
                values: lines.list(Self::text),
            }),
            session: self.maybe(|lines| raw::Session {
                header: lines.text(),
                begun_by: lines.text(),
                confirmed_by: lines.text(),
            }),
        }
    }

    fn window(&mut self) -> raw::Window {
        raw::Window {
            name: match self.flag() {
                true => raw::WindowName::Header(self.text()),
                false => raw::WindowName::Fixed(self.text()),
            },
            limit: self.text(),
            remaining: self.text(),
            reset: self.text(),
            reset_unit: raw::ResetUnit::Seconds,
            cost: self.maybe(Self::text),
            fixed: self.flag(),
        }
    }

    fn credential(&mut self) -> raw::Credential {
        raw::Credential {
            name: self.text(),
            scheme: match self.number(5) {
                0 => raw::Scheme::Bearer,
                1 => raw::Scheme::Basic(self.maybe(Self::text)),
                2 => raw::Scheme::Header(self.text()),
                3 => raw::Scheme::Challenge(self.list(Self::text)),
                _ => raw::Scheme::AwsSigv4(raw::AwsSigv4 {
                    service: self.text(),
                    region: self.maybe(Self::text),
                }),
            },
            environment: self.list(Self::text),
            environment_elsewhere: self.list(Self::text),
            raw_prefixes: self.list(Self::text),
            oauth: self.maybe(|lines| raw::Oauth {
                authorize_url: lines.text(),
                device_url: lines.maybe(Self::text),
                token_url: lines.text(),
                client_id: lines.maybe(Self::text),
                scopes: lines.list(Self::text),
                elsewhere: lines.flag(),
            }),
            help_url: self.text(),
            whose: self.maybe(|lines| raw::Probe {
                endpoint: lines.text(),
                method: lines.method(),
                path: lines.text(),
                body: lines.maybe(Self::text),
                name: lines.text(),
            }),
            scopes: self.maybe(|lines| raw::Scopes {
                header: lines.text(),
                needed: lines.list(|lines| raw::Scope {
                    name: lines.text(),
                    held_by: lines.list(Self::text),
                    purpose: lines.text(),
                }),
            }),
            logins: self.list(Self::login),
        }
    }

    fn login(&mut self) -> raw::OtherLogin {
        raw::OtherLogin {
            program: self.text(),
            arguments: self.list(Self::text),
            files: self.list(Self::text),
            secret: self.text(),
            user: self.text(),
            own_host: self.text(),
            other_hosts: self.list(|lines| raw::OtherHost {
                ends_with: lines.text(),
                endpoint: lines.text(),
                url: lines.text(),
            }),
        }
    }

    fn feed(&mut self) -> raw::Feed {
        use raw::FeedKind::{Poll, Push, Webhook};
        raw::Feed {
            name: self.text(),
            kind: [Push, Poll, Webhook][self.number(3)],
            scopes: self.text(),
            endpoint: self.maybe(Self::text),
            silence: self.maybe(|lines| lines.number(1 << 20) as u32),
            signature: self.maybe(Self::signature),
        }
    }

    fn signature(&mut self) -> raw::Signature {
        use raw::Algorithm::{Ed25519, HmacSha256, Plain};
        raw::Signature {
            header: self.text(),
            algorithm: [HmacSha256, Ed25519, Plain][self.number(3)],
            encoding: [raw::Encoding::Hex, raw::Encoding::Base64][self.number(2)],
            prefix: self.text(),
            separator: self.maybe(Self::text),
            signed: self.list(|lines| match lines.number(4) {
                0 => raw::Part::Body,
                1 => raw::Part::Literal(lines.text()),
                2 => raw::Part::Header(lines.text()),
                _ => raw::Part::Timestamp,
            }),
            secret: match self.number(3) {
                0 => raw::SecretForm::Text,
                1 => raw::SecretForm::Hex,
                _ => raw::SecretForm::Base64(self.text()),
            },
            timestamp: self.maybe(|lines| raw::Timestamp {
                at: match lines.number(3) {
                    0 => raw::TimestampPlace::Header(lines.text()),
                    1 => raw::TimestampPlace::Element(lines.text()),
                    _ => raw::TimestampPlace::Body(lines.text()),
                },
                unit: raw::TimestampUnit::Seconds,
            }),
            handshake: self.maybe(|lines| match lines.flag() {
                true => raw::Handshake::Query(lines.text()),
                false => raw::Handshake::Delivery(raw::AskingDelivery {
                    at: lines.text(),
                    value: lines.text(),
                    answer: lines.text(),
                }),
            }),
            content_types: self.list(Self::text),
            pass: self.list(Self::text),
        }
    }
}

fn read(lines: Vec<&str>) -> Option<Manifest> {
    check(Lines(lines.into_iter()).description(), true, true).ok()
}

/// A first line `PLACE TEXT`, and the lines of a manifest. A second manifest has the text in the line of
/// that place.
pub fn manifest(text: &str) {
    let (change, rest) = text.split_once('\n').unwrap_or_default();
    let lines: Vec<&str> = rest.split('\n').collect();
    let Some(one) = read(lines.clone()) else { return };
    sound(&one);
    let (place, text) = change.split_once(' ').unwrap_or_default();
    let place: usize = place.parse().unwrap_or(0);
    let mut changed = lines;
    let Some(line) = changed.get_mut(place) else { return };
    *line = text;
    let Some(other) = read(changed) else { return };
    sound(&other);
    // Who approved one has not approved the other. What has a name has no place.
    let same = ordered(one.clone()) == ordered(other.clone());
    let (asks, asked) = (Asks::of(&other), Asks::of(&one));
    assert_eq!(asks.digest() == asked.digest(), same);
    assert_eq!(asks.since(&asked).is_empty(), same);
}

fn ordered(mut manifest: Manifest) -> Manifest {
    manifest.config.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.credentials.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.feeds.sort_by(|a, b| a.name.cmp(&b.name));
    manifest
}

/// What everything behind the check relies on.
fn sound(manifest: &Manifest) {
    // What is recorded is read back as the lines that it was.
    let asks = Asks::of(manifest).text();
    let lines: BTreeSet<&str> = asks.lines().collect();
    assert_eq!(lines.iter().map(|line| format!("{line}\n")).collect::<String>(), asks);
    assert!(omnifs_text::hidden(&asks).all(|(_, c)| c == '\n'), "{asks}");
    let header = |name: &str| {
        assert!(HeaderName::from_lowercase(name.as_bytes()).is_ok(), "{name:?}");
    };
    let plain = |name: &str| {
        assert!(!name.is_empty() && crate::names::admit(name).is_ok(), "{name:?}");
    };
    let texts = manifest.config.iter().map(|key| &key.description);
    let texts = texts.chain(manifest.endpoints.iter().map(|endpoint| &endpoint.purpose));
    for text in texts.chain([&manifest.summary]) {
        assert!(omnifs_text::hidden(text).next().is_none(), "{text:?}");
    }
    let names: HashSet<&str> = manifest.credentials.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names.len(), manifest.credentials.len());
    names.iter().for_each(|name| plain(name));
    for endpoint in &manifest.endpoints {
        plain(&endpoint.name);
        assert!(url::Url::parse(&endpoint.default_url).is_ok(), "{}", endpoint.default_url);
        assert!(endpoint.credentials.iter().all(|name| names.contains(name.as_str())));
        for window in &endpoint.limits.windows {
            [&window.limit, &window.remaining, &window.reset].into_iter().for_each(|n| header(n));
            if let WindowName::Header(name) = &window.name {
                header(name);
            }
        }
    }
    for credential in &manifest.credentials {
        if let Scheme::Header(name) = &credential.scheme {
            header(name);
        }
        for variable in credential.environment.iter().chain(&credential.environment_elsewhere) {
            assert!(!variable.starts_with("OMNIFS_") && !variable.contains(['=', '\0']));
        }
        if let Some(oauth) = &credential.oauth {
            for url in [&oauth.authorize_url, &oauth.token_url].into_iter().chain(&oauth.device_url)
            {
                assert!(url::Url::parse(url).is_ok_and(|url| url.has_host()), "{url}");
            }
        }
    }
    let webhooks = manifest.feeds.iter().filter(|feed| feed.kind == FeedKind::Webhook);
    assert!(webhooks.count() <= 1);
    for feed in &manifest.feeds {
        assert_eq!(feed.signature.is_some(), feed.kind == FeedKind::Webhook);
        let Some(signature) = &feed.signature else { continue };
        header(&signature.header);
        for part in &signature.signed {
            if let Part::Header(name) = part {
                header(name);
            }
        }
        if let Some(TimestampPlace::Header(name)) = signature.timestamp.as_ref().map(|t| &t.at) {
            header(name);
        }
        assert!(signature.separator.as_ref().is_none_or(|separator| !separator.is_empty()));
    }
}
