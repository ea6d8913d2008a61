//! The provider `npm` against Verdaccio from npm, with npm's own client, `curl` and `tar` to say what is right.

use crate::{configure, home};
use omnifs_support::tools::{await_content, await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, npm, skip, wait_until};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PACKAGE: &str = "verdaccio";
const VERSION: &str = "6.2.0";
/// One of its plug-ins names this one by a tag, which not every mirror has.
const OVERRIDES: &str = r#"{"overrides": {"node-fetch": "2.7.0"}}"#;

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(120);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";
const EIO: i32 = 5;

const CONFIGURATION: &str = "\
storage: ./storage
auth: {htpasswd: {file: ./htpasswd}}
packages: {'**': {access: $all, publish: $all, unpublish: $all}}
uplinks: {}
web: {enable: false}
log: {type: stdout, format: pretty, level: warn}
";

/// A registry, and a home whose mounts reach it.
struct World {
    omnifs: Omnifs,
    registry: Server,
    served: PathBuf,
}

impl World {
    /// Nothing where no mount can be made, or the server cannot be had, which is said. `stored` is given the folder
    /// of the registry's files before it starts.
    fn new(test: &str, polls: &str, stored: impl FnOnce(&Path)) -> Option<World> {
        let omnifs = home(test, &["curl", "tar", "npm"])?.env("OMNIFS_POLL_MS", polls);
        let had = npm::node()
            .and_then(|node| Ok((node, npm::package_with(PACKAGE, VERSION, &[], OVERRIDES)?)));
        let (node, modules) = match had {
            Ok(had) => had,
            Err(reason) => {
                skip(test, &reason);
                return None;
            }
        };
        let served = omnifs.path("served");
        fs::create_dir_all(served.join("storage")).expect("a folder");
        let configuration = served.join("config.yaml");
        fs::write(&configuration, CONFIGURATION).expect("a file");
        stored(&served.join("storage"));
        let start = modules.join(PACKAGE).join("bin/verdaccio");
        let registry = Server::start(&node.display().to_string(), &served, |at| {
            let path = |path: &Path| path.display().to_string();
            [path(&start), "--listen".into(), at.into(), "--config".into(), path(&configuration)]
                .to_vec()
        });
        let registry = registry.unwrap_or_else(|error| panic!("{error}"));
        let url = registry.url();
        configure(&omnifs, &format!("[instances.npm]\nendpoints.registry = '{url}'\n"));
        // The client wants to be somebody, whom this registry does not look at.
        let login = format!("//{}/:_authToken=anybody\n", registry.address());
        fs::write(served.join("npmrc"), login).expect("a file");
        Some(World { omnifs, registry, served })
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// What npm's client prints, in a folder of the test's own.
    fn npm(&self, folder: &Path, arguments: &str) -> String {
        let (own, url) = (self.served.display(), self.registry.url());
        shell(
            folder,
            &format!(
                "npm_config_noproxy=127.0.0.1 npm --userconfig '{own}/npmrc' --cache '{own}/cache' \
                 --registry '{url}' --no-update-notifier --loglevel=error {arguments}"
            ),
        )
    }

    /// Publishes what the lines of bash leave in a directory.
    fn publish(&self, name: &str, version: &str, tag: &str, lines: &str) {
        let folder = self.served.join("package");
        shell(&self.served, &format!("rm -rf package && mkdir package && cd package && {lines}"));
        let manifest = json!({"name": name, "version": version, "description": "for a test"});
        fs::write(folder.join("package.json"), manifest.to_string()).expect("a file");
        self.npm(&folder, &format!("publish --access public --tag {tag}"));
    }

    /// What the registry answers there, whatever the machine's proxy.
    fn curl(&self, arguments: &str, path: &str) -> String {
        let url = self.registry.url();
        shell(&self.served, &format!("curl -sS -f --noproxy '*' {arguments} '{url}/{path}'"))
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.curl("", path)).expect("JSON")
    }
}

/// The document of a package with these versions, as Verdaccio keeps it. No archive is there.
fn store(storage: &Path, name: &str, versions: &[String]) {
    let one = |version: &String| {
        let tarball = format!("http://127.0.0.1/{name}/-/{name}-{version}.tgz");
        let dist = json!({"tarball": tarball, "shasum": "0".repeat(40)});
        (version.clone(), json!({"name": name, "version": version, "dist": dist}))
    };
    let all: Map<String, Value> = versions.iter().map(one).collect();
    let time = "2026-01-01T00:00:00.000Z";
    let document = json!({
        "name": name, "versions": all, "dist-tags": {"latest": versions.last()},
        "time": {"modified": time, "created": time}, "_rev": "1-1", "_id": name, "readme": "",
        "_uplinks": {}, "_distfiles": {}, "_attachments": {},
    });
    fs::create_dir_all(storage.join(name)).expect("a folder");
    fs::write(storage.join(name).join("package.json"), document.to_string()).expect("a file");
}

/// Which packages a registry knows of.
fn know(storage: &Path, names: &[String]) {
    let known = json!({"list": names, "secret": "x".repeat(32)});
    fs::write(storage.join(".verdaccio-db.json"), known.to_string()).expect("a file");
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("npm").join(path)
}

/// The packages that are listed. The other names are the host's own.
fn packages(mounted: &Mounted<'_>) -> Vec<String> {
    let mut names = list(&place(mounted, "")).expect("a directory");
    names.retain(|name| !name.starts_with('.') && !name.ends_with(".md"));
    names
}

/// Requests that the mount has made so far.
fn requests(mounted: &Mounted<'_>) -> u64 {
    let status = mounted.status().expect("a status");
    let providers = status["providers"].as_array().expect("providers");
    let own = providers.iter().find(|one| one["name"] == "npm").expect("the instance");
    own["callouts"].as_u64().expect("a number")
}

/// Waits until the scope has been polled and is live.
fn await_live(mounted: &Mounted<'_>, scope: &str) {
    let good =
        |one: &Value| one["scope"] == scope && !one["heard"].is_null() && one["state"] == "live";
    let live = wait_until(SOON, || {
        mounted.status().ok()?["scopes"].as_array()?.iter().any(good).then_some(())
    });
    assert!(live.is_some(), "{:?}", mounted.status());
}

/// Waits until the directory holds these names.
fn await_names(directory: &Path, expected: &[&str]) {
    let same = || (list(directory).ok()? == expected).then_some(());
    assert!(wait_until(SOON, same).is_some(), "{:?}", list(directory));
}

fn parsed(path: &Path) -> Value {
    serde_json::from_str(&read(path)).expect("JSON")
}

#[test]
fn a_package_is_what_npm_says_of_it_and_its_files_are_those_that_npm_packs() {
    let Some(world) = World::new("npm_shown", NEVER, |_| ()) else { return };
    let lines = "mkdir bin docs && printf '#!/bin/sh\\n' > bin/run && chmod 755 bin/run && \
                 echo '# Plain' > README.md && head -c 300000 /dev/urandom > docs/large";
    world.publish("plain", "1.0.0", "latest", lines);
    world.publish("plain", "1.1.0-rc.1", "next", "echo '# Next' > README.md");
    world.publish("@acme/tool", "0.1.0", "latest", "echo x > file");

    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let listed = |path: &str| list(&at(path)).expect("a directory");
    assert_eq!(packages(&mounted), ["@acme%2Ftool", "plain"]);
    assert_eq!(listed("plain"), ["_latest", "tags", "versions"]);

    let said: Vec<String> =
        serde_json::from_str(&world.npm(&world.served, "view plain versions --json"))
            .expect("versions");
    assert_eq!(listed("plain/versions"), said);
    let tags: Map<String, Value> =
        serde_json::from_str(&world.npm(&world.served, "view plain dist-tags --json"))
            .expect("tags");
    assert_eq!(listed("plain/tags"), tags.keys().cloned().collect::<Vec<_>>());
    for (tag, version) in &tags {
        let target = fs::read_link(at(&format!("plain/tags/{tag}"))).expect("a link");
        let version = version.as_str().expect("a version");
        assert_eq!(target, Path::new("../versions").join(version));
    }
    assert_eq!(listed("plain/_latest"), ["1.0.0"]);

    for (shown, asked) in
        [("plain/versions/1.0.0", "plain/1.0.0"), ("plain/tags/next", "plain/next")]
    {
        let version = at(shown);
        let names = ["README", "files", "integrity", "metadata.json", "package.tgz"];
        assert_eq!(list(&version).expect("a directory"), names);
        let manifest = world.json(asked);
        assert_eq!(parsed(&version.join("metadata.json")), manifest);
        let integrity = manifest["dist"]["integrity"].as_str().expect("a digest");
        assert_eq!(read(&version.join("integrity")), format!("{integrity}\n"));
        assert_eq!(read(&version.join("README")), read(&version.join("files/README.md")));

        // What the client fetches, and what tar unpacks of it.
        let number = manifest["version"].as_str().expect("a version");
        world.npm(&world.served, &format!("pack plain@{number}"));
        let packed = format!("plain-{number}.tgz");
        let same = format!(
            "cmp '{packed}' '{0}/package.tgz' && rm -rf out && mkdir out && tar -C out -xzf '{packed}' && \
             diff -r out/package '{0}/files'",
            version.display()
        );
        assert_eq!(shell(&world.served, &same), "");
    }
    assert_eq!(read(&at("plain/_latest/1.0.0/README")), "# Plain\n");
    for (path, bits) in [("bin/run", 0o111), ("README.md", 0)] {
        let file = at("plain/versions/1.0.0/files").join(path);
        let mode = fs::metadata(file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o111, bits, "{path}");
    }
    assert_eq!(read(&at("@acme%2Ftool/_latest/0.1.0/files/file")), "x\n");

    for absent in ["plain/versions/9.9.9", "plain/tags/none", "nothing", "plain/other", ".git"] {
        let kind = fs::metadata(at(absent)).expect_err("nothing is there").kind();
        assert_eq!(kind, ErrorKind::NotFound, "{absent}");
    }
}

#[test]
fn what_is_published_deprecated_or_removed_shows_by_the_next_poll() {
    let Some(world) = World::new("npm_moves", OFTEN, |_| ()) else { return };
    world.publish("plain", "1.0.0", "latest", "echo one > file");
    let mounted = world.mount();
    let plain = place(&mounted, "plain");
    let manifest = plain.join("versions/1.0.0/metadata.json");
    assert_eq!(list(&plain.join("versions")).expect("a directory"), ["1.0.0"]);
    assert_eq!(list(&plain.join("_latest")).expect("a directory"), ["1.0.0"]);
    assert_eq!(read(&plain.join("tags/latest/files/file")), "one\n");
    assert_eq!(parsed(&manifest)["deprecated"], Value::Null);

    world.publish("plain", "1.1.0", "latest", "echo two > file");
    await_content(&plain.join("tags/latest/files/file"), "two\n", SOON);
    await_names(&plain.join("versions"), &["1.0.0", "1.1.0"]);
    await_names(&plain.join("_latest"), &["1.1.0"]);
    await_gone(&plain.join("_latest/1.0.0"), SOON);
    assert_eq!(read(&plain.join("versions/1.0.0/files/file")), "one\n");

    world.npm(&world.served, "deprecate plain@1.0.0 'take another one'");
    let said = || {
        let now: Value = serde_json::from_str(&fs::read_to_string(&manifest).ok()?).ok()?;
        (now["deprecated"] == "take another one").then_some(())
    };
    assert!(wait_until(SOON, said).is_some(), "{:?}", fs::read_to_string(&manifest));

    world.curl("-X DELETE", "plain/-rev/any");
    await_gone(&plain.join("versions"), SOON);
    await_gone(&plain, SOON);
    assert_eq!(packages(&mounted), [""; 0]);
}

#[test]
fn what_has_changed_while_the_package_registry_was_down_shows_once_it_answers() {
    let one = ["1.0.0".to_owned()];
    let two = ["1.0.0".to_owned(), "2.0.0".to_owned()];
    let world = World::new("npm_stopped", OFTEN, |storage| {
        store(storage, "plain", &one);
        store(storage, "gone", &one);
        know(storage, &["plain".to_owned(), "gone".to_owned()]);
    });
    let Some(world) = world else { return };
    let mounted = world.mount();
    let versions = place(&mounted, "plain/versions");
    assert_eq!(list(&versions).expect("a directory"), ["1.0.0"]);
    let manifest = versions.join("1.0.0/metadata.json");
    assert_eq!(parsed(&manifest)["version"], "1.0.0");
    let gone = place(&mounted, "gone/versions");
    assert_eq!(list(&gone).expect("a directory"), ["1.0.0"]);
    world.registry.stop();
    // As soon as a poll has failed.
    let fails = || {
        let error = fs::read(&manifest).err()?;
        (error.raw_os_error() == Some(EIO)).then_some(())
    };
    assert!(wait_until(SOON, fails).is_some(), "{:?}", fs::read(&manifest));
    let storage = world.served.join("storage");
    store(&storage, "plain", &two);
    fs::remove_dir_all(storage.join("gone")).expect("a folder");
    assert_eq!(errno(&manifest), EIO, "nobody answers");
    world.registry.start_again().expect("the registry");
    await_names(&versions, &["1.0.0", "2.0.0"]);
    await_names(&place(&mounted, "plain/_latest"), &["2.0.0"]);
    await_gone(&gone, SOON);
    assert_eq!(parsed(&manifest)["version"], "1.0.0");
}

#[test]
fn ten_thousand_versions_cost_a_few_requests_and_then_none() {
    let versions: Vec<String> = (0..10_000).map(|number| format!("1.{number}.0")).collect();
    let mut names: Vec<String> = (0..999).map(|number| format!("package-{number:03}")).collect();
    names.insert(0, "many".to_owned());
    let world = World::new("npm_thousands", NEVER, |storage| {
        names.iter().for_each(|name| store(storage, name, &versions[..1]));
        store(storage, "many", &versions);
        know(storage, &names);
    });
    let Some(world) = world else { return };
    let mounted = world.mount();
    let before = requests(&mounted);
    assert!(packages(&mounted) == names, "they are not those that the registry knows of");
    let listing = requests(&mounted) - before;
    assert!((1..10).contains(&listing), "{listing} requests for a thousand packages");

    let directory = place(&mounted, "many/versions");
    let before = requests(&mounted);
    let walk = || shell(&directory, "ls -l | grep -c '^d'");
    assert_eq!(list(&directory).expect("a directory").len(), 10_000);
    // The document, and the first poll. That proves nothing of the time before, so the document is asked for once more; and
    // again where the poll came in the midst of it.
    await_live(&mounted, "package:many");
    assert_eq!(walk(), "10000");
    let cold = requests(&mounted) - before;
    assert!((2..20).contains(&cold), "{cold} requests");
    // What is in a version's directory is known from its name on.
    let integrity = directory.join("1.5000.0/integrity");
    let content = read(&integrity);
    assert!(content.starts_with("sha1-"), "{content}");
    let warm = requests(&mounted);
    for _ in 0..3 {
        assert_eq!(walk(), "10000");
        assert_eq!(read(&integrity), content);
    }
    assert_eq!(requests(&mounted), warm, "nothing has changed");
}
