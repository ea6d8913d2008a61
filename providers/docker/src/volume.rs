//! Volumes. A listing holds all there is.

use crate::api::{Volume, Volumes};
use crate::{Id, engine};
use omnifs_sdk::*;

impl Object for Volume {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("name", |v| scalar(&v.0.name)),
        leaf("driver", |v| scalar(&v.0.driver)),
        leaf("mountpoint", |v| scalar(&v.0.mountpoint)),
        // Older engines answer the time of the last entry made in the volume.
        leaf("created", |v: &Self| optional(v.0.created_at.as_ref())).volatile_while(|_| true),
        leaf("scope", |v| scalar(&v.0.scope)),
        map("labels", |v| scalars(&v.0.labels)),
        map("options", |v| scalars(&v.0.options)),
        leaf("inspect.json", Volume::stable),
    ];

    fn id(&self) -> Id {
        Id::Volume(self.0.name.clone())
    }
}

pub fn list() -> Result<Listing<Id>> {
    let all: Volumes = engine::volumes().json()?;
    Ok(all.volumes.map(|volume| Entry::object(&volume.0.name, &volume)).into())
}

pub fn inspect(name: &str) -> Result<Volume> {
    // What does not begin so is the name of no volume: not asked for.
    let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if valid { engine::volume(name).json() } else { Err(Error::NotFound) }
}

pub fn find(name: &str) -> Result<Entry<Id>> {
    let volume = inspect(name)?;
    Ok(Entry::object(&volume.0.name, &volume))
}
