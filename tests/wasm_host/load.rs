//! Files that are no providers, and the cache of compiled ones.

use crate::support::*;
use omnifs::provider::Cause;
use omnifs::wasm::Component;
#[cfg(unix)]
use std::path::Path;

/// A component with these imports and the exports of these interfaces. Every function takes and
/// returns nothing, which is not the shape of any of them, and traps.
fn component(imports: &str, exports: &[(&str, &[&str])]) -> Vec<u8> {
    let mut text = format!(
        "(component {imports}
            (core module $m (func (export \"f\") unreachable))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))"
    );
    for (interface, functions) in exports {
        let functions: String =
            functions.iter().map(|name| format!("(export \"{name}\" (func $f))")).collect();
        text.push_str(&format!("(instance $x {functions})").replace("$x", &variable(interface)));
        text.push_str(&format!("(export \"{interface}\" (instance {}))", variable(interface)));
    }
    wat::parse_str(text + ")").unwrap()
}

fn variable(interface: &str) -> String {
    format!("${}", interface.replace([':', '/', '@'], "-"))
}

const MANIFEST: (&str, &[&str]) = ("omnifs:provider/manifest@1.0.0", &["describe"]);
const PROVIDER: (&str, &[&str]) =
    ("omnifs:provider/provider@1.0.0", &["lookup-child", "list-children", "read-file"]);
const EVENTS: (&str, &[&str]) =
    ("omnifs:provider/events@1.0.0", &["open", "line", "poll", "deliver"]);
const OFFLINE: &[(&str, &[&str])] = &[MANIFEST, PROVIDER];
const SERVICE: &[(&str, &[&str])] = &[MANIFEST, PROVIDER, EVENTS];

/// Imports one interface, all of whose functions take and return nothing.
fn import(interface: &str, function: &str) -> String {
    format!("(import \"{interface}\" (instance (export \"{function}\" (func))))")
}

/// `http` in its own shape.
const HTTP: &str = r#"
    (type $types (instance
        (type $e (variant (case "not-found") (case "denied" string)
            (case "rate-limited" (option u32)) (case "unavailable" string) (case "timed-out")
            (case "too-large") (case "invalid" string)))
        (export "error" (type (eq $e)))
        (type $m (enum "get" "head" "post"))
        (export "method" (type (eq $m)))))
    (import "omnifs:provider/types@1.0.0" (instance $t (type $types)))
    (alias export $t "error" (type $error))
    (alias export $t "method" (type $method))
    (import "omnifs:provider/http@1.0.0" (instance
        (alias outer 1 $error (type $e))
        (export "error" (type (eq $e)))
        (alias outer 1 $method (type $m0))
        (export "method" (type $m (eq $m0)))
        (type $h0 (record (field "name" string) (field "value" string)))
        (export "header" (type $h (eq $h0)))
        (type $q0 (record (field "endpoint" string) (field "method" $m) (field "path" string)
            (field "headers" (list $h)) (field "body" (option (list u8)))))
        (export "request" (type $q (eq $q0)))
        (type $r0 (record (field "status" u16) (field "headers" (list $h))
            (field "body" (list u8))))
        (export "response" (type $r (eq $r0)))
        (export "fetch" (func (param "request" $q) (result (result $r (error $e)))))))
"#;

/// One that loads.
pub fn plain() -> Vec<u8> {
    component("", OFFLINE)
}

fn load(bytes: &[u8]) -> Result<Component, String> {
    Component::load(&ENGINE, bytes, "odd", None).map_err(|error| {
        let text = error.to_string();
        assert!(text.starts_with("provider odd: ") && !text.contains('\n'), "{text}");
        text
    })
}

#[track_caller]
pub fn refused(bytes: &[u8], why: &str) {
    let text = load(bytes).expect_err("it was loaded");
    assert!(text.contains(why), "{text}");
}

#[test]
fn a_file_that_is_no_component_is_named_for_what_it_is() {
    refused(b"", "the file is empty");
    refused(b"\0asm\x01\0\0\0", "a core module; build it for wasm32-wasip2");
    refused(b"\0asm", "version is unknown, or it is cut short");
    refused(b"\0asm\x0e\0\x01\0", "version is unknown, or it is cut short");
    refused(b"(component)", "it is text");
    refused("name = \"caf\u{e9}\"".repeat(20).as_bytes(), "it is text");
    refused(b"\x7fELF\x02\x01\x01\0\0\0\0\0", "the WebAssembly magic number");
    refused(&[0x9c; 4096], "the WebAssembly magic number");
    refused(&vec![0; (64 << 20) + 1], "the file has 67108865 bytes");
}

#[test]
fn a_damaged_component_is_refused_wherever_it_is_cut() {
    let whole = component("", OFFLINE);
    assert!(load(&whole).is_ok());
    let debug_names = whole.windows(14).position(|bytes| bytes == b"component-name").unwrap();
    let mut loaded = Vec::new();
    for length in 1..whole.len() {
        loaded.extend(load(&whole[..length]).is_ok().then_some(length));
    }
    // Only the section of debug names can be cut off: its id, size and name's size precede the name.
    assert_eq!(loaded, [debug_names - 3]);
    // Whatever a flipped bit does, it is an answer and no panic.
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let _ = load(&bytes);
    }
}

#[test]
fn both_worlds_load_and_only_a_service_is_linked_to_http() {
    let offline = load(&component("", OFFLINE)).unwrap();
    assert!(!offline.imports_http() && !offline.exports_events());
    let service = load(&component(HTTP, SERVICE)).unwrap();
    assert!(service.imports_http() && service.exports_events());
    refused(
        &component(HTTP, OFFLINE),
        "imports `omnifs:provider/http@1.0.0`: only a component of the world `service` may, and \
         this one does not export omnifs:provider/events",
    );
}

#[test]
fn an_import_that_is_not_offered_is_named() {
    for (interface, why) in [
        ("wasi:http/outgoing-handler@0.2.3", "a provider reaches nothing but"),
        ("wasi:nn/graph@0.2.0", "a provider reaches nothing but"),
        ("other:thing/door@0.1.0", "a provider reaches nothing but"),
        ("omnifs:provider/shell@1.0.0", "there is no such interface"),
        ("omnifs:provider/manifest@1.0.0", "there is no such interface"),
        ("omnifs:provider/log@2.0.0", "this omnifs offers version 1.0.0 of it, not 2.0.0"),
        ("wasi:cli/environment@0.3.0", "this omnifs offers WASI 0.2, not 0.3.0"),
    ] {
        let bytes = component(&import(interface, "f"), OFFLINE);
        refused(&bytes, &format!("imports `{interface}`: {why}"));
    }
    // A function outside of any interface.
    refused(&component("(import \"door\" (func))", OFFLINE), "imports `door`: a provider reaches");
}

#[test]
fn an_import_of_another_shape_is_refused() {
    for import in [
        import("omnifs:provider/log@1.0.0", "write"),
        import("omnifs:provider/log@1.0.0", "erase"),
        import("omnifs:provider/config@1.4.0", "get"),
        import("wasi:cli/environment@0.2.0", "set-environment"),
    ] {
        let bytes = component(&import, OFFLINE);
        refused(&bytes, "built for another version of omnifs:provider");
    }
}

#[test]
fn a_missing_export_is_named() {
    refused(&component("", &[]), "does not export omnifs:provider/manifest");
    refused(&component("", &[PROVIDER]), "does not export omnifs:provider/manifest");
    refused(
        &component("", &[MANIFEST, EVENTS]),
        "does not export omnifs:provider/provider: build it for the world `service`, `database` or `offline`",
    );
    let short = ("omnifs:provider/provider@1.0.0", &["read-file"][..]);
    refused(&component("", &[MANIFEST, short]), "built for another version of omnifs:provider");
}

#[test]
fn a_component_that_asks_for_more_memory_or_tables_than_there_is_is_refused() {
    for (item, why) in [
        ("(memory 17000)", "memory"),
        ("(memory 1) (memory 1)", "multiple memories"),
        ("(table 30000 funcref)", "table"),
        ("(memory i64 1)", "memory64"),
        ("(memory 1 1 shared)", "threads"),
    ] {
        let module = format!("(core module $big {item}) (core instance (instantiate $big))");
        refused(&component(&module, OFFLINE), why);
    }
}

#[tokio::test]
async fn exports_of_another_shape_are_refused_when_the_component_is_described() {
    let odd = load(&component("", OFFLINE)).unwrap();
    let failure = odd.describe().await.unwrap_err();
    assert_eq!(&*failure.provider, "odd");
    assert_eq!(failure.cause, Cause::Invalid);
    assert!(failure.detail.contains("built for another version of omnifs:provider"), "{failure}");
}

#[tokio::test]
async fn a_start_function_is_held_to_the_limits_of_a_call() {
    let endless = "(core module $s (func $f (loop br 0)) (start $f))
        (core instance (instantiate $s))";
    let odd = load(&component(endless, OFFLINE)).unwrap();
    let failure = odd.describe().await.unwrap_err();
    assert_eq!(failure.to_string(), "odd: used more than 2s of CPU time in one call");
}

#[cfg(unix)]
mod cache {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn fixture() -> Vec<u8> {
        component("", OFFLINE)
    }

    fn another() -> Vec<u8> {
        component("", SERVICE)
    }

    fn load_with(cache: &Path, bytes: &[u8]) {
        Component::load(&ENGINE, bytes, "cached", Some(cache)).unwrap();
    }

    /// The one artifact in the cache.
    fn artifact(cache: &Path) -> std::path::PathBuf {
        let mut files: Vec<_> = std::fs::read_dir(cache.join("components"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// A file is replaced by renaming a new one over it, so its inode tells whether it was used.
    fn inode(path: &Path) -> u64 {
        std::fs::symlink_metadata(path).unwrap().ino()
    }

    #[test]
    fn an_artifact_is_private_and_used_the_next_time() {
        let cache = tempfile::tempdir().unwrap();
        load_with(cache.path(), &fixture());
        let file = artifact(cache.path());
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
        let before = inode(&file);
        load_with(cache.path(), &fixture());
        assert_eq!(inode(&artifact(cache.path())), before, "it was compiled again");
    }

    #[test]
    fn a_cache_that_cannot_be_made_costs_nothing_but_time() {
        let cache = tempfile::tempdir().unwrap();
        let file = cache.path().join("file");
        std::fs::write(&file, "in the way").unwrap();
        load_with(&file, &fixture());
        load_with(Path::new("/proc/no/such"), &fixture());
        load_with(&cache.path().join("made/on/the/way"), &fixture());
        artifact(&cache.path().join("made/on/the/way"));
    }

    #[test]
    fn a_damaged_artifact_is_compiled_anew() {
        let cache = tempfile::tempdir().unwrap();
        load_with(cache.path(), &fixture());
        let file = artifact(cache.path());
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        let last = flipped.len() / 2;
        flipped[last] ^= 1;
        for damaged in [&b""[..], b"omnifs", &whole[..whole.len() - 1], &flipped, &[0; 9000]] {
            std::fs::write(&file, damaged).unwrap();
            let before = inode(&file);
            load_with(cache.path(), &fixture());
            assert_eq!(artifact(cache.path()), file);
            assert_ne!(inode(&file), before, "{} bytes were accepted", damaged.len());
            assert_eq!(std::fs::read(&file).unwrap().len(), whole.len());
        }
    }

    #[test]
    fn the_artifact_of_another_component_is_not_taken() {
        let (cache, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        load_with(cache.path(), &fixture());
        load_with(other.path(), &another());
        let file = artifact(cache.path());
        std::fs::copy(artifact(other.path()), &file).unwrap();
        let before = inode(&file);
        load_with(cache.path(), &fixture());
        assert_ne!(inode(&file), before);
    }

    #[test]
    fn an_artifact_that_others_could_have_written_is_not_trusted() {
        let cache = tempfile::tempdir().unwrap();
        load_with(cache.path(), &fixture());
        let file = artifact(cache.path());

        for open in [0o620, 0o602, 0o644] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(open)).unwrap();
            let before = inode(&file);
            load_with(cache.path(), &fixture());
            assert_ne!(inode(&file), before, "mode {open:o} was accepted");
            assert_eq!(mode(&file), 0o600);
        }

        let elsewhere = cache.path().join("elsewhere");
        std::fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        load_with(cache.path(), &fixture());
        assert!(std::fs::symlink_metadata(&file).unwrap().is_file(), "a link was followed");

        let folder = file.parent().unwrap();
        std::fs::remove_file(&file).unwrap();
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o770)).unwrap();
        load_with(cache.path(), &fixture());
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "an open directory was used");
    }

    #[test]
    fn old_artifacts_go_first() {
        let cache = tempfile::tempdir().unwrap();
        load_with(cache.path(), &fixture());
        let folder = cache.path().join("components");
        for n in 0..200 {
            let path = folder.join(format!("old-{n}.bin"));
            std::fs::write(&path, "x").unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
        load_with(cache.path(), &another());
        let left: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(left.len(), 128);
        assert_eq!(left.iter().filter(|name| !name.starts_with("old-")).count(), 2);
    }
}
