//! The manifest and the feeds.

use crate::exports::omnifs::provider::{events, manifest};
use crate::omnifs::provider::{http, types};
use crate::{Hostile, ambient, request};
use events::{Change, Delivery, Position, Progress, ScopedChange, Standing};
use types::{Error, Method, Request};

impl manifest::Guest for Hostile {
    fn describe() -> manifest::Description {
        // Nothing is granted yet: this must fail, and must not matter.
        let granted = http::fetch(&request("service", "/thing")).is_ok();
        let feed = |name: &str, kind, endpoint: Option<&str>| manifest::Feed {
            name: name.into(),
            kind,
            scopes: String::new(),
            endpoint: endpoint.map(Into::into),
            silence: None,
            signature: matches!(kind, manifest::FeedKind::Webhook).then(|| manifest::Signature {
                header: "x-signature".into(),
                algorithm: manifest::Algorithm::HmacSha256,
                encoding: manifest::Encoding::Hex,
                prefix: String::new(),
                separator: None,
                signed: vec![manifest::Part::Body],
                secret: manifest::SecretForm::Text,
                timestamp: None,
                handshake: None,
                content_types: vec![],
                pass: vec![],
            }),
        };
        manifest::Description {
            identity: manifest::Identity {
                name: "hostile".into(),
                version: "0.1.0".into(),
                summary: if granted { "granted".into() } else { "Misbehaves on request".into() },
            },
            root: "root".into(),
            config: vec![
                manifest::ConfigKey {
                    name: "given".into(),
                    description: "A setting that the user gives".into(),
                    default_value: None,
                },
                manifest::ConfigKey {
                    name: "default".into(),
                    description: "A setting with a default".into(),
                    default_value: Some("of the manifest".into()),
                },
                manifest::ConfigKey {
                    name: "moment".into(),
                    description: "When this was asked, and a number".into(),
                    default_value: Some(ambient::moment()),
                },
            ],
            endpoints: vec![manifest::Endpoint {
                name: "service".into(),
                default_url: "https://service.invalid".into(),
                windows_url: None,
                url_environment: None,
                allow: vec![manifest::Rule { method: Method::Get, path: "/thing".into() }],
                credentials: vec![],
                redirect_hosts: vec![],
                limits: None,
                purpose: "Asks for what it should not".into(),
                nearby: None,
                bodies: None,
                session: None,
            }],
            credentials: vec![],
            feeds: vec![
                feed("push", manifest::FeedKind::Push, Some("service")),
                feed("poll", manifest::FeedKind::Poll, Some("service")),
                feed("hook", manifest::FeedKind::Webhook, None),
            ],
            guide: vec![],
        }
    }
}

fn progress(changes: Vec<Change>) -> Progress {
    Progress { changes, cursor: Some("next".into()), standing: Standing::Resumed, wait: Some(60) }
}

impl events::Guest for Hostile {
    fn open(position: Position) -> Result<Request, Error> {
        let since = position.cursor.unwrap_or_else(|| position.since.to_string());
        Ok(request("service", &format!("/events?since={since}")))
    }

    fn line(position: Position, line: Vec<u8>) -> Result<Progress, Error> {
        match line.as_slice() {
            b"panic" => panic!("at a line of the feed"),
            b"loop" => loop {
                std::hint::black_box(());
            },
            b"flood" => Ok(progress(vec![Change::Invalidated("x".into()); 10_001])),
            b"long-cursor" => Ok(Progress { cursor: Some("x".repeat(5_000)), ..progress(vec![]) }),
            b"invalid" => Err(Error::Invalid("no such line".into())),
            _ => {
                let id = String::from_utf8_lossy(&line).into_owned();
                Ok(progress(vec![Change::Removed(id), Change::Gap(position.scope)]))
            }
        }
    }

    fn poll(position: Position) -> Result<Progress, Error> {
        http::fetch(&request("service", "/thing"))?;
        Ok(progress(vec![Change::ChildrenChanged(position.scope)]))
    }

    fn deliver(delivery: Delivery) -> Result<Vec<ScopedChange>, Error> {
        let kind = delivery.headers.first().map(|h| h.value.clone()).unwrap_or_default();
        let body = String::from_utf8_lossy(&delivery.body).into_owned();
        let change = Change::Invalidated(format!("{kind} {body}"));
        Ok(vec![ScopedChange { scope: Some("everything".into()), change }])
    }
}
