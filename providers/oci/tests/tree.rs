//! The tree over what a registry answers, and what its polls say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use flate2::Compression;
use flate2::write::GzEncoder;
use omnifs_oci::Oci;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Coherence, Error, Kind, Position};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use tar::{Builder, EntryType, Header};

const REPO: &str = "acme%2Fapi";
const PACKED: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const IMAGE: [&str; 6] = ["config.json", "digest", "files", "layers", "manifest.json", "platforms"];

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// One entry of an archive: its path, type, mode, and content or target.
type Row<'a> = (&'a str, EntryType, u32, &'a str);

const fn plain<'a>(path: &'a str, content: &'a str) -> Row<'a> {
    (path, EntryType::Regular, 0o644, content)
}

fn archive(rows: &[Row<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, mode, content) in rows {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_mtime(1_700_000_000);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_size(0);
            builder.append_link(&mut header, path, content).unwrap();
        } else {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn descriptor(kind: &str, content: &[u8], more: &str) -> String {
    let (digest, size) = (digest(content), content.len());
    format!(r#"{{"mediaType": "{kind}", "digest": "{digest}", "size": {size}{more}}}"#)
}

fn manifest(config: &str, layers: &[(&str, &[u8])]) -> String {
    let config = descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes(), "");
    let layers: Vec<_> = layers.iter().map(|(kind, bytes)| descriptor(kind, bytes, "")).collect();
    format!(r#"{{"schemaVersion": 2, "config": {config}, "layers": [{}]}}"#, layers.join(", "))
}

fn tags(names: &str) -> String {
    format!(r#"{{"name": "acme/api", "tags": {names}}}"#)
}

/// With contents under their digests.
fn with_blobs(registry: Recorded, contents: &[&[u8]]) -> Recorded {
    contents.iter().fold(registry, |registry, content| {
        registry.get(&format!("/v2/acme/api/blobs/{}", digest(content)), *content)
    })
}

fn with_manifest(registry: Recorded, content: &str, tag: Option<&str>) -> Recorded {
    let own = digest(content.as_bytes());
    [Some(own.as_str()), tag].into_iter().flatten().fold(registry, |registry, reference| {
        let path = format!("/v2/acme/api/manifests/{reference}");
        let named = [("docker-content-digest", own.as_str())];
        registry.get(&path, content).answer(&format!("HEAD {path}"), 200, &named, "")
    })
}

fn listed(registry: Recorded, names: &str) -> Recorded {
    registry.get("/v2/acme/api/tags/list?n=1000", tags(names))
}

/// A registry in which `1.0` is an image with these layers, and a mount of it.
fn image(layers: &[(&str, &[u8])]) -> Mount<Oci> {
    let manifest = manifest("{}", layers);
    let contents: Vec<&[u8]> = layers.iter().map(|(_, content)| *content).collect();
    let registry = with_blobs(listed(Recorded::new(), r#"["1.0"]"#), &contents);
    Mount::new(with_manifest(with_blobs(registry, &[b"{}"]), &manifest, Some("1.0")))
}

fn two_layers() -> [Vec<u8>; 2] {
    let base = archive(&[
        ("./etc/", EntryType::Directory, 0o755, ""),
        plain("./etc/os-release", "ID=base\n"),
        plain("etc/gone", "x"),
        plain("opaque/below/old", "x"),
        plain("dir/inside", "x"),
        ("bin/run", EntryType::Regular, 0o755, "#!/bin/sh\n"),
        ("bin/hard", EntryType::Link, 0o755, "bin/run"),
        ("bin/soft", EntryType::Symlink, 0o777, "run"),
        ("dev/null", EntryType::Char, 0o666, ""),
        plain("changed", "old"),
    ]);
    let upper = archive(&[
        plain("etc/.wh.gone", ""),
        plain("opaque/.wh..wh..opq", ""),
        plain("opaque/new", "n"),
        plain("changed", "new and longer"),
        plain("dir", "a file now"),
    ]);
    [packed(&base), upper]
}

#[test]
fn files_are_those_of_all_layers_with_what_a_later_one_hides() {
    let [base, upper] = two_layers();
    let mount = image(&[(PACKED, &base), ("application/vnd.oci.image.layer.v1.tar", &upper)]);
    let files = format!("{REPO}/tags/1.0/files");
    let all = mount.read_all(&files).unwrap();
    let text = |path: &str| String::from_utf8(all[&format!("{files}/{path}")].clone()).unwrap();
    let names: Vec<_> = all.keys().map(|path| path.strip_prefix(&files).unwrap()).collect();
    let expected = ["/bin/hard", "/bin/run", "/bin/soft", "/changed", "/dir", "/etc/os-release"];
    assert_eq!(names, [&expected[..], &["/opaque/new"]].concat());
    assert_eq!(text("etc/os-release"), "ID=base\n");
    assert_eq!(text("changed"), "new and longer");
    assert_eq!(text("bin/hard"), "#!/bin/sh\n");
    assert_eq!(text("bin/soft"), "run");
    assert_eq!(mount.list(&format!("{files}/opaque")).unwrap(), ["new"]);
    let node = |path: &str| mount.stat(&format!("{files}/{path}")).unwrap();
    assert_eq!(node("bin/run").kind, Kind::Executable);
    assert_eq!(node("bin/run").id, node("bin/hard").id, "one file with two names");
    assert_eq!(node("bin/soft").kind, Kind::Symlink);
    assert_eq!((node("changed").size, node("changed").kind), (Some(14), Kind::File));
    assert_eq!(node("changed").modified, Some(1_700_000_000_000));
}

#[test]
fn a_tag_shows_its_image_by_a_request_for_each_answer() {
    let [base, upper] = two_layers();
    let mount = image(&[(PACKED, &base), (PACKED, &upper)]);
    let tag = format!("{REPO}/tags/1.0");
    assert_eq!(mount.list(&tag).unwrap(), IMAGE);
    let list = "GET /v2/acme/api/tags/list?n=1000";
    assert_eq!(mount.requests(), [list, "GET /v2/acme/api/manifests/1.0"]);
    let layers = mount.list(&format!("{tag}/layers")).unwrap();
    let name = |at: usize, layer: &[u8]| format!("{at:03}-{}.tar.gz", &digest(layer)[7..19]);
    assert_eq!(layers, [name(0, &base), name(1, &upper)]);
    assert_eq!(mount.requests(), [""; 0], "the layers came along");
    assert_eq!(
        mount.stat(&format!("{tag}/layers/{}", layers[0])).unwrap().size,
        Some(base.len() as u64)
    );
    assert_eq!(mount.read_bytes(&format!("{tag}/layers/{}", layers[1])).unwrap(), upper);
    assert_eq!(mount.read(&format!("{tag}/config.json")).unwrap(), "{}");
    let manifest = mount.read(&format!("{tag}/manifest.json")).unwrap();
    let own = mount.read(&format!("{tag}/digest")).unwrap();
    assert_eq!(own, format!("{}\n", digest(manifest.as_bytes())));
    let by_digest = format!("{REPO}/digests/{}", own.trim());
    assert_eq!(mount.read(&format!("{by_digest}/manifest.json")).unwrap(), manifest);
    assert_eq!(mount.list(&format!("{by_digest}/layers")).unwrap(), layers);
    let scope = |path: &str| match mount.stat(path).unwrap().coherence {
        Coherence::Scoped(scope) => scope,
        Coherence::Immutable => "never changes".to_owned(),
        Coherence::Volatile => String::new(),
    };
    assert_eq!(scope(&format!("{by_digest}/manifest.json")), "never changes");
    assert_eq!(scope(&format!("{tag}/manifest.json")), "tag:acme/api:1.0");
    assert_eq!(scope(&tag), "tags:acme/api", "a thousand tags are one scope");
    assert_eq!(mount.list(&format!("{REPO}/digests")).unwrap(), [""; 0]);
}

#[test]
fn an_index_shows_its_platforms_and_the_image_of_the_setting() {
    let platform = |os: &str, arch: &str, more: &str| {
        format!(r#", "platform": {{"os": "{os}", "architecture": "{arch}"{more}}}"#)
    };
    let images = ["1", "2", "3", "4"].map(|config| manifest(config, &[]));
    let of = [
        platform("unknown", "unknown", ""),
        platform("linux", "arm64", r#", "variant": "v8""#),
        platform("linux", "amd64", ""),
        platform("unknown", "unknown", ""),
    ];
    let entries = images.iter().zip(&of).map(|(image, of)| descriptor("m", image.as_bytes(), of));
    let index = format!(r#"{{"manifests": [{}]}}"#, entries.collect::<Vec<_>>().join(", "));
    let registry = || {
        let registry = listed(Recorded::new(), r#"["1.0"]"#);
        let registry = with_blobs(registry, &[b"1", b"2", b"3", b"4"]);
        let registry = images.iter().fold(registry, |to, image| with_manifest(to, image, None));
        with_manifest(registry, &index, Some("1.0"))
    };
    let tag = format!("{REPO}/tags/1.0");
    let shown = |setting: &str| {
        let mount = Mount::<Oci>::new(registry().setting("platform", setting));
        mount.read(&format!("{tag}/config.json")).unwrap()
    };
    assert_eq!(shown("linux/amd64"), "3");
    assert_eq!(shown("linux/arm64"), "2");
    assert_eq!(shown("linux/arm64/v8"), "2");
    assert_eq!(shown("plan9/mips"), "2", "the first, attestations aside");
    let mount = Mount::<Oci>::new(registry());
    assert_eq!(mount.read(&format!("{tag}/manifest.json")).unwrap(), index);
    assert_eq!(mount.read(&format!("{tag}/config.json")).unwrap(), "3");
    let other = format!("unknown-unknown@{}", &digest(images[3].as_bytes())[7..19]);
    let platforms = ["linux-amd64", "linux-arm64-v8", "unknown-unknown", &other];
    assert_eq!(mount.list(&format!("{tag}/platforms")).unwrap(), platforms);
    assert_eq!(mount.read(&format!("{tag}/platforms/linux-arm64-v8/config.json")).unwrap(), "2");
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let layer = packed(&archive(&[plain("a", "x")]));
    let good = manifest("{}", &[(PACKED, &layer)]);
    let path = |content: &[u8]| format!("/v2/acme/api/blobs/{}", digest(content));
    let registry = with_manifest(listed(Recorded::new(), r#"["1.0"]"#), &good, Some("1.0"))
        .get(&path(&layer), packed(&archive(&[plain("a", "y")])))
        .get(&format!("/v2/acme/api/manifests/{}", digest(b"other")), good.as_str());
    let mount = Mount::<Oci>::new(registry);
    for path in [format!("digests/{}", digest(b"other")), "tags/1.0/files/a".to_owned()] {
        let error = mount.read(&format!("{REPO}/{path}")).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{path}: {error:?}");
    }
}

#[test]
fn an_image_beyond_the_bounds_is_too_large_and_is_not_fetched_where_it_says_so() {
    let stored = r#"{"layers": [{"mediaType": "a.tar", "digest": "sha256:0", "size": 33554433}]}"#;
    let registry = with_manifest(listed(Recorded::new(), r#"["1.0"]"#), stored, Some("1.0"));
    let mount = Mount::<Oci>::new(registry);
    let files = format!("{REPO}/tags/1.0/files");
    assert!(matches!(mount.list(&files), Err(Error::TooLarge)));
    assert!(!mount.requests().iter().any(|request| request.contains("/blobs/")));
    assert_eq!(mount.list(&format!("{REPO}/tags/1.0/layers")).unwrap().len(), 1);

    // A file's header, and its content as many members that are packed alike.
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(97 << 20);
    header.set_cksum();
    let bomb = [packed(header.as_bytes()), packed(&vec![0; 1 << 20]).repeat(97)].concat();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(image(&[(PACKED, &bomb)]).list(&files), Err(Error::TooLarge)));
}

#[test]
fn what_is_no_archive_is_an_error_and_nothing_leads_out_of_it() {
    let whole = archive(&[plain("a", "x"), plain("b", &"y".repeat(2_000))]);
    let files = format!("{REPO}/tags/1.0/files");
    for (kind, layer) in [
        (PACKED, b"<html>".to_vec()),
        (PACKED, packed(&whole)[..40].to_vec()),
        ("application/vnd.oci.image.layer.v1.tar+zstd", b"\x28\xb5\x2f\xfd".to_vec()),
        ("application/vnd.cncf.helm.config", b"{}".to_vec()),
    ] {
        let listed = image(&[(kind, &layer)]).list(&files);
        assert!(matches!(listed, Err(Error::Invalid(_))), "{kind}: {listed:?}");
    }
    let mut out = Builder::new(Vec::new());
    for path in ["../up", "/abs", "a/../../b", "fine", "w\u{202e}x"] {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(0);
        header.set_cksum();
        out.append(&header, &[][..]).unwrap();
    }
    let mount = image(&[(PACKED, &packed(&out.into_inner().unwrap()))]);
    assert_eq!(mount.list(&files).unwrap(), ["abs", "fine", "w%E2%80%AEx"]);
}

#[test]
fn names_come_page_by_page_where_a_link_leads_on_and_all_at_once_where_none_does() {
    let pages = |path: &str, name: &str| {
        let link = format!("</prefix{path}?last=b&n=1000>; rel=\"next\"");
        Recorded::new()
            .answer(
                &format!("GET {path}?n=1000"),
                200,
                &[("link", link.as_str())],
                format!(r#"{{"{name}": ["a", "b"]}}"#),
            )
            .get(&format!("{path}?last=b&n=1000"), format!(r#"{{"{name}": ["c"]}}"#))
    };
    let mount = Mount::<Oci>::new(pages("/v2/_catalog", "repositories"));
    assert_eq!(mount.list("").unwrap(), ["a", "b", "c"]);
    let mount = Mount::<Oci>::new(pages("/v2/acme/api/tags/list", "tags"));
    assert_eq!(mount.list(&format!("{REPO}/tags")).unwrap(), ["a", "b", "c"]);
    assert_eq!(mount.requests().len(), 2);

    let many: Vec<String> = (0..2_000).map(|at| format!("\"t{at}\"")).collect();
    let registry = listed(Recorded::new(), &format!("[{}]", many.join(", ")));
    let mount = Mount::<Oci>::new(registry);
    assert_eq!(mount.list(&format!("{REPO}/tags")).unwrap().len(), 2_000);
    assert_eq!(mount.requests().len(), 1);
    let mount = Mount::<Oci>::new(listed(Recorded::new(), "null"));
    assert_eq!(mount.list(&format!("{REPO}/tags")).unwrap(), [""; 0]);
}

#[test]
fn what_no_registry_has_is_not_asked_for() {
    let mount = image(&[]);
    for path in [".git", "Makefile", "_x", "a b", &format!("{REPO}/digests/sha256:00")] {
        assert!(matches!(mount.read(path), Err(Error::NotFound)), "{path}");
    }
    mount.requests();
    assert!(matches!(mount.list(&format!("{REPO}/tags/.hg")), Err(Error::NotFound)));
    assert_eq!(mount.requests().len(), 0);
    let hidden = Recorded::new().answer("GET /v2/_catalog?n=1000", 404, &[], "");
    let mount = Mount::<Oci>::new(hidden);
    assert_eq!(mount.list("").unwrap(), [""; 0]);
    assert_eq!(mount.partials().len(), 1);
    let refused = Recorded::new().answer("GET /v2/_catalog?n=1000", 401, &[], "");
    assert!(matches!(Mount::<Oci>::new(refused).list(""), Err(Error::Denied(_))));
}

fn position(scope: &str, cursor: Option<String>) -> Position {
    Position { scope: scope.to_owned(), cursor, ..Position::default() }
}

#[test]
fn a_tag_that_moves_is_told_and_one_that_does_not_is_proven() {
    let (one, two) = (manifest("1", &[]), manifest("2", &[]));
    let registry = with_manifest(listed(Recorded::new(), r#"["1.0"]"#), &one, Some("1.0"));
    let mount = Mount::<Oci>::new(with_blobs(registry, &[b"1", b"2"]));
    let file = format!("{REPO}/tags/1.0/digest");
    let shown = || mount.read(&file).unwrap();
    let of = |manifest: &str| format!("{}\n", digest(manifest.as_bytes()));
    assert_eq!(shown(), of(&one));
    let scope = "tag:acme/api:1.0";
    let first = mount.poll(&position(scope, None)).unwrap();
    assert_eq!(first.changes.0.len(), 1, "nobody knows what was before: a gap");
    assert_eq!(shown(), of(&one));
    mount.requests();
    let quiet = mount.poll(&position(scope, first.cursor)).unwrap();
    assert_eq!((quiet.changes.0.len(), quiet.resumed), (0, true));
    assert_eq!(mount.requests(), ["HEAD /v2/acme/api/manifests/1.0"]);
    assert_eq!((shown(), mount.requests().len()), (of(&one), 0));
    mount.upstream_changes(with_manifest(Recorded::new(), &two, Some("1.0")));
    let moved = mount.poll(&position(scope, quiet.cursor)).unwrap();
    assert_eq!((moved.changes.0.len(), moved.resumed), (1, true));
    assert_eq!(shown(), of(&two));
    let gone = Recorded::new()
        .answer("HEAD /v2/acme/api/manifests/1.0", 404, &[], "")
        .get("/v2/acme/api/tags/list?n=1000", tags("[]"));
    mount.upstream_changes(gone);
    mount.poll(&position(scope, moved.cursor)).unwrap();
    assert!(matches!(mount.read(&file), Err(Error::NotFound)));
}

#[test]
fn a_new_tag_and_the_end_of_a_repository_are_told_by_the_list() {
    let mount = image(&[]);
    let directory = format!("{REPO}/tags");
    let shown = || mount.list(&directory);
    assert_eq!(shown().unwrap(), ["1.0"]);
    let first = mount.poll(&position("tags:acme/api", None)).unwrap();
    assert_eq!(shown().unwrap(), ["1.0"]);
    mount.upstream_changes(listed(Recorded::new(), r#"["2.0", "1.0"]"#));
    let second = mount.poll(&position("tags:acme/api", first.cursor)).unwrap();
    assert!(second.resumed);
    assert_eq!(shown().unwrap(), ["1.0", "2.0"]);
    mount.requests();
    mount.upstream_changes(listed(Recorded::new(), r#"["1.0", "2.0"]"#));
    let third = mount.poll(&position("tags:acme/api", second.cursor)).unwrap();
    assert_eq!(third.changes.0.len(), 0, "an order is no change");
    let path = "GET /v2/acme/api/tags/list?n=1000";
    mount.upstream_changes(Recorded::new().answer(path, 404, &[], ""));
    mount.poll(&position("tags:acme/api", third.cursor)).unwrap();
    assert!(matches!(shown(), Err(Error::NotFound)));
}

#[test]
fn a_registry_that_tells_no_digest_is_no_proof() {
    let mount = image(&[]);
    mount.upstream_changes(Recorded::new().answer("HEAD /v2/acme/api/manifests/1.0", 200, &[], ""));
    let polled = mount.poll(&position("tag:acme/api:1.0", None));
    assert!(matches!(polled, Err(Error::Invalid(_))));
    assert!(mount.poll(&position("nothing", None)).is_err());
}
