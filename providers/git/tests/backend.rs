//! Against git's own server, called as a web server would call it.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/git/history.rs"]
mod history;

mod server {
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};

    pub fn run(mut command: Command, input: &[u8]) -> Vec<u8> {
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut git = command.spawn().unwrap();
        let (mut stdin, input) = (git.stdin.take().unwrap(), input.to_vec());
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = git.wait_with_output().unwrap();
        let _ = writer.join();
        output.stdout
    }

    pub fn git(directory: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(directory);
        run(command, input)
    }
}

use omnifs_git::Git;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Error, Kind};
use server::{git, run};
use std::path::{Path, PathBuf};
use std::process::Command;

struct Served(PathBuf);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Served {
    /// Nothing where there is no git, which is said.
    fn new(test: &str) -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            println!("DID NOT RUN {test}: there is no git");
            return None;
        }
        let served = Served(std::env::temp_dir().join(format!("{test}-{}", std::process::id())));
        std::fs::create_dir_all(&served.0).unwrap();
        Some(served)
    }

    fn repository(&self, path: &str, format: &str, filters: &str, commits: usize) -> PathBuf {
        let directory = self.0.join(path);
        std::fs::create_dir_all(&directory).unwrap();
        git(&directory, &["init", "-q", "--bare", "-b", "main", "--object-format", format], b"");
        git(&directory, &["config", "uploadpack.allowFilter", filters], b"");
        history::generate(&directory, commits);
        directory
    }

    fn mount(&self) -> Mount<Git> {
        let root = self.0.clone();
        Mount::new(Recorded::new().otherwise(move |line, headers, body| {
            let (method, target) = line.split_once(' ').unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let header = |name: &str| {
                let found = headers.iter().find(|(own, _)| *own == name);
                found.map_or("", |(_, value)| *value)
            };
            let mut backend = Command::new("git");
            backend
                .arg("http-backend")
                .env("GIT_PROJECT_ROOT", &root)
                .env("GIT_HTTP_EXPORT_ALL", "1");
            backend.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", method);
            backend.env("CONTENT_TYPE", header("content-type"));
            backend.env("CONTENT_LENGTH", body.len().to_string()).env("REMOTE_ADDR", "127.0.0.1");
            backend.env("GIT_PROTOCOL", header("git-protocol"));
            let output = run(backend, body);
            let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            let (mut status, mut answered) = (200, Vec::new());
            for line in String::from_utf8_lossy(&output[..end]).lines() {
                let (name, value) = line.split_once(": ").unwrap();
                match name {
                    "Status" => status = value[..3].parse().unwrap(),
                    _ => answered.push((name.to_ascii_lowercase(), value.to_owned())),
                }
            }
            (status, answered, output[end + 4..].to_vec())
        }))
    }
}

/// Compares a tree with what git says of it: each path, its mode, its content.
fn compare(mount: &Mount<Git>, tree: &str, repository: &Path, commit: &str) -> usize {
    let listed = String::from_utf8(git(repository, &["ls-tree", "-r", commit], b"")).unwrap();
    let ids: Vec<&str> = listed.lines().map(|line| &line[12..line.find('\t').unwrap()]).collect();
    let contents = git(repository, &["cat-file", "--batch"], ids.join("\n").as_bytes());
    let mut rest = &contents[..];
    for line in listed.lines() {
        let (mode, name) = (&line[..6], &line[line.find('\t').unwrap() + 1..]);
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let head = String::from_utf8_lossy(&rest[..end]);
        let size: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
        let path = format!("{tree}/{name}");
        let kind = match mode {
            "100755" => Kind::Executable,
            "120000" => Kind::Symlink,
            _ => Kind::File,
        };
        assert_eq!(mount.stat(&path).unwrap().kind, kind, "{path}");
        let content = mount.read_bytes(&path).unwrap();
        assert!(content == rest[end + 1..end + 1 + size], "{path}");
        rest = &rest[end + 2 + size..];
    }
    listed.lines().count()
}

#[test]
fn every_file_of_a_thousand_commits_is_what_git_says() {
    let Some(served) = Served::new("git-all") else { return };
    let repository = served.repository("team/large.git", "sha1", "false", 1000);
    let mount = served.mount();
    let tree = "team/large.git/_branches/main/tree";
    assert!(compare(&mount, tree, &repository, "main") >= 5000);
    assert!(mount.requests().len() < 12, "contents came along: {:?}", mount.requests());
}

#[test]
fn with_filters_a_tree_is_one_request_and_each_file_is_what_git_says() {
    for format in ["sha1", "sha256"] {
        let Some(served) = Served::new(&format!("git-{format}")) else { return };
        let repository = served.repository("api.git", format, "true", 12);
        let mount = served.mount();
        let files = compare(&mount, "api.git/_head/tree", &repository, "main");
        let posts = mount.requests().iter().filter(|line| line.starts_with("POST")).count();
        assert!(posts <= files + 4, "{posts} for {files} files");
    }
}

#[test]
fn logs_and_messages_are_what_git_says() {
    let Some(served) = Served::new("git-logs") else { return };
    let repository = served.repository("api.git", "sha1", "true", 120);
    let mount = served.mount();
    let said = |arguments: &[&str]| String::from_utf8(git(&repository, arguments, b"")).unwrap();
    for (shown, commit) in [("_branches/main", "main"), ("_tags/v1", "v1"), ("_head", "HEAD")] {
        let log = said(&["log", "--no-abbrev", "--date=iso-strict", "-n", "100", commit]);
        assert_eq!(mount.read(&format!("api.git/{shown}/log")).unwrap(), log);
        let hash = said(&["rev-parse", &format!("{commit}^{{commit}}")]);
        assert_eq!(mount.read(&format!("api.git/{shown}/commit")).unwrap(), hash);
    }
    let message = said(&["cat-file", "commit", "main"]);
    let message = message.split_once("\n\n").unwrap().1;
    assert_eq!(mount.read("api.git/_branches/main/message").unwrap(), message);
    assert_eq!(mount.read("api.git/_tags/v1/annotation").unwrap(), "first\n");
    let mut newest: Vec<String> =
        said(&["log", "--format=%H", "-n", "100"]).lines().map(str::to_owned).collect();
    newest.sort();
    let mut shown = mount.list("api.git/_commits").unwrap();
    shown.sort();
    assert_eq!(shown, newest);
    assert_eq!(mount.list("api.git/_branches").unwrap(), ["feature%2Fside", "main"]);
    let absent = format!("api.git/_commits/{}", "1".repeat(40));
    assert!(matches!(mount.stat(&absent), Err(Error::NotFound)));
}
