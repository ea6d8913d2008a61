//! The tree over what an index answers, and what its polls say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use flate2::Compression;
use flate2::write::GzEncoder;
use omnifs_pypi::Pypi;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Body, Coherence, Error, Position};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

const METADATA: &str = "Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n\n# Tool\n\nText.\n";

fn source() -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in [
        ("tool-1.0/PKG-INFO", METADATA),
        ("tool-1.0/src/tool.py", "x = 1\n"),
        ("tool-1.0/setup.cfg", ""),
    ] {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry of a page whose archive lies in the index, as devpi writes it.
fn held(filename: &str, content: &[u8]) -> Value {
    json!({
        "filename": filename,
        "url": format!("../../+f/ab/cd/{filename}"),
        "hashes": {"sha256": sha256(content)},
    })
}

fn page(files: &[Value]) -> String {
    json!({"meta": {"api-version": "1.0"}, "name": "tool", "files": files}).to_string()
}

/// An index with one archive of `tool`.
fn one(file: &Value, content: &[u8]) -> Recorded {
    Recorded::new()
        .get("/simple/tool/", page(std::slice::from_ref(file)))
        .get("/+f/ab/cd/tool-1.0.tar.gz", content)
}

fn position(cursor: Option<String>) -> Position {
    Position { feed: "projects".into(), scope: "project:tool".into(), cursor, since: 0 }
}

#[test]
fn a_version_shows_its_archives_and_the_files_in_them() {
    let content = source();
    let mount: Mount<Pypi> = Mount::new(one(&held("tool-1.0.tar.gz", &content), &content));
    let version = "tool/versions/1.0";
    assert_eq!(mount.list("tool").unwrap(), ["_latest", "versions"]);
    assert_eq!(
        mount.list(version).unwrap(),
        ["METADATA", "README", "archives", "files", "metadata.json"]
    );
    assert_eq!(mount.list(&format!("{version}/archives")).unwrap(), ["tool-1.0.tar.gz"]);
    assert_eq!(mount.requests(), ["GET /simple/tool/"]);
    let files = mount.read_all(&format!("{version}/files")).unwrap();
    let below = format!("{version}/files/tool-1.0.tar.gz/");
    let names: Vec<_> = files.keys().map(|path| &path[below.len()..]).collect();
    assert_eq!(names, ["PKG-INFO", "setup.cfg", "src/tool.py"]);
    assert_eq!(files[&format!("{below}src/tool.py")], b"x = 1\n");
    assert_eq!(mount.requests(), ["GET /+f/ab/cd/tool-1.0.tar.gz"], "contents came along");
    assert_eq!(mount.read(&format!("{version}/METADATA")).unwrap(), METADATA);
    assert_eq!(mount.read(&format!("{version}/README")).unwrap(), "# Tool\n\nText.\n");
    let packed = format!("{version}/archives/tool-1.0.tar.gz");
    assert_eq!(mount.read_bytes(&packed).unwrap(), content);
    let said: Value =
        serde_json::from_str(&mount.read(&format!("{version}/metadata.json")).unwrap()).unwrap();
    assert_eq!(said, json!([held("tool-1.0.tar.gz", &content)]));
    let scope = |path: &str| match mount.stat(path).unwrap().coherence {
        Coherence::Scoped(scope) => scope,
        _ => String::new(),
    };
    assert_eq!(scope(&format!("{version}/metadata.json")), "project:tool");
    assert_eq!(scope(&format!("{below}src/tool.py")), "", "it never changes");
}

#[test]
fn an_archive_of_a_known_length_is_read_by_the_host_and_elsewhere_too() {
    let content = source();
    let mut file = held("tool-1.0.tar.gz", &content);
    file["size"] = content.len().into();
    file["url"] = "https://files.example/aa/tool-1.0.tar.gz#egg=x".into();
    let registry = Recorded::new()
        .get("/simple/tool/", page(&[file]))
        .get("/aa/tool-1.0.tar.gz", content.clone());
    let mount: Mount<Pypi> = Mount::new(registry);
    let node = mount.stat("tool/versions/1.0/archives/tool-1.0.tar.gz").unwrap();
    let Some(Body::At(at)) = node.content else { panic!("{node:?}") };
    assert_eq!(
        (at.request.endpoint.as_str(), at.request.path.as_str()),
        ("files", "/aa/tool-1.0.tar.gz")
    );
    assert_eq!(
        (at.length, at.digest),
        (content.len() as u64, Some(format!("sha256:{}", sha256(&content))))
    );
    assert_eq!(mount.read("tool/versions/1.0/README").unwrap(), "# Tool\n\nText.\n");
}

#[test]
fn the_newest_is_the_highest_final_release_that_was_not_withdrawn() {
    let newest = |files: &[(&str, Value)]| {
        let files: Vec<Value> = files
            .iter()
            .map(|(name, yanked)| {
                let mut file = held(name, b"");
                file["yanked"] = yanked.clone();
                file
            })
            .collect();
        let mount: Mount<Pypi> = Mount::new(Recorded::new().get("/simple/tool/", page(&files)));
        let latest = mount.list("tool/_latest").unwrap();
        for name in &latest {
            let target = mount.read(&format!("tool/_latest/{name}")).unwrap();
            assert_eq!(target, format!("../versions/{name}"));
        }
        latest
    };
    let no = Value::Bool(false);
    let all = [
        ("tool-1.9.tar.gz", no.clone()),
        ("tool-1.10.tar.gz", no.clone()),
        ("tool-1.11-py3-none-any.whl", json!("broken")),
        ("tool-2.0rc1.tar.gz", no.clone()),
        ("tool-what.tar.gz", no.clone()),
    ];
    assert_eq!(newest(&all), ["1.10"]);
    assert_eq!(newest(&all[2..]), ["2.0rc1"]);
    assert_eq!(newest(&all[4..]), [""; 0]);
    assert_eq!(newest(&[]), [""; 0]);
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let content = source();
    let invalid = |file: &Value, why: &str| {
        let mount: Mount<Pypi> = Mount::new(one(file, &content));
        let version = "tool/versions/1.0";
        for path in ["README", "METADATA", "archives/tool-1.0.tar.gz"] {
            let error = mount.read_bytes(&format!("{version}/{path}")).unwrap_err();
            assert!(matches!(&error, Error::Invalid(said) if said.contains(why)), "{error:?}");
        }
        let error = mount.list(&format!("{version}/files/tool-1.0.tar.gz")).unwrap_err();
        assert!(matches!(&error, Error::Invalid(said) if said.contains(why)), "{error:?}");
    };
    invalid(&held("tool-1.0.tar.gz", b"another"), "another digest");
    let mut file = held("tool-1.0.tar.gz", &content);
    for hashes in [json!({}), json!({"md5": "00"}), json!({"sha256": "00"}), json!(null)] {
        file["hashes"] = hashes;
        invalid(&file, "no SHA-256");
    }
    for url in [
        "../../../up/tool-1.0.tar.gz",
        "/abs/tool-1.0.tar.gz",
        "../../other/a.tar.gz",
        "../../+f/../x.tar.gz",
        "../../+f/a%2Fb.tar.gz",
        "../../+f/a.tar.gz?x=1",
        "",
    ] {
        let mut file = held("tool-1.0.tar.gz", &content);
        file["url"] = url.into();
        let mount: Mount<Pypi> = Mount::new(one(&file, &content));
        let read = mount.read_bytes("tool/versions/1.0/archives/tool-1.0.tar.gz");
        assert!(matches!(read, Err(Error::Invalid(_))), "{url}: {read:?}");
        assert_eq!(mount.requests(), ["GET /simple/tool/"], "{url}");
    }
}

#[test]
fn odd_entries_of_a_page_hide_no_others() {
    let content = source();
    let files = [
        json!(7),
        json!({"filename": null, "url": "x"}),
        json!({"filename": "other-1.0.tar.gz"}),
        json!({"filename": "tool-../../1.tar.gz"}),
        held("tool-1.0.tar.gz", &content),
        held("tool-1.0.exe", b""),
    ];
    let mount: Mount<Pypi> = Mount::new(Recorded::new().get("/simple/tool/", page(&files)));
    assert_eq!(mount.list("tool/versions").unwrap(), ["..%2F..%2F1", "1.0"]);
    let html = Recorded::new().get("/simple/tool/", "<!DOCTYPE html>");
    assert!(matches!(Mount::<Pypi>::new(html).list("tool"), Err(Error::Invalid(_))));
}

#[test]
fn ten_thousand_archives_and_projects_are_a_request_each() {
    let files: Vec<Value> =
        (0..10_000).map(|number| held(&format!("tool-1.{number}.tar.gz"), b"")).collect();
    let projects = |count: usize| {
        let all: Vec<Value> = (0..count).map(|n| json!({"name": format!("P_{n}")})).collect();
        json!({"projects": all}).to_string()
    };
    let index = Recorded::new().get("/simple/", projects(10_000));
    let mount: Mount<Pypi> = Mount::new(index.get("/simple/tool/", page(&files)));
    assert_eq!(mount.list("").unwrap().len(), 10_000);
    assert_eq!(mount.list("tool/versions").unwrap().len(), 10_000);
    assert_eq!(mount.list("tool/_latest").unwrap(), ["1.9999"]);
    assert_eq!(mount.requests(), ["GET /simple/", "GET /simple/tool/"]);
    // What so many hold does not come along.
    assert_eq!(mount.list("tool/versions/1.5000/archives").unwrap(), ["tool-1.5000.tar.gz"]);
    assert_eq!(mount.requests(), ["GET /simple/tool/"]);
    let more: Mount<Pypi> = Mount::new(Recorded::new().get("/simple/", projects(10_001)));
    assert_eq!(more.list("").unwrap().len(), 10_000);
    assert_eq!(more.partials()[0].2, "the first 10000, others are found by name");
}

#[test]
fn a_project_has_one_name_and_what_no_index_has_is_not_asked_for() {
    let index = Recorded::new().setting("list", "+simple");
    let index = index.get("/%2Bsimple/", r#"{"projects": [{"name": "My.Tool"}, {"name": "-"}]}"#);
    let mount: Mount<Pypi> = Mount::new(index);
    assert_eq!(mount.list("").unwrap(), ["my-tool"]);
    mount.requests();
    for name in ["My.Tool", "my_tool", ".git", "a b", "-a", "a-", "a%2Fb"] {
        assert!(matches!(mount.list(name), Err(Error::NotFound)), "{name}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_poll_tells_what_has_another_page_and_what_is_gone() {
    let content = source();
    let file = held("tool-1.0.tar.gz", &content);
    let mount: Mount<Pypi> = Mount::new(one(&file, &content));
    mount.list("tool/versions").unwrap();
    let first = mount.poll(&position(None)).unwrap();
    assert!(!first.changes.0.is_empty(), "nobody knows what was before");
    let again = mount.poll(&position(first.cursor.clone())).unwrap();
    assert!(again.changes.0.is_empty() && again.resumed, "{again:?}");
    mount.list("tool/versions").unwrap();
    let now = page(&[file, held("tool-1.1.tar.gz", b"")]);
    mount.upstream_changes(Recorded::new().get("/simple/tool/", now));
    let moved = mount.poll(&position(again.cursor)).unwrap();
    assert!(!moved.changes.0.is_empty());
    assert_eq!(mount.list("tool/versions").unwrap(), ["1.0", "1.1"]);
    assert_eq!(mount.list("tool/_latest").unwrap(), ["1.1"]);
    mount.upstream_changes(Recorded::new().answer("GET /simple/tool/", 404, &[], ""));
    let gone = format!("{:?}", mount.poll(&position(None)).unwrap().changes);
    for part in ["Removed(\"project/tool\")", "ChildrenChanged(\"root\")", "Gap("] {
        assert!(gone.contains(part), "{gone}");
    }
    mount.upstream_changes(Recorded::new().answer("GET /simple/tool/", 502, &[], ""));
    assert!(matches!(mount.poll(&position(None)), Err(Error::Unavailable(_))));
}
