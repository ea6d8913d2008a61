//! The mount table: first path segment to provider instance. Nothing else knows it.

use crate::guide::RootFiles;
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
    /// The host's own files beside the instances.
    files: Option<Arc<RootFiles>>,
}

/// The instance number of the mount's own root directory.
pub const MOUNT: InstanceId = InstanceId(u16::MAX);

impl Router {
    /// Instances in the order of their numbers. Names are unique; the configuration sees to it.
    pub fn new(mut instances: Vec<Instance>) -> Self {
        instances.truncate(usize::from(u16::MAX) - 1);
        Router { instances, files: None }
    }

    /// With these files beside the instances.
    pub fn with_files(self, files: RootFiles) -> Self {
        Router { files: Some(Arc::new(files)), ..self }
    }

    /// The number after the instances'.
    fn files_id(&self) -> InstanceId {
        // `new` bounds the count.
        InstanceId(self.instances.len() as u16)
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
        match (self.instances.get(usize::from(id.0)), &self.files) {
            (Some(instance), _) => instance.provider.clone(),
            (None, Some(files)) if id == self.files_id() => Ok(files.clone()),
            _ => Err(Failure {
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

    /// What the mount's root directory shows, by name: the root directory of each instance, and the files.
    pub fn roots(&self) -> Vec<(Arc<str>, Node)> {
        let files = self.files.iter().flat_map(|files| files.nodes());
        let files = files.map(|answered| {
            let (name, key) = (answered.name.as_str().into(), key("", &answered.id));
            let (id, inode) = (self.files_id(), Inode(key.0.max(1 << 16)));
            let mut node = Node::new(id, &answered, inode, key, None, Coherence::Immutable, 0);
            // Nobody can be asked about it.
            node.relisted = true;
            (name, node)
        });
        self.instances()
            .map(|(id, instance)| {
                let key = key(&instance.name, &instance.root);
                let mut node = fixed(id, instance.root.clone(), key, Inode(key.0.max(1 << 16)));
                node.complete = false;
                node.relisted = true;
                (instance.name.clone(), node)
            })
            .chain(files)
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
