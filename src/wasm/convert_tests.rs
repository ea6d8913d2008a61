use super::*;

fn file(name: &str) -> types::Node {
    types::Node {
        id: format!("id of {name}"),
        name: name.into(),
        kind: types::Kind::File,
        size: None,
        modified: Some(1_700_000_000_123),
        version: None,
        content: None,
        coherence: types::Coherence::Volatile,
        part_of: None,
        complete: true,
    }
}

fn directory(name: &str) -> types::Node {
    types::Node { kind: types::Kind::Directory, ..file(name) }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Fault>) -> (Cause, String) {
    let fault = result.unwrap_err();
    (fault.cause, fault.detail)
}

#[test]
fn a_good_node_is_taken_as_it_is() {
    let raw = types::Node {
        content: Some(types::Body::Held(b"hello\n".to_vec())),
        version: Some("v1".into()),
        coherence: types::Coherence::Scoped("engine".into()),
        part_of: Some("c1".into()),
        ..file("state")
    };
    let node = found(raw, "c1", "state").unwrap();
    assert_eq!(&*node.id, "id of state");
    assert_eq!(node.size, Some(6));
    assert_eq!(node.content, Some(Body::Held(Bytes::from_static(b"hello\n"))));
    assert_eq!(node.coherence, Coherence::Scoped("engine".into()));
    assert_eq!(node.part_of.as_deref(), Some("c1"));
    let since = node.modified.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_millis(), 1_700_000_000_123);
    assert!(!node.complete, "only a directory has a complete listing");
}

#[test]
fn each_entry_has_its_own_scope_and_whole_whatever_those_before_it_have() {
    let of = |name: &str, scope: &str, whole: Option<&str>| types::Node {
        coherence: types::Coherence::Scoped(scope.into()),
        part_of: whole.map(str::to_owned),
        ..file(name)
    };
    let raw = vec![
        of("a", "s", Some("c1")),
        of("b", "s", Some("c2")),
        of("c", "t", Some("c2")),
        of("d", "s", None),
        of("e", "s", Some("c1")),
    ];
    let nodes = listing(raw.clone(), "p").unwrap();
    for (node, raw) in nodes.iter().zip(raw) {
        let types::Coherence::Scoped(scope) = raw.coherence else { unreachable!("given above") };
        assert_eq!(node.coherence, Coherence::Scoped(scope.into()), "{}", node.name);
        assert_eq!(node.part_of.as_deref(), raw.part_of.as_deref(), "{}", node.name);
    }
}

#[test]
fn a_directory_has_no_size() {
    let node = found(types::Node { size: Some(4096), ..directory("d") }, "p", "d").unwrap();
    assert_eq!((node.size, node.complete), (None, true));
}

#[test]
fn a_lookup_answers_the_name_that_was_asked() {
    let (cause, detail) = refused(found(file("b"), "p", "a"));
    assert_eq!(cause, Cause::Invalid);
    assert_eq!(detail, "was asked for `a` and answered `b`");
}

#[test]
fn one_bad_name_refuses_the_whole_listing() {
    for (name, cause, why) in [
        ("../x", Cause::Invalid, "it contains `/`"),
        ("..", Cause::Invalid, "it stands for a directory of the path itself"),
        ("", Cause::Invalid, "it is empty"),
        ("a\0", Cause::Invalid, "U+0000"),
        (&"x".repeat(300), Cause::Limit, "it has 300 bytes, more than 255"),
    ] {
        let (is, detail) = refused(listing(vec![file("good"), file(name)], "p"));
        assert_eq!(is, cause, "{name}");
        assert!(detail.contains(why) && detail.contains("`p`"), "{detail}");
    }
    let (_, detail) = refused(listing(vec![file("a"), file("b"), file("a")], "p"));
    assert_eq!(detail, "listed the name `a` twice in `p`");
}

#[test]
fn each_limit_lets_its_last_byte_through_and_refuses_the_next() {
    type Make = fn(usize) -> types::Node;
    let cases: [(usize, &str, Make); 5] = [
        (255, "name", |n| file(&"x".repeat(n))),
        (1024, "id", |n| types::Node { id: "x".repeat(n), ..file("f") }),
        (1024, "version", |n| types::Node { version: Some("x".repeat(n)), ..file("f") }),
        (1024, "scope", |n| types::Node {
            coherence: types::Coherence::Scoped("x".repeat(n)),
            ..file("f")
        }),
        (1024, "id", |n| types::Node { part_of: Some("x".repeat(n)), ..file("f") }),
    ];
    for (max, field, make) in cases {
        assert!(listing(vec![make(max)], "p").is_ok(), "{field}");
        let (cause, detail) = refused(listing(vec![make(max + 1)], "p"));
        assert_eq!(cause, Cause::Limit, "{field}");
        assert!(detail.contains(field) && detail.contains(&max.to_string()), "{detail}");
    }
    let (cause, detail) = refused(listing(vec![types::Node { id: "".into(), ..file("f") }], "p"));
    assert_eq!((cause, detail.as_str()), (Cause::Invalid, "gave an empty id for `f`"));
}

#[test]
fn a_listing_has_at_most_100_000_entries() {
    let full: Vec<_> = (0..limits::LISTING_MAX).map(|n| file(&n.to_string())).collect();
    let mut more = full.clone();
    more.push(file("one more"));
    assert_eq!(listing(full, "p").unwrap().len(), 100_000);
    let (cause, detail) = refused(listing(more, "p"));
    assert_eq!(cause, Cause::Limit);
    assert!(detail.starts_with("listed 100001 entries in `p`, more than 100000"), "{detail}");
}

#[test]
fn a_content_has_at_most_what_is_configured_and_the_setting_is_named() {
    let most = 1000;
    assert_eq!(content(vec![0; most], "n", most).unwrap().len(), most);
    let with =
        |bytes| types::Node { content: Some(types::Body::Held(vec![0; bytes])), ..file("f") };
    let listed = |bytes| fit(&listing(vec![with(bytes)], "p").unwrap(), most);
    assert_eq!(listed(most), Ok(()));
    assert!(along("n".into(), vec![0; most], most).is_ok());
    for (cause, detail) in [
        refused(content(vec![0; most + 1], "n", most)),
        refused(listed(most + 1)),
        refused(along("n".into(), vec![0; most + 1], most)),
    ] {
        assert_eq!(cause, Cause::TooLarge);
        assert!(detail.contains("content-size in [limits]"), "{detail}");
    }
}

#[test]
fn contradictions_are_refused() {
    let with = |content: &[u8], raw| types::Node {
        content: Some(types::Body::Held(content.to_vec())),
        ..raw
    };
    let link = || types::Node { kind: types::Kind::Symlink, ..file("l") };
    for (raw, why) in [
        (with(b"x", directory("d")), "content for the directory `d`"),
        (types::Node { size: Some(2), ..with(b"x", file("f")) }, "a size of 2 and a content of 1"),
        (types::Node { id: "p".into(), ..directory("d") }, "contains itself"),
        (types::Node { modified: Some(u64::MAX), ..file("f") }, "after the year 9999"),
        (with(b"", link()), "a target that is empty"),
        (with(b"a\0b", link()), "has a NUL"),
    ] {
        let (cause, detail) = refused(listing(vec![raw], "p"));
        assert_eq!(cause, Cause::Invalid);
        assert!(detail.contains(why), "{detail}");
    }
    let (cause, _) = refused(listing(vec![with(&[b'x'; 4096], link())], "p"));
    assert_eq!(cause, Cause::Limit);
    assert!(listing(vec![with(&[b'x'; 4095], link())], "p").is_ok());
}

#[test]
fn an_object_is_a_directory_or_a_file_but_not_both() {
    let object = |raw| types::Node { id: "o".into(), ..raw };
    let nodes = listing(vec![object(file("f")), object(directory("d"))], "p").unwrap();
    assert!(refused(consistent("p", true, &nodes, &[])).1.contains("as a directory and as a file"));

    // A file with children.
    let nodes = listing(vec![object(file("f"))], "p").unwrap();
    let children = offer("o".into(), vec![file("child")], true).unwrap();
    assert!(refused(consistent("p", true, &nodes, &[children])).1.contains("`o` (here named `f`)"));

    // The directory that was asked, as a file.
    let nodes = vec![file("a"), types::Node { id: "p".into(), ..file("b") }];
    assert!(consistent("p", true, &listing(nodes, "p").unwrap(), &[]).is_err());

    // A file that was read, with children.
    let children = offer("p".into(), vec![file("child")], true).unwrap();
    assert!(refused(consistent("p", false, &[], &[children])).1.contains("which is a file"));

    // One object under two names, as `by-name` and `by-id` have it.
    let nodes = vec![object(directory("a")), object(directory("b"))];
    assert_eq!(consistent("p", true, &listing(nodes, "p").unwrap(), &[]), Ok(()));
}

fn failed(cause: Cause, detail: &str, retry_after: Option<Duration>) -> Failure {
    Failure { provider: "upstream".into(), cause, detail: detail.into(), retry_after }
}

#[test]
fn a_failed_request_that_is_passed_on_keeps_its_cause_and_detail() {
    let provider: Arc<str> = "p".into();
    for original in [
        failed(Cause::TimedOut, "api did not answer within 20 s", None),
        failed(Cause::RateLimited, "budget gone", Some(Duration::from_millis(1_500))),
        failed(Cause::TooLarge, "body over 64 MiB", None),
        failed(Cause::Denied, "GET /x is not declared", None),
        failed(Cause::Unavailable, "connection refused", None),
    ] {
        let seen = error(&original);
        let back = failure(&provider, seen.clone(), &[(seen.clone(), original.clone())], 1000);
        assert_eq!(back, Failure { provider: provider.clone(), ..original.clone() });
        // Without the record the cause is still right.
        assert_eq!(failure(&provider, seen, &[], 1000).cause, original.cause);
    }
    let limited = failed(Cause::RateLimited, "", Some(Duration::from_millis(1_500)));
    assert_eq!(error(&limited), types::Error::RateLimited(Some(2)));
}

#[test]
fn an_error_text_is_one_clean_line() {
    let said = types::Error::Denied("no\n\u{1b}[2Jaccess".into());
    let failure = failure(&"p".into(), said, &[], 1000);
    assert_eq!(failure.to_string(), "p: no \u{fffd}[2Jaccess");
}
