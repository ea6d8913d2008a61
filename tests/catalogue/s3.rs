//! An S3 server that checks signatures, and botocore to fill it and to say what is right.

use crate::{configure, home};
use omnifs_support::tools::{errno, list, read};
use omnifs_support::{Mounted, Omnifs, Server, python, skip, target_directory, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Of this account the server has the secret.
const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// The client of others.
const BOTOCORE: &str = "1.44.8";
/// For a mount to reach a server again.
const SOON: Duration = Duration::from_secs(120);
const EACCES: i32 = 13;
const EIO: i32 = 5;
const ESTALE: i32 = 116;
const MIB: usize = 1 << 20;

struct World {
    omnifs: Omnifs,
    server: Server,
    python: PathBuf,
}

/// What `cargo xtask test` has built of `tests/s3`.
fn program() -> Option<PathBuf> {
    let built = || Some(target_directory()?.join("s3-server/debug/omnifs-s3-server"));
    let given = std::env::var_os("OMNIFS_S3_SERVER").map(PathBuf::from);
    given.or_else(built).filter(|program| program.is_file())
}

impl World {
    /// With a bucket `photos`. Nothing where something is missing, which is said.
    fn new(test: &str) -> Option<World> {
        let omnifs = home(test, &["python3"])?;
        let needed = program().ok_or("the S3 server is not built: cargo xtask test".to_owned());
        let (program, python) = match needed
            .and_then(|program| Ok((program, python::with_package("botocore", BOTOCORE)?)))
        {
            Ok(both) => both,
            Err(reason) => {
                skip(test, &reason);
                return None;
            }
        };
        let files = omnifs.path("buckets");
        fs::create_dir_all(files.join("photos")).expect("a folder");
        let name = program.to_str().expect("a path");
        let arguments = |address: &str| {
            let files = files.display().to_string();
            vec![address.to_owned(), files, KEY_ID.to_owned(), SECRET.to_owned()]
        };
        let server = Server::start(name, &omnifs.path("log"), arguments).expect("the server");
        let world = World { omnifs, server, python };
        world.configure(&format!("{KEY_ID}:{SECRET}"));
        Some(world)
    }

    fn configure(&self, secret: &str) {
        let file = self.omnifs.path("secret");
        fs::write(&file, secret).expect("a file");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
        // The server walks through all files for each of its pages.
        let own = format!(
            "[limits]\nrequest-time = '120s'\n[instances.store]\nprovider = 's3'\nendpoints.s3 = '{}'\ncredential-file = '{}'\n",
            self.server.url(),
            file.display()
        );
        configure(&self.omnifs, &own);
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// What botocore answers.
    fn client(&self, arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/catalogue/s3.py");
        let mut command = Command::new("timeout");
        command.arg("120").arg(&self.python).arg(script);
        command.args([&self.server.url(), KEY_ID, SECRET]).args(arguments);
        let output = command.output().expect("python");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn put(&self, objects: &Value) {
        self.client(&["put", "photos", &objects.to_string()]);
    }
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("store/photos").join(path)
}

/// Each file below a directory, by its path.
fn tree(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), directory.to_owned())];
    while let Some((prefix, directory)) = open.pop() {
        for name in list(&directory).expect("a directory") {
            let (path, key) = (directory.join(&name), format!("{prefix}{name}"));
            match path.is_dir() {
                true => open.push((format!("{key}/"), path)),
                false => drop(found.insert(key, read(&path))),
            }
        }
    }
    found
}

#[test]
fn the_tree_is_what_a_client_of_others_lists_and_reads() {
    let Some(world) = World::new("s3_tree") else { return };
    let objects = json!({
        "readme.txt": "hello\n",
        "2026/january/a b+c.txt": "with a space\n",
        "2026/january/caf\u{e9} & (1) '100%'!*.txt": "odd\n",
        "2026/user@example:1=~x,y;z.txt": "signs\n",
        "2026/empty": "",
        "100%/%.txt": "percent\n",
    });
    world.put(&objects);
    let mounted = world.mount();
    let expected: BTreeMap<String, String> =
        serde_json::from_str(&world.client(&["list", "photos"])).expect("JSON");
    assert_eq!(json!(expected), objects);
    assert_eq!(tree(&place(&mounted, "")), expected);
    let buckets: Vec<String> = serde_json::from_str(&world.client(&["buckets"])).expect("JSON");
    let mut shown = list(&mounted.join("store")).expect("a directory");
    // What the mount says of itself has names that no bucket has.
    shown.retain(|name| !name.starts_with('.') && !name.ends_with(".md"));
    assert_eq!(shown, buckets);
    assert!(!place(&mounted, "none").exists());
    assert!(!mounted.join("store/no-bucket").exists());
    // This server keeps no versions, and says so.
    let versions = list(&place(&mounted, "_versions")).expect_err("no versions");
    assert_eq!(versions.raw_os_error(), Some(EIO));
}

#[test]
fn what_is_stored_anew_shows_at_the_next_open_and_what_is_deleted_is_gone() {
    let Some(world) = World::new("s3_overwritten") else { return };
    world.put(&json!({"a.txt": "first\n", "b/c.txt": "stays\n"}));
    let mounted = world.mount();
    assert_eq!(read(&place(&mounted, "a.txt")), "first\n");
    // Of the same length, and most likely within the same second.
    world.put(&json!({"a.txt": "other\n"}));
    assert_eq!(read(&place(&mounted, "a.txt")), "other\n");
    world.put(&json!({"a.txt": "a longer one\n", "b/d.txt": "new\n"}));
    assert_eq!(read(&place(&mounted, "a.txt")), "a longer one\n");
    assert_eq!(list(&place(&mounted, "b")).expect("a directory"), ["c.txt", "d.txt"]);
    world.client(&["delete", "photos", "a.txt"]);
    assert!(!place(&mounted, "a.txt").exists());
    assert_eq!(list(&place(&mounted, "")).expect("a directory"), ["b"]);
}

#[test]
fn a_read_across_an_overwrite_fails_and_mixes_nothing() {
    let Some(world) = World::new("s3_across") else { return };
    let large = |byte: u8| vec![byte; 24 * MIB];
    // As the server keeps objects: a file for each.
    let stored = world.omnifs.path("buckets/photos/large");
    let store = |byte: u8| {
        let partial = stored.with_extension("partial");
        fs::write(&partial, large(byte)).expect("a file");
        fs::rename(&partial, &stored).expect("another content");
    };
    store(b'a');
    let mounted = world.mount();
    let path = place(&mounted, "large");
    let file = File::open(&path).expect("a file");
    let mut start = [0; 4096];
    file.read_exact_at(&mut start, 0).expect("its first piece");
    assert!(start.iter().all(|byte| *byte == b'a'));
    store(b'b');
    let mut far = [0; 4096];
    let error = file.read_exact_at(&mut far, (20 * MIB) as u64).expect_err("another content");
    assert_eq!(error.raw_os_error(), Some(ESTALE));
    assert!(fs::read(&path).expect("the new content") == large(b'b'));
}

#[test]
fn a_wrong_secret_is_one_clear_error_and_nothing_shows_it() {
    let Some(world) = World::new("s3_secret") else { return };
    world.put(&json!({"a.txt": "text\n"}));
    let wrong = "wrong-0123456789abcdefSECRET";
    world.configure(&format!("{KEY_ID}:{wrong}"));
    let mounted = world.mount();
    assert_eq!(errno(&place(&mounted, "a.txt")), EACCES);
    let listed = list(&mounted.join("store")).expect_err("refused");
    assert_eq!(listed.raw_os_error(), Some(EACCES));
    let status = mounted.status().expect("a status").to_string();
    assert!(status.contains("SignatureDoesNotMatch"), "{status}");
    assert!(!status.contains(wrong) && !mounted.log().contains(wrong));
    // The file is looked at anew.
    world.configure(&format!("{KEY_ID}:{SECRET}"));
    let right = || fs::read_to_string(place(&mounted, "a.txt")).ok();
    assert_eq!(wait_until(SOON, right).as_deref(), Some("text\n"));
    // Of another form it signs nothing.
    world.configure("no-colon");
    assert_eq!(errno(&place(&mounted, "a.txt")), EACCES);
    let status = mounted.status().expect("a status").to_string();
    assert!(status.contains("must have the form KEY-ID:SECRET"), "{status}");
}

#[test]
fn a_server_that_is_stopped_is_an_error_and_leaves_nothing_behind() {
    let Some(world) = World::new("s3_stopped") else { return };
    world.put(&json!({"a.txt": "before\n", "gone.txt": "text\n"}));
    let mounted = world.mount();
    let (file, gone) = (place(&mounted, "a.txt"), place(&mounted, "gone.txt"));
    assert_eq!((read(&file).as_str(), read(&gone).as_str()), ("before\n", "text\n"));
    world.server.stop();
    assert_eq!(errno(&file), EIO);
    let listed = list(&place(&mounted, "")).expect_err("nobody answers");
    assert_eq!(listed.raw_os_error(), Some(EIO));
    // What happens meanwhile happens to its files.
    fs::remove_file(world.omnifs.path("buckets/photos/gone.txt")).expect("a file");
    fs::write(world.omnifs.path("buckets/photos/new.txt"), "new\n").expect("a file");
    world.server.start_again().expect("the server");
    let answers = || fs::read_to_string(&file).ok();
    assert_eq!(wait_until(SOON, answers).as_deref(), Some("before\n"));
    assert_eq!(list(&place(&mounted, "")).expect("a directory"), ["a.txt", "new.txt"]);
    assert_eq!(read(&place(&mounted, "new.txt")), "new\n");
    assert!(!gone.exists());
}

#[test]
fn ten_thousand_objects_are_listed_as_a_whole() {
    let Some(world) = World::new("s3_many") else { return };
    let folder = world.omnifs.path("buckets/photos/many");
    fs::create_dir_all(&folder).expect("a folder");
    for number in 0..10_000 {
        fs::write(folder.join(format!("{number:05}")), "x").expect("a file");
    }
    let mounted = world.mount();
    let directory = place(&mounted, "many");
    assert!(directory.is_dir());
    let names = list(&directory).expect("a directory");
    let expected: Vec<_> = (0..10_000).map(|number| format!("{number:05}")).collect();
    assert!(names == expected, "{} names", names.len());
    assert_eq!(read(&directory.join("09999")), "x");
}
