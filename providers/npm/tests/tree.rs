//! The tree over what a registry answers, and what its polls say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use omnifs_npm::Npm;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Coherence, Error, Kind, Position};
use serde_json::{Value, json};
use sha1_checked::Sha1;
use sha2::{Digest, Sha512};
use tar::{Builder, Header};

const SEARCH: &str = "/-/v1/search?text=&size=10001&from=0";
const VERSION: [&str; 5] = ["README", "files", "integrity", "metadata.json", "package.tgz"];

fn archive(rows: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, mode, content) in rows {
        let mut header = Header::new_gnu();
        header.set_mode(*mode);
        header.set_mtime(499_162_500);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn plain() -> Vec<u8> {
    archive(&[
        ("package/package.json", 0o644, "{}"),
        ("package/bin/run.js", 0o755, "#!/usr/bin/env node\n"),
        ("package/ReadMe.markdown", 0o644, "# Plain\n"),
        ("package/docs/README.md", 0o644, "another one"),
    ])
}

fn integrity(content: &[u8]) -> String {
    format!("sha512-{}", BASE64.encode(Sha512::digest(content)))
}

/// SHA-1 in hexadecimal.
fn hex(content: &[u8]) -> String {
    Sha1::try_digest(content).hash().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `dist` of a version, as its registry writes it.
fn dist(package: &str, file: &str, content: &[u8]) -> Value {
    json!({
        "tarball": format!("http://127.0.0.1:4873/{package}/-/{file}"),
        "integrity": integrity(content),
        "shasum": "0000000000000000000000000000000000000000",
    })
}

fn document(tags: &Value, versions: &[(&str, &Value)]) -> String {
    let versions: serde_json::Map<String, Value> = versions
        .iter()
        .map(|(version, dist)| ((*version).to_owned(), json!({"version": version, "dist": dist})))
        .collect();
    json!({"name": "plain", "dist-tags": tags, "versions": versions}).to_string()
}

/// A registry in which `plain` has one version with this `dist` and archive.
fn one(dist: &Value, content: &[u8]) -> Recorded {
    Recorded::new()
        .get("/plain", document(&json!({"latest": "1.0.0"}), &[("1.0.0", dist)]))
        .get("/plain/-/plain-1.0.0.tgz", content)
}

fn mount_of(content: &[u8]) -> Mount<Npm> {
    Mount::new(one(&dist("plain", "plain-1.0.0.tgz", content), content))
}

fn position(cursor: Option<String>) -> Position {
    Position { feed: "packages".into(), scope: "package:plain".into(), cursor, since: 0 }
}

#[test]
fn a_version_shows_the_files_of_its_archive_by_one_request() {
    let content = plain();
    let mount = mount_of(&content);
    let version = "plain/versions/1.0.0";
    assert_eq!(mount.list(version).unwrap(), VERSION);
    assert_eq!(mount.requests(), ["GET /plain"]);
    let files = mount.read_all(&format!("{version}/files")).unwrap();
    let names: Vec<_> = files.keys().map(|path| &path[version.len() + 7..]).collect();
    assert_eq!(names, ["ReadMe.markdown", "bin/run.js", "docs/README.md", "package.json"]);
    assert_eq!(files[&format!("{version}/files/bin/run.js")], b"#!/usr/bin/env node\n");
    assert_eq!(mount.requests(), ["GET /plain/-/plain-1.0.0.tgz"], "contents came along");
    let node = mount.stat(&format!("{version}/files/bin/run.js")).unwrap();
    assert_eq!((node.kind, node.modified), (Kind::Executable, Some(499_162_500_000)));
    assert!(matches!(node.coherence, Coherence::Immutable));
    assert_eq!(mount.read(&format!("{version}/README")).unwrap(), "# Plain\n");
    assert_eq!(mount.read_bytes(&format!("{version}/package.tgz")).unwrap(), content);
    let expected = format!("{}\n", integrity(&content));
    assert_eq!(mount.read(&format!("{version}/integrity")).unwrap(), expected);
}

#[test]
fn a_manifest_is_asked_for_by_its_version_and_shown_in_order() {
    let answer = r#"{"version": "1.0.0", "name": "plain", "deprecated": "no more"}"#;
    let content = plain();
    let registry = one(&dist("plain", "plain-1.0.0.tgz", &content), &content);
    let mount: Mount<Npm> = Mount::new(registry.get("/plain/1.0.0", answer));
    let path = "plain/versions/1.0.0/metadata.json";
    let expected =
        "{\n  \"deprecated\": \"no more\",\n  \"name\": \"plain\",\n  \"version\": \"1.0.0\"\n}\n";
    assert_eq!(mount.read(path).unwrap(), expected);
    let node = mount.stat(path).unwrap();
    assert!(matches!(node.coherence, Coherence::Scoped(scope) if scope == "package:plain"));
}

#[test]
fn tags_are_links_to_versions_and_a_scoped_name_is_one_name() {
    let content = plain();
    let dist = dist("@acme/tool", "tool-2.0.0.tgz", &content);
    let tags = json!({"latest": "1.0.0", "next": "2.0.0-rc.1", "a/b": "1.0.0"});
    let at = document(&tags, &[("1.0.0", &dist), ("2.0.0-rc.1", &dist)]);
    let mount: Mount<Npm> = Mount::new(
        Recorded::new().get("/%40acme%2Ftool", at).get("/%40acme%2Ftool/-/tool-2.0.0.tgz", content),
    );
    assert_eq!(mount.list("@acme%2Ftool").unwrap(), ["_latest", "tags", "versions"]);
    assert_eq!(mount.list("@acme%2Ftool/versions").unwrap(), ["1.0.0", "2.0.0-rc.1"]);
    assert_eq!(mount.list("@acme%2Ftool/_latest").unwrap(), ["1.0.0"]);
    assert_eq!(mount.list("@acme%2Ftool/tags").unwrap(), ["a%2Fb", "latest", "next"]);
    assert_eq!(mount.read("@acme%2Ftool/tags/next").unwrap(), "../versions/2.0.0-rc.1");
    assert_eq!(mount.read("@acme%2Ftool/_latest/1.0.0").unwrap(), "../versions/1.0.0");
    assert_eq!(mount.stat("@acme%2Ftool/tags/next").unwrap().kind, Kind::Symlink);
    assert_eq!(mount.requests(), ["GET /%40acme%2Ftool"], "all of it by one answer");
    assert_eq!(mount.read("@acme%2Ftool/versions/1.0.0/README").unwrap(), "# Plain\n");
    assert_eq!(mount.requests(), ["GET /%40acme%2Ftool/-/tool-2.0.0.tgz"]);
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let (content, other) = (plain(), archive(&[("package/a", 0o644, "other")]));
    let invalid = |mount: &Mount<Npm>, why: &str| {
        for path in ["files", "README", "package.tgz"] {
            let error = match path {
                "files" => mount.list("plain/versions/1.0.0/files").unwrap_err(),
                path => mount.read_bytes(&format!("plain/versions/1.0.0/{path}")).unwrap_err(),
            };
            assert!(matches!(&error, Error::Invalid(said) if said.contains(why)), "{error:?}");
        }
    };
    let said = dist("plain", "plain-1.0.0.tgz", &content);
    invalid(&Mount::new(one(&said, &other)), "another digest");
    // SHA-1 is looked at where there is nothing better, and of several the strongest is.
    let sha1 = |hex: &str| json!({"tarball": said["tarball"], "shasum": hex});
    invalid(&Mount::new(one(&sha1(&hex(&other)), &content)), "another digest");
    let mount: Mount<Npm> = Mount::new(one(&sha1(&hex(&content)), &content));
    assert_eq!(mount.read("plain/versions/1.0.0/README").unwrap(), "# Plain\n");
    let weak = format!("sha1-AAAA {}?opt {}", integrity(&content), integrity(&content));
    let strongest = json!({"tarball": said["tarball"], "integrity": weak});
    let mount: Mount<Npm> = Mount::new(one(&strongest, &content));
    assert_eq!(mount.read("plain/versions/1.0.0/README").unwrap(), "# Plain\n");
    let none = json!({"tarball": said["tarball"]});
    invalid(&Mount::new(one(&none, &content)), "no digest");
    let mount: Mount<Npm> = Mount::new(one(&none, &content));
    assert_eq!(mount.read("plain/versions/1.0.0/integrity").unwrap(), "");
    let elsewhere =
        json!({"tarball": "https://elsewhere.example/a.tgz", "integrity": integrity(b"")});
    invalid(&Mount::new(one(&elsewhere, &content)), "below the package's address");
}

#[test]
fn what_is_no_archive_is_an_error_and_a_large_one_comes_without_contents() {
    let mount = mount_of(b"<html>");
    let error = mount.list("plain/versions/1.0.0/files").unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    let large = "x".repeat(5 << 20);
    let mount = mount_of(&archive(&[("p/large", 0o644, &large), ("p/small", 0o644, "s")]));
    let files = "plain/versions/1.0.0/files";
    assert_eq!(mount.list(files).unwrap(), ["large", "small"]);
    assert_eq!(mount.stat(&format!("{files}/large")).unwrap().size, Some(5 << 20));
    mount.requests();
    assert_eq!(mount.read(&format!("{files}/small")).unwrap(), "s");
    assert_eq!(mount.requests(), ["GET /plain/-/plain-1.0.0.tgz"]);
    assert_eq!(mount.read("plain/versions/1.0.0/README").unwrap(), "", "it has none");
}

#[test]
fn odd_versions_are_left_out_and_named_and_the_others_are_shown() {
    let text = r#"{"dist-tags": null, "versions": {
        "1.0.0": {"dist": {"tarball": 7}}, "1.1.0": {"dist": null}, "1.2.0": "x", "../../1": {}}}"#;
    let mount: Mount<Npm> = Mount::new(Recorded::new().get("/plain", text));
    let versions = mount.list("plain/versions").unwrap();
    assert!(versions.contains(&"1.1.0".to_owned()), "{versions:?}");
    assert!(versions.contains(&"..%2F..%2F1".to_owned()), "{versions:?}");
    assert!(!versions.contains(&"1.2.0".to_owned()), "{versions:?}");
    assert_eq!(mount.list("plain/_latest").unwrap(), [""; 0]);
    assert_eq!(mount.list("plain/tags").unwrap(), [""; 0]);
    let notes = mount.partials();
    assert!(notes.iter().any(|(_, _, note)| note.contains("1.2.0")), "{notes:?}");
}

#[test]
fn ten_thousand_versions_and_packages_are_a_request_each() {
    let dist = dist("plain", "plain-1.0.0.tgz", b"");
    let names: Vec<String> = (0..10_000).map(|number| format!("1.{number}.0")).collect();
    let versions: Vec<_> = names.iter().map(|name| (name.as_str(), &dist)).collect();
    let hit = |name: &String| json!({"package": {"name": name}});
    let found = |count: usize| {
        let hits: Vec<Value> = names.iter().cycle().take(count).map(hit).collect();
        json!({"objects": hits, "total": count}).to_string()
    };
    let registry = Recorded::new().get(SEARCH, found(10_000));
    let mount: Mount<Npm> = Mount::new(registry.get("/plain", document(&json!({}), &versions)));
    assert_eq!(mount.list("").unwrap().len(), 10_000);
    assert_eq!(mount.list("plain/versions").unwrap().len(), 10_000);
    assert_eq!(mount.list("plain/versions/1.9999.0").unwrap(), VERSION);
    assert_eq!(mount.requests(), [format!("GET {SEARCH}").as_str(), "GET /plain"]);
    assert_eq!(mount.partials().len(), 0);
    let more: Mount<Npm> = Mount::new(Recorded::new().get(SEARCH, found(10_001)));
    assert_eq!(more.list("").unwrap().len(), 10_000);
    assert_eq!(more.partials()[0].2, "the first 10000, others are found by name");
}

#[test]
fn a_registry_that_does_not_search_has_each_package_by_its_name() {
    let content = plain();
    for status in [400, 404, 405] {
        let registry = one(&dist("plain", "plain-1.0.0.tgz", &content), &content);
        let registry = registry.answer(&format!("GET {SEARCH}"), status, &[], "{}");
        let mount: Mount<Npm> = Mount::new(registry);
        assert_eq!(mount.list("").unwrap(), [""; 0]);
        assert_eq!(mount.list("plain/versions").unwrap(), ["1.0.0"]);
    }
    let down = Recorded::new().answer(&format!("GET {SEARCH}"), 503, &[], "");
    assert!(matches!(Mount::<Npm>::new(down).list(""), Err(Error::Unavailable(_))));
}

#[test]
fn what_no_registry_has_is_not_asked_for() {
    let mount: Mount<Npm> = Mount::new(Recorded::new());
    for name in
        [".git", ".hidden", "_all", "a b", "@acme", "@%2Fa", "@acme%2F", "a%2Fb", "@a%2Fb%2Fc"]
    {
        assert!(matches!(mount.list(name), Err(Error::NotFound)), "{name}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_poll_tells_what_has_another_tag_and_proves_the_rest() {
    let content = plain();
    let look = |tag: &str| {
        one(&dist("plain", "plain-1.0.0.tgz", &content), &content).answer(
            "HEAD /plain",
            200,
            &[("etag", tag)],
            "",
        )
    };
    let mount: Mount<Npm> = Mount::new(look("\"1\""));
    mount.list("plain/versions").unwrap();
    let first = mount.poll(&position(None)).unwrap();
    assert!(!first.changes.0.is_empty(), "nobody knows what was before");
    let again = mount.poll(&position(first.cursor.clone())).unwrap();
    assert!(again.changes.0.is_empty() && again.resumed, "{again:?}");
    mount.list("plain/versions").unwrap();
    mount.list("plain/versions/1.0.0/files").unwrap();
    mount.requests();
    let two = json!({"latest": "1.1.0"});
    let dist = dist("plain", "plain-1.0.0.tgz", &content);
    let now = document(&two, &[("1.0.0", &dist), ("1.1.0", &dist)]);
    let changed =
        Recorded::new().answer("HEAD /plain", 200, &[("etag", "\"2\"")], "").get("/plain", now);
    mount.upstream_changes(changed);
    let moved = mount.poll(&position(again.cursor)).unwrap();
    assert!(!moved.changes.0.is_empty());
    assert_eq!(mount.list("plain/versions").unwrap(), ["1.0.0", "1.1.0"]);
    assert_eq!(mount.list("plain/_latest").unwrap(), ["1.1.0"]);
    assert_eq!(mount.read("plain/tags/latest").unwrap(), "../versions/1.1.0");
    mount.requests();
    mount.read_all("plain/versions/1.0.0/files").unwrap();
    assert_eq!(mount.requests(), [""; 0], "what a digest names is kept");
}

/// The cache before this registry keeps each form by itself, and the one that is shown is brought up to date last.
#[test]
fn a_poll_looks_at_the_form_that_is_shown() {
    let registry = |short: u32, long: u32| {
        Recorded::new().otherwise(move |line, headers, _| {
            let is_short = headers.contains(&("accept", "application/vnd.npm.install-v1+json"));
            let number = if is_short { short } else { long };
            let version = format!("{number}.0.0");
            let dist = dist("plain", "plain.tgz", b"");
            let body = match line {
                "GET /plain" => document(&json!({}), &[(version.as_str(), &dist)]),
                _ => String::new(),
            };
            (200, vec![("etag".into(), format!("\"{number} {is_short}\""))], body.into_bytes())
        })
    };
    let mount: Mount<Npm> = Mount::new(registry(1, 1));
    let first = mount.poll(&position(None)).unwrap();
    mount.apply(&first.changes);
    assert_eq!(mount.list("plain/versions").unwrap(), ["1.0.0"]);
    let mut cursor = first.cursor;
    for (short, long, shown) in [(1, 2, "1.0.0"), (2, 2, "2.0.0")] {
        mount.upstream_changes(registry(short, long));
        let polled = mount.poll(&position(cursor)).unwrap();
        mount.apply(&polled.changes);
        assert_eq!(mount.list("plain/versions").unwrap(), [shown]);
        cursor = polled.cursor;
    }
}

#[test]
fn a_registry_that_gives_no_entity_tag_is_no_proof_and_a_package_that_is_gone_is_told() {
    let mount: Mount<Npm> = Mount::new(Recorded::new().answer("HEAD /plain", 200, &[], ""));
    assert!(matches!(mount.poll(&position(None)), Err(Error::Invalid(_))));
    mount.upstream_changes(Recorded::new().answer("HEAD /plain", 404, &[], ""));
    let gone = mount.poll(&position(None)).unwrap();
    let text = format!("{:?}", gone.changes);
    for part in ["Removed(\"package/plain\")", "ChildrenChanged(\"root\")", "Gap("] {
        assert!(text.contains(part), "{text}");
    }
    mount.upstream_changes(Recorded::new().answer("HEAD /plain", 502, &[], ""));
    assert!(matches!(mount.poll(&position(None)), Err(Error::Unavailable(_))));
}
