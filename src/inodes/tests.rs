use super::*;
use crate::nodes::Coherence;
use crate::provider::{Kind, Node as Answered};

fn node(inodes: &mut Inodes, id: &str, kind: Kind) -> Arc<Node> {
    let id: Arc<str> = id.into();
    let key = key("i", &id);
    let inode = inodes.settle(InstanceId(0), &id, key);
    let answered = Answered {
        id,
        name: "n".into(),
        kind,
        size: None,
        modified: None,
        version: None,
        content: None,
        coherence: crate::provider::Coherence::Immutable,
        part_of: None,
        complete: true,
    };
    let coherence = Coherence::Immutable;
    Arc::new(Node::new(InstanceId(0), &answered, inode, key, None, coherence, 0))
}

fn root() -> Arc<Node> {
    let answered = Answered {
        id: "".into(),
        name: "".into(),
        kind: Kind::Directory,
        size: None,
        modified: None,
        version: None,
        content: None,
        coherence: crate::provider::Coherence::Immutable,
        part_of: None,
        complete: true,
    };
    let coherence = Coherence::Immutable;
    Arc::new(Node::new(InstanceId(u16::MAX), &answered, ROOT_INODE, Key(1), None, coherence, 0))
}

#[test]
fn a_directory_has_a_handle_for_each_position_and_one_inode() {
    let mut inodes = Inodes::new(root());
    let (a, b) = (node(&mut inodes, "a", Kind::Directory), node(&mut inodes, "b", Kind::Directory));
    let x = node(&mut inodes, "x", Kind::Directory);
    let a = inodes.enter(ROOT, &"a".into(), &a);
    let b = inodes.enter(ROOT, &"b".into(), &b);
    let first = inodes.enter(a, &"x".into(), &x);
    let second = inodes.enter(b, &"x".into(), &x);
    assert_eq!(first.0, x.inode.0);
    assert_ne!(first, second);
    assert_eq!(inodes.enter(a, &"renamed".into(), &x), first, "a rename keeps the handle");
    let names: Vec<_> = inodes.told(a).map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["renamed"]);
}

#[test]
fn a_file_has_one_handle_until_it_is_superseded() {
    let mut inodes = Inodes::new(root());
    let dir = node(&mut inodes, "d", Kind::Directory);
    let file = node(&mut inodes, "f", Kind::File);
    let dir = inodes.enter(ROOT, &"d".into(), &dir);
    let first = inodes.enter(ROOT, &"f".into(), &file);
    assert_eq!(inodes.enter(dir, &"g".into(), &file), first);
    inodes.slot_mut(first).expect("entered").superseded = true;
    let next = inodes.enter(dir, &"g".into(), &file);
    assert_ne!(next, first);
    inodes.forget(first, 2);
    assert!(inodes.slot(first).is_none());
    inodes.forget(next, 1);
    inodes.forget(dir, 1);
    assert_eq!(inodes.len(), 1, "only the root is left");
    assert!(inodes.told.is_empty() && inodes.owners.is_empty() && inodes.by_object.len() == 1);
}

#[test]
fn colliding_identities_get_different_inodes() {
    let mut inodes = Inodes::with_mask(root(), 0xff_ffff & !0xffff | 0x3);
    let mut seen = std::collections::HashMap::new();
    for n in 0..200 {
        let id = format!("object {n}");
        let file = node(&mut inodes, &id, Kind::File);
        inodes.enter(ROOT, &Arc::from(id.as_str()), &file);
        if let Some(other) = seen.insert(file.inode, id.clone()) {
            panic!("{other} and {id} share {:?}", file.inode);
        }
    }
}
