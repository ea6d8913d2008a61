//! The provider `crates` against a sparse registry as a plain server has it, with crates that `cargo package` makes and
//! `cargo fetch` unpacks.

use crate::{configure, home};
use omnifs_support::tools::{await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, program, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(120);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";
const EIO: i32 = 5;

/// Serves files as a registry's server does: by entity tags, and with no time of which two changes may share one.
const SERVE: &str = r#"
import hashlib, http.server, os, sys
class Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        try:
            with open("." + self.path, "rb") as file:
                content = file.read()
        except OSError:
            return self.answer(404, b"", "")
        tag = '"' + hashlib.sha256(content).hexdigest() + '"'
        same = self.headers.get("if-none-match") == tag
        self.answer(304 if same else 200, b"" if same else content, tag)
    def answer(self, status, content, tag):
        self.send_response(status)
        if tag:
            self.send_header("etag", tag)
        if status != 304:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
    def log_message(self, *_):
        pass
host, port = sys.argv[1].split(":")
os.chdir(sys.argv[2])
server = http.server.ThreadingHTTPServer((host, int(port)), Files)
print("listening on", sys.argv[1], flush=True)
server.serve_forever()
"#;

/// A registry, and a home whose mounts reach it.
struct World {
    omnifs: Omnifs,
    registry: Server,
    served: PathBuf,
}

impl World {
    /// Nothing where no mount can be made, or a program is not there, which is said.
    fn new(test: &str, polls: &str) -> Option<World> {
        let omnifs = home(test, &["python3", "cargo", "tar", "diff", "sha256sum"])?;
        let omnifs = omnifs.env("OMNIFS_POLL_MS", polls);
        let served = omnifs.path("served");
        for folder in ["files/index", "files/dl", "built"] {
            fs::create_dir_all(served.join(folder)).expect("a folder");
        }
        let python = program("python3").expect("it was looked for").display().to_string();
        let files = served.join("files").display().to_string();
        let registry = Server::start(&python, &served, |at| {
            ["-c", SERVE, at, &files].map(str::to_owned).to_vec()
        });
        let registry = registry.unwrap_or_else(|error| panic!("{error}"));
        let url = registry.url();
        let configuration = json!({"dl": format!("{url}/dl/{{crate}}-{{version}}.crate")});
        fs::write(served.join("files/index/config.json"), configuration.to_string())
            .expect("a file");
        configure(
            &omnifs,
            &format!(
                "[instances.crates]\nendpoints.index = '{url}/index'\nendpoints.files = '{url}'\n"
            ),
        );
        Some(World { omnifs, registry, served })
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// Cargo with a home of its own, which asks nobody but this registry.
    fn cargo(&self, folder: &str, arguments: &str) -> String {
        let (own, url) = (self.served.display(), self.registry.url());
        shell(
            &self.served.join(folder),
            &format!(
                "env -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER -u CARGO_HTTP_PROXY CARGO_NET_OFFLINE=false CARGO_HOME='{own}/cargo' CARGO_TARGET_DIR='{own}/built' \
                 CARGO_REGISTRIES_OWN_INDEX='sparse+{url}/index/' no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 cargo {arguments}"
            ),
        )
    }

    /// Packs a version of `tool`, whose source holds its number, and gives its line for the index.
    fn pack(&self, version: &str) -> Value {
        shell(&self.served, "rm -rf tool && mkdir -p tool/src");
        let manifest = format!(
            "[package]\nname = 'tool'\nversion = '{version}'\nedition = '2021'\nreadme = 'README.md'\n\
             description = 'for a test'\nlicense = 'MIT'\n[workspace]\n"
        );
        let write = |name: &str, text: &str| {
            fs::write(self.served.join("tool").join(name), text).expect("a file");
        };
        write("Cargo.toml", &manifest);
        write("README.md", &format!("# Tool {version}\n"));
        write("src/lib.rs", &format!("pub const VERSION: &str = \"{version}\";\n"));
        self.cargo("tool", "package --quiet --no-verify --allow-dirty --offline");
        let packed = format!("tool-{version}.crate");
        shell(&self.served, &format!("cp 'built/package/{packed}' files/dl/"));
        let sum = shell(&self.served, &format!("sha256sum 'files/dl/{packed}' | cut -d' ' -f1"));
        line(version, &sum)
    }

    /// What the index says of `tool`. The file is another one at once.
    fn index(&self, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let place = self.served.join("files/index/to/ol/tool");
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        fs::write(place.with_extension("new"), text).expect("a file");
        fs::rename(place.with_extension("new"), place).expect("a file");
    }
}

fn line(version: &str, sum: &str) -> Value {
    json!({"name": "tool", "vers": version, "deps": [], "cksum": sum, "features": {}, "yanked": false})
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("crates").join(path)
}

/// Requests that the mount has made so far.
fn requests(mounted: &Mounted<'_>) -> u64 {
    let status = mounted.status().expect("a status");
    let providers = status["providers"].as_array().expect("providers");
    let own = providers.iter().find(|one| one["name"] == "crates").expect("the instance");
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

#[test]
fn a_crate_is_what_cargo_fetches_and_unpacks() {
    let Some(world) = World::new("crates_shown", NEVER) else { return };
    let lines = [world.pack("1.9.0"), world.pack("1.10.0"), world.pack("2.0.0-rc.1")];
    world.index(&lines);
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let listed = |path: &str| list(&at(path)).expect("a directory");
    assert_eq!(listed("tool"), ["_latest", "versions"]);
    assert_eq!(listed("tool/versions"), ["1.10.0", "1.9.0", "2.0.0-rc.1"]);

    // What cargo takes where any version will do, and what it makes of it.
    shell(&world.served, "mkdir -p user/src && touch user/src/lib.rs");
    let manifest = "[package]\nname = 'user'\nversion = '0.1.0'\nedition = '2021'\n[workspace]\n\
                    [dependencies]\ntool = { version = '1', registry = 'own' }\n";
    fs::write(world.served.join("user/Cargo.toml"), manifest).expect("a file");
    world.cargo("user", "fetch --quiet");
    let latest = listed("tool/_latest");
    assert_eq!(latest, ["1.10.0"]);
    let unpacked = shell(&world.served, "echo cargo/registry/src/*/tool-*");
    assert!(unpacked.ends_with("/tool-1.10.0"), "{unpacked}");
    let version = at("tool/_latest/1.10.0");
    let names = ["README", "checksum", "files", "metadata.json", "package.crate"];
    assert_eq!(list(&version).expect("a directory"), names);
    let same = format!(
        "diff -r --exclude=.cargo-ok '{unpacked}' '{0}/files' && cmp files/dl/tool-1.10.0.crate '{0}/package.crate'",
        version.display()
    );
    assert_eq!(shell(&world.served, &same), "");
    assert_eq!(read(&version.join("README")), "# Tool 1.10.0\n");
    let sum = lines[1]["cksum"].as_str().expect("a digest");
    assert_eq!(read(&version.join("checksum")), format!("{sum}\n"));
    let said: Value = serde_json::from_str(&read(&version.join("metadata.json"))).expect("JSON");
    assert_eq!(said, lines[1]);

    for absent in ["tool/versions/9.0.0", "Tool", "nothing", "tool/other", ".git"] {
        let kind = fs::metadata(at(absent)).expect_err("nothing is there").kind();
        assert_eq!(kind, ErrorKind::NotFound, "{absent}");
    }
    // Another content under a version's name is not shown.
    fs::write(world.served.join("files/dl/tool-1.9.0.crate"), "another").expect("a file");
    assert_eq!(errno(&at("tool/versions/1.9.0/package.crate")), EIO);
    assert_eq!(errno(&at("tool/versions/1.9.0/README")), EIO);
}

#[test]
fn what_is_published_or_yanked_shows_by_the_next_poll() {
    let Some(world) = World::new("crates_moves", OFTEN) else { return };
    let (mut one, two) = (world.pack("1.0.0"), world.pack("1.1.0"));
    world.index(std::slice::from_ref(&one));
    let mounted = world.mount();
    let tool = place(&mounted, "tool");
    let versions = tool.join("versions");
    assert_eq!(list(&versions).expect("a directory"), ["1.0.0"]);
    assert_eq!(list(&tool.join("_latest")).expect("a directory"), ["1.0.0"]);
    assert_eq!(read(&versions.join("1.0.0/README")), "# Tool 1.0.0\n");

    world.index(&[one.clone(), two.clone()]);
    await_names(&versions, &["1.0.0", "1.1.0"]);
    await_names(&tool.join("_latest"), &["1.1.0"]);
    one["yanked"] = Value::Bool(true);
    world.index(&[one, two]);
    let metadata = versions.join("1.0.0/metadata.json");
    let yanked = || {
        let now: Value = serde_json::from_str(&fs::read_to_string(&metadata).ok()?).ok()?;
        (now["yanked"] == true).then_some(())
    };
    assert!(wait_until(SOON, yanked).is_some(), "{:?}", fs::read_to_string(&metadata));
    fs::remove_file(world.served.join("files/index/to/ol/tool")).expect("a file");
    await_gone(&versions, SOON);
    await_gone(&tool, SOON);
}

#[test]
fn what_has_changed_while_the_crate_registry_was_down_shows_once_it_answers() {
    let Some(world) = World::new("crates_stopped", OFTEN) else { return };
    let sum = "0".repeat(64);
    world.index(&[line("1.0.0", &sum)]);
    let mounted = world.mount();
    let versions = place(&mounted, "tool/versions");
    assert_eq!(list(&versions).expect("a directory"), ["1.0.0"]);
    let metadata = versions.join("1.0.0/metadata.json");
    read(&metadata);
    world.registry.stop();
    // As soon as a poll has failed.
    let fails = || {
        let error = fs::read(&metadata).err()?;
        (error.raw_os_error() == Some(EIO)).then_some(())
    };
    assert!(wait_until(SOON, fails).is_some(), "{:?}", fs::read_to_string(&metadata));
    world.index(&[line("2.0.0", &sum)]);
    assert_eq!(errno(&metadata), EIO, "nobody answers");
    world.registry.start_again().expect("the registry");
    await_names(&versions, &["2.0.0"]);
    await_gone(&versions.join("1.0.0"), SOON);
    await_names(&place(&mounted, "tool/_latest"), &["2.0.0"]);
}

#[test]
fn ten_thousand_versions_of_a_crate_cost_a_few_requests_and_then_none() {
    let Some(world) = World::new("crates_thousands", NEVER) else { return };
    let sum = "0".repeat(64);
    let lines: Vec<Value> =
        (0..10_000).map(|number| line(&format!("1.{number}.0"), &sum)).collect();
    world.index(&lines);
    let mounted = world.mount();
    let directory = place(&mounted, "tool/versions");
    let before = requests(&mounted);
    let walk = || shell(&directory, "ls -l | grep -c '^d'");
    assert_eq!(list(&directory).expect("a directory").len(), 10_000);
    // The file, and the first poll. That proves nothing of the time before, so the file is asked for once more; and
    // again where the poll came in the midst of it.
    await_live(&mounted, "crate:tool");
    assert_eq!(walk(), "10000");
    let cold = requests(&mounted) - before;
    assert!((2..20).contains(&cold), "{cold} requests");
    // What is in a version's directory is known from its name on.
    let checksum = directory.join("1.5000.0/checksum");
    assert_eq!(read(&checksum), format!("{sum}\n"));
    let warm = requests(&mounted);
    for _ in 0..3 {
        assert_eq!(walk(), "10000");
        assert_eq!(read(&checksum), format!("{sum}\n"));
    }
    assert_eq!(requests(&mounted), warm, "nothing has changed");
}
