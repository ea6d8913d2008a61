//! The mount table: first path segment to provider instance. Nothing else knows it.

use crate::inodes::{ROOT_INODE, key};
use crate::nodes::{Coherence, InstanceId, Key, Node};
use crate::provider::{Failure, Kind, Node as Answered, Provider};
use omnifs_platform::Inode;
use std::sync::Arc;

/// One provider, mounted under one name.
#[derive(Clone, Debug)]
pub struct Instance {
    pub name: Arc<str>,
    /// The node-id of its root directory.
    pub root: Arc<str>,
    /// A provider that could not be loaded keeps its directory, and every use of it says why.
    pub provider: Result<Arc<dyn Provider>, Failure>,
}

#[derive(Debug)]
pub struct Router {
    instances: Vec<Instance>,
}

/// The instance number of the mount's own root directory.
pub const MOUNT: InstanceId = InstanceId(u16::MAX);

impl Router {
    /// Instances in the order of their numbers. Names are unique; the configuration sees to it.
    pub fn new(mut instances: Vec<Instance>) -> Self {
        instances.truncate(usize::from(u16::MAX));
        Router { instances }
    }

    pub fn instances(&self) -> impl Iterator<Item = (InstanceId, &Instance)> {
        // `new` bounds the count.
        self.instances.iter().enumerate().map(|(at, instance)| (InstanceId(at as u16), instance))
    }

    pub fn name(&self, id: InstanceId) -> Arc<str> {
        self.instances.get(usize::from(id.0)).map_or_else(|| "omnifs".into(), |i| i.name.clone())
    }

    pub fn find(&self, name: &str) -> Option<InstanceId> {
        self.instances().find(|(_, instance)| &*instance.name == name).map(|(id, _)| id)
    }

    pub fn provider(&self, id: InstanceId) -> Result<Arc<dyn Provider>, Failure> {
        match self.instances.get(usize::from(id.0)) {
            Some(instance) => instance.provider.clone(),
            None => Err(Failure {
                provider: "omnifs".into(),
                cause: crate::provider::Cause::NotFound,
                detail: "no such provider instance".into(),
                retry_after: None,
            }),
        }
    }

    /// The mount's root directory: its entries never change while it is mounted.
    pub fn mount_root() -> Node {
        fixed(MOUNT, "".into(), Key(ROOT_INODE.0), ROOT_INODE)
    }

    /// The root directory of each instance, by name.
    pub fn roots(&self) -> Vec<(Arc<str>, Node)> {
        self.instances()
            .map(|(id, instance)| {
                let key = key(&instance.name, &instance.root);
                let mut node = fixed(id, instance.root.clone(), key, Inode(key.0.max(1 << 16)));
                node.complete = false;
                node.relisted = true;
                (instance.name.clone(), node)
            })
            .collect()
    }
}

fn fixed(instance: InstanceId, id: Arc<str>, key: Key, inode: Inode) -> Node {
    let answered = Answered {
        id,
        name: String::new(),
        kind: Kind::Directory,
        size: None,
        modified: None,
        version: None,
        content: None,
        coherence: crate::provider::Coherence::Immutable,
        part_of: None,
        complete: true,
    };
    Node::new(instance, &answered, inode, key, None, Coherence::Immutable, 0)
}
