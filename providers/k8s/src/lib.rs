//! Kubernetes: the namespaces of a cluster, objects of every kind that its API server has, their events, and the
//! logs of their containers. An instance is one API server, whose URL the user sets.
//!
//! What changes is told by watches, each a poll that asks for what has happened since a resource version:
//!
//! | scope | holds | a poll |
//! |---|---|---|
//! | `cluster` | which namespaces and kinds there are | a watch of the namespaces, and discovery |
//! | `kind:{kind}:{namespace}` | the objects of a kind; without a namespace, those of all | a watch of the kind |
//!
//! A kind that cannot be watched is asked for at each use, and so are events and growing logs.

mod api;
mod feed;
mod guide;
mod kind;
mod namespace;
mod pod;
mod resource;
mod yaml;

use api::cluster;
use kind::Kind;
use omnifs_sdk::manifest::{Credential, Endpoint, Feed, Setting};
use omnifs_sdk::*;

/// The scope of which namespaces and which kinds there are.
const CLUSTER: &str = "cluster";

/// The setting: the only namespaces that are shown, and asked about.
const NAMESPACES: &str = "namespaces";
/// The setting: `shown` shows what Secrets hold.
const SECRET_VALUES: &str = "secret-values";
/// The setting, and what it means is in its description.
const LOG_LINES: &str = "log-lines";

/// Of the objects of a kind.
fn of(kind: &Kind, namespace: &str) -> Coherence {
    if kind.watched { scoped(feed::scope(kind, namespace)) } else { volatile() }
}

/// Of what belongs to a pod.
fn of_pod(namespace: &str) -> Coherence {
    of(&Kind::pods(), namespace)
}

ids! {
    pub enum Id {
        _: scoped(CLUSTER),
        Root = "root": volatile(),
        Namespace(name: String) = "namespace",
        /// The kinds whose objects are in no namespace.
        Cluster = "cluster",
        /// Shown nowhere: what shows the kinds is part of it.
        Kinds = "kinds",
        /// The objects of a kind. Those of no namespace have an empty one.
        Objects(kind: Kind, namespace: String) = "objects": of(kind, namespace),
        /// Another one of the same name has another `uid`.
        Object(kind: Kind, namespace: String, name: String, uid: String) = "object": of(kind, namespace),
        Manifest(kind: Kind, namespace: String, name: String, uid: String) = "manifest": of(kind, namespace),
        Status(kind: Kind, namespace: String, name: String, uid: String) = "status": of(kind, namespace),
        /// `what` is the kind as an object of it says it: `Pod`.
        Events(what: String, namespace: String, name: String) = "events": volatile(),
        Logs(namespace: String, pod: String, uid: String) = "logs": of_pod(namespace),
        Log(namespace: String, pod: String, uid: String, container: String) = "log": of_pod(namespace),
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => open_ended((), |()| namespace::list(), |(), name| namespace::find(name)),
            Namespace(name) => searchable(
                name,
                |name| namespace::kinds(name),
                |name, kind| namespace::kind(name, kind),
            ),
            Cluster => {
                searchable((), |()| namespace::kinds(""), |(), kind| namespace::kind("", kind))
            }
            Kinds => fixed([]),
            Objects(kind, namespace) => searchable(
                (kind, namespace),
                |(kind, namespace)| resource::list(kind, namespace),
                |(kind, namespace), name| resource::find(kind, namespace, name),
            ),
            Object(kind, namespace, name, uid) => open_ended(
                (kind, namespace, name, uid),
                |(kind, namespace, name, uid)| {
                    Ok(resource::get(kind, namespace, name, uid)?.entries())
                },
                |(kind, namespace, name, uid), entry| {
                    resource::PARTS.contains(&entry).then_some(()).ok_or(Error::NotFound)?;
                    resource::get(kind, namespace, name, uid)?.part(entry)
                },
            ),
            Manifest(kind, namespace, name, uid) => {
                file(move || Ok(resource::get(&kind, &namespace, &name, &uid)?.manifest))
            }
            Status(kind, namespace, name, uid) => file(move || {
                let status = resource::get(&kind, &namespace, &name, &uid)?.status;
                status.ok_or(Error::NotFound)
            }),
            Events(what, namespace, name) => {
                file(move || resource::events(&what, &namespace, &name))
            }
            Logs(namespace, pod, uid) => {
                listing(move || Ok(resource::get(&Kind::pods(), &namespace, &pod, &uid)?.logs()))
            }
            Log(namespace, pod, _, container) => {
                file(move || pod::log(&namespace, &pod, &container))
            }
        }
    }

    fn whole(&self) -> Option<Id> {
        use Id::*;
        match self.clone() {
            Namespace(_) | Cluster => Some(Kinds),
            Manifest(kind, namespace, name, uid) | Status(kind, namespace, name, uid) => {
                Some(Object(kind, namespace, name, uid))
            }
            Logs(namespace, pod, uid) | Log(namespace, pod, uid, _) => {
                Some(Object(Kind::pods(), namespace, pod, uid))
            }
            _ => None,
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct Kubernetes;

impl Provider for Kubernetes {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[
            Setting {
                name: NAMESPACES,
                description: "the only namespaces that are shown, with blanks between them: for an account that may \
                              not see the others",
                default: None,
            },
            Setting {
                name: SECRET_VALUES,
                description: "`shown` shows what Secrets hold; else the lengths of their values are",
                default: Some("hidden"),
            },
            Setting {
                name: LOG_LINES,
                description: "with how many of its last lines a log begins, or `all`",
                default: Some("100000"),
            },
        ],
        endpoints: &[Endpoint {
            allow: cluster::RULES,
            credentials: &["token"],
            ..Endpoint::new(
                cluster::ENDPOINT,
                "https://localhost:6443",
                "reads objects of every kind, Secrets among them, and logs",
            )
        }],
        credentials: &[Credential::new(
            "token",
            "https://kubernetes.io/docs/reference/access-authn-authz/authentication/",
        )],
        feeds: &[
            Feed::poll("cluster", CLUSTER, cluster::ENDPOINT),
            Feed::poll("objects", "kind:", cluster::ENDPOINT),
        ],
        guide: guide::GUIDE,
        ..Manifest::new(
            "k8s",
            env!("CARGO_PKG_VERSION"),
            "Objects of every kind in a Kubernetes cluster, with their events and logs",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        feed::poll(position)
    }
}

export!(service, Kubernetes);
