//! What servers answer that no git would, and what is not asked.

use crate::Git;
use omnifs_gitpack::{Format, Kind, Oid};
use omnifs_sdk::events::Change;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Error, Position};
use sha1_checked::{Digest, Sha1};

const PACK: &str = "POST /api/git-upload-pack";

fn line(content: &[u8]) -> Vec<u8> {
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

/// The answer to a fetch: these objects, whole.
fn fetched(objects: &[(Kind, &[u8])]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(u32::try_from(objects.len()).unwrap().to_be_bytes());
    for (kind, content) in objects {
        let kind = match kind {
            Kind::Commit => 1,
            Kind::Tree => 2,
            Kind::Blob => 3,
            Kind::Tag => 4,
        };
        let (mut byte, mut rest) = (kind << 4 | (content.len() & 0xf) as u8, content.len() >> 4);
        while rest > 0 {
            pack.push(byte | 0x80);
            (byte, rest) = ((rest & 0x7f) as u8, rest >> 7);
        }
        pack.push(byte);
        pack.extend(miniz_oxide::deflate::compress_to_vec_zlib(content, 6));
    }
    let sum = Sha1::digest(&pack);
    pack.extend_from_slice(&sum);
    let bands = pack.chunks(60_000).flat_map(|part| line(&[&[1], part].concat()));
    [line(b"packfile\n"), bands.collect(), b"0000".to_vec()].concat()
}

fn refs(lines: &[&str]) -> Vec<u8> {
    let lines = lines.iter().flat_map(|text| line(text.as_bytes()));
    lines.chain(b"0000".iter().copied()).collect()
}

const ADVERTISED: &[(&str, &str)] =
    &[("content-type", "application/x-git-upload-pack-advertisement")];

/// A repository `api`.
fn server() -> Recorded {
    let can = [line(b"version 2\n"), line(b"fetch=shallow filter\n"), b"0000".to_vec()].concat();
    Recorded::new().answer("GET /api/info/refs?service=git-upload-pack", 200, ADVERTISED, can)
}

fn tree(entries: &[(&str, &[u8], Oid)]) -> Vec<u8> {
    let entry = |(mode, name, id): &(&str, &[u8], Oid)| {
        [mode.as_bytes(), b" ", name, b"\0", id.as_bytes()].concat()
    };
    entries.iter().flat_map(entry).collect()
}

fn id(kind: Kind, content: &[u8]) -> Oid {
    Format::Sha1.id(kind, content).unwrap()
}

/// The objects of a commit of this tree, with its id.
fn commit(tree: &[u8]) -> (Oid, Vec<u8>) {
    let text = format!("tree {}\nauthor A <a> 1 +0000\n\nnote\n", id(Kind::Tree, tree));
    (id(Kind::Commit, text.as_bytes()), text.into_bytes())
}

#[test]
fn a_blob_that_is_not_what_its_id_says_is_not_shown() {
    let root = tree(&[("100644", b"x", id(Kind::Blob, b"good"))]);
    let (commit, text) = commit(&root);
    let head = format!("{commit} HEAD");
    let upstream = server()
        .answer(PACK, 200, &[], refs(&[&head]))
        .answer(PACK, 200, &[], fetched(&[(Kind::Commit, &text), (Kind::Tree, &root)]))
        .answer(PACK, 200, &[], fetched(&[(Kind::Blob, b"evil")]));
    let mount = Mount::<Git>::new(upstream);
    assert_eq!(mount.list("api/_head/tree").unwrap(), ["x"]);
    assert!(matches!(mount.read("api/_head/tree/x"), Err(Error::Invalid(_))));
}

#[test]
fn names_that_lead_elsewhere_are_escaped_and_two_of_one_name_are_told_apart() {
    let (one, two) = (id(Kind::Blob, b"1"), id(Kind::Blob, b"2"));
    let entries: &[(&str, &[u8], Oid)] = &[
        ("100644", b"..", one),
        ("100644", b".git", one),
        ("100644", b"a/b", one),
        ("100644", b"x", one),
        ("100755", b"x", two),
        ("120000", b"caf\xe9", one),
        ("160000", b"sub", one),
    ];
    let root = tree(entries);
    let (commit, text) = commit(&root);
    let upstream = server().answer(PACK, 200, &[], refs(&[&format!("{commit} HEAD")])).answer(
        PACK,
        200,
        &[],
        fetched(&[(Kind::Commit, &text), (Kind::Tree, &root)]),
    );
    let mount = Mount::<Git>::new(upstream);
    let mut names = mount.list("api/_head/tree").unwrap();
    names.sort();
    let tied = format!("x@{two}");
    let mut expected = ["%2E%2E", "%2Egit", "a%2Fb", "caf\u{fffd}", "sub", "x", tied.as_str()];
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(mount.read("api/_head/tree/sub").unwrap(), format!("{one}\n"));
}

#[test]
fn a_tree_that_is_reached_by_ten_to_the_thirtieth_paths_is_offered_once() {
    let mut below = tree(&[("100644", b"x", id(Kind::Blob, b"x"))]);
    let mut objects = vec![below.clone()];
    for _ in 0..30 {
        let next = id(Kind::Tree, &below);
        let names: Vec<[u8; 1]> = (b'0'..=b'9').map(|name| [name]).collect();
        let entries: Vec<_> = names.iter().map(|name| ("40000", &name[..], next)).collect();
        below = tree(&entries);
        objects.push(below.clone());
    }
    let (commit, text) = commit(&below);
    let trees = objects.iter().map(|tree| (Kind::Tree, tree.as_slice()));
    let all: Vec<_> = trees.chain([(Kind::Commit, text.as_slice())]).collect();
    let upstream = server().answer(PACK, 200, &[], refs(&[&format!("{commit} HEAD")])).answer(
        PACK,
        200,
        &[],
        fetched(&all),
    );
    let mount = Mount::<Git>::new(upstream);
    assert_eq!(mount.list("api/_head/tree/0/1/2/3/4/5/6/7/8/9").unwrap().len(), 10);
    assert_eq!(mount.requests().len(), 3, "{:?}", mount.requests());
}

/// A repository whose only commit has no parent: its diff is all that is in it.
fn one_commit(root: &[u8], objects: &[(Kind, &[u8])]) -> Mount<Git> {
    let (commit, text) = commit(root);
    let all = [&[(Kind::Commit, &text[..]), (Kind::Tree, root)], objects].concat();
    let upstream = server().answer(PACK, 200, &[], refs(&[&format!("{commit} HEAD")])).answer(
        PACK,
        200,
        &[],
        fetched(&all),
    );
    Mount::<Git>::new(upstream)
}

#[test]
fn a_diff_of_more_files_or_trees_than_are_looked_at_is_too_large() {
    // Ten trees below each tree, once with a file at the end of each path and once with nothing there.
    for leaf in [tree(&[("100644", b"x", id(Kind::Blob, b"x"))]), Vec::new()] {
        let mut levels = vec![leaf];
        for level in 0..30 {
            let next = id(Kind::Tree, &levels[level]);
            let names: Vec<[u8; 1]> = (b'0'..=b'9').map(|name| [name]).collect();
            let entries: Vec<_> = names.iter().map(|name| ("40000", &name[..], next)).collect();
            levels.push(tree(&entries));
        }
        let root = levels.pop().unwrap();
        let objects: Vec<_> = levels.iter().map(|tree| (Kind::Tree, tree.as_slice())).collect();
        let mount = one_commit(&root, &objects);
        assert!(matches!(mount.read("api/_head/diff"), Err(Error::TooLarge)));
    }
}

#[test]
fn what_tools_look_for_is_not_asked_for() {
    let mount = Mount::<Git>::new(server());
    for name in [".git", ".ignore", "_branches"] {
        assert!(matches!(mount.stat(name), Err(Error::NotFound)), "{name}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_page_for_people_is_no_repository_and_a_dumb_server_is_an_error() {
    let page = [("content-type", "text/html")];
    let plain = [("content-type", "text/plain")];
    let refs = format!("{}\trefs/heads/main\n", "1".repeat(40));
    let upstream = Recorded::new()
        .answer("GET /page/info/refs?service=git-upload-pack", 200, &page, "<html>")
        .answer("GET /dumb/info/refs?service=git-upload-pack", 200, &plain, refs)
        .answer("GET /old/info/refs?service=git-upload-pack", 200, ADVERTISED, "0000");
    let mount = Mount::<Git>::new(upstream);
    assert!(mount.stat("page").is_ok(), "may lead to one");
    assert!(matches!(mount.stat("dumb"), Err(Error::Invalid(_))));
    assert!(matches!(mount.stat("old"), Err(Error::Invalid(_))));
}

#[test]
fn a_path_that_is_redirected_is_the_repository_where_it_leads() {
    let can = [line(b"version 2\n"), b"0000".to_vec()].concat();
    let place = "/team/api.git/info/refs?service=git-upload-pack";
    let headers = [ADVERTISED[0], ("content-location", place)];
    let upstream = Recorded::new()
        .answer("GET /api/info/refs?service=git-upload-pack", 200, &headers, can)
        .answer("POST /team/api.git/git-upload-pack", 200, &[], refs(&[]));
    let mount = Mount::<Git>::new(upstream);
    assert_eq!(mount.list("api/_branches").unwrap(), [""; 0]);
}

/// Git 2.20 knows neither the key `object-format` nor what it says, and ends without an answer where a request has
/// it. This is what it advertises.
#[test]
fn a_server_that_knows_no_object_format_is_asked_without_it_and_once() {
    let blob = id(Kind::Blob, b"old");
    let root = tree(&[("100644", b"x", blob)]);
    let (commit, text) = commit(&root);
    let upstream = Recorded::new().otherwise(move |line, _, body| {
        let body = String::from_utf8(body.to_vec()).unwrap();
        let has = |what: &str| body.contains(what);
        if line.starts_with("GET") {
            let can = ["version 2\n", "agent=git/2.20.1\n", "ls-refs\n", "fetch=shallow filter\n"];
            let headers = ADVERTISED.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            return (200, headers.collect(), refs(&can));
        }
        let answer = match () {
            () if has("object-format") => Vec::new(),
            () if has("command=ls-refs") => refs(&[&format!("{commit} HEAD")]),
            () if has(&format!("want {blob}")) => fetched(&[(Kind::Blob, b"old")]),
            () => fetched(&[(Kind::Commit, &text), (Kind::Tree, &root)]),
        };
        (200, Vec::new(), answer)
    });
    let mount = Mount::<Git>::new(upstream);
    assert_eq!(mount.read("api/_head/tree/x").unwrap(), "old");
    assert!(mount.read("api/_head/log").unwrap().contains("note"));
    let asked = mount.requests();
    assert_eq!(asked.iter().filter(|line| line.starts_with("POST")).count(), 4, "{asked:?}");
    assert_eq!(asked.iter().filter(|line| line.starts_with("GET")).count(), 1, "{asked:?}");
}

#[test]
fn a_poll_names_the_refs_that_moved_and_a_first_one_may_have_missed_some() {
    let (a, b) = ("1".repeat(40), "2".repeat(40));
    let date = [("date", "Sun, 22 Nov 2026 13:00:00 GMT")];
    let of = |lines: &[&str]| refs(lines);
    let (main, side) = (format!("{a} refs/heads/main"), format!("{a} refs/heads/a/side"));
    let (head, moved) = (format!("{a} HEAD"), format!("{b} refs/heads/a/side"));
    let upstream = server()
        .answer(PACK, 200, &date, of(&[&head, &main, &side]))
        .answer(PACK, 200, &date, of(&[&head, &main, &side]))
        .answer(PACK, 200, &date, of(&[&head, &main, &moved]));
    let mount = Mount::<Git>::new(upstream);
    let mut position =
        Position { scope: "refs:api".into(), feed: "refs".into(), ..Position::default() };
    let first = mount.poll(&position).unwrap();
    assert_eq!(first.changes.0, [Change::Gap("refs:api".into())]);
    position.cursor = first.cursor;
    assert!(position.cursor.as_ref().is_some_and(|cursor| cursor.len() < 4 << 10));
    let second = mount.poll(&position).unwrap();
    assert_eq!((second.changes.0, second.resumed), (vec![], true));
    let third = mount.poll(&position).unwrap().changes.0;
    assert!(third.contains(&Change::Invalidated("branch/api/a%2Fside".into())), "{third:?}");
    assert!(!third.contains(&Change::Invalidated("branch/api/main".into())), "{third:?}");
}
