//! Which kinds an API server's twin has, and how it says so.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    APIGroup, APIGroupList, APIResource, APIResourceList, APIVersions, GroupVersionForDiscovery,
};
use serde_json::{Value, json};

/// A resource. What is part of one has a name with a slash.
pub struct Served {
    pub group: &'static str,
    pub version: &'static str,
    pub name: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
}

const ALL: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

const fn served(
    group: &'static str,
    version: &'static str,
    name: &'static str,
    kind: &'static str,
) -> Served {
    Served { group, version, name, kind, namespaced: true, verbs: ALL }
}

/// The core group first, and of a group the preferred version.
pub const SERVED: &[Served] = &[
    Served { verbs: &["create"], ..served("", "v1", "bindings", "Binding") },
    served("", "v1", "configmaps", "ConfigMap"),
    served("", "v1", "events", "Event"),
    Served { namespaced: false, ..served("", "v1", "namespaces", "Namespace") },
    Served { namespaced: false, ..served("", "v1", "nodes", "Node") },
    served("", "v1", "pods", "Pod"),
    Served { verbs: &["get"], ..served("", "v1", "pods/log", "Pod") },
    served("", "v1", "secrets", "Secret"),
    served("apps", "v1", "deployments", "Deployment"),
    Served { verbs: &["get", "patch"], ..served("apps", "v1", "deployments/status", "Deployment") },
    served("events.k8s.io", "v1", "events", "Event"),
    Served { namespaced: false, ..served("example.org", "v1", "gadgets", "Gadget") },
    served("example.org", "v1", "widgets", "Widget"),
    served("example.org", "v1beta1", "widgets", "Widget"),
    Served { verbs: &["get", "list"], ..served("metrics.k8s.io", "v1beta1", "pods", "PodMetrics") },
];

impl Served {
    /// What the twin calls it: `GROUP/RESOURCE`.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    pub fn is_custom(&self) -> bool {
        self.group == "example.org"
    }
}

fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> = SERVED.iter().map(|one| one.group).collect();
    groups.dedup();
    groups
}

fn versions(group: &str) -> Vec<&'static str> {
    let mut versions: Vec<_> =
        SERVED.iter().filter(|one| one.group == group).map(|one| one.version).collect();
    versions.dedup();
    versions
}

fn within<'a>(group: &'a str, version: &'a str) -> impl Iterator<Item = &'static Served> + 'a {
    SERVED.iter().filter(move |one| (one.group, one.version) == (group, version))
}

/// What is answered there, if it is a place of discovery.
pub fn discovery(path: &str, aggregated: bool) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    Some(match parts[..] {
        ["api"] if aggregated => all_of(&[""]),
        ["apis"] if aggregated => all_of(&groups()[1..]),
        ["api"] => typed(APIVersions { versions: vec!["v1".to_owned()], ..APIVersions::default() }),
        ["apis"] => {
            typed(APIGroupList { groups: groups()[1..].iter().map(|group| named(group)).collect() })
        }
        ["api", version] => resources("", version)?,
        ["apis", group, version] => resources(group, version)?,
        _ => return None,
    })
}

fn typed(answer: impl serde::Serialize) -> Value {
    serde_json::to_value(answer).expect("JSON")
}

fn named(group: &str) -> APIGroup {
    let version = |version: &&str| GroupVersionForDiscovery {
        group_version: format!("{group}/{version}"),
        version: (*version).to_owned(),
    };
    let versions: Vec<_> = versions(group).iter().map(version).collect();
    let preferred_version = versions.first().cloned();
    APIGroup { name: group.to_owned(), preferred_version, versions, ..APIGroup::default() }
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let resource = |one: &Served| APIResource {
        kind: one.kind.to_owned(),
        name: one.name.to_owned(),
        namespaced: one.namespaced,
        singular_name: one.kind.to_lowercase(),
        verbs: one.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..APIResource::default()
    };
    let mut own = within(group, version).peekable();
    let group_version = own.peek()?.api_version();
    Some(typed(APIResourceList { group_version, resources: own.map(resource).collect() }))
}

/// The form that has no type in the crate: APIGroupDiscoveryList of apidiscovery.k8s.io/v2.
fn all_of(groups: &[&str]) -> Value {
    let resource = |one: &Served| {
        let scope = if one.namespaced { "Namespaced" } else { "Cluster" };
        json!({
            "resource": one.name, "scope": scope, "singularResource": one.kind.to_lowercase(), "verbs": one.verbs,
            "responseKind": {"group": one.group, "version": one.version, "kind": one.kind},
        })
    };
    let version = |group: &str, version: &str| {
        let own = within(group, version).filter(|one| !one.name.contains('/'));
        json!({"version": version, "resources": own.map(resource).collect::<Vec<_>>(), "freshness": "Current"})
    };
    let group = |group: &&str| {
        let metadata = if group.is_empty() {
            json!({"creationTimestamp": null})
        } else {
            json!({"name": group})
        };
        let versions: Vec<_> = versions(group).iter().map(|own| version(group, own)).collect();
        json!({"metadata": metadata, "versions": versions})
    };
    let items: Vec<_> = groups.iter().map(group).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}
