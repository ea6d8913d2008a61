//! What is asked of an API server, and what it answers (Kubernetes API Concepts, v1.37).

use crate::kind::Kind;
use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::json::null_as_default;
use omnifs_sdk::{Error, Items, Result, routes};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

routes! {
    /// Objects of the core group are below `/api`, all others below `/apis`.
    pub mod cluster = "cluster" with super::judged {
        get core() = "/api",
        get groups() = "/apis",
        get core_version(version) = "/api/*",
        get group_version(group, version) = "/apis/*/*",
        get core_list(version, resource) = "/api/*/*",
        get core_object(version, resource, name) = "/api/*/*/*",
        get core_list_in(version, namespace, resource) = "/api/*/namespaces/*/*",
        get core_object_in(version, namespace, resource, name) = "/api/*/namespaces/*/*/*",
        get list(group, version, resource) = "/apis/*/*/*",
        get object(group, version, resource, name) = "/apis/*/*/*/*",
        get list_in(group, version, namespace, resource) = "/apis/*/*/namespaces/*/*",
        get object_in(group, version, namespace, resource, name) = "/apis/*/*/namespaces/*/*/*",
        get log(namespace, pod) = "/api/v1/namespaces/*/pods/*/log",
    }
}

/// What is gone is a version of a list, and no object. And only the API server itself says that there is no such
/// object: a balancer before it, or another server, answers 404 too.
fn judged(request: Request) -> Request {
    request.judged_by(|_, answer| match answer.status {
        410 => Some(Error::Unavailable(answer.complaint())),
        404 if answer.json::<Kinded>().is_ok_and(|said| said.kind == "Status") => None,
        // It says so of a kind that it does not have.
        404 if answer.body.starts_with(b"404 page not found") => None,
        404 => Some(Error::Invalid(format!("{}: not by a Kubernetes server", answer.complaint()))),
        _ => None,
    })
}

/// Whether it is the account that may not, and not the token that is wrong.
pub fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Denied(why) if why.starts_with("cluster: 403"))
}

#[derive(Deserialize)]
struct Kinded {
    kind: String,
}

/// Objects that one request asks for.
const PAGE: usize = 500;
/// How often a list is begun anew that was too old to go on with. An API server keeps it for some minutes.
const ATTEMPTS: usize = 3;

/// The list of a kind; in all namespaces where none is named.
pub fn list(kind: &Kind, namespace: &str) -> Request {
    let Kind { group, version, resource, .. } = kind;
    match (group.as_str(), namespace) {
        ("", "") => cluster::core_list(version, resource),
        ("", _) => cluster::core_list_in(version, namespace, resource),
        (_, "") => cluster::list(group, version, resource),
        _ => cluster::list_in(group, version, namespace, resource),
    }
}

pub fn object(kind: &Kind, namespace: &str, name: &str) -> Request {
    let Kind { group, version, resource, .. } = kind;
    match (group.as_str(), namespace) {
        ("", "") => cluster::core_object(version, resource, name),
        ("", _) => cluster::core_object_in(version, namespace, resource, name),
        (_, "") => cluster::object(group, version, resource, name),
        _ => cluster::object_in(group, version, namespace, resource, name),
    }
}

/// What `take` makes of the pages of a list, until it wants no more. Of a list that expired on the way it gets all
/// of them anew.
pub fn pages<T: Default>(
    request: &Request,
    mut take: impl FnMut(&mut T, List) -> bool,
) -> Result<T> {
    for _ in 0..ATTEMPTS {
        let (mut taken, mut token) = (T::default(), String::new());
        loop {
            let mut page = request.clone().query("limit", PAGE);
            if !token.is_empty() {
                page = page.query("continue", &token);
            }
            let answer = page.send()?;
            if answer.status == 410 && !token.is_empty() {
                break;
            }
            let list: List = answer.ok()?.json()?;
            let next = list.metadata.next.clone();
            if !take(&mut taken, list) || next.is_empty() {
                return Ok(taken);
            }
            if next == token {
                return Err(Error::Invalid("cluster: a list leads in circles".to_owned()));
            }
            token = next;
        }
    }
    Err(Error::Unavailable("cluster: a list expires faster than it can be read".to_owned()))
}

/// All items of a list.
pub fn items(request: &Request) -> Result<Items<Item>> {
    pages(request, |all: &mut Items<Item>, page| {
        all.append(page.items);
        true
    })
}

/// Where a watch of this list begins.
pub fn resource_version(request: Request) -> Result<String> {
    let list: List = metadata_only(request.query("limit", 1)).json()?;
    Some(list.metadata.resource_version).filter(|version| !version.is_empty()).ok_or_else(|| {
        Error::Invalid(
            "cluster: a list says no resource version, so it cannot be watched".to_owned(),
        )
    })
}

/// All that a watch tells of an object.
pub fn metadata_only(request: Request) -> Request {
    request.header(
        "accept",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json",
    )
}

/// What has happened to a list since a resource version, for a second: no shorter one can be asked for.
pub fn watch(list: Request, since: &str) -> Result<Response> {
    let watch = list.query("watch", "true").query("allowWatchBookmarks", "true");
    metadata_only(watch.query("resourceVersion", since).query("timeoutSeconds", 1)).send()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    #[serde(default)]
    pub api_version: String,
    /// `PodList`.
    #[serde(default)]
    pub kind: String,
    pub metadata: ListMetadata,
    #[serde(default)]
    pub items: Items<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMetadata {
    #[serde(default, deserialize_with = "null_as_default")]
    pub resource_version: String,
    /// What leads to the next page.
    #[serde(default, rename = "continue", deserialize_with = "null_as_default")]
    pub next: String,
}

/// An object of any kind, which has a name.
pub struct Item(pub Value);

impl Item {
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let item = Item(Value::deserialize(deserializer)?);
        if item.name().is_empty() {
            Err(D::Error::custom("metadata.name: there is none"))
        } else {
            Ok(item)
        }
    }
}

/// A line of a watch.
#[derive(Deserialize)]
pub struct Happened {
    #[serde(rename = "type")]
    pub how: String,
    pub object: Told,
}

#[derive(Deserialize)]
pub struct Told {
    #[serde(default, deserialize_with = "null_as_default")]
    pub metadata: Metadata,
    /// Of an error.
    #[serde(default)]
    pub code: u16,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub namespace: String,
    #[serde(deserialize_with = "null_as_default")]
    pub uid: String,
    #[serde(deserialize_with = "null_as_default")]
    pub resource_version: String,
}

/// Discovery, in the form of one answer for all groups or in that of one for each.
#[derive(Deserialize)]
pub struct Discovery {
    /// All groups, with all they have.
    #[serde(default)]
    pub items: Items<Group>,
    /// Of the core group.
    #[serde(default)]
    pub versions: Items<String>,
    #[serde(default)]
    pub groups: Items<GroupName>,
}

#[derive(Deserialize)]
pub struct Group {
    /// The core group has no name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub metadata: Metadata,
    /// The preferred one first.
    #[serde(default)]
    pub versions: Items<GroupVersion>,
}

#[derive(Deserialize)]
pub struct GroupVersion {
    pub version: String,
    #[serde(default)]
    pub resources: Items<GroupResource>,
}

#[derive(Deserialize)]
pub struct GroupResource {
    pub resource: String,
    /// `Namespaced` or `Cluster`.
    pub scope: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub verbs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupName {
    pub name: String,
    pub versions: Items<VersionName>,
    pub preferred_version: Option<VersionName>,
}

#[derive(Deserialize)]
pub struct VersionName {
    pub version: String,
}

/// The resources of one version of a group.
#[derive(Deserialize)]
pub struct Resources {
    #[serde(default)]
    pub resources: Items<Resource>,
}

#[derive(Deserialize)]
pub struct Resource {
    /// `pods`, and of a part of one `pods/log`.
    pub name: String,
    pub namespaced: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub verbs: Vec<String>,
}
