//! A [`Provider`] behind the exports of both worlds.

use crate::bindings::service;
use crate::events::{Change, Changes, Delivery, Position, Progress};
use crate::http::Request;
use crate::manifest::{self as m, Manifest};
use crate::{Error, Node, Result, Tree, host, serve};
use service::exports::omnifs::provider::{events as wit, manifest as w, provider as three};
use std::marker::PhantomData;

/// A provider: its manifest, its root, and the reading of its feeds. The tree is its id's
/// [`Tree::shape`]. Exported by [`export!`](crate::export).
pub trait Provider: 'static {
    type Id: Tree;

    const MANIFEST: Manifest;

    /// What the instance's directory shows.
    const ROOT: Self::Id;

    /// Push: the request that opens the stream at this position.
    fn open(position: &Position) -> Result<Request> {
        Err(no_feed(&position.feed))
    }

    /// Push: one line of the stream, without its line end.
    fn line(position: &Position, _line: &[u8]) -> Result<Progress> {
        Err(no_feed(&position.feed))
    }

    /// Poll: what changed since the position.
    fn poll(position: &Position) -> Result<Progress> {
        Err(no_feed(&position.feed))
    }

    /// Webhook: what this delivery says.
    fn deliver(delivery: &Delivery) -> Result<Changes> {
        Err(no_feed(&delivery.feed))
    }
}

fn no_feed(name: &str) -> Error {
    Error::Invalid(format!("this provider has no feed {name:?} of this kind"))
}

/// What [`export!`](crate::export) exports.
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Provider> three::Guest for Component<P> {
    fn lookup_child(parent: String, name: String) -> Result<Node> {
        host::report_panics();
        serve::lookup_child::<P::Id>(&parent, &name)
    }

    fn list_children(parent: String) -> Result<Vec<Node>> {
        host::report_panics();
        serve::list_children::<P::Id>(&parent)
    }

    fn read_file(node: String) -> Result<Vec<u8>> {
        host::report_panics();
        serve::read_file::<P::Id>(&node)
    }
}

impl<P: Provider> wit::Guest for Component<P> {
    fn open(position: wit::Position) -> Result<service::omnifs::provider::http::Request> {
        host::report_panics();
        P::open(&position.into())?.into_wire()
    }

    fn line(position: wit::Position, line: Vec<u8>) -> Result<wit::Progress> {
        host::report_panics();
        P::line(&position.into(), &line).map(Into::into)
    }

    fn poll(position: wit::Position) -> Result<wit::Progress> {
        host::report_panics();
        P::poll(&position.into()).map(Into::into)
    }

    fn deliver(delivery: wit::Delivery) -> Result<Vec<wit::Change>> {
        host::report_panics();
        let wit::Delivery { feed, headers, body } = delivery;
        let changes = P::deliver(&Delivery { feed, headers, body })?;
        Ok(changes.into())
    }
}

impl From<wit::Position> for Position {
    fn from(position: wit::Position) -> Self {
        let wit::Position { feed, scope, cursor, since } = position;
        Position { feed, scope, cursor, since }
    }
}

impl From<Changes> for Vec<wit::Change> {
    fn from(changes: Changes) -> Self {
        let change = |change| match change {
            Change::Invalidated(id) => wit::Change::Invalidated(id),
            Change::Removed(id) => wit::Change::Removed(id),
            Change::ChildrenChanged(id) => wit::Change::ChildrenChanged(id),
            Change::Gap(scope) => wit::Change::Gap(scope),
        };
        changes.0.into_iter().map(change).collect()
    }
}

impl From<Progress> for wit::Progress {
    fn from(progress: Progress) -> Self {
        wit::Progress {
            changes: progress.changes.into(),
            cursor: progress.cursor,
            standing: if progress.resumed {
                wit::Standing::Resumed
            } else {
                wit::Standing::Unchanged
            },
            wait: progress.wait,
        }
    }
}

impl<P: Provider> w::Guest for Component<P> {
    fn describe() -> w::Description {
        fn owned(texts: &[&str]) -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        }
        fn maybe(text: Option<&str>) -> Option<String> {
            text.map(str::to_owned)
        }
        let rule =
            |rule: &m::Rule| w::Rule { method: rule.method.into(), path: rule.path.to_owned() };
        let oauth = |oauth: m::OAuth| w::Oauth {
            authorize_url: oauth.authorize_url.to_owned(),
            device_url: maybe(oauth.device_url),
            token_url: oauth.token_url.to_owned(),
            client_id: maybe(oauth.client_id),
            scopes: owned(oauth.scopes),
        };
        host::report_panics();
        let m::Manifest { name, version, summary, config, endpoints, credentials, feeds } =
            P::MANIFEST;
        w::Description {
            identity: w::Identity {
                name: name.to_owned(),
                version: version.to_owned(),
                summary: summary.to_owned(),
            },
            root: crate::NodeId::encode(&P::ROOT),
            config: Vec::from_iter(config.iter().map(|setting| w::ConfigKey {
                name: setting.name.to_owned(),
                description: setting.description.to_owned(),
                default_value: maybe(setting.default),
            })),
            endpoints: Vec::from_iter(endpoints.iter().map(|endpoint| w::Endpoint {
                name: endpoint.name.to_owned(),
                default_url: endpoint.default_url.to_owned(),
                url_environment: maybe(endpoint.url_environment),
                allow: endpoint.allow.iter().map(rule).collect(),
                credential: maybe(endpoint.credential),
                redirect_hosts: owned(endpoint.redirect_hosts),
                purpose: endpoint.purpose.to_owned(),
            })),
            credentials: Vec::from_iter(credentials.iter().map(|credential| w::Credential {
                name: credential.name.to_owned(),
                environment: owned(credential.environment),
                raw_prefixes: owned(credential.raw_prefixes),
                oauth: credential.oauth.map(oauth),
                help_url: credential.help_url.to_owned(),
            })),
            feeds: Vec::from_iter(feeds.iter().map(|feed| w::Feed {
                name: feed.name.to_owned(),
                kind: match feed.kind {
                    m::FeedKind::Push => w::FeedKind::Push,
                    m::FeedKind::Poll => w::FeedKind::Poll,
                    m::FeedKind::Webhook => w::FeedKind::Webhook,
                },
                scopes: feed.scopes.to_owned(),
                endpoint: maybe(feed.endpoint),
            })),
        }
    }
}

/// The same for the world `offline`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Offline<P>(PhantomData<P>);

impl<P: Provider> w::Guest for Offline<P> {
    fn describe() -> w::Description {
        // Keeps the description of the world in the linked module.
        #[cfg(target_arch = "wasm32")]
        crate::bindings::offline::__link_custom_section_describing_imports();
        Component::<P>::describe()
    }
}

impl<P: Provider> three::Guest for Offline<P> {
    fn lookup_child(parent: String, name: String) -> Result<Node> {
        <Component<P> as three::Guest>::lookup_child(parent, name)
    }

    fn list_children(parent: String) -> Result<Vec<Node>> {
        <Component<P> as three::Guest>::list_children(parent)
    }

    fn read_file(node: String) -> Result<Vec<u8>> {
        <Component<P> as three::Guest>::read_file(node)
    }
}
