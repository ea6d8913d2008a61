//! Kinds of objects, and which of them a cluster has.

use crate::api::{Discovery, Resources, cluster};
use omnifs_sdk::http::{self, Request, Response};
use omnifs_sdk::{Error, Items, Result};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Written `apps/v1/deployments` and, of the core group, `/v1/pods`, with a `!` where it cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    pub group: String,
    pub version: String,
    /// The plural name.
    pub resource: String,
    /// A watch tells of changes.
    pub watched: bool,
}

impl Kind {
    fn core(resource: &str) -> Kind {
        let (group, version) = (String::new(), "v1".to_owned());
        Kind { group, version, resource: resource.to_owned(), watched: true }
    }

    pub fn pods() -> Kind {
        Kind::core("pods")
    }

    pub fn namespaces() -> Kind {
        Kind::core("namespaces")
    }

    pub fn events() -> Kind {
        Kind::core("events")
    }

    pub fn is_core(&self, resource: &str) -> bool {
        self.group.is_empty() && self.resource == resource
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind { group, version, resource, watched } = self;
        write!(f, "{group}/{version}/{resource}{}", if *watched { "" } else { "!" })
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let (text, watched) = text.strip_suffix('!').map_or((text, true), |text| (text, false));
        let parts: Vec<&str> = text.split('/').collect();
        let [group, version, resource] = parts[..] else { return Err("no kind") };
        let [group, version, resource] = [group, version, resource].map(str::to_owned);
        Ok(Kind { group, version, resource, watched })
    }
}

/// A kind that can be listed.
#[derive(Clone, Debug)]
pub struct Listed {
    pub kind: Kind,
    pub namespaced: bool,
    /// The plural name, and where another group has one of that name already, with its own group as kubectl takes
    /// it: `events.events.k8s.io`.
    pub name: String,
}

/// What discovery has found.
#[derive(Debug, Default)]
pub struct Found {
    pub kinds: Vec<Listed>,
    /// What may have more kinds and could not be read, or whose own server does not answer.
    pub missing: Vec<String>,
    /// It took one request for each version of a group.
    pub one_by_one: bool,
}

/// All groups at once, for servers from 1.27 on.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList, \
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList, application/json";

impl Found {
    /// Which kinds there are, in the order in which kubectl takes a name for one of them.
    pub fn all() -> Result<Found> {
        let ask = |request: Request| request.header("accept", AGGREGATED);
        let answers = http::fetch_all([ask(cluster::core()), ask(cluster::groups())]);
        let mut found = Found::default();
        for answer in answers {
            let Discovery { items, versions, groups } = answer?.ok()?.json()?;
            found.note(&items);
            found.note(&groups);
            for group in items.iter() {
                found.note(&group.versions);
                for version in group.versions.iter() {
                    found.note(&version.resources);
                    let place = (group.metadata.name.as_str(), version.version.as_str());
                    for one in version.resources.iter() {
                        found.add(place, &one.resource, one.scope == "Namespaced", &one.verbs);
                    }
                }
            }
            let core = versions.iter().map(|version| (String::new(), version.clone()));
            let mut asked: Vec<(String, String)> = core.collect();
            for group in groups.iter() {
                let all = group.preferred_version.iter().chain(group.versions.iter());
                asked.extend(all.map(|version| (group.name.clone(), version.version.clone())));
            }
            let mut seen = BTreeSet::new();
            asked.retain(|one| seen.insert(one.clone()));
            found.one_by_one(&asked)?;
        }
        Ok(found)
    }

    /// Asks for each of these groups and versions by itself.
    fn one_by_one(&mut self, asked: &[(String, String)]) -> Result<()> {
        self.one_by_one |= !asked.is_empty();
        let request = |(group, version): &(String, String)| match group.as_str() {
            "" => cluster::core_version(version),
            group => cluster::group_version(group, version),
        };
        let answers = http::fetch_all(asked.iter().map(request));
        for ((group, version), answer) in asked.iter().zip(answers) {
            match answer.and_then(Response::ok) {
                Ok(answer) => {
                    let Resources { resources } = answer.json()?;
                    self.note(&resources);
                    for one in resources.iter() {
                        self.add((group, version), &one.name, one.namespaced, &one.verbs);
                    }
                }
                // It has gone since the groups were listed.
                Err(Error::NotFound) => {}
                // One that is served elsewhere, which is away.
                Err(_) if !group.is_empty() => {
                    self.missing.push(format!("{group} does not answer"))
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note<T>(&mut self, items: &Items<T>) {
        self.missing.extend(items.odd().iter().map(ToString::to_string));
    }

    /// A resource of a group and a version.
    fn add(
        &mut self,
        (group, version): (&str, &str),
        resource: &str,
        namespaced: bool,
        verbs: &[String],
    ) {
        let has = |verb: &str| verbs.iter().any(|own| own == verb);
        let known = |one: &Listed| one.kind.group == group && one.kind.resource == resource;
        if resource.contains('/') || !has("list") || !has("get") || self.kinds.iter().any(known) {
            return;
        }
        let taken = self.kinds.iter().any(|one| one.kind.resource == resource);
        let name = if taken { format!("{resource}.{group}") } else { resource.to_owned() };
        let [group, version, resource] = [group, version, resource].map(str::to_owned);
        let kind = Kind { group, version, resource, watched: has("watch") };
        self.kinds.push(Listed { kind, namespaced, name });
    }
}
