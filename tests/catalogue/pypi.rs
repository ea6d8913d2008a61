//! The provider `pypi` against devpi-server from PyPI, with `pip`, Python's own archive readers and `curl` to say what
//! is right.

use crate::{configure, home};
use omnifs_support::tools::{await_gone, errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, program, python, skip, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PACKAGE: &str = "devpi-server";
const VERSION: &str = "6.20.3";

/// For a change or a recovery to show. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(120);
/// Polls do not come twice within a test.
const NEVER: &str = "3600000";
const OFTEN: &str = "100";
const EIO: i32 = 5;

/// Makes a source archive and a wheel of a version, which hold its number.
const BUILD: &str = r##"
import io, sys, tarfile, zipfile
version = sys.argv[1]
metadata = f"Metadata-Version: 2.1\nName: my-tool\nVersion: {version}\n\n# Tool {version}\n"
with tarfile.open(f"my_tool-{version}.tar.gz", "w:gz") as source:
    for name, text in [("PKG-INFO", metadata), ("src/tool.py", "x = 1\n" * 50000)]:
        entry = tarfile.TarInfo(f"my_tool-{version}/{name}")
        entry.size = len(text)
        source.addfile(entry, io.BytesIO(text.encode()))
with zipfile.ZipFile(f"my_tool-{version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    wheel.writestr("my_tool/__init__.py", "x = 1\n" * 1000)
    wheel.writestr(f"my_tool-{version}.dist-info/METADATA", metadata)
    wheel.writestr(f"my_tool-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    wheel.writestr(f"my_tool-{version}.dist-info/RECORD", "")
"##;

/// A server with an index of its own, and a home whose mounts reach it.
struct World {
    omnifs: Omnifs,
    server: Server,
    served: PathBuf,
    python: PathBuf,
}

impl World {
    /// Nothing where no mount can be made, or the server cannot be had, which is said.
    fn new(test: &str, polls: &str) -> Option<World> {
        let omnifs = home(test, &["curl", "diff", "tar"])?.env("OMNIFS_POLL_MS", polls);
        let python = match python::with_package(PACKAGE, VERSION) {
            Ok(python) => python,
            Err(reason) => {
                skip(test, &reason);
                return None;
            }
        };
        let served = omnifs.path("served");
        fs::create_dir_all(&served).expect("a folder");
        let run = |what: &str| format!("from devpi_server.{what} import *; {what}()");
        let init =
            format!("'{}' -c '{}' --serverdir data --no-root-pypi", python.display(), run("init"));
        shell(&served, &init);
        let data = served.join("data").display().to_string();
        let server = Server::start(&python.display().to_string(), &served, |at| {
            let port = at.rsplit(':').next().unwrap_or_default();
            ["-c", &run("main"), "--serverdir", &data, "--host", "127.0.0.1", "--port", port]
                .map(str::to_owned)
                .to_vec()
        });
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        let settings = "settings.list = '+simple'";
        let url = server.url();
        configure(
            &omnifs,
            &format!("[instances.pypi]\nendpoints.index = '{url}/tester/dev'\n{settings}\n"),
        );
        fs::write(served.join("build.py"), BUILD).expect("a file");
        let world = World { omnifs, server, served, python };
        let body =
            |value: &Value| format!("-X PUT -H 'content-type: application/json' -d '{value}'");
        world.curl(&body(&json!({"password": "secret"})), "tester");
        let index = json!({"type": "stage", "bases": "", "volatile": true});
        world.curl(&format!("-u tester:secret {}", body(&index)), "tester/dev");
        Some(world)
    }

    fn mount(&self) -> Mounted<'_> {
        self.omnifs.mount::<&str>(&[]).expect("mount")
    }

    /// What the server answers there, whatever the machine's proxy.
    fn curl(&self, arguments: &str, path: &str) -> String {
        let url = self.server.url();
        shell(&self.served, &format!("curl -sS -f --noproxy '*' {arguments} '{url}/{path}'"))
    }

    /// Uploads a version as a source archive, and as a wheel too.
    fn upload(&self, version: &str, wheel: bool) {
        shell(&self.served, &format!("'{}' build.py {version}", self.python.display()));
        let put = |kind: &str, file: String| {
            self.curl(
                &format!(
                    "-u tester:secret -F ':action=file_upload' -F name=my-tool -F version={version} \
                     -F filetype={kind} -F pyversion=py3 -F content=@{file}"
                ),
                "tester/dev/",
            );
        };
        put("sdist", format!("my_tool-{version}.tar.gz"));
        if wheel {
            put("bdist_wheel", format!("my_tool-{version}-py3-none-any.whl"));
        }
    }

    /// Exchanges the data of the stopped server with those in the directory `aside`.
    fn swap(&self, aside: &str) {
        shell(&self.served, &format!("mv data swapped && mv {aside} data && mv swapped {aside}"));
    }
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("pypi").join(path)
}

/// The projects that are listed. The other names are the host's own.
fn projects(mounted: &Mounted<'_>) -> Vec<String> {
    let mut names = list(&place(mounted, "")).expect("a directory");
    names.retain(|name| !name.starts_with('.') && !name.ends_with(".md"));
    names
}

/// Requests that the mount has made so far.
fn requests(mounted: &Mounted<'_>) -> u64 {
    let status = mounted.status().expect("a status");
    let providers = status["providers"].as_array().expect("providers");
    let own = providers.iter().find(|one| one["name"] == "pypi").expect("the instance");
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
fn a_project_is_what_pip_downloads_and_its_files_are_those_in_the_archives() {
    let Some(world) = World::new("pypi_shown", NEVER) else { return };
    world.upload("1.0", true);
    world.upload("1.10", false);
    world.upload("2.0rc1", true);
    let mounted = world.mount();
    let at = |path: &str| place(&mounted, path);
    let listed = |path: &str| list(&at(path)).expect("a directory");
    assert_eq!(projects(&mounted), ["my-tool"]);
    assert_eq!(listed("my-tool"), ["_latest", "versions"]);
    assert_eq!(listed("my-tool/versions"), ["1.0", "1.10", "2.0rc1"]);

    // What pip takes where no version is named, and its files.
    let download = |what: &str| {
        shell(
            &world.served,
            &format!(
                "rm -rf down && no_proxy=127.0.0.1 '{}' -m pip download -q --isolated --no-deps --no-build-isolation \
                 --disable-pip-version-check --no-cache-dir {what} -d down --index-url '{}/tester/dev/+simple/' && ls down",
                world.python.display(),
                world.server.url()
            ),
        )
    };
    let wheel = download("--only-binary :all: my-tool==1.0");
    assert_eq!(wheel, "my_tool-1.0-py3-none-any.whl");
    let version = at("my-tool/versions/1.0");
    let names = ["METADATA", "README", "archives", "files", "metadata.json"];
    assert_eq!(list(&version).expect("a directory"), names);
    let both = [wheel.as_str(), "my_tool-1.0.tar.gz"];
    assert_eq!(list(&version.join("archives")).expect("a directory"), both);
    assert_eq!(list(&version.join("files")).expect("a directory"), both);
    let same = format!(
        "cmp 'down/{wheel}' '{0}/archives/{wheel}' && rm -rf out && '{1}' -m zipfile -e 'down/{wheel}' out && \
         diff -r out '{0}/files/{wheel}' && cmp my_tool-1.0.tar.gz '{0}/archives/my_tool-1.0.tar.gz' && \
         tar xzf my_tool-1.0.tar.gz && diff -r my_tool-1.0 '{0}/files/my_tool-1.0.tar.gz'",
        version.display(),
        world.python.display()
    );
    assert_eq!(shell(&world.served, &same), "");
    assert_eq!(read(&version.join("README")), "# Tool 1.0\n");
    let metadata = read(&version.join("METADATA"));
    assert!(metadata.starts_with("Metadata-Version: 2.1\n"), "{metadata}");

    assert_eq!(listed("my-tool/_latest"), ["1.10"], "2.0rc1 is not final");
    assert_eq!(read(&at("my-tool/_latest/1.10/README")), "# Tool 1.10\n");

    let page = "-H 'accept: application/vnd.pypi.simple.v1+json'";
    let said: Value =
        serde_json::from_str(&world.curl(page, "tester/dev/+simple/my-tool/")).expect("JSON");
    let said = said["files"].as_array().expect("files").iter();
    let own: Vec<&Value> = said.filter(|file| file["filename"] == "my_tool-1.10.tar.gz").collect();
    let shown: Value =
        serde_json::from_str(&read(&at("my-tool/versions/1.10/metadata.json"))).expect("JSON");
    assert_eq!(shown, json!(own));

    for absent in ["my-tool/versions/9", "My_Tool", "nothing", "my-tool/other", ".git"] {
        let kind = fs::metadata(at(absent)).expect_err("nothing is there").kind();
        assert_eq!(kind, ErrorKind::NotFound, "{absent}");
    }
}

#[test]
fn what_is_uploaded_or_removed_shows_by_the_next_poll() {
    let Some(world) = World::new("pypi_moves", OFTEN) else { return };
    world.upload("1.0", false);
    let mounted = world.mount();
    let project = place(&mounted, "my-tool");
    let versions = project.join("versions");
    assert_eq!(list(&versions).expect("a directory"), ["1.0"]);
    assert_eq!(list(&project.join("_latest")).expect("a directory"), ["1.0"]);
    assert_eq!(read(&versions.join("1.0/README")), "# Tool 1.0\n");

    world.upload("1.1", true);
    await_names(&versions, &["1.0", "1.1"]);
    await_names(&project.join("_latest"), &["1.1"]);
    await_names(
        &versions.join("1.1/archives"),
        &["my_tool-1.1-py3-none-any.whl", "my_tool-1.1.tar.gz"],
    );
    world.curl("-u tester:secret -X DELETE", "tester/dev/my-tool/1.0");
    await_names(&versions, &["1.1"]);
    await_gone(&versions.join("1.0"), SOON);
    world.curl("-u tester:secret -X DELETE", "tester/dev/my-tool");
    await_gone(&versions, SOON);
    await_gone(&project, SOON);
    assert_eq!(projects(&mounted), [""; 0]);
}

#[test]
fn what_has_changed_while_the_index_was_down_shows_once_it_answers() {
    let Some(world) = World::new("pypi_stopped", OFTEN) else { return };
    world.upload("1.0", false);
    world.server.stop();
    shell(&world.served, "cp -r data later");
    // What will have happened while it was down.
    world.swap("later");
    world.server.start_again().expect("the server");
    world.upload("1.1", false);
    world.curl("-u tester:secret -X DELETE", "tester/dev/my-tool/1.0");
    world.server.stop();
    world.swap("later");
    world.server.start_again().expect("the server");

    let mounted = world.mount();
    let versions = place(&mounted, "my-tool/versions");
    assert_eq!(list(&versions).expect("a directory"), ["1.0"]);
    let metadata = versions.join("1.0/metadata.json");
    read(&metadata);
    world.server.stop();
    // As soon as a poll has failed.
    let fails = || {
        let error = fs::read(&metadata).err()?;
        (error.raw_os_error() == Some(EIO)).then_some(())
    };
    assert!(wait_until(SOON, fails).is_some(), "{:?}", fs::read_to_string(&metadata));
    world.swap("later");
    assert_eq!(errno(&metadata), EIO, "nobody answers");
    world.server.start_again().expect("the server");
    await_names(&versions, &["1.1"]);
    await_gone(&versions.join("1.0"), SOON);
    await_names(&place(&mounted, "my-tool/_latest"), &["1.1"]);
}

#[test]
fn ten_thousand_archives_cost_a_few_requests_and_then_none() {
    let test = "pypi_thousands";
    let Some(omnifs) = home(test, &["python3"]) else { return };
    let omnifs = omnifs.env("OMNIFS_POLL_MS", NEVER);
    // An index of plain files.
    let served = omnifs.path("served");
    let file = |number: usize| {
        let name = format!("many-1.{number}.tar.gz");
        json!({"filename": name, "url": format!("../../packages/{name}"), "hashes": {}, "size": 1})
    };
    let files: Vec<Value> = (0..10_000).map(file).collect();
    let mut names: Vec<String> = (0..9_999).map(|number| format!("p{number:04}")).collect();
    names.insert(0, "many".to_owned());
    let named: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    fs::create_dir_all(served.join("simple/many")).expect("a folder");
    let page = |path: &str, value: Value| {
        fs::write(served.join(path).join("index.html"), value.to_string()).expect("a file");
    };
    page("simple", json!({"projects": named}));
    page("simple/many", json!({"files": files}));
    let python = program("python3").expect("it was looked for").display().to_string();
    let directory = served.display().to_string();
    let server = Server::start(&python, &omnifs.path("log"), |at| {
        let port = at.rsplit(':').next().unwrap_or_default();
        ["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", &directory, port]
            .map(str::to_owned)
            .to_vec()
    });
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    configure(&omnifs, &format!("[instances.pypi]\nendpoints.index = '{}'\n", server.url()));
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let before = requests(&mounted);
    assert!(projects(&mounted) == names, "they are not those of the index");
    let listing = requests(&mounted) - before;
    assert!((1..10).contains(&listing), "{listing} requests for ten thousand projects");

    let directory = place(&mounted, "many/versions");
    let before = requests(&mounted);
    let walk = || shell(&directory, "ls -l | grep -c '^d'");
    assert_eq!(list(&directory).expect("a directory").len(), 10_000);
    // The page, and the first poll. That proves nothing of the time before, so the page is asked for once more; and
    // again where the poll came in the midst of it.
    await_live(&mounted, "project:many");
    assert_eq!(walk(), "10000");
    let cold = requests(&mounted) - before;
    assert!((2..20).contains(&cold), "{cold} requests");
    let archives = directory.join("1.5000/archives");
    assert_eq!(list(&archives).expect("a directory"), ["many-1.5000.tar.gz"]);
    let warm = requests(&mounted);
    for _ in 0..3 {
        assert_eq!(walk(), "10000");
        assert_eq!(list(&archives).expect("a directory"), ["many-1.5000.tar.gz"]);
    }
    assert_eq!(requests(&mounted), warm, "nothing has changed");
}
