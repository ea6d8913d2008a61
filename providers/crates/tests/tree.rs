//! The tree over what a registry answers, and what its polls say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use flate2::Compression;
use flate2::write::GzEncoder;
use omnifs_crates::Crates;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Coherence, Error, Position};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

const VERSION: [&str; 5] = ["README", "checksum", "files", "metadata.json", "package.crate"];
const DL: &str = r#"{"dl": "https://files.example/api/dl"}"#;

fn archive() -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in [
        ("tool-1.0.0/Cargo.toml", "[package]\n"),
        ("tool-1.0.0/src/lib.rs", ""),
        ("tool-1.0.0/README.md", "# Tool\n"),
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

fn line(version: &str, content: &[u8]) -> Value {
    json!({"name": "tool", "vers": version, "deps": [], "cksum": sha256(content), "features": {}, "yanked": false})
}

fn lines(all: &[Value]) -> String {
    all.iter().map(|line| format!("{line}\n")).collect()
}

/// A registry with these versions of `tool`, and one archive.
fn registry(all: &[Value], content: &[u8]) -> Recorded {
    Recorded::new()
        .get("/to/ol/tool", lines(all))
        .get("/config.json", DL)
        .get("/api/dl/tool/1.0.0/download", content)
}

fn position(cursor: Option<String>) -> Position {
    Position { feed: "crates".into(), scope: "crate:tool".into(), cursor, since: 0 }
}

#[test]
fn a_version_shows_the_files_of_its_archive() {
    let content = archive();
    let mount: Mount<Crates> = Mount::new(registry(&[line("1.0.0", &content)], &content));
    let version = "tool/versions/1.0.0";
    assert_eq!(mount.list("tool").unwrap(), ["_latest", "versions"]);
    assert_eq!(mount.list(version).unwrap(), VERSION);
    assert_eq!(mount.requests(), ["GET /to/ol/tool"]);
    let files = mount.read_all(&format!("{version}/files")).unwrap();
    let names: Vec<_> = files.keys().map(|path| &path[version.len() + 7..]).collect();
    assert_eq!(names, ["Cargo.toml", "README.md", "src/lib.rs"]);
    let archive = "GET /api/dl/tool/1.0.0/download";
    assert_eq!(mount.requests(), ["GET /config.json", archive], "contents came along");
    assert_eq!(mount.read(&format!("{version}/README")).unwrap(), "# Tool\n");
    assert_eq!(mount.read_bytes(&format!("{version}/package.crate")).unwrap(), content);
    let expected = format!("{}\n", sha256(&content));
    assert_eq!(mount.read(&format!("{version}/checksum")).unwrap(), expected);
    let path = format!("{version}/metadata.json");
    let said: Value = serde_json::from_str(&mount.read(&path).unwrap()).unwrap();
    assert_eq!(said, line("1.0.0", &content));
    let node = mount.stat(&path).unwrap();
    assert!(matches!(node.coherence, Coherence::Scoped(scope) if scope == "crate:tool"));
}

#[test]
fn the_newest_is_the_highest_release_that_is_not_yanked() {
    let newest = |all: &[(&str, bool)]| {
        let all: Vec<Value> = all
            .iter()
            .map(|(version, yanked)| {
                let mut line = line(version, b"");
                line["yanked"] = Value::Bool(*yanked);
                line
            })
            .collect();
        Mount::<Crates>::new(registry(&all, b"")).list("tool/_latest").unwrap()
    };
    let all = [("1.9.0", false), ("1.10.0+x", false), ("2.0.0", true), ("3.0.0-rc.1", false)];
    assert_eq!(newest(&all), ["1.10.0+x"]);
    assert_eq!(newest(&all[2..]), ["3.0.0-rc.1"]);
    assert_eq!(newest(&all[2..3]), ["2.0.0"]);
    assert_eq!(newest(&[]), [""; 0]);
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let content = archive();
    let mount: Mount<Crates> = Mount::new(registry(&[line("1.0.0", b"another")], &content));
    for path in ["README", "package.crate"] {
        let error = mount.read_bytes(&format!("tool/versions/1.0.0/{path}")).unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(said) if said.contains("another digest")),
            "{error:?}"
        );
    }
    let error = mount.list("tool/versions/1.0.0/files").unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    for dl in [
        "file:///tmp/{crate}",
        "https://files.example/../{crate}",
        "https://files.example/{crate}?x",
        "",
    ] {
        let registry = Recorded::new()
            .get("/to/ol/tool", lines(&[line("1.0.0", &content)]))
            .get("/config.json", json!({"dl": dl}).to_string());
        let mount: Mount<Crates> = Mount::new(registry);
        assert!(mount.read_bytes("tool/versions/1.0.0/package.crate").is_err(), "{dl}");
    }
}

#[test]
fn odd_lines_are_left_out_and_named_and_the_others_are_shown() {
    let mut none = line("0.1.0", b"");
    none["cksum"] = "00".into();
    let mut elsewhere = line("../../1", b"");
    elsewhere["deps"] = Value::Null;
    let text = format!(
        "{}\nno json\n{{\"name\": \"tool\"}}\n\n{}{}",
        line("1.0.0", b""),
        lines(&[none]),
        lines(&[elsewhere])
    );
    let mount: Mount<Crates> = Mount::new(Recorded::new().get("/to/ol/tool", text));
    assert_eq!(mount.list("tool/versions").unwrap(), ["1.0.0"]);
    let notes = mount.partials();
    assert!(notes.iter().any(|(_, _, note)| note.contains("vers")), "{notes:?}");
}

#[test]
fn ten_thousand_versions_are_one_request() {
    let all: Vec<Value> = (0..10_000).map(|number| line(&format!("1.{number}.0"), b"")).collect();
    let mount: Mount<Crates> = Mount::new(registry(&all, b""));
    assert_eq!(mount.list("tool/versions").unwrap().len(), 10_000);
    assert_eq!(mount.list("tool/_latest").unwrap(), ["1.9999.0"]);
    assert_eq!(mount.list("tool/versions/1.5000.0").unwrap(), VERSION);
    assert_eq!(mount.requests(), ["GET /to/ol/tool"]);
}

#[test]
fn a_crate_has_one_name_and_what_no_registry_has_is_not_asked_for() {
    let mount: Mount<Crates> = Mount::new(registry(&[line("1.0.0", b"")], b""));
    assert_eq!(mount.list("").unwrap(), [""; 0]);
    assert!(matches!(mount.list("Tool"), Err(Error::NotFound)));
    assert_eq!(mount.requests(), ["GET /to/ol/tool"]);
    for name in [".git", "a b", "-a", "1a", "config.json", "a%2Fb", &"a".repeat(65)] {
        assert!(matches!(mount.list(name), Err(Error::NotFound)), "{name}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn a_poll_tells_what_has_another_file_and_what_is_gone() {
    let content = archive();
    let one = line("1.0.0", &content);
    let mount: Mount<Crates> = Mount::new(registry(std::slice::from_ref(&one), &content));
    mount.list("tool/versions").unwrap();
    let first = mount.poll(&position(None)).unwrap();
    assert!(!first.changes.0.is_empty(), "nobody knows what was before");
    let again = mount.poll(&position(first.cursor.clone())).unwrap();
    assert!(again.changes.0.is_empty() && again.resumed, "{again:?}");
    mount.list("tool/versions").unwrap();
    let now = lines(&[one, line("1.1.0", b"")]);
    mount.upstream_changes(Recorded::new().get("/to/ol/tool", now));
    let moved = mount.poll(&position(again.cursor)).unwrap();
    assert!(!moved.changes.0.is_empty());
    assert_eq!(mount.list("tool/versions").unwrap(), ["1.0.0", "1.1.0"]);
    assert_eq!(mount.list("tool/_latest").unwrap(), ["1.1.0"]);
    for status in [404, 410] {
        mount.upstream_changes(Recorded::new().answer("GET /to/ol/tool", status, &[], ""));
        let gone = format!("{:?}", mount.poll(&position(None)).unwrap().changes);
        for part in ["Removed(\"crate/tool\")", "ChildrenChanged(\"root\")", "Gap("] {
            assert!(gone.contains(part), "{gone}");
        }
    }
    mount.upstream_changes(Recorded::new().answer("GET /to/ol/tool", 502, &[], ""));
    assert!(matches!(mount.poll(&position(None)), Err(Error::Unavailable(_))));
}
