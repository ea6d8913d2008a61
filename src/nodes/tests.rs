use super::*;

fn answered(id: &str, version: Option<&str>, part_of: Option<&str>) -> Answered {
    Answered {
        id: id.into(),
        name: "n".into(),
        kind: Kind::File,
        size: None,
        modified: None,
        version: version.map(str::to_owned),
        content: None,
        coherence: crate::provider::Coherence::Immutable,
        part_of: part_of.map(Arc::from),
        complete: true,
    }
}

fn node(id: &str, key: u64, version: Option<&str>, owner: Option<(&str, u64)>) -> Node {
    Node::new(
        InstanceId(0),
        &answered(id, version, owner.map(|o| o.0)),
        Inode(key),
        Key(key),
        owner.map(|(id, key)| (Arc::from(id), Key(key))),
        Coherence::Immutable,
        1,
    )
}

#[test]
fn an_event_on_an_object_reaches_its_parts() {
    let mut registry = Registry::default();
    let whole = registry.intern(node("c", 1, None, None)).node;
    let part = registry.intern(node("c/state", 2, None, Some(("c", 1)))).node;
    let other = registry.intern(node("d/state", 3, None, Some(("d", 4)))).node;
    assert_eq!(registry.invalidate(Key(1)).len(), 2);
    assert!(!whole.is_valid() && !part.is_valid() && other.is_valid());
}

#[test]
fn an_equal_version_revives_the_node_and_an_unversioned_one_is_replaced() {
    let mut registry = Registry::default();
    let first = registry.intern(node("a", 1, Some("v1"), None)).node;
    registry.invalidate(Key(1));
    let again = registry.intern(node("a", 1, Some("v1"), None));
    assert!(Arc::ptr_eq(&first, &again.node) && again.node.is_valid());

    let plain = registry.intern(node("b", 2, None, None)).node;
    registry.invalidate(Key(2));
    let next = registry.intern(node("b", 2, None, None));
    assert!(!Arc::ptr_eq(&plain, &next.node));
    assert!(next.replaced.is_some_and(|old| Arc::ptr_eq(&old, &plain)));
}

#[test]
fn the_index_forgets_what_nobody_holds() {
    let mut registry = Registry::default();
    for n in 0..20_000 {
        registry.intern(node("x", n, None, None));
    }
    let keys: usize = registry.parts.iter().map(|part| part.by_key.len()).sum();
    // Each part is swept when it holds more than a few.
    assert!(keys < 17_000, "{keys} keys left");
}
