//! A server of repositories on loopback: `git http-backend` behind as much of HTTP as it needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The secret of what lies below `private`, as the header has it: `user:word`.
const AUTHORIZATION: &str = "Basic dXNlcjp3b3Jk";

pub struct Server {
    root: PathBuf,
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<String>>,
    broken: AtomicBool,
    ended: AtomicBool,
}

pub fn git(directory: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(directory);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let mut git = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git");
    let (mut stdin, input) = (git.stdin.take().expect("a pipe"), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = git.wait_with_output().expect("git ends");
    // What git does not read of its input shows in its status.
    let _ = writer.join();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

impl Server {
    /// Of the repositories below `root`, a folder that is made here.
    pub fn start(root: PathBuf) -> Server {
        std::fs::create_dir_all(&root).expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared::default());
        let (served, root_served) = (shared.clone(), root.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.ended.load(Ordering::SeqCst) {
                    break;
                }
                let (shared, root) = (served.clone(), root_served.clone());
                std::thread::spawn(move || shared.answer(&root, stream));
            }
        });
        Server { root, url, shared }
    }

    /// A bare repository. `options` are settings of it, and `format` is how it hashes.
    pub fn repository(&self, path: &str, format: &str, options: &[&str]) -> PathBuf {
        let directory = self.root.join(path);
        std::fs::create_dir_all(&directory).expect("a folder");
        git(&directory, &["init", "-q", "--bare", "-b", "main", "--object-format", format], b"");
        for option in options {
            git(&directory, &["config", option, "true"], b"");
        }
        directory
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The requests since the last call, those of polls among them.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.requests.lock().expect("no panic"))
    }

    /// Whether every request is answered by 503.
    pub fn set_broken(&self, broken: bool) {
        self.shared.broken.store(broken, Ordering::SeqCst);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Has the listener look.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl Shared {
    fn answer(&self, root: &Path, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        let (mut line, mut headers) = (String::new(), Vec::new());
        if reader.read_line(&mut line).is_err() || line.is_empty() {
            return;
        }
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
                break;
            }
            let (name, value) = header.trim().split_once(':').unwrap_or_default();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let header = |name: &str| {
            let found = headers.iter().find(|(own, _)| own == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let (path, query) = words[1].split_once('?').unwrap_or((words[1], ""));
        let command = String::from_utf8_lossy(&body);
        let command = command.split_once("command=").map_or("", |(_, rest)| rest);
        let command = command.split(['\n', '\0']).next().unwrap_or_default();
        let told = format!("{} {path} {command}", words[0]).trim_end().to_owned();
        self.requests.lock().expect("no panic").push(told);
        let plain = |status: &str, more: &str| {
            format!("HTTP/1.1 {status}\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n")
                .into_bytes()
        };
        let answer = if self.broken.load(Ordering::SeqCst) {
            plain("503 Service Unavailable", "")
        } else if path.starts_with("/private/") && header("authorization") != AUTHORIZATION {
            plain("401 Unauthorized", "www-authenticate: Basic realm=\"git\"\r\n")
        } else {
            let mut backend = Command::new("git");
            backend
                .arg("http-backend")
                .env("GIT_PROJECT_ROOT", root)
                .env("GIT_HTTP_EXPORT_ALL", "1");
            backend.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
            backend.env("PATH_INFO", path).env("QUERY_STRING", query);
            backend.env("REQUEST_METHOD", words[0]).env("CONTENT_TYPE", header("content-type"));
            backend.env("CONTENT_LENGTH", body.len().to_string());
            backend.env("GIT_PROTOCOL", header("git-protocol")).env("REMOTE_ADDR", "127.0.0.1");
            let pipes = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = pipes.spawn().expect("git http-backend");
            let mut stdin = child.stdin.take().expect("a pipe");
            let writer = std::thread::spawn(move || stdin.write_all(&body));
            let output = child.wait_with_output().expect("git ends").stdout;
            let _ = writer.join();
            let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
            let head = String::from_utf8_lossy(&output[..end]).into_owned();
            let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
            let body = &output[end + 4..];
            let mut answer = format!("HTTP/1.1 {}\r\n", status.unwrap_or("200 OK"));
            for line in head.lines().filter(|line| !line.starts_with("Status: ")) {
                answer += &format!("{line}\r\n");
            }
            answer += &format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
            [answer.as_bytes(), body].concat()
        };
        let _ = stream.write_all(&answer);
    }
}
