//! Git's own server, called as a web server would call it.

// Each test uses a part of this.
#![allow(dead_code, reason = "several tests share it")]

use omnifs_git::Git;
use omnifs_sdk::testing::{Mount, Recorded};
use std::io::Write;
use std::path::{Path, PathBuf};
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

pub struct Served(PathBuf);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Served {
    /// Nothing where there is no git, which is said.
    pub fn new(test: &str) -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            println!("DID NOT RUN {test}: there is no git");
            return None;
        }
        let served = Served(std::env::temp_dir().join(format!("{test}-{}", std::process::id())));
        std::fs::create_dir_all(&served.0).unwrap();
        Some(served)
    }

    /// A bare repository without a commit.
    pub fn empty(&self, path: &str, format: &str, filters: &str) -> PathBuf {
        let directory = self.0.join(path);
        std::fs::create_dir_all(&directory).unwrap();
        git(&directory, &["init", "-q", "--bare", "-b", "main", "--object-format", format], b"");
        git(&directory, &["config", "uploadpack.allowFilter", filters], b"");
        directory
    }

    pub fn mount(&self) -> Mount<Git> {
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
