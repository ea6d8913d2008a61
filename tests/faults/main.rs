//! What a machine does to a mount, through the real one: processes that are killed and stopped, a full
//! disk, damaged files, few descriptors, little memory. Nothing is lost, stuck or wrong, and every wait
//! has a bound.
//!
//! What services do is in the tests of each service.

#![cfg(target_os = "linux")]

mod descriptors;
mod disk;
mod files;
mod memory;
mod outlive;
mod processes;
mod readers;
mod store;

use omnifs_support::mount::{detach, is_mounted};
use omnifs_support::{Omnifs, Ran, skip, tied};
use omnifs_twins::github::RepoShape;
use omnifs_twins::{GithubSetup, GithubTwin};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// For what has no reason to take long, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// An interval of polls that does not pass within a test.
const NEVER: &str = "3600000";
/// The repository of every test, below the mount.
const API: &str = "github/acme/api";

fn available(test: &str) -> bool {
    match Omnifs::unavailable() {
        Some(reason) => skip(test, &reason),
        None => return true,
    }
    false
}

fn is_root(test: &str, what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, &format!("{what} needs root"));
    }
    root
}

/// Repositories `api`, `api1`, ... of `acme`, with so many issues each.
fn setup(repos: usize, issues: usize) -> GithubSetup {
    let name = |n| if n == 0 { "api".to_owned() } else { format!("api{n}") };
    let repos = (0..repos).map(|n| RepoShape::issues("acme", &name(n), issues, 0)).collect();
    GithubSetup { demo: false, repos, rate_limit: 1_000_000, ..GithubSetup::default() }
}

/// A request's bound where services are stuck.
const BOUND: &str = "[limits]\nrequest-time = '2s'\n";

/// A home whose mounts show this twin and nothing else.
fn home(url: &str, storage: &str, sections: &str) -> Omnifs {
    let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", NEVER);
    let config = format!(
        "{sections}\n[instances.docker]\nenabled = false\n\
         [instances.linear]\nenabled = false\n[instances.github]\n\
         settings.listing-bound = 2000\n\
         [instances.github.endpoints.api]\nurl = '{url}'\nredirect-hosts = ['{storage}']\n"
    );
    omnifs.config(&config).expect("a configuration");
    omnifs
}

fn home_of(twin: &GithubTwin, sections: &str) -> Omnifs {
    home(twin.url(), twin.storage_url(), sections)
}

/// The title of an issue of `acme/api`, as its file shows it.
fn title(twin: &GithubTwin, number: u64) -> String {
    let repo = twin.repo_id("acme/api").expect("it is there");
    let value = twin.value(&format!("issue:{repo}/{number}")).expect("an issue");
    format!("{}\n", value["title"].as_str().expect("a title"))
}

fn title_path(point: &Path, number: u64) -> PathBuf {
    point.join(API).join(format!("_issues/_all/{number}/title"))
}

/// A mount in the background, whose process the shell line `before` has prepared (`ulimit`, a cgroup).
struct Background<'a> {
    omnifs: &'a Omnifs,
    point: PathBuf,
}

impl<'a> Background<'a> {
    fn mount(omnifs: &'a Omnifs, before: &str, args: &[&str]) -> (Background<'a>, Ran) {
        let point = omnifs.mount_point();
        let own = omnifs.command();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before} && exec \"$0\" \"$@\"")]);
        command.arg(own.get_program()).arg("mount").arg(&point).args(args);
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (out, err) = (omnifs.path("out"), omnifs.path("err"));
        command.stdin(Stdio::null());
        command.stdout(File::create(&out).expect("a file"));
        command.stderr(File::create(&err).expect("a file"));
        let background = Background { omnifs, point };
        let mut child = tied::spawn(command).expect("a shell");
        let status = tied::wait(&mut child, Duration::from_secs(120));
        let Some(status) = status else {
            tied::stop(&mut child, Duration::from_secs(1));
            panic!("the mount was not ready within a minute: {}", read(&err));
        };
        (background, Ran { status, stdout: read(&out), stderr: read(&err) })
    }

    fn path(&self) -> &Path {
        &self.point
    }

    fn status(&self) -> io::Result<serde_json::Value> {
        let ran = self.run(&["status"], &["--json"])?;
        if !ran.status.success() {
            return Err(io::Error::other(ran.stdout));
        }
        serde_json::from_str(&ran.stdout)
            .map_err(|error| io::Error::other(format!("{error}: {}", ran.stderr)))
    }

    fn pid(&self) -> u32 {
        let status = self.status().expect("status");
        status["mount"]["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
    }

    /// A command on this mount.
    fn run(&self, before: &[&str], after: &[&str]) -> io::Result<Ran> {
        let point = self.point.to_string_lossy();
        let args: Vec<&str> =
            before.iter().copied().chain([&*point]).chain(after.iter().copied()).collect();
        self.omnifs.run(&args)
    }

    fn unmount(self) {
        let ran = self.run(&["unmount"], &[]).expect("unmount");
        assert!(ran.status.success(), "{}", ran.stderr);
        assert!(!is_mounted(&self.point));
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        if is_mounted(&self.point) {
            let _ = self.run(&["unmount", "--force"], &[]);
            detach(&self.point);
        }
    }
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The regular files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found.sort();
    found
}

/// What a process that ended has left in the registry of mounts, its lock aside.
fn records(omnifs: &Omnifs) -> Vec<PathBuf> {
    let entries = fs::read_dir(omnifs.path("state/omnifs/mounts")).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_none_or(|end| end != "lock")).collect()
}
