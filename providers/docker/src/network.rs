//! Networks. Two may have one name: the older keeps it, the other shows as `NAME@ID`. What tells of
//! the containers in a network is part of [`Id::Members`], because it names them and a renamed
//! container does not say in which networks it is.

use crate::api::{Network, NetworkInspect};
use crate::{Id, engine};
use omnifs_sdk::*;

impl Object for Network {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |n: &Self| scalar(&n.answer.id)).immutable(),
        leaf("name", |n| scalar(&n.answer.name)),
        leaf("driver", |n| scalar(&n.answer.driver)),
        leaf("scope", |n| scalar(&n.answer.scope)),
        leaf("created", |n| scalar(&n.answer.created)),
        leaf("internal", |n| scalar(n.answer.internal)),
        leaf("attachable", |n| scalar(n.answer.attachable)),
        leaf("ipv6", |n| scalar(n.answer.ipv6)),
        leaf("subnets", |n| lines(n.answer.ipam.config.iter().map(|pool| &pool.subnet))),
        map("labels", |n| scalars(&n.answer.labels)),
        map("options", |n| scalars(&n.answer.options)),
        detail("containers", Network::members).part_of(|_| Id::Members),
        detail("inspect.json", Network::stable).part_of(|_| Id::Members),
    ];

    fn id(&self) -> Id {
        Id::Network(self.answer.id.clone())
    }

    fn directory_modified(&self) -> Option<u64> {
        time::rfc3339_ms(&self.answer.created)
    }
}

pub fn list() -> Result<Listing<Id>> {
    let mut all: Items<Raw<NetworkInspect>> = engine::networks().json()?;
    all.sort_by_key(|n| (time::rfc3339_ms(&n.created), n.id.clone()));
    let entry = |answer: Raw<NetworkInspect>| {
        let (name, tie) = (answer.name.clone(), answer.id.chars().take(12).collect::<String>());
        Entry::object(name, &Network { answer, full: false }).tie(tie)
    };
    Ok(all.map(entry).into())
}

pub fn inspect(id: &str) -> Result<Network> {
    Ok(Network { answer: engine::network(id).json()?, full: true })
}
