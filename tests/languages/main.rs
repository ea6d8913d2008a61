//! Providers in other languages, from `omnifs init` over the tools of PyPI and npm to a mount.

#![cfg(target_os = "linux")]

use omnifs_support::tools::{errno, list, read, shell};
use omnifs_support::{Omnifs, npm, python, skip, tied, wait_until};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const EIO: i32 = 5;
const ENOENT: i32 = 2;
/// For one of the tools, or for a compiler of an interpreter. A loaded machine may take long.
const SOON: Duration = Duration::from_secs(300);

/// A home, and in it the project `greeter` that `omnifs init` makes, with the command that builds it.
fn project(test: &str, language: &str) -> Option<(Omnifs, PathBuf, String)> {
    if let Some(reason) = Omnifs::unavailable() {
        skip(test, &reason);
        return None;
    }
    let omnifs = Omnifs::new().expect("a home");
    let mut init = omnifs.command();
    init.args(["init", "greeter", "--language", language, "--json"]).current_dir(omnifs.path(""));
    let ran = init.output().expect("omnifs init");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said: Value = serde_json::from_slice(&ran.stdout).expect("a document");
    let build = said["result"]["next"][2].as_str().expect("the command that builds").to_owned();
    let folder = omnifs.path("greeter");
    Some((omnifs, folder, build))
}

/// Runs a project's command with `programs` first on the path.
fn build(folder: &Path, line: &str, programs: &Path) {
    let log = folder.join("build.log");
    let output = File::create(&log).expect("a log");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).stdin(Stdio::null());
    command.env("PATH", format!("{}:{path}", programs.display()));
    command.stdout(output.try_clone().expect("a log")).stderr(output);
    let mut child = tied::spawn(command).expect("a shell");
    let ended = tied::wait(&mut child, SOON);
    if ended.is_none() {
        tied::stop(&mut child, Duration::from_secs(5));
    }
    assert!(ended.is_some_and(|status| status.success()), "{line}: {}", read(&log));
}

/// What the component shows, whatever it is written in; `facts` is what its `facts.json` holds.
fn shows_its_tree(omnifs: &Omnifs, component: &Path, facts: &str) {
    let ran = omnifs.run(&["providers".as_ref(), "info".as_ref(), component.as_os_str()]);
    let ran = ran.expect("it ends");
    assert!(ran.status.success(), "{}", ran.stderr);
    assert!(ran.stdout.contains("it may reach\n  nothing\n"), "{}", ran.stdout);

    let off =
        ["docker", "github", "linear"].map(|name| format!("[instances.{name}]\nenabled = false\n"));
    omnifs
        .config(&(off.concat() + "[instances.g]\nsettings.name = \"you\"\n"))
        .expect("a configuration");
    let mounted =
        omnifs.mount(&["--provider", &format!("g={}", component.display())]).expect("mount");
    let root = mounted.join("g");
    assert_eq!(read(&root.join("hello.txt")), "Hello, you!\n");
    assert_eq!(list(&root.join("about")).expect("a listing"), ["away.txt", "facts.json"]);
    assert_eq!(read(&root.join("about/facts.json")), facts);
    assert_eq!(errno(&root.join("about/none")), ENOENT);
    assert_eq!(errno(&root.join("about/away.txt")), EIO);
    let status = mounted.status().expect("status");
    let said =
        |error: &Value| error["detail"].as_str().is_some_and(|why| why.contains("nobody answers"));
    assert!(status["errors"].as_array().is_some_and(|all| all.iter().any(said)), "{status}");
    // A call that failed harms no other.
    assert_eq!(read(&root.join("about/facts.json")), facts);
    assert!(mounted.unmount());
}

/// Has the component compiled, which may take longer than a mount waits for it: the compiler then goes on while
/// the mount runs, and the next one finds what it made.
fn compile(omnifs: &Omnifs, component: &Path) {
    let mounted =
        omnifs.mount(&["--provider", &format!("g={}", component.display())]).expect("mount");
    let compiled = || {
        let mut files = fs::read_dir(omnifs.path("cache/omnifs/components")).ok()?;
        files
            .any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|x| x == "bin")))
            .then_some(())
    };
    assert!(wait_until(SOON, compiled).is_some(), "{}", mounted.log());
    assert!(mounted.unmount());
}

fn only(omnifs: &Omnifs) {
    let off =
        ["docker", "github", "linear"].map(|name| format!("[instances.{name}]\nenabled = false\n"));
    omnifs.config(&off.concat()).expect("a configuration");
}

#[test]
fn a_provider_in_python_is_built_and_mounted() {
    let test = "a_provider_in_python_is_built_and_mounted";
    let Some((omnifs, folder, line)) = project(test, "python") else { return };
    let python = match python::with_package("componentize-py", "0.25.1") {
        Ok(python) => python,
        Err(reason) => return skip(test, &reason),
    };
    // The program says where its interpreter was when it was fetched, which was elsewhere.
    let programs = python.parent().expect("its folder");
    let line = format!("python3 {}/{line}", programs.display());
    build(&folder, &line, programs);
    let component = folder.join("greeter.wasm");
    only(&omnifs);
    compile(&omnifs, &component);
    let sum = shell(&folder, "printf 'Hello, you!\\n' | sha256sum | cut -d ' ' -f 1");
    let facts = format!("{{\"sha256\": \"{}\", \"bytes\": 12}}\n", sum.trim());
    shows_its_tree(&omnifs, &component, &facts);
}

#[test]
fn a_provider_in_javascript_is_built_and_mounted() {
    const PACKAGE: &str = "@bytecodealliance/componentize-js";
    let test = "a_provider_in_javascript_is_built_and_mounted";
    let Some((omnifs, folder, line)) = project(test, "javascript") else { return };
    let had = recent_node()
        .and_then(|()| npm::package(PACKAGE, "0.23.0", &["@bytecodealliance/jco@1.35.0"]));
    let modules = match had {
        Ok(modules) => modules,
        Err(reason) => return skip(test, &reason),
    };
    let line = line.strip_prefix("npx ").expect("a program of the package");
    build(&folder, line, &modules.join(".bin"));
    let component = folder.join("greeter.wasm");
    only(&omnifs);
    compile(&omnifs, &component);
    shows_its_tree(&omnifs, &component, "{\"words\":[\"Hello\",\"you\"],\"characters\":12}\n");
}

/// One that the package runs with.
fn recent_node() -> Result<(), String> {
    let node = npm::node()?;
    let said =
        Command::new(node).arg("--version").output().map_err(|error| format!("node: {error}"))?;
    let version = String::from_utf8_lossy(&said.stdout);
    let major =
        version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    match major {
        Some(20..) => Ok(()),
        _ => Err(format!("this node is too old, 20.19 will do: {}", version.trim())),
    }
}
